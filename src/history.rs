//! What was told lately, kept to be told again to whoever comes back with a cursor.
//!
//! Invariants:
//! - records lie in the order in which they were told, and behind the floor none is missing;
//! - a post is not shown again as it was in a board that it has left, nor a comment that is no more;
//! - nobody is told across a change of rights: who was shut out in between must not learn of what he missed by coming back, so
//!   he is told that there is a gap;
//! - a count is told again only where its newest change is not known to have been delivered, and never an older value after a newer.
//!
//! Bounded by the number and the size of records; `F` is what is sent.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use chrono::{DateTime, Utc};

use crate::{
    audience::{Audience, Topic},
    contract::ServerEvent,
    ids::{BoardId, CommentId, Cursor, Place, PostId},
};

/// What is kept at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub records: usize,
    /// In bytes, as told by whoever enters records.
    pub size: usize,
    /// What one who comes back is told at most.
    pub missed: usize,
}

/// One event that was told.
#[derive(Clone, Debug)]
pub struct Record<F> {
    /// Where it was told; a count stands behind its changes.
    pub place: Place,
    /// When what it tells of was written.
    pub at: DateTime<Utc>,
    pub audience: Audience,
    pub topic: Topic,
    pub about: About,
    /// Of a count: the place of the newest change in it.
    pub counted: Option<Place>,
    pub frame: F,
    /// Where admins are shown more.
    pub to_admins: Option<F>,
}

/// Whose life an event belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub post: Option<PostId>,
    pub comment: Option<CommentId>,
    /// Whether it ends here: the post's in this board, or the comment's.
    pub ends: bool,
}

impl About {
    /// What `event` tells of.
    pub fn of(event: &ServerEvent) -> Self {
        use ServerEvent as E;
        let post = |post| Self { post: Some(post), ..Self::default() };
        match event {
            E::BoardNewPost(told) => post(told.post.id),
            E::BoardPostUpdated(told) => post(told.post.id),
            E::BoardPostDeleted(told) => Self { ends: true, ..post(told.post_id) },
            E::PostVoteAdded(told)
            | E::PostVoteRemoved(told)
            | E::PostVoteChanged(told)
            | E::PostCommentCountChanged(told) => post(told.post_id),
            E::PostNewComment(told) | E::PostCommentUpdated(told) => {
                Self { comment: Some(told.comment.id), ..post(told.post_id) }
            }
            E::PostCommentDeleted(told) => Self { comment: Some(told.comment_id), ends: true, ..post(told.post_id) },
            _ => Self::default(),
        }
    }
}

/// What ends with an event.
enum End {
    Comment(CommentId),
    /// The post's stay in the board.
    Post(PostId, BoardId),
}

impl<F> Record<F> {
    /// The board and the post in whose rooms it was told. Of the others nobody comes back to.
    fn rooms(&self) -> (Option<BoardId>, Option<PostId>) {
        match self.audience {
            Audience::Board(board) | Audience::WhoMayOpen(board) => (Some(board), None),
            Audience::BoardAndPost(board, post) => (Some(board), Some(post)),
            Audience::Post(post) => (None, Some(post)),
            Audience::Community(_) | Audience::User(..) => (None, None),
        }
    }

    /// Of which post it tells a count, and of what.
    fn count(&self) -> Option<(PostId, Topic)> {
        self.counted.and(self.about.post).map(|post| (post, self.topic))
    }

    fn end(&self) -> Option<End> {
        match (self.about, self.rooms()) {
            (About { ends: true, comment: Some(comment), .. }, _) => Some(End::Comment(comment)),
            (About { ends: true, post: Some(post), .. }, (Some(board), _)) => Some(End::Post(post, board)),
            _ => None,
        }
    }
}

/// What somebody comes back to.
#[derive(Clone, Copy, Debug)]
pub enum Resumed<'a> {
    Board(BoardId),
    Post { post: PostId, board: BoardId },
    Feed(&'a BTreeSet<BoardId>),
}

