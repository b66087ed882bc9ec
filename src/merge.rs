//! Vote and comment-count events of one post within a short window become one. Everything else passes by untouched.
//!
//! The first count of a quiet post goes out at once; what follows within the window waits for its end and is told with the
//! newest committed values. What waits names the tick it waits since, so that a cursor handed out meanwhile can say so.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use crate::{
    audience::Topic,
    contract::{PostCount, ServerEvent},
    ids::{BoardId, PostId, Tick},
};

/// Which counts of a post changed, and what they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountChange {
    pub post: PostId,
    pub board: BoardId,
    pub upvotes: i32,
    pub comments: i32,
    pub vote_added: bool,
    pub vote_removed: bool,
    pub votes_changed: bool,
    pub comments_changed: bool,
}

impl CountChange {
    /// Takes in a later change of the same post: what happened adds up, the values are the later ones.
    fn absorb(&mut self, later: Self) {
        let earlier = *self;
        *self = Self {
            vote_added: earlier.vote_added || later.vote_added,
            vote_removed: earlier.vote_removed || later.vote_removed,
            votes_changed: earlier.votes_changed || later.votes_changed,
            comments_changed: earlier.comments_changed || later.comments_changed,
            ..later
        };
    }

    fn is_of(&self, topic: Topic) -> bool {
        self.events().iter().any(|(_, event)| Topic::of(event) == topic)
    }

    /// The events that tell it, all for the board's room, each with its part of the place.
    pub fn events(&self) -> Vec<(u8, ServerEvent)> {
        let count = |new_count| PostCount { post_id: self.post, board_id: self.board, new_count };
        let mut events = Vec::with_capacity(2);
        if self.vote_added {
            events.push((0, ServerEvent::PostVoteAdded(count(self.upvotes))));
        }
        if self.vote_removed {
            events.push((1, ServerEvent::PostVoteRemoved(count(self.upvotes))));
        }
        if self.vote_added || self.vote_removed || self.votes_changed {
            events.push((2, ServerEvent::PostVoteChanged(count(self.upvotes))));
        }
        if self.comments_changed {
            events.push((3, ServerEvent::PostCommentCountChanged(count(self.comments))));
        }
        events
    }
}

/// A count that waits, with its place in the stream.
#[derive(Debug)]
struct Held<P> {
    change: CountChange,
    place: P,
    since: Tick,
}

/// A count whose window has ended, or that is not to wait for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Due<P> {
    pub change: CountChange,
    /// Of the newest change in it.
    pub place: P,
    /// The tick of the oldest.
    pub since: Tick,
}

/// The windows that are open. Bounded by the posts whose counts changed within one window's length. `P` is whatever the
/// caller needs to send a count.
#[derive(Debug)]
pub struct Merger<P> {
    length: Duration,
    open: HashMap<PostId, Option<Held<P>>>,
    /// All windows are of one length, so they end in the order in which they began.
    ends: VecDeque<(Duration, PostId)>,
    held_since: BTreeMap<Tick, usize>,
}

impl<P> Merger<P> {
    /// A zero length merges nothing.
    pub fn new(length: Duration) -> Self {
        Self { length, open: HashMap::new(), ends: VecDeque::new(), held_since: BTreeMap::new() }
    }

    /// Gives the change back if it is to be sent now, else holds it. `now` is a monotonic clock's reading.
    pub fn offer(&mut self, change: CountChange, place: P, tick: Tick, now: Duration) -> Option<(CountChange, P)> {
        if self.length.is_zero() {
            return Some((change, place));
        }
        match self.open.get_mut(&change.post) {
            None => {
                self.open.insert(change.post, None);
                self.ends.push_back((now + self.length, change.post));
                return Some((change, place));
            }
            Some(Some(held)) => {
                held.change.absorb(change);
                held.place = place;
            }
            Some(empty @ None) => {
                *empty = Some(Held { change, place, since: tick });
                *self.held_since.entry(tick).or_default() += 1;
            }
        }
        None
    }

