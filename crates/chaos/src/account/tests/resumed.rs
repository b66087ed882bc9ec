//! What comes on a connection that took up where another ended.

use super::*;

#[test]
fn what_the_cursor_stands_for_comes_again_neither_as_missed_nor_live() {
    for live in [true, false] {
        let mut story = Story::new();
        story.post(1);
        let written = Some(story.clock);
        let last = story.told_post(1);
        let stamp = || Some("post 1".to_owned());
        let again = |story: &mut Story| {
            story.told("board:newPost", 1, Told { written, stamp: stamp(), ..Told::default() });
        };
        if live {
            story.back(last, true);
            again(&mut story);
        } else {
            story.back(last, true);
            let answer = story.log.pop().unwrap();
            again(&mut story);
            story.log.push(answer);
        }
        assert_eq!(story.kinds(), [Kind::Twice], "live: {live}");
    }
}

#[test]
fn what_came_behind_the_cursor_or_before_the_state_was_loaded_may_come_again() {
    let mut story = Story::new();
    story.post(1);
    let first = story.told_post(1);
    story.post(2);
    story.told_post(2);
    // It went before it took a newer cursor.
    story.back(first, true);
    story.told_post(2);
    assert_eq!(story.kinds(), []);

    let mut story = Story::new();
    story.post(1);
    let first = story.told_post(1);
    story.back(first, false);
    // Of a node that lags.
    story.told_post(1);
    assert_eq!(story.kinds(), []);
}
