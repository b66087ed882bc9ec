//! Small histories by hand: each kind of broken promise is found, and what is left open is not.

mod counts;
mod resumed;

use serde_json::{Value, json};

use super::*;
use crate::{
    history::{Row, What},
    log::Told,
};

/// A story: one row a transaction, one after the other, a microsecond a step, seen by one client in board 1.
struct Story {
    rows: Vec<Row>,
    log: Vec<Logged>,
    clock: Micros,
    connection: u32,
}

fn snapshot(xmax: u64) -> Snapshot {
    Snapshot::read(&format!("1:{xmax}:")).unwrap()
}

impl Story {
    /// Board 1 is open to everybody of community a, and the client sits in it.
    fn new() -> Self {
        let mut story = Self { rows: Vec::new(), log: Vec::new(), clock: 0, connection: 1 };
        story.commit(What::Community, None, json!({"community": "a", "settings": {}}));
        story.commit(What::BoardCreated, None, json!({"community": "a", "settings": {}}));
        story.write(Entry::Connected { node: 0 });
        story.write(Entry::Joining { room: Room::Board(1), since: None });
        story.joined(false);
        story
    }

    fn commit(&mut self, what: What, post: Option<i32>, data: Value) -> i64 {
        self.clock += 10_000;
        let seq = self.rows.len() as i64 + 1;
        let xid = seq as u64 + 1;
        let row =
            Row { seq, xid, snapshot: snapshot(xid), at: self.clock, what, board: Some(1), post, comment: None, data };
        self.rows.push(row);
        seq
    }

    fn post(&mut self, post: i32) -> i64 {
        self.commit(What::PostCreated, Some(post), json!({"stamp": format!("post {post}")}))
    }

    fn roles(&mut self, roles: &[&str]) -> i64 {
        let settings = json!({"permissions": {"allowedRoles": roles}});
        self.commit(What::BoardUpdated, None, json!({"community": "a", "settings": settings}))
    }

    /// The roles change, and the client is told this; it leaves, or joins again.
    fn told_access(&mut self, name: &str, roles: &[&str]) {
        self.roles(roles);
        let told = Told { name: name.to_owned(), board: Some(1), written: Some(self.clock), ..Told::default() };
        self.write(Entry::Told(told));
        let room = Room::Board(1);
        if name == "board:accessRevoked" {
            self.write(Entry::Left { room });
        } else {
            self.write(Entry::Joining { room, since: None });
            self.joined(false);
        }
    }

    fn count(&mut self, post: i32, count: i64) {
        self.commit(What::Upvotes, Some(post), json!({ "count": count }));
    }

    fn write(&mut self, entry: Entry) -> usize {
        self.clock += 10_000;
        self.log.push(Logged { at: self.clock, connection: self.connection, entry });
        self.log.len() - 1
    }

    fn joined(&mut self, recovered: bool) {
        self.write(Entry::Joined { room: Room::Board(1), recovered, boards: Vec::new(), cursor: String::new() });
    }

    fn told(&mut self, name: &str, post: i32, told: Told) -> usize {
        let written = told.written.or(Some(self.clock));
        self.write(Entry::Told(Told { name: name.to_owned(), board: Some(1), post: Some(post), written, ..told }))
    }

    fn told_post(&mut self, post: i32) -> usize {
        let stamp = Some(format!("post {post}"));
        self.told("board:newPost", post, Told { stamp, ..Told::default() })
    }

    fn told_count(&mut self, post: i32, count: i64) -> usize {
        self.told("post:voteChanged", post, Told { count: Some(count), ..Told::default() })
    }

    /// The client went, and comes back with the cursor of an entry.
    fn back(&mut self, since: usize, recovered: bool) {
        self.write(Entry::Disconnected);
        self.connection += 1;
        self.write(Entry::Connected { node: 1 });
        self.write(Entry::Joining { room: Room::Board(1), since: Some(since) });
        self.joined(recovered);
    }

    fn kinds(self) -> Vec<Kind> {
        let ticks = (1..=self.rows.len() as u64 + 2).map(snapshot).collect();
        self.kinds_of(ticks)
    }

    fn kinds_of(self, ticks: Vec<Snapshot>) -> Vec<Kind> {
        let persona =
            Persona { user: "ada".into(), community: "a".into(), rooms: vec![Room::Board(1)], ..Persona::default() };
        // The load showed what stood there before the client came.
        let samples = vec![(0, snapshot(4))];
        let clients = vec![(persona, self.log)];
        let history = History::new(self.rows);
        let account =
            Account { history, ticks, samples, clients, expected: vec![BTreeSet::new()], markers: vec![Vec::new()] };
        account.findings().into_iter().map(|finding| finding.kind).collect()
    }
}

