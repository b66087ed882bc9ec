use chrono::DateTime;

use super::*;
use crate::{
    contract::PostCount,
    ids::{Epoch, Tick},
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