    /// What waited until `now`. A window that held something starts anew, one that did not closes.
    pub fn due(&mut self, now: Duration) -> Vec<Due<P>> {
        let mut due = Vec::new();
        while let Some((_, post)) = self.ends.pop_front_if(|(ends, _)| *ends <= now) {
            match self.open.remove(&post).flatten() {
                None => {}
                Some(held) => {
                    self.release(held.since);
                    due.push(Due { change: held.change, place: held.place, since: held.since });
                    self.open.insert(post, None);
                    self.ends.push_back((now + self.length, post));
                }
            }
        }
        due
    }

    /// What waits for these boards, in the order in which it would have been due. Their windows go on.
    pub fn take_of(&mut self, boards: &BTreeSet<BoardId>) -> Vec<Due<P>> {
        let mut due = Vec::new();
        if self.held_since.is_empty() {
            return due;
        }
        for (_, post) in &self.ends {
            let held = self.open.get_mut(post);
            let taken = held.and_then(|held| held.take_if(|held| boards.contains(&held.change.board)));
            due.extend(taken.map(|Held { change, place, since }| Due { change, place, since }));
        }
        for Due { since, .. } in &due {
            self.release(*since);
        }
        due
    }

    /// When the next window ends.
    pub fn next_due(&self) -> Option<Duration> {
        self.ends.front().map(|(ends, _)| *ends)
    }

    /// The earliest tick of which a count is held back.
    pub fn held_from(&self) -> Option<Tick> {
        self.held_since.keys().next().copied()
    }

    /// The post moved: its counts in the board that it left are nobody's news. Those that wait for its new board are, though they were noted
    /// before: who changes a post that is being moved may have begun earlier and committed behind the move.
    pub fn moved(&mut self, post: PostId, to: Option<BoardId>) {
        if self.open.get(&post).and_then(Option::as_ref).is_none_or(|held| Some(held.change.board) != to) {
            self.forget(post);
        }
    }

    /// The post went away: its counts are nobody's news.
    pub fn forget(&mut self, post: PostId) {
        if let Some(held) = self.open.get_mut(&post).and_then(Option::take) {
            self.release(held.since);
        }
    }

    /// Whether a count of the post waits that tells of this topic.
    pub fn holds(&self, post: PostId, topic: Topic) -> bool {
        self.open.get(&post).and_then(Option::as_ref).is_some_and(|held| held.change.is_of(topic))
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        *self = Self::new(self.length);
    }

