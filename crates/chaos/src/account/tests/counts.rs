//! Counts, which are matched with votes and comments by their time.

use super::*;

impl Story {
    /// A vote and what it makes of the count, in one transaction; gives when the vote was written.
    fn vote(&mut self, post: i32, count: i64) -> Micros {
        self.changed(What::Vote, What::Upvotes, post, count)
    }

    fn comment(&mut self, post: i32, count: i64) -> Micros {
        self.changed(What::CommentCreated, What::Comments, post, count)
    }

    fn changed(&mut self, by: What, what: What, post: i32, count: i64) -> Micros {
        let seq = self.commit(by, Some(post), Value::Null);
        let written = self.clock;
        let change = &mut self.rows[seq as usize - 1];
        change.board = Some(1).filter(|_| by != What::Vote);
        let (xid, snapshot) = (change.xid, change.snapshot.clone());
        self.clock += 10;
        self.commit(what, Some(post), json!({ "count": count }));
        let counted = self.rows.last_mut().unwrap();
        (counted.xid, counted.snapshot) = (xid, snapshot);
        written
    }

    fn told_count_of(&mut self, name: &str, count: i64, written: Micros) {
        self.told(name, 1, Told { count: Some(count), written: Some(written), ..Told::default() });
    }
}

/// Post 1 is there and was told.
fn with_a_post() -> Story {
    let mut story = Story::new();
    story.post(1);
    story.told_post(1);
    story
}

#[test]
fn a_count_that_comes_again_on_one_connection_is_twice() {
    let mut story = with_a_post();
    let written = story.vote(1, 1);
    story.told_count_of("post:voteAdded", 1, written);
    story.told_count_of("post:voteChanged", 1, written);
    assert_eq!(story.kinds(), [], "two events of one vote");

    let mut story = with_a_post();
    let written = story.vote(1, 1);
    story.told_count_of("post:voteChanged", 1, written);
    story.told_count_of("post:voteChanged", 1, written);
    assert_eq!(story.kinds(), [Kind::Twice]);

    let mut story = with_a_post();
    let written = story.comment(1, 1);
    story.told_count_of("post:commentCountChanged", 1, written);
    story.told_count_of("post:commentCountChanged", 1, written);
    assert_eq!(story.kinds(), [Kind::Twice]);
}

#[test]
fn a_count_that_waited_may_come_again_on_another_connection() {
    let mut story = with_a_post();
    let written = story.vote(1, 1);
    story.told_count_of("post:voteChanged", 1, written);
    let last = story.log.len() - 1;
    story.back(last, true);
    story.told_count_of("post:voteChanged", 1, written);
    assert_eq!(story.kinds(), []);
}

#[test]
fn who_is_shut_out_is_told_no_count() {
    for by in ["post:voteChanged", "post:commentCountChanged"] {
        let mut story = with_a_post();
        story.roles(&["crew"]);
        let written = if by == "post:voteChanged" { story.vote(1, 1) } else { story.comment(1, 1) };
        story.told_count_of(by, 1, written);
        assert_eq!(story.kinds(), [Kind::WithoutRight], "{by}");
    }
}

#[test]
fn a_count_of_a_time_in_which_he_was_shut_out_was_told_early() {
    let mut story = with_a_post();
    story.told_access("board:accessRevoked", &["crew"]);
    let written = story.vote(1, 1);
    story.told_access("board:accessGranted", &[]);
    story.told_count_of("post:voteChanged", 1, written);
    assert_eq!(story.kinds(), [Kind::BeforeLetIn]);

    let mut story = with_a_post();
    story.told_access("board:accessRevoked", &["crew"]);
    story.vote(1, 1);
    story.told_access("board:accessGranted", &[]);
    let written = story.vote(1, 2);
    story.told_count_of("post:voteChanged", 2, written);
    assert_eq!(story.kinds(), [], "the count of a later vote holds the earlier one");
}

#[test]
fn a_value_of_a_time_in_which_he_was_shut_out_is_not_shown_with_an_earlier_vote() {
    let mut story = with_a_post();
    let written = story.vote(1, 1);
    story.told_access("board:accessRevoked", &["crew"]);
    story.vote(1, 2);
    story.told_access("board:accessGranted", &[]);
    let of_all = story.vote(1, 3);
    story.told_count_of("post:voteChanged", 2, written);
    story.told_count_of("post:voteChanged", 3, of_all);
    assert_eq!(story.kinds(), [Kind::BeforeLetIn]);
}
