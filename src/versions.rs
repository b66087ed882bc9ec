//! Whether a fact is still the newest: each change of rights that the dispatcher applies moves the version of what it touches.
//!
//! A question takes the versions first, reads, decides, and names them when it joins; the dispatcher seats nobody whose versions
//! have moved on meanwhile. Things share a version by hash: a collision costs a question asked twice, never a stale answer.
//!
//! Of boards and communities it also knows in which tick they changed last ([`Versions::span`]), so that a fact that another node read
//! can be told from one that no longer holds.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use crate::{
    access::BoardFacts,
    ids::{BoardId, CommunityId, Epoch, PostId, Tick, UserId},
    span::Span,
};

const SHARDS: usize = 4_096;
/// So many users who were deleted are remembered, the latest. With one more anybody may have been.
pub const DEPARTED: usize = 10_000;

/// The versions of everything, bounded by their number and not by the forum's size.
#[derive(Debug)]
pub struct Versions {
    hasher: RandomState,
    shards: Vec<Shard>,
    /// Changes of boards and communities so far.
    changes: AtomicU64,
    /// How far the dispatcher has come; none before it has begun.
    course: RwLock<Option<Course>>,
    departed: RwLock<Departed>,
    /// Whether users may have been deleted whom nobody could name. It stays so: a token does not say when it was issued.
    unnamed: AtomicBool,
}

#[derive(Debug, Default)]
struct Shard {
    version: AtomicU64,
    /// The tick of the last change of a board or community, or behind which the node began. Moved before the version: whoever reads that
    /// finds this.
    changed: AtomicI64,
}

#[derive(Clone, Copy, Debug)]
struct Course {
    epoch: Epoch,
    told: Tick,
    /// Rights of ticks that are still to come are applied already.
    ahead: bool,
}

/// Users whose deletion was told here.
#[derive(Debug, Default)]
struct Departed {
    users: BTreeSet<UserId>,
    /// Who was deleted first foremost.
    order: VecDeque<UserId>,
}

/// The versions that a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basis(Vec<(usize, u64)>);

/// Something whose facts can change.
#[derive(Clone, Copy, Debug, Hash)]
pub enum Subject<'a> {
    Board(BoardId),
    /// Its settings, and which boards it owns or imports.
    Community(&'a CommunityId),
    Post(PostId),
    /// Whether he is there.
    User(&'a UserId),
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            changes: AtomicU64::new(0),
            course: RwLock::default(),
            departed: RwLock::default(),
            unnamed: AtomicBool::new(false),
        }
    }
}