    fn release(&mut self, since: Tick) {
        if let Some(count) = self.held_since.get_mut(&since) {
            *count -= 1;
            if *count == 0 {
                self.held_since.remove(&since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn vote(post: i32, upvotes: i32) -> CountChange {
        CountChange {
            post: PostId(post),
            board: BoardId(1),
            upvotes,
            comments: 0,
            vote_added: true,
            vote_removed: false,
            votes_changed: true,
            comments_changed: false,
        }
    }

    #[test]
    fn what_waits_for_the_board_into_which_a_post_moves_is_told_there() {
        for (to, told) in [(Some(BoardId(1)), 1), (Some(BoardId(2)), 0), (None, 0)] {
            let mut merger = Merger::new(50 * MS);
            assert!(merger.offer(vote(1, 1), 1, Tick(1), MS).is_some());
            assert_eq!(merger.offer(vote(1, 2), 2, Tick(1), 2 * MS), None);
            merger.moved(PostId(1), to);
            assert_eq!(merger.due(60 * MS).len(), told, "{to:?}");
            assert_eq!(merger.held_from(), None);
        }
    }

    #[test]
    fn a_quiet_post_is_told_at_once_and_a_hot_one_once_a_window() {
        let mut merger = Merger::new(50 * MS);
        assert_eq!(merger.offer(vote(1, 1), 1, Tick(1), MS), Some((vote(1, 1), 1)));
        assert_eq!(merger.offer(vote(1, 2), 2, Tick(2), 2 * MS), None);
        assert_eq!(merger.offer(vote(2, 9), 3, Tick(2), 2 * MS), Some((vote(2, 9), 3)), "another post does not wait");
        let back = CountChange { vote_added: false, vote_removed: true, ..vote(1, 1) };
        assert_eq!(merger.offer(back, 4, Tick(3), 3 * MS), None);
        assert_eq!(merger.held_from(), Some(Tick(2)));
        assert_eq!(merger.due(50 * MS), []);
        let merged = CountChange { vote_removed: true, ..vote(1, 1) };
        assert!(merger.holds(PostId(1), Topic::Votes) && !merger.holds(PostId(2), Topic::Votes));
        assert!(!merger.holds(PostId(1), Topic::Comments), "another count of the same post");
        assert_eq!(merger.due(51 * MS), [Due { change: merged, place: 4, since: Tick(2) }]);
        assert_eq!(
            merged.events().iter().map(|(_, event)| event.name()).collect::<Vec<_>>(),
            ["post:voteAdded", "post:voteRemoved", "post:voteChanged"]
        );
        assert_eq!(merger.held_from(), None);
        assert_eq!(merger.due(200 * MS), [], "the window closes");
        assert_eq!(merger.next_due(), None);
    }

    #[test]
    fn what_is_taken_before_its_time_is_told_once_and_its_window_goes_on() {
        let mut merger = Merger::new(50 * MS);
        let elsewhere = |upvotes| CountChange { board: BoardId(2), ..vote(2, upvotes) };
        assert!(merger.offer(vote(1, 1), 1, Tick(1), MS).is_some());
        assert!(merger.offer(elsewhere(1), 2, Tick(1), 2 * MS).is_some());
        assert_eq!(merger.offer(vote(1, 2), 3, Tick(2), 3 * MS), None);
        assert_eq!(merger.offer(elsewhere(2), 4, Tick(3), 4 * MS), None);
        assert_eq!(merger.take_of(&[BoardId(9)].into()), []);
        assert_eq!(merger.take_of(&[BoardId(1)].into()), [Due { change: vote(1, 2), place: 3, since: Tick(2) }]);
        assert_eq!(merger.take_of(&[BoardId(1)].into()), []);
        assert_eq!(merger.held_from(), Some(Tick(3)), "the other board's waits on");
        assert_eq!(merger.offer(vote(1, 3), 5, Tick(4), 5 * MS), None, "the window is open still");
        let due: Vec<i32> = merger.due(60 * MS).into_iter().map(|due| due.change.upvotes).collect();
        assert_eq!((due, merger.held_from()), (vec![3, 2], None));
    }

    proptest! {
        /// Whatever the rhythm, the last value told of a post is the last one offered, and told values follow the offered order.
        #[test]
        fn the_last_count_is_always_told(gaps in proptest::collection::vec((0u32..80, 0i32..3), 1..60)) {
            let mut merger = Merger::new(50 * MS);
            let mut told: HashMap<PostId, Vec<i32>> = HashMap::new();
            let mut last: HashMap<PostId, i32> = HashMap::new();
            let mut now = Duration::ZERO;
            for (value, (gap, post)) in gaps.into_iter().enumerate() {
                now += gap * MS;
                let value = i32::try_from(value).unwrap();
                last.insert(PostId(post), value);
                let due = merger.due(now).into_iter().map(|due| due.change);
                let at_once = merger.offer(vote(post, value), (), Tick(1), now).map(|(change, ())| change);
                for change in due.chain(at_once) {
                    told.entry(change.post).or_default().push(change.upvotes);
                }
            }
            for Due { change, .. } in merger.due(now + 50 * MS) {
                told.entry(change.post).or_default().push(change.upvotes);
            }
            for (post, value) in last {
                prop_assert_eq!(told[&post].last(), Some(&value));
                prop_assert!(told[&post].is_sorted());
            }
        }
    }
}
