//! What somebody has missed of the rooms to which he comes back.
//!
//! A room's records are found by its list, those of a feed by the lists of its boards, which are merged: what is told elsewhere costs nobody
//! a look, however much it is, and the search ends with the first record above the bound.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque},
    iter,
};

use super::{About, History, Record, Turn};
use crate::{
    audience::{Audience, Topic},
    ids::{BoardId, Cursor, Place, PostId},
};

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
    /// Of a record that was told as it was entered: what is entered later has a higher one.
    pub number: u64,
    /// A count that may have been delivered before: told at the place of the cursor that was given, not at its own.
    pub again: bool,
}

/// Whoever comes back has so much passed over at most that he is not told: what is no more, and counts that he was sent. A cursor that
/// claims that counts were held back since long ago is not searched for.
const PASSED_OVER: usize = 10_000;

/// A record and its number.
type Numbered<'a, F> = (u64, &'a Record<F>);

/// What a search has found so far.
struct Found<'a, F> {
    missed: Vec<Numbered<'a, F>>,
    /// Of the counts that may have been delivered: the newest of each kind.
    again: HashMap<(PostId, Topic), Vec<Numbered<'a, F>>>,
    /// Kinds of which the newest may have been held back until who may see it changed, or may have: whether it was told by then is not known.
    doubtful: HashSet<(PostId, Topic)>,
}

impl<F> Default for Found<'_, F> {
    fn default() -> Self {
        Self { missed: Vec::new(), again: HashMap::new(), doubtful: HashSet::new() }
    }
}

impl<'a, F> Found<'a, F> {
    /// Whether it is certain that the record was missed. `rights` is the last change of who may open its board.
    fn take(
        &mut self,
        number: u64,
        record: &'a Record<F>,
        cursor: &Cursor,
        rights: Option<&Turn>,
        counts_wait: impl Fn(PostId, Topic) -> bool,
    ) -> bool {
        match record.counted.zip(record.count()) {
            Some((newest, (post, topic))) if newest <= cursor.place => {
                let held = cursor.held_from.is_some_and(|held| newest.tick >= held);
                let turn = rights.filter(|turn| newest <= turn.place);
                // What was held back when rights changed was told before that, to those who might see it.
                if held && !turn.is_some_and(|turn| turn.told_before) && !counts_wait(post, topic) {
                    match turn {
                        Some(_) => drop(self.doubtful.insert((post, topic))),
                        None => drop(self.doubtful.remove(&(post, topic))),
                    }
                    let newer = self.again.entry((post, topic)).or_default();
                    newer.retain(|(_, older)| older.place == record.place);
                    newer.push((number, record));
                }
                return false;
            }
            Some((_, kind)) => {
                self.again.remove(&kind);
                self.doubtful.remove(&kind);
            }
            None if record.place <= cursor.place => return false,
            None => {}
        }
        self.missed.push((number, record));
        true
    }

    fn in_order(self) -> Vec<Missed<'a, F>> {
        let mut again: Vec<_> = self.again.into_values().flatten().collect();
        again.sort_by_key(|(_, record)| record.place);
        let again = again.into_iter().map(|(number, record)| Missed { record, number, again: true });
        again.chain(self.missed.into_iter().map(|(number, record)| Missed { record, number, again: false })).collect()
    }
}

impl<F> History<F> {
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
        let (mut found, mut passed_over) = (Found::default(), 0);
        for (number, record) in self.candidates(what, owed_from) {
            let rights = record.rooms().0.and_then(|board| self.rights.get(&board));
            let taken = self.stands(number, record) && found.take(number, record, cursor, rights, &counts_wait);
            passed_over += usize::from(!taken);
            if found.missed.len() > self.bounds.missed || passed_over > PASSED_OVER {
                return Err(Gap::TooMany);
            }
        }
        if !found.doubtful.is_empty() {
            return Err(Gap::Rights);
        }
        let told = found.in_order();
        // What is told once more counts as what was missed does, whatever the cursor claims.
        if told.len() > self.bounds.missed { Err(Gap::TooMany) } else { Ok(told) }
    }

    fn rights_since(&self, what: Resumed<'_>) -> Option<Place> {
        let turned = |board| self.rights.get(&board).map(|turn| turn.place);
        match what {
            Resumed::Board(board) => turned(board),
            Resumed::Post { post, board } => turned(board).max(self.moved.get(&post).copied()),
            Resumed::Feed(boards) => boards.iter().filter_map(|board| turned(*board)).max().max(self.board_ended),
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
                Box::new(merged(boards.iter().map(|board| listed(self.boards.get(board))).collect()))
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
}

/// What stands in these lists, in the order of the numbers; it looks no further into them than what is taken.
fn merged<T>(lists: Vec<impl Iterator<Item = (u64, T)>>) -> impl Iterator<Item = (u64, T)> {
    let mut lists: Vec<_> = lists.into_iter().map(Iterator::peekable).collect();
    let firsts = lists.iter_mut().enumerate().filter_map(|(of, list)| Some(Reverse((list.peek()?.0, of))));
    let mut firsts: BinaryHeap<Reverse<(u64, usize)>> = firsts.collect();
    iter::from_fn(move || {
        let Reverse((_, of)) = firsts.pop()?;
        let list = &mut lists[of];
        let first = list.next();
        firsts.extend(list.peek().map(|(number, _)| Reverse((*number, of))));
        first
    })
}