/// Why what was missed can't be told from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It reaches further back than what is kept.
    Older,
    /// Who may see it changed meanwhile.
    Rights,
    /// It is more than the bound.
    TooMany,
}

/// One event that was missed.
#[derive(Debug)]
pub struct Missed<'a, F> {
    pub record: &'a Record<F>,
    /// A count that may have been delivered before: told at the place of the cursor that was given, not at its own.
    pub again: bool,
}

/// Records and bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Slack {
    records: usize,
    size: usize,
}

/// Far enough from zero that older records can be given numbers.
const FIRST: u64 = 1 << 62;
/// Of what is too much, so many fall out with each record that is entered.
const DROPPED_AT_ONCE: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct History<F> {
    bounds: Bounds,
    /// Everything told behind it is here.
    floor: Place,
    records: VecDeque<(Record<F>, usize)>,
    /// The number of the first record; each that is entered has the next.
    first: u64,
    size: usize,
    /// What older records may take beside the bounds, for a while.
    slack: Slack,
    boards: HashMap<BoardId, VecDeque<u64>>,
    posts: HashMap<PostId, VecDeque<u64>>,
    /// The record with which a post left a board.
    left: HashMap<(PostId, BoardId), u64>,
    /// The record with which a comment ended.
    gone: HashMap<CommentId, u64>,
    /// The newest change of who may open a board.
    rights: HashMap<BoardId, Place>,
    /// The newest move of a post into another board.
    moved: HashMap<PostId, Place>,
    /// The newest end of a board.
    board_ended: Option<Place>,
}

impl<F> History<F> {
    /// Knows nothing of what was told up to `floor`.
    pub fn new(bounds: Bounds, floor: Place) -> Self {
        Self {
            bounds,
            floor,
            records: VecDeque::new(),
            first: FIRST,
            size: 0,
            slack: Slack::default(),
            boards: HashMap::new(),
            posts: HashMap::new(),
            left: HashMap::new(),
            gone: HashMap::new(),
            rights: HashMap::new(),
            moved: HashMap::new(),
            board_ended: None,
        }
    }

    /// Everything told behind it is here.
    pub fn floor(&self) -> Place {
        self.floor
    }

    /// Forgets everything: what was told up to `floor` is not to be told again.
    pub fn restart(&mut self, floor: Place) {
        *self = Self::new(self.bounds, floor);
    }

    /// Enters what was told now, of this size in bytes; what is too much falls out at the old end.
    pub fn push(&mut self, record: Record<F>, size: usize) {
        let number = self.first + self.records.len() as u64;
        let (board, post) = record.rooms();
        if board.is_none() && post.is_none() {
            return;
        }
        if let Some(board) = board {
            self.boards.entry(board).or_default().push_back(number);
        }
        if let Some(post) = post {
            self.posts.entry(post).or_default().push_back(number);
        }
        match record.end() {
            Some(End::Comment(comment)) => drop(self.gone.insert(comment, number)),
            Some(End::Post(post, board)) => drop(self.left.insert((post, board), number)),
            None => {}
        }
        self.size += size;
        self.records.push_back((record, size));
        for _ in 0..DROPPED_AT_ONCE {
            let Slack { records, size } = self.slack;
            if self.records.len() <= self.bounds.records + records && self.size <= self.bounds.size + size {
                break;
            }
            self.drop_first();
        }
    }

