use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::{
    audience::Audience,
    contract::{PostCount, PostDeleted, ServerEvent},
    ids::{Cursor, Epoch, Tick},
};

const BOUNDS: Bounds = Bounds { records: 100, size: 1 << 20, missed: 100 };

fn at(tick: i64) -> Place {
    Place { tick: Tick(tick), ordinal: 1, part: 2 }
}

/// A count of a post in board 1, which stands for what a browser is sent.
fn count(post: i32, tick: i64, value: i32) -> Record<i32> {
    let told = PostCount { post_id: PostId(post), board_id: BoardId(1), new_count: value };
    let event = ServerEvent::PostVoteChanged(told);
    Record {
        place: at(tick),
        at: DateTime::UNIX_EPOCH,
        audience: Audience::Board(BoardId(1)),
        topic: Topic::of(&event),
        about: About::of(&event),
        counted: Some(at(tick)),
        frame: value,
        to_admins: None,
    }
}

fn history(floor: i64, records: impl IntoIterator<Item = Record<i32>>) -> History<i32> {
    let mut history = History::new(BOUNDS, Place::end_of(Tick(floor)));
    for record in records {
        history.push(record, 1);
    }
    history
}

fn missed(history: &History<i32>, since: i64) -> Vec<(Option<PostId>, i32)> {
    let cursor = Cursor::end_of(Epoch(1), Tick(since));
    let missed = history.missed(&cursor, Resumed::Board(BoardId(1)), |_, _| false).unwrap();
    missed.iter().map(|missed| (missed.record.about.post, missed.record.frame)).collect()
}

#[test]
fn a_count_that_was_read_again_never_goes_back_behind_what_is_in_memory() {
    // In memory it is 2 and then 3; what was told before is read when it is 3 already.
    let mut memory = history(5, [count(1, 6, 2), count(1, 7, 3)]);
    let older = history(0, [count(1, 3, 3), count(2, 4, 9)]);
    assert!(memory.prepend(older, Place::end_of(Tick(5))));
    assert_eq!(missed(&memory, 1), [(Some(PostId(2)), 9), (Some(PostId(1)), 2), (Some(PostId(1)), 3)]);
    assert_eq!(missed(&memory, 6), [(Some(PostId(1)), 3)]);
}

#[test]
fn where_something_is_missing_between_the_two_nothing_is_taken_in() {
    let mut memory = history(5, [count(1, 6, 2)]);
    assert!(!memory.prepend(history(0, [count(1, 3, 1)]), Place::end_of(Tick(4))));
    assert_eq!(memory.floor(), Place::end_of(Tick(5)));
}

#[test]
fn what_is_taken_in_makes_twice_the_bounds_at_most() {
    let stretch = |from: i64, upto: i64| history(from, (from + 1..=upto).map(|tick| ended(1, 1, tick)));
    let mut memory = stretch(400, 500);
    let mut takes = |from, upto| memory.prepend(stretch(from, upto), Place::end_of(Tick(upto)));
    assert!(takes(340, 400));
    assert!(takes(300, 340));
    assert!(!takes(299, 300));
    memory.relax();
    memory.push(ended(1, 1, 501), 1);
    assert!(memory.floor() > Place::end_of(Tick(300)), "what is beyond the bounds falls out");
    let (upto, floor) = (memory.floor(), 290);
    assert!(memory.prepend(history(floor, (floor + 1..=310).map(|tick| ended(1, 1, tick))), upto), "and makes room");
}

/// The end of a post in a board, which stands for its number.
fn ended(post: i32, board: i32, tick: i64) -> Record<i32> {
    let told = PostDeleted { post_id: PostId(post), board_id: BoardId(board), moved: false };
    let event = ServerEvent::BoardPostDeleted(told);
    let (audience, topic, about) = (Audience::Board(BoardId(board)), Topic::of(&event), About::of(&event));
    let at_all = DateTime::UNIX_EPOCH;
    Record { place: at(tick), at: at_all, audience, topic, about, counted: None, frame: post, to_admins: None }
}

proptest! {
    #[test]
    fn a_feed_has_missed_what_its_boards_were_told_in_that_order(
        told in proptest::collection::vec(1..6_i32, 0..BOUNDS.records), feed in proptest::collection::btree_set(1..8_i32, 0..5),
        since in 0..100_i64, older in 0..100_usize,
    ) {
        let records: Vec<_> = (1..).zip(&told).map(|(post, board)| ended(post, *board, post.into())).collect();
        let older = older.min(records.len());
        let floor = i64::try_from(older).unwrap();
        let mut memory = history(floor, records[older..].iter().cloned());
        prop_assert!(memory.prepend(history(0, records[..older].iter().cloned()), Place::end_of(Tick(floor))));
        let boards = feed.iter().map(|board| BoardId(*board)).collect();
        let cursor = Cursor::end_of(Epoch(1), Tick(since));
        let missed = memory.missed(&cursor, Resumed::Feed(&boards), |_, _| false).unwrap();
        let missed: Vec<i32> = missed.iter().map(|missed| missed.record.frame).collect();
        let expected = (1..).zip(&told).filter(|(post, board)| feed.contains(board) && i64::from(*post) > since);
        prop_assert_eq!(missed, expected.map(|(post, _)| post).collect::<Vec<_>>());
    }
}

