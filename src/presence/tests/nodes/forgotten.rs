//! A place that lost its memory: how long whoever it no longer names is waited for.

use super::*;

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn board() -> Scope {
    Scope::Board(BoardId(1))
}

fn read(generation: u64, of: &[&str]) -> Heard {
    let stays = |user: &&str| (UserId::from(*user), BTreeMap::from([(OTHER, Stay::default())]));
    Heard::Read { scope: board(), stamp: Stamp { generation, version: 2 }, members: of.iter().map(stays).collect() }
}

/// A node that knows of `ada` and `bo` on another, and found that where they meet neither is named any longer.
fn forgotten() -> Presence {
    let mut presence = Presence::among(GRACE, ME);
    presence.watch(&board());
    for heard in [Heard::Here, read(1, &["ada", "bo"]), read(2, &[])] {
        assert_eq!(presence.hear(heard), []);
    }
    presence
}

fn went(user: &str) -> Notice {
    Notice::Went { scope: board(), who: Viewer { user_id: user.into(), user_name: None, avatar_url: None } }
}

#[test]
fn whoever_is_not_named_again_within_some_beats_has_gone_however_seldom_it_is_looked_there() {
    let mut presence = forgotten();
    let living = Heard::Nodes(BTreeSet::from([ME, OTHER]));
    for beat in 1..SAID_AGAIN {
        assert_eq!((presence.hear(living.clone()), presence.hear(Heard::Beat)), (vec![], vec![]), "{beat}");
    }
    let said = vec![Said { user: "ada".into(), stay: Some(Stay::default()), nth: 1 }];
    let stamp = Stamp { generation: 2, version: 3 };
    assert_eq!(presence.hear(Heard::Said { scope: board(), stamp, node: OTHER, said }), []);
    assert_eq!(presence.hear(living), []);
    assert_eq!(presence.hear(Heard::Beat), [went("bo")]);
    assert_eq!(presence.hear(Heard::Beat), []);
}

#[test]
fn whose_node_has_died_is_not_waited_for() {
    let mut presence = forgotten();
    let living = Heard::Nodes(BTreeSet::from([ME]));
    // It may be about to come back.
    assert_eq!((presence.hear(living.clone()), presence.hear(Heard::Beat)), (vec![], vec![]));
    assert_eq!(presence.hear(living.clone()), [went("ada"), went("bo")]);
    assert_eq!((presence.hear(living), presence.hear(Heard::Beat)), (vec![], vec![]));
    assert_eq!(presence.list(&board(), 9, |_| false).expect("it is known").count, 0);
}