    /// Takes in what was told before, read at a later moment and complete up to `upto`; a count is left out where a later one of the
    /// same is here. They may stay beside the bounds until [`History::relax`]. Does nothing and says so where something is missing
    /// between the two.
    pub fn prepend(&mut self, older: Self, upto: Place) -> bool {
        if upto < self.floor || older.floor > self.floor {
            return false;
        }
        for (board, place) in older.rights {
            self.rights.entry(board).or_insert(place);
        }
        for (post, place) in older.moved {
            self.moved.entry(post).or_insert(place);
        }
        self.board_ended = self.board_ended.or(older.board_ended);
        let before = Slack { records: self.records.len(), size: self.size };
        let counted: HashSet<(PostId, Topic)> = self.records.iter().filter_map(|(record, _)| record.count()).collect();
        let missing = older.records.into_iter().rev().skip_while(|(record, _)| record.place > self.floor);
        for (record, size) in missing {
            // Read at a later moment, it shows a value that what is here may be behind: a count never goes back.
            if record.count().is_some_and(|kind| counted.contains(&kind)) {
                continue;
            }
            self.first -= 1;
            let number = self.first;
            let (board, post) = record.rooms();
            if let Some(board) = board {
                self.boards.entry(board).or_default().push_front(number);
            }
            if let Some(post) = post {
                self.posts.entry(post).or_default().push_front(number);
            }
            match record.end() {
                Some(End::Comment(comment)) => drop(self.gone.entry(comment).or_insert(number)),
                Some(End::Post(post, board)) => drop(self.left.entry((post, board)).or_insert(number)),
                None => {}
            }
            self.size += size;
            self.records.push_front((record, size));
        }
        self.floor = older.floor;
        self.slack.records += self.records.len() - before.records;
        self.slack.size += self.size - before.size;
        true
    }

    /// From now on what is beyond the bounds falls out.
    pub fn relax(&mut self) {
        self.slack = Slack::default();
    }

    /// From `place` on other people may open the board than before.
    pub fn rights_changed(&mut self, board: BoardId, place: Place) {
        self.rights.insert(board, place);
    }

    /// At `place` the post came into another board.
    pub fn post_moved(&mut self, post: PostId, place: Place) {
        self.moved.insert(post, place);
    }

    /// At `place` a board ended.
    pub fn board_ended(&mut self, place: Place) {
        self.board_ended = Some(place);
    }

