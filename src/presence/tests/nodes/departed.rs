//! A node that has died, of which is known before, or only afterwards, where its people were.

use super::*;

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn board() -> Scope {
    Scope::Board(BoardId(1))
}

/// Ada is there, on the other node.
fn reads(presence: &mut Presence) {
    presence.watch(&board());
    let members = Members::from([("ada".into(), BTreeMap::from([(OTHER, Stay::default())]))]);
    assert_eq!(presence.hear(Heard::Read { scope: board(), stamp: Stamp { generation: 1, version: 2 }, members }), []);
}

fn beats(presence: &mut Presence, living: &[NodeId]) {
    assert_eq!(presence.hear(Heard::Nodes(living.iter().copied().collect())), []);
    assert_eq!(presence.hear(Heard::Beat), []);
}

/// Whether it has said since that ada is gone.
fn speaks(presence: &mut Presence) -> bool {
    let said = vec![Said { user: "ada".into(), stay: None, nth: 0 }];
    presence.take_words().contains(&Word::Say { scope: board(), node: OTHER, said })
}

#[test]
fn whoever_died_before_it_was_asked_who_is_in_a_board_is_spoken_for_with_the_next_beat() {
    let mut presence = Presence::among(GRACE, ME);
    presence.hear(Heard::Here);
    beats(&mut presence, &[ME, OTHER]);
    beats(&mut presence, &[ME]);
    // Somebody asks, and nobody minds it any longer.
    reads(&mut presence);
    assert_eq!(presence.forget_unless(|_| false), [board()]);
    beats(&mut presence, &[ME]);
    assert!(!speaks(&mut presence));
    reads(&mut presence);
    // By then he may have come back.
    assert!(!speaks(&mut presence));
    beats(&mut presence, &[ME]);
    assert!(speaks(&mut presence));
}

#[test]
fn whoever_comes_back_is_not_spoken_for_by_whom_it_was_told_that_he_is_dead() {
    let mut presence = Presence::among(GRACE, ME);
    presence.hear(Heard::Here);
    for living in [&[ME, OTHER][..], &[ME], &[ME], &[ME]] {
        beats(&mut presence, living);
    }
    reads(&mut presence);
    let said = vec![Said { user: "ada".into(), stay: Some(Stay { nameless: 1, ..Stay::default() }), nth: 7 }];
    let heard = Heard::Said { scope: board(), stamp: Stamp { generation: 1, version: 3 }, node: OTHER, said };
    assert_eq!(presence.hear(heard), []);
    // As it was just before he came back.
    beats(&mut presence, &[ME]);
    assert!(!speaks(&mut presence));
    beats(&mut presence, &[ME]);
    assert!(speaks(&mut presence));
}