#[test]
fn nothing_is_found_where_everything_came_in_order() {
    let mut story = Story::new();
    for post in 1..4 {
        story.post(post);
        story.told_post(post);
    }
    story.count(1, 1);
    story.told_count(1, 1);
    assert_eq!(story.kinds(), []);
}

#[test]
fn what_was_committed_before_something_that_came_is_lost() {
    let mut story = Story::new();
    story.post(1);
    story.post(2);
    story.told_post(2);
    assert_eq!(story.kinds(), [Kind::Lost]);
}

#[test]
fn what_is_dead_by_then_is_not_owed() {
    let mut story = Story::new();
    story.post(1);
    story.commit(What::PostDeleted, Some(1), json!({"with_board": false}));
    story.told("board:postDeleted", 1, Told::default());
    story.post(2);
    story.told_post(2);
    assert_eq!(story.kinds(), []);
}

#[test]
fn a_gap_over_a_reconnection_is_lost_only_if_it_was_said_to_be_none() {
    for (recovered, found) in [(true, vec![Kind::Lost]), (false, Vec::new())] {
        let mut story = Story::new();
        story.post(1);
        let last = story.told_post(1);
        story.post(2);
        story.back(last, recovered);
        if !recovered {
            // The load of that moment.
            story.post(3);
            story.told_post(3);
            assert_eq!(story_with_load(story), found);
            continue;
        }
        story.post(3);
        story.told_post(3);
        assert_eq!(story.kinds(), found);
    }
}

/// With a second load that showed everything up to the last row but one.
fn story_with_load(story: Story) -> Vec<Kind> {
    let rows = story.rows.len() as u64;
    let persona = Persona { community: "a".into(), rooms: vec![Room::Board(1)], ..Persona::default() };
    let samples = vec![(0, snapshot(4)), (story.log[7].at, snapshot(rows + 1))];
    let account = Account {
        history: History::new(story.rows),
        ticks: Vec::new(),
        samples,
        clients: vec![(persona, story.log)],
        expected: vec![BTreeSet::new()],
        markers: vec![Vec::new()],
    };
    account.findings().into_iter().map(|finding| finding.kind).collect()
}

#[test]
fn an_event_that_comes_again_is_twice() {
    let mut story = Story::new();
    story.post(1);
    story.told_post(1);
    story.told_post(1);
    assert_eq!(story.kinds(), [Kind::Twice]);
}

#[test]
fn changes_of_one_row_that_come_the_other_way_round_are_out_of_order() {
    let mut story = Story::new();
    story.post(1);
    story.told_post(1);
    for edit in ["a", "b"] {
        story.commit(What::PostUpdated, Some(1), json!({ "stamp": edit }));
    }
    let (first, second) = (story.rows[3].at, story.rows[4].at);
    let told = |at, stamp: &str| Told { written: Some(at), stamp: Some(stamp.to_owned()), ..Told::default() };
    story.told("board:postUpdated", 1, told(second, "b"));
    story.told("board:postUpdated", 1, told(first, "b"));
    assert_eq!(story.kinds(), [Kind::OutOfOrder]);
}

#[test]
fn a_row_as_it_was_before_its_change_is_out_of_order() {
    let mut story = Story::new();
    story.post(1);
    story.told_post(1);
    story.commit(What::PostUpdated, Some(1), json!({"stamp": "new"}));
    story.told("board:postUpdated", 1, Told { stamp: Some("post 1".to_owned()), ..Told::default() });
    assert_eq!(story.kinds(), [Kind::OutOfOrder]);
}

#[test]
fn a_count_that_goes_back_or_is_not_the_last_is_found() {
    let mut story = Story::new();
    story.post(1);
    story.told_post(1);
    story.count(1, 1);
    story.count(1, 2);
    story.told_count(1, 2);
    story.told_count(1, 1);
    assert_eq!(story.kinds(), [Kind::OutOfOrder, Kind::Lost]);
}

#[test]
fn who_is_shut_out_is_told_nothing_more() {
    let mut story = Story::new();
    story.roles(&["crew"]);
    story.post(1);
    story.told_post(1);
    assert_eq!(story.kinds(), [Kind::WithoutRight]);
}

#[test]
fn what_was_committed_while_shut_out_and_sent_when_let_in_again_is_told_apart() {
    let mut story = Story::new();
    story.told_access("board:accessRevoked", &["crew"]);
    story.post(1);
    story.told_access("board:accessGranted", &[]);
    story.told_post(1);
    assert_eq!(story.kinds(), [Kind::BeforeLetIn]);
}