impl Versions {
    /// The versions now. Take them before reading.
    pub fn basis(&self, subjects: &[Subject<'_>]) -> Basis {
        Basis(subjects.iter().map(|subject| self.read(*subject)).collect())
    }

    /// The version of one subject, to tell cached facts apart.
    pub fn of(&self, subject: Subject<'_>) -> u64 {
        self.read(subject).1
    }

    /// Whether nothing of `basis` has changed since.
    pub fn still(&self, basis: &Basis) -> bool {
        basis.0.iter().all(|(shard, version)| self.shards[*shard].version.load(Ordering::Acquire) == *version)
    }

    /// For how long the subject, a board or a community, is as it is, as far as this node has told the stream. None while it does not know:
    /// before it has begun, and where it has applied rights of ticks that are still to come.
    ///
    /// To be asked for behind the version of the subject. A tick that is being applied and changes it counts as told: whoever decides by
    /// that version is seated behind it.
    pub fn span(&self, subject: Subject<'_>) -> Option<Span> {
        // Held while the shard is read, so that both are of one epoch.
        let course = self.course.read().unwrap_or_else(PoisonError::into_inner);
        let Course { epoch, told, .. } = course.filter(|course| !course.ahead)?;
        let since = Tick(self.shards[self.shard(subject)].changed.load(Ordering::Acquire));
        Some(Span { epoch, since, upto: told.max(since) })
    }

    /// So many changes of boards and communities were applied: where it is as before, so is every [`Self::span`] but for its end.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Nothing that was known counts: the stream is told from behind `tick` of this epoch on.
    pub fn begin(&self, epoch: Epoch, tick: Tick) {
        let mut course = self.course.write().unwrap_or_else(PoisonError::into_inner);
        *course = Some(Course { epoch, told: tick, ahead: false });
        for shard in &self.shards {
            shard.changed.store(tick.0, Ordering::Release);
        }
        drop(course);
        self.bump_all(tick);
    }

    /// Everything of this tick has been told.
    pub fn told(&self, tick: Tick) {
        if let Some(course) = &mut *self.course.write().unwrap_or_else(PoisonError::into_inner) {
            course.told = tick;
        }
    }

    /// Rights of later ticks are about to be applied, or every tick whose rights were applied has been. To be said before the former and
    /// behind the latter.
    pub fn is_ahead(&self, ahead: bool) {
        if let Some(course) = &mut *self.course.write().unwrap_or_else(PoisonError::into_inner) {
            course.ahead = ahead;
        }
    }

    /// What was known of the subject no longer counts: this tick changes it.
    pub fn bump(&self, subject: Subject<'_>, at: Tick) {
        let shard = &self.shards[self.shard(subject)];
        if matches!(subject, Subject::Board(_) | Subject::Community(_)) {
            shard.changed.fetch_max(at.0, Ordering::AcqRel);
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        shard.version.fetch_add(1, Ordering::AcqRel);
    }

    /// A board and every community that shows it.
    pub fn bump_board(&self, board: BoardId, facts: Option<&BoardFacts>, at: Tick) {
        self.bump(Subject::Board(board), at);
        if let Some(facts) = facts {
            for community in facts.shown_in() {
                self.bump(Subject::Community(community), at);
            }
        }
    }

    /// A user was deleted. He may come again, and is asked for then.
    pub fn user_departed(&self, user: &UserId) {
        let mut departed = self.departed.write().unwrap_or_else(PoisonError::into_inner);
        if departed.users.insert(user.clone()) {
            departed.order.push_back(user.clone());
        }
        if departed.order.len() > DEPARTED
            && let Some(first) = departed.order.pop_front()
        {
            departed.users.remove(&first);
            self.unnamed.store(true, Ordering::Release);
        }
        drop(departed);
        // Behind it: whoever takes a version after this finds him among the departed.
        self.shards[self.shard(Subject::User(user))].version.fetch_add(1, Ordering::AcqRel);
    }

    /// Users may have been deleted whom nobody can name: from now on anybody may have been.
    pub fn somebody_departed(&self) {
        self.unnamed.store(true, Ordering::Release);
        // Behind it, as above.
        self.shards.iter().for_each(|shard| _ = shard.version.fetch_add(1, Ordering::AcqRel));
    }

    /// Whether the user was deleted as far as this node knows, or may have been. He may have come again.
    pub fn may_have_departed(&self, user: &UserId) -> bool {
        self.unnamed.load(Ordering::Acquire)
            || self.departed.read().unwrap_or_else(PoisonError::into_inner).users.contains(user)
    }

    /// Nothing that was known counts: this tick may change everything.
    pub fn bump_all(&self, at: Tick) {
        for shard in &self.shards {
            shard.changed.fetch_max(at.0, Ordering::AcqRel);
            shard.version.fetch_add(1, Ordering::AcqRel);
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn read(&self, subject: Subject<'_>) -> (usize, u64) {
        let shard = self.shard(subject);
        (shard, self.shards[shard].version.load(Ordering::Acquire))
    }

    fn shard(&self, subject: Subject<'_>) -> usize {
        // The remainder is below SHARDS, which fits usize.
        (self.hasher.hash_one(subject) % SHARDS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basis_holds_until_one_of_its_subjects_changes() {
        let versions = Versions::default();
        let reef = CommunityId::from("reef");
        let basis = versions.basis(&[Subject::Board(BoardId(1)), Subject::Community(&reef)]);
        assert!(versions.still(&basis));
        versions.bump(Subject::Community(&reef), Tick(1));
        assert!(!versions.still(&basis));
    }

    #[test]
    fn a_span_begins_with_the_last_change_and_ends_with_what_was_told() {
        let versions = Versions::default();
        let board = Subject::Board(BoardId(1));
        let span = |epoch, since, upto| Some(Span { epoch: Epoch(epoch), since: Tick(since), upto: Tick(upto) });
        assert_eq!(versions.span(board), None);
        versions.begin(Epoch(7), Tick(40));
        assert_eq!(versions.span(board), span(7, 40, 40));
        versions.bump(board, Tick(43));
        assert_eq!(versions.span(board), span(7, 43, 43), "while the tick is being applied");
        versions.told(Tick(44));
        assert_eq!(versions.span(board), span(7, 43, 44));
        // What is neither a board nor a community says nothing of them, whichever share a shard.
        (0..50_000).for_each(|post| versions.bump(Subject::Post(PostId(post)), Tick(45)));
        versions.user_departed(&UserId::from("ada"));
        assert_eq!(versions.span(board), span(7, 43, 44));
        versions.bump_all(Tick(46));
        versions.told(Tick(46));
        assert_eq!(versions.span(board), span(7, 46, 46));
        versions.is_ahead(true);
        assert_eq!(versions.span(board), None);
        versions.is_ahead(false);
        versions.begin(Epoch(8), Tick(0));
        assert_eq!(versions.span(board), span(8, 0, 0), "ticks begin anew with their epoch");
    }

    #[test]
    fn whoever_may_have_been_deleted_is_never_taken_to_be_there() {
        let versions = Versions::default();
        let user = |number: usize| UserId::from(format!("user {number}"));
        let stranger = UserId::from("ada");
        for number in 0..DEPARTED {
            versions.user_departed(&user(number));
            versions.user_departed(&user(number));
        }
        assert!(versions.may_have_departed(&user(0)) && !versions.may_have_departed(&stranger));
        versions.user_departed(&user(DEPARTED));
        assert!(versions.may_have_departed(&user(0)), "although one more was deleted than is remembered");

        let versions = Versions::default();
        let basis = versions.basis(&[Subject::User(&stranger)]);
        versions.somebody_departed();
        assert!(versions.may_have_departed(&stranger));
        assert!(!versions.still(&basis), "whoever was on his way in is asked for anew");
    }
}
