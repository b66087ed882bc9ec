//! What was told lately, kept to be told again to whoever comes back with a cursor.
//!
//! Invariants:
//! - records lie in the order in which they were told, and behind the floor none is missing;
//! - a post is not shown again as it was in a board that it has left, nor a comment that is no more;
//! - nobody is told across a change of rights: who was shut out in between must not learn of what he missed by coming back, so
//!   he is told that there is a gap;
//! - nor across a change of his community's flags: what they kept back from him was told to others and lies here;
//! - a count is told again only where its newest change is not known to have been delivered, and never an older value after a newer.
//!
//! Bounded by the number and the size of records, and by as much again for a while of what was told before; `F` is what is sent.

mod flags;
mod missed;
mod record;

use std::collections::{HashMap, HashSet, VecDeque};

use self::{flags::FlagChanges, record::End};
pub use self::{
    missed::{Gap, Missed, Resumed},
    record::{About, Record},
};
use crate::{
    audience::Topic,
    ids::{BoardId, CommentId, CommunityId, Place, PostId},
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

/// Who may open a board changed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    place: Place,
    /// Counts that were held back were told before it; of what is read again it is only known that rights may have changed.
    told_before: bool,
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
    rights: HashMap<BoardId, Turn>,
    /// The newest move of a post into another board.
    moved: HashMap<PostId, Place>,
    /// The newest end of a board.
    board_ended: Option<Place>,
    flags: FlagChanges,
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
            flags: FlagChanges::default(),
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
        let number = self.next();
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
    /// between the two, or where it would make twice the bounds: whoever asks for ever older things does not fill the memory.
    pub fn prepend(&mut self, older: Self, upto: Place) -> bool {
        if upto < self.floor || older.floor > self.floor || !self.has_room_for(&older) {
            return false;
        }
        for (board, turn) in older.rights {
            self.rights.entry(board).or_insert(turn);
        }
        for (post, place) in older.moved {
            self.moved.entry(post).or_insert(place);
        }
        self.board_ended = self.board_ended.or(older.board_ended);
        self.flags.prepend(older.flags);
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

    fn has_room_for(&self, older: &Self) -> bool {
        let Bounds { records, size, .. } = self.bounds;
        self.records.len() + older.records.len() <= records.saturating_mul(2)
            && self.size + older.size <= size.saturating_mul(2)
    }

    /// From now on what is beyond the bounds falls out.
    pub fn relax(&mut self) {
        self.slack = Slack::default();
    }

    /// From `place` on other people may open the board than before, who were told what was held back.
    pub fn rights_changed(&mut self, board: BoardId, place: Place) {
        self.rights.insert(board, Turn { place, told_before: true });
    }

    /// From `place` on other people may open the board than before, or the same: it is read again.
    pub fn rights_may_have_changed(&mut self, board: BoardId, place: Place) {
        self.rights.insert(board, Turn { place, told_before: false });
    }

    /// At `place` the post came into another board.
    pub fn post_moved(&mut self, post: PostId, place: Place) {
        self.moved.insert(post, place);
    }

    /// At `place` a board ended.
    pub fn board_ended(&mut self, place: Place) {
        self.board_ended = Some(place);
    }

    /// The number that the next record has which is entered.
    pub fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// At `place` a community changed its settings, flags among them.
    pub fn flags_changed(&mut self, community: &CommunityId, place: Place) {
        self.flags.note(community, place);
    }

    /// Whether something behind `place` may have been kept back from the members of the community, who hear of it now.
    pub fn were_flags_changed_behind(&self, place: Place, community: &CommunityId) -> bool {
        self.flags.are_behind(place, community)
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
            self.rights.retain(|_, turn| turn.place > floor);
            self.moved.retain(|_, place| *place > floor);
            self.flags.forget(floor);
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