#[test]
fn closed_and_opened_within_one_batch_is_never_closed() {
    let mut story = Story::new();
    story.roles(&["crew"]);
    story.post(1);
    story.roles(&[]);
    story.told_post(1);
    assert_eq!(story.kinds_of(vec![snapshot(3), snapshot(7)]), []);
}

#[test]
fn a_newer_state_inside_an_older_event_is_found_and_an_older_one_that_came_along_is_not() {
    let shown = |written: Micros| Told { stamp: Some("new".to_owned()), written: Some(written), ..Told::default() };
    let mut story = Story::new();
    story.post(1);
    let created = story.clock;
    story.told_access("board:accessRevoked", &["crew"]);
    story.commit(What::PostUpdated, Some(1), json!({"stamp": "new"}));
    story.told_access("board:accessGranted", &[]);
    story.told("board:newPost", 1, shown(created));
    assert_eq!(story.kinds(), [Kind::BeforeLetIn]);

    let mut story = Story::new();
    story.told_access("board:accessRevoked", &["crew"]);
    story.post(1);
    story.told_access("board:accessGranted", &[]);
    story.commit(What::PostMoved, Some(1), json!({"from": 2}));
    story.told("board:newPost", 1, Told { stamp: Some("post 1".to_owned()), moved: true, ..Told::default() });
    assert!(!story.kinds().contains(&Kind::BeforeLetIn));
}

#[test]
fn who_is_shut_out_is_told_so_once_and_nothing_behind_it_but_that_he_is_let_in() {
    let mut story = Story::new();
    story.told_access("board:accessRevoked", &["crew"]);
    story.told_access("board:accessRevoked", &["crew"]);
    assert_eq!(story.kinds(), [Kind::Twice]);

    let mut story = Story::new();
    story.told_access("board:accessRevoked", &["crew"]);
    story.told_access("board:accessGranted", &["other"]);
    assert_eq!(story.kinds(), [Kind::WithoutRight]);

    let mut story = Story::new();
    story.told_access("board:accessRevoked", &[]);
    assert_eq!(story.kinds(), [Kind::Invented]);

    let mut story = Story::new();
    story.told_access("board:accessRevoked", &["crew"]);
    story.roles(&[]);
    story.post(1);
    story.told_post(1);
    assert_eq!(story.kinds(), [Kind::WithoutRight]);
}

#[test]
fn who_is_shut_out_and_let_in_again_without_being_told_is_found() {
    let mut story = Story::new();
    story.roles(&["crew"]);
    story.roles(&[]);
    story.post(1);
    story.told_post(1);
    // And nothing of the new settings.
    assert_eq!(story.kinds(), [Kind::Lost, Kind::Lost]);
}

#[test]
fn what_was_never_committed_is_found() {
    let mut story = Story::new();
    story.told_post(9);
    assert_eq!(story.kinds(), [Kind::Invented]);
}

/// A post of board 2 is changed, comes into board 1, which is closed, and board 1 is opened; the change is told in board 1.
fn changed_moved_and_opened(apart: bool, beside: bool) -> Vec<Kind> {
    let mut story = Story::new();
    let settings = json!({"community": "a", "settings": {}});
    story.commit(What::BoardCreated, None, settings);
    story.rows.last_mut().unwrap().board = Some(2);
    story.told_access("board:accessRevoked", &["crew"]);
    let changed = story.commit(What::PostUpdated, Some(1), json!({"stamp": "new"}));
    let written = story.clock;
    story.rows.last_mut().unwrap().board = Some(2);
    let moved = story.commit(What::PostMoved, Some(1), json!({"from": 2}));
    story.told_access("board:accessGranted", &[]);
    if beside {
        let changed = story.rows[changed as usize - 1].xid;
        let opened = story.rows.last_mut().unwrap();
        opened.snapshot = Snapshot::read(&format!("1:{}:{changed}", opened.xid)).unwrap();
    }
    let stamp = Some("new".to_owned());
    story.told("board:postUpdated", 1, Told { stamp, written: Some(written), ..Told::default() });
    let all = story.rows.len() as u64 + 2;
    let ticks = (1..=all).filter(|xmax| apart || !(changed as u64 + 1..=moved as u64 + 2).contains(xmax));
    story.kinds_of(ticks.map(snapshot).collect()).into_iter().filter(|kind| *kind == Kind::BeforeLetIn).collect()
}

#[test]
fn what_came_into_a_board_that_was_opened_afterwards_was_told_early() {
    assert_eq!(changed_moved_and_opened(true, false), [Kind::BeforeLetIn]);
}

#[test]
fn what_came_in_and_was_opened_within_one_batch_was_not() {
    assert_eq!(changed_moved_and_opened(false, false), []);
}

#[test]
fn what_ran_beside_the_opening_was_not() {
    assert_eq!(changed_moved_and_opened(true, true), []);
}