    /// What whoever has been delivered everything up to `cursor` has missed since, in order. `counts_wait` says whether a newer
    /// count of a post and a topic is about to be told anyway.
    pub fn missed<'a>(
        &'a self,
        cursor: &Cursor,
        what: Resumed<'a>,
        counts_wait: impl Fn(PostId, Topic) -> bool,
    ) -> Result<Vec<Missed<'a, F>>, Gap> {
        let owed_from = cursor.owed_from();
        if owed_from < self.floor {
            return Err(Gap::Older);
        }
        if self.rights_since(what) > Some(cursor.place) {
            return Err(Gap::Rights);
        }
        let mut missed = Vec::new();
        // Of the counts that may have been delivered: the newest of each kind.
        let mut again: HashMap<(PostId, Topic), Vec<&Record<F>>> = HashMap::new();
        for (_, record) in self.candidates(what, owed_from).filter(|(number, record)| self.stands(*number, record)) {
            let count = record.counted.zip(record.about.post).map(|(newest, post)| (newest, (post, record.topic)));
            match count {
                Some((newest, kind)) if newest <= cursor.place => {
                    let held = cursor.held_from.is_some_and(|held| newest.tick >= held);
                    if held && !counts_wait(kind.0, kind.1) {
                        let newer = again.entry(kind).or_default();
                        newer.retain(|older| older.place == record.place);
                        newer.push(record);
                    }
                    continue;
                }
                Some((_, kind)) => drop(again.remove(&kind)),
                None if record.place <= cursor.place => continue,
                None => {}
            }
            missed.push(Missed { record, again: false });
            if missed.len() > self.bounds.missed {
                return Err(Gap::TooMany);
            }
        }
        let mut again: Vec<_> = again.into_values().flatten().collect();
        again.sort_by_key(|record| record.place);
        let again = again.into_iter().map(|record| Missed { record, again: true });
        Ok(again.chain(missed).collect())
    }

    fn rights_since(&self, what: Resumed<'_>) -> Option<Place> {
        match what {
            Resumed::Board(board) => self.rights.get(&board).copied(),
            Resumed::Post { post, board } => self.rights.get(&board).max(self.moved.get(&post)).copied(),
            Resumed::Feed(boards) => {
                let newest = boards.iter().filter_map(|board| self.rights.get(board)).max();
                newest.copied().max(self.board_ended)
            }
        }
    }

    /// The records of the room from `from` on.
    fn candidates<'a>(&'a self, what: Resumed<'a>, from: Place) -> Box<dyn Iterator<Item = (u64, &'a Record<F>)> + 'a> {
        let listed = |numbers: Option<&'a VecDeque<u64>>| {
            let numbers = numbers.into_iter().flat_map(move |numbers| {
                let start =
                    numbers.partition_point(|number| self.record(*number).is_none_or(|record| record.place < from));
                numbers.range(start..)
            });
            numbers.filter_map(|number| Some((*number, self.record(*number)?)))
        };
        match what {
            // Who may open a board hears of its beginning without being in its room.
            Resumed::Board(board) => Box::new(
                listed(self.boards.get(&board))
                    .filter(|(_, record)| !matches!(record.audience, Audience::WhoMayOpen(_))),
            ),
            Resumed::Post { post, .. } => Box::new(listed(self.posts.get(&post))),
            Resumed::Feed(boards) => {
                let start = self.records.partition_point(|(record, _)| record.place < from);
                let behind = self.records.range(start..).zip(start as u64..);
                Box::new(behind.filter_map(move |((record, _), at)| match record.audience {
                    Audience::Board(board) | Audience::BoardAndPost(board, _) | Audience::WhoMayOpen(board)
                        if boards.contains(&board) =>
                    {
                        Some((self.first + at, record))
                    }
                    _ => None,
                }))
            }
        }
    }

    /// Whether what the record tells of is still there, or it tells of the end itself.
    fn stands(&self, number: u64, record: &Record<F>) -> bool {
        let ended = |at: Option<&u64>| at.is_some_and(|end| *end > number);
        let About { post, comment, ends } = record.about;
        let (board, _) = record.rooms();
        let comment_ended = comment.is_some_and(|comment| ended(self.gone.get(&comment)));
        let post_left = post.zip(board).is_some_and(|key| ended(self.left.get(&key)));
        ends || !(comment_ended || post_left)
    }

    fn record(&self, number: u64) -> Option<&Record<F>> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.records.get(at).map(|(record, _)| record)
    }

    fn drop_first(&mut self) {
        let Some((record, size)) = self.records.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        self.size -= size;
        self.floor = record.place;
        let (board, post) = record.rooms();
        if let Some(board) = board {
            drop_from(&mut self.boards, board);
        }
        if let Some(post) = post {
            drop_from(&mut self.posts, post);
        }
        match record.end() {
            // Whatever it ended fell out before it.
            Some(End::Comment(comment)) => remove_if(&mut self.gone, &comment, number),
            Some(End::Post(post, board)) => remove_if(&mut self.left, &(post, board), number),
            None => {}
        }
        // Now and then is often enough: each has a record of its own or is one for each board.
        if self.first.is_multiple_of(1_024) {
            let floor = self.floor;
            self.rights.retain(|_, place| *place > floor);
            self.moved.retain(|_, place| *place > floor);
        }
    }
}

/// The first number of a list belongs to the record that falls out.
fn drop_from<K: std::hash::Hash + Eq>(lists: &mut HashMap<K, VecDeque<u64>>, key: K) {
    if let Some(list) = lists.get_mut(&key) {
        list.pop_front();
        if list.is_empty() {
            lists.remove(&key);
        }
    }
}

/// Another end of the same may have followed.
fn remove_if<K: std::hash::Hash + Eq>(ends: &mut HashMap<K, u64>, key: &K, number: u64) {
    if ends.get(key) == Some(&number) {
        ends.remove(key);
    }
}

#[cfg(test)]
mod tests;
