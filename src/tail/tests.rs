use std::{collections::HashMap, sync::Arc};

use chrono::DateTime;
use serde_json::Value;

use super::*;
use crate::{
    batch::Entry,
    change::Change,
    event::PostHead,
    fence::Fence,
    ids::{PostId, Tick},
};

const EPOCH: Epoch = Epoch(7);

/// A vote for post 1, which stands in board 2, in each row of tick 3.
fn batch(votes: u32) -> Batch {
    let head = PostHead { board: Some(BoardId(2)), upvotes: 5, comments: 0, author: None };
    let rows = Rows { heads: HashMap::from([(PostId(1), head)]), ..Rows::default() };
    let entry = |ordinal| Entry { ordinal, at: DateTime::UNIX_EPOCH, change: Change::VoteAdded { post: PostId(1) } };
    Batch {
        epoch: EPOCH,
        tick: Tick(3),
        entries: (1..=votes).map(entry).collect(),
        poison: Vec::new(),
        rows: Arc::new(rows),
        fence: Fence::default(),
        ahead: None,
        last: true,
        made: None,
    }
}

fn told(filter: Filter, since: Option<&str>, batch: &Batch) -> Vec<String> {
    let since = since.map(|text| text.parse().unwrap());
    let page = Teller::new(filter, EPOCH, Place::end_of(Tick(2)), since).tell(batch);
    page.sent.iter().map(|sent| line(sent).unwrap()).collect()
}

#[test]
fn every_count_is_told_by_itself_at_its_place() {
    let lines = told(Filter::default(), None, &batch(2));
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], "7.3.1.0  post:voteAdded  room board:2  {\"postId\":1,\"boardId\":2,\"newCount\":5}\n");
    assert!(lines[3].starts_with("7.3.2."), "{lines:?}");
}

#[test]
fn behind_a_cursor_only_what_is_owed_is_told() {
    let all = told(Filter::default(), None, &batch(2));
    let cursor = |line: &str| line.split(' ').next().unwrap().to_owned();
    for (at, line) in all.iter().enumerate() {
        assert_eq!(told(Filter::default(), Some(&cursor(line)), &batch(2)), all[at + 1..]);
    }
    // Its bearer may not have been sent the counts since tick 3 began.
    assert_eq!(told(Filter::default(), Some("7.3.2.ff.3"), &batch(2)), all);
}

#[test]
fn what_is_of_another_board_or_community_is_left_out() {
    let board = |id| Filter::new(Some(BoardId(id)), None);
    assert_eq!((told(board(2), None, &batch(1)).len(), told(board(3), None, &batch(1)).len()), (2, 0));
    let mut community = Filter::new(None, Some("c1".into()));
    assert!(told(community.clone(), None, &batch(1)).is_empty());
    community.shows([BoardId(2)]);
    assert_eq!(told(community.clone(), None, &batch(1)).len(), 2);
    community.also_shows([BoardId(4)]);
    assert_eq!(told(community.clone(), None, &batch(1)).len(), 2);
    community.shows([BoardId(4)]);
    assert!(told(community, None, &batch(1)).is_empty());
}

#[test]
fn json_holds_all_of_it() {
    let page = Teller::new(Filter::default(), EPOCH, Place::end_of(Tick(2)), None).tell(&batch(1));
    let told: Value = serde_json::from_str(&json(&page.sent[0]).unwrap()).unwrap();
    let expected = serde_json::json!({
        "cursor": "7.3.1.0", "at": "1970-01-01T00:00:00Z", "event": "post:voteAdded", "rooms": ["board:2"],
        "to": "room board:2", "payload": {"postId": 1, "boardId": 2, "newCount": 5},
    });
    assert_eq!(told, expected);
}

#[test]
fn what_can_not_be_told_is_counted() {
    let mut batch = batch(1);
    batch.entries[0].change = Change::Reset { table: "posts".to_owned() };
    let page = Teller::new(Filter::default(), EPOCH, Place::end_of(Tick(2)), None).tell(&batch);
    assert_eq!((page.sent.len(), page.untold), (0, 1));
}