#[test]
fn a_count_from_before_a_change_of_rights_is_not_told_again() {
    let cursor = |held| Cursor { held_from: Some(Tick(held)), ..Cursor::end_of(Epoch(1), Tick(9)) };
    let missed = |rights, held| {
        let mut memory = history(1, [count(1, 4, 7)]);
        memory.rights_changed(BoardId(1), at(rights));
        let feed = [BoardId(1), BoardId(2)].into();
        let of_board = memory.missed(&cursor(held), Resumed::Board(BoardId(1)), |_, _| false).map(|all| all.len());
        let of_feed = memory.missed(&cursor(held), Resumed::Feed(&feed), |_, _| false).map(|all| all.len());
        assert_eq!(of_board, of_feed);
        of_board
    };
    assert_eq!(missed(6, 3), Ok(0), "it was told before that to those who might see it");
    assert_eq!(missed(3, 3), Ok(1), "it was committed behind that");
    assert_eq!(missed(6, 5), Ok(0), "it was delivered");
}

#[test]
fn of_a_count_that_was_held_when_rights_may_have_changed_it_is_not_known_whether_it_was_told() {
    let cursor = Cursor { held_from: Some(Tick(3)), ..Cursor::end_of(Epoch(1), Tick(9)) };
    let missed = |records: Vec<Record<i32>>, waits| {
        let mut older = history(1, records);
        older.rights_may_have_changed(BoardId(1), at(6));
        let mut memory = history(20, []);
        assert!(memory.prepend(older, Place::end_of(Tick(20))));
        memory.missed(&cursor, Resumed::Board(BoardId(1)), |_, _| waits).map(|all| all.len())
    };
    assert_eq!(missed(vec![count(1, 4, 7)], false), Err(Gap::Rights));
    assert_eq!(missed(vec![count(1, 4, 7), count(1, 8, 8)], false), Ok(1), "the newest is of behind that");
    assert_eq!(missed(vec![count(1, 4, 7), count(1, 12, 8)], false), Ok(1), "it was certainly missed");
    assert_eq!(missed(vec![count(1, 4, 7)], true), Ok(0), "a newer one is about to be told");
    assert_eq!(missed(vec![count(1, 2, 7)], false), Ok(0), "it was delivered");
}

#[test]
fn a_cursor_that_claims_that_counts_were_held_back_long_ago_is_not_searched_for() {
    let bounds = Bounds { records: 100_000, ..BOUNDS };
    let mut history = History::new(bounds, Place::before(Tick(0)));
    for tick in 1..=20_000 {
        history.push(count(1, tick, 1), 1);
    }
    let claims = |tick| Cursor { held_from: Some(Tick(tick)), ..Cursor::end_of(Epoch(1), Tick(20_000)) };
    let missed = |tick| history.missed(&claims(tick), Resumed::Board(BoardId(1)), |_, _| false).map(|all| all.len());
    assert_eq!(missed(19_000), Ok(1), "the newest of them");
    assert_eq!(missed(1), Err(Gap::TooMany));
}

#[test]
fn counts_that_are_told_again_count_as_missed() {
    let held = i64::try_from(BOUNDS.missed).unwrap();
    let memory = |missed: i32| {
        let mut history = History::new(Bounds { records: 1_000, ..BOUNDS }, Place::before(Tick(0)));
        // Each of a post of its own, and delivered as far as the cursor says; then what certainly was not.
        (1..=held).for_each(|tick| history.push(count(i32::try_from(tick).unwrap(), tick, 1), 1));
        (1..=missed).for_each(|post| history.push(ended(1_000 + post, 1, held + i64::from(post)), 1));
        history
    };
    let cursor = Cursor { held_from: Some(Tick(1)), ..Cursor::end_of(Epoch(1), Tick(held)) };
    let missed =
        |history: &History<i32>| history.missed(&cursor, Resumed::Board(BoardId(1)), |_, _| false).map(|all| all.len());
    assert_eq!(missed(&memory(0)), Ok(BOUNDS.missed));
    assert_eq!(missed(&memory(1)), Err(Gap::TooMany), "together they are one more than the bound");
}
