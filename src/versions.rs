//! Whether a fact is still the newest: each change of rights that the dispatcher applies moves the version of what it touches.
//!
//! A question takes the versions first, reads, decides, and names them when it joins; the dispatcher seats nobody whose versions
//! have moved on meanwhile. Things share a version by hash: a collision costs a question asked twice, never a stale answer.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    access::BoardFacts,
    ids::{BoardId, CommunityId, PostId, UserId},
};

const SHARDS: usize = 4_096;
/// So many users who were deleted are remembered, the latest. With one more anybody may have been.
pub const DEPARTED: usize = 10_000;

/// The versions of everything, bounded by their number and not by the forum's size.
#[derive(Debug)]
pub struct Versions {
    hasher: RandomState,
    shards: Vec<AtomicU64>,
    departed: RwLock<Departed>,
    /// Whether users may have been deleted whom nobody could name. It stays so: a token does not say when it was issued.
    unnamed: AtomicBool,
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
            shards: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
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
        basis.0.iter().all(|(shard, version)| self.shards[*shard].load(Ordering::Acquire) == *version)
    }

    /// What was known of the subject no longer counts.
    pub fn bump(&self, subject: Subject<'_>) {
        self.shards[self.shard(subject)].fetch_add(1, Ordering::AcqRel);
    }

    /// A board and every community that shows it.
    pub fn bump_board(&self, board: BoardId, facts: Option<&BoardFacts>) {
        self.bump(Subject::Board(board));
        if let Some(facts) = facts {
            for community in std::iter::once(&facts.community).chain(&facts.importers) {
                self.bump(Subject::Community(community));
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
        self.bump(Subject::User(user));
    }

    /// Users may have been deleted whom nobody can name: from now on anybody may have been.
    pub fn somebody_departed(&self) {
        self.unnamed.store(true, Ordering::Release);
        // Behind it, as above.
        self.bump_all();
    }

    /// Whether the user was deleted as far as this node knows, or may have been. He may have come again.
    pub fn may_have_departed(&self, user: &UserId) -> bool {
        self.unnamed.load(Ordering::Acquire)
            || self.departed.read().unwrap_or_else(PoisonError::into_inner).users.contains(user)
    }

    /// Nothing that was known counts.
    pub fn bump_all(&self) {
        for shard in &self.shards {
            shard.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn read(&self, subject: Subject<'_>) -> (usize, u64) {
        let shard = self.shard(subject);
        (shard, self.shards[shard].load(Ordering::Acquire))
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
        versions.bump(Subject::Community(&reef));
        assert!(!versions.still(&basis));
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
