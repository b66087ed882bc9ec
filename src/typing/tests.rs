use super::*;

const SILENCE: Duration = Duration::from_secs(8);
const SECOND: Duration = Duration::from_secs(1);
const TAB: SocketKey = SocketKey(1);
const OTHER_TAB: SocketKey = SocketKey(2);

fn event(board: i32) -> TypingEvent {
    TypingEvent { user_id: "ada".into(), user_name: None, post_id: PostId(5), board_id: BoardId(board) }
}

fn started(board: i32) -> Heard {
    Heard::Started(event(board))
}

fn stopped(board: i32) -> Heard {
    Heard::Stopped(event(board))
}

/// Nothing is kept of whoever has ended.
fn is_empty(typing: &Typing) -> bool {
    typing.bouts.is_empty() && typing.writers.is_empty() && typing.due.is_empty()
}

#[test]
fn a_beginning_is_told_once_and_ends_after_the_last_silence() {
    let mut typing = Typing::new(SILENCE);
    assert_eq!(typing.start(TAB, event(1), Duration::ZERO), [started(1)]);
    assert_eq!(typing.start(TAB, event(1), 5 * SECOND), []);
    assert_eq!(typing.due(SILENCE), [], "said again meanwhile");
    assert_eq!(typing.next_due(), Some(5 * SECOND + SILENCE));
    assert_eq!(typing.due(5 * SECOND + SILENCE), [stopped(1)]);
    assert_eq!(typing.stop(TAB, PostId(5)), None, "it has ended");
    assert!(is_empty(&typing));
    assert_eq!(typing.start(TAB, event(1), 20 * SECOND), [started(1)]);
}

#[test]
fn it_ends_with_the_last_of_his_sockets_that_said_it() {
    let mut typing = Typing::new(SILENCE);
    assert_eq!(typing.start(TAB, event(1), Duration::ZERO), [started(1)]);
    assert_eq!(typing.start(OTHER_TAB, event(1), SECOND), []);
    assert_eq!(typing.stop(SocketKey(3), PostId(5)), None, "that one never began");
    assert_eq!(typing.stop(TAB, PostId(5)), None);
    assert_eq!(typing.of(OTHER_TAB), [(PostId(5), BoardId(1))]);
    assert_eq!(typing.stop(OTHER_TAB, PostId(5)), Some(stopped(1)));
    assert!(is_empty(&typing));
}

#[test]
fn a_post_that_stands_elsewhere_is_begun_anew() {
    let mut typing = Typing::new(SILENCE);
    typing.start(TAB, event(1), Duration::ZERO);
    assert_eq!(typing.start(TAB, event(2), SECOND), [stopped(1), started(2)]);
    assert_eq!(typing.end_post(PostId(5)), [stopped(2)]);
    assert_eq!(typing.end_post(PostId(5)), []);
    assert!(is_empty(&typing));
}

#[test]
fn several_nodes_tell_it_once_and_it_ends_with_the_last_of_them() {
    let (mut typing, [one, other]) = (Typing::new(SILENCE), [NodeId(1), NodeId(2)]);
    assert_eq!(typing.elsewhere(one, started(1), Duration::ZERO), [started(1)]);
    assert_eq!(typing.start(TAB, event(1), SECOND), []);
    assert_eq!(typing.elsewhere(other, started(1), SECOND), []);
    assert_eq!(typing.elsewhere(one, stopped(1), 2 * SECOND), []);
    assert_eq!(typing.stop(TAB, PostId(5)), None);
    assert_eq!(typing.elsewhere(other, stopped(1), 3 * SECOND), [stopped(1)]);
    assert_eq!(typing.elsewhere(other, stopped(1), 3 * SECOND), []);
    assert!(is_empty(&typing));
}

#[test]
fn what_a_node_that_died_said_ends_by_itself() {
    let mut typing = Typing::new(SILENCE);
    typing.elsewhere(NodeId(1), started(1), Duration::ZERO);
    assert_eq!(typing.due(SILENCE), [], "what its own silence ends may be on its way");
    assert_eq!(typing.due(SILENCE + ON_ITS_WAY), [stopped(1)]);
    assert!(is_empty(&typing));
}

#[test]
fn others_are_told_once_and_again_while_it_goes_on() {
    let mut typing = Typing::new(SILENCE);
    let mut said = Vec::new();
    for second in 0..10 {
        typing.start(if second % 2 == 0 { TAB } else { OTHER_TAB }, event(1), second * SECOND);
        said.extend(typing.take_said().into_iter().map(|said| (second, said)));
    }
    assert_eq!(said, [(0, started(1)), (4, started(1)), (8, started(1))]);
    typing.elsewhere(NodeId(1), started(1), 10 * SECOND);
    assert_eq!(typing.due(9 * SECOND + SILENCE), [], "it goes on elsewhere");
    assert_eq!(typing.take_said(), [stopped(1)]);
    typing.start(TAB, event(1), 18 * SECOND);
    typing.end_post(PostId(5));
    assert_eq!(typing.take_said(), [started(1), stopped(1)]);
}
