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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    /// Whoever comes back first, and however many words he says before the others come: as many as were lost, or more.
    #[test]
    fn what_was_set_back_is_no_news_however_many_words_were_said_since(
        order in Just([0, 1, 2]).prop_shuffle(),
        tabs in prop::array::uniform3(0usize..4),
        lost in 1usize..3,
        breaks in any::<bool>(),
    ) {
        let nth = all_scopes().iter().position(|scope| *scope == board()).expect("a scope of all");
        is_no_news_in(order, tabs, &[Event::SetBack(nth, lost, breaks)]);
    }
}

/// While a node does not know a scope, too: it may be read when as many words were said again.
#[test]
fn a_count_that_comes_again_while_it_is_read_is_noticed() {
    let mut presence = Presence::among(GRACE, ME);
    presence.watch(&board());
    let said = |version| Heard::Said {
        scope: board(),
        stamp: Stamp { generation: 1, version },
        node: OTHER,
        said: Vec::new(),
    };
    for heard in [Heard::Here, read(1, &["ada"]), said(3), Heard::Away, Heard::Here] {
        presence.hear(heard);
    }
    let known = Stamp { generation: 1, version: 3 };
    assert_eq!(presence.take_words().first(), Some(&Word::Watch(board(), Some(known))));
    let again = Heard::Read { scope: board(), stamp: known, members: Members::new() };
    assert_eq!((presence.hear(said(3)), presence.hear(again)), (vec![], vec![]));
    assert!(!presence.knows(&board()));
    assert_eq!(presence.take_words(), [Word::Read(board(), Some(known.and_all()))]);
    assert_eq!(presence.hear(read(2, &[])), [], "ada may only have been forgotten");
    assert!(presence.knows(&board()) && presence.has(&board(), &"ada".into()));
}

/// However long it can't be read: but for what this node said there, or may have.
#[test]
fn what_is_lost_is_forgotten_once_nobody_minds_it_unless_somebody_has_to_be_taken_back() {
    for was_heard in [None, Some(false), Some(true)] {
        let mut presence = Presence::among(GRACE, ME);
        presence.watch(&board());
        presence.hear(Heard::Here);
        presence.hear(read(1, &["ada"]));
        if let Some(was_heard) = was_heard {
            moves(&mut presence, came(1, "bo"), Duration::ZERO);
            moves(&mut presence, Move::Entered { key: SocketKey(1), board: BoardId(1) }, Duration::ZERO);
            let words = presence.take_words().into_iter();
            let said = words
                .filter_map(|word| if let Word::Say { scope, said, .. } = word { Some((scope, said)) } else { None });
            for (scope, said) in said.filter(|_| was_heard) {
                let stamp = Stamp { generation: 1, version: 3 };
                assert_eq!(presence.hear(Heard::Said { scope, stamp, node: ME, said }).len(), 1);
            }
            moves(&mut presence, Move::Left { key: SocketKey(1), board: BoardId(1) }, Duration::ZERO);
        }
        presence.take_words();
        presence.hear(Heard::Unknown(board()));
        let forgotten = presence.forget_unless(|scope| *scope != board());
        assert_eq!(forgotten.is_empty(), was_heard.is_some(), "{was_heard:?}");
        if was_heard.is_some() {
            presence.hear(read(2, &["ada"]));
            let taken_back = |said: &Said| said.user == "bo".into() && said.stay.is_none();
            let words = presence.take_words();
            let says = |word: &Word| matches!(word, Word::Say { said, .. } if said.iter().any(taken_back));
            assert_eq!(Some(words.iter().any(says)), was_heard, "what does not stand there needs not be taken back");
        }
    }
}

/// Beats that bring nothing.
fn passes(presence: &mut Presence, beats: u8) {
    (0..beats).for_each(|_| assert_eq!(presence.hear(Heard::Beat), []));
}

#[test]
fn while_a_word_is_known_to_be_missing_nobody_is_given_up() {
    let mut presence = forgotten();
    passes(&mut presence, SAID_AGAIN - 1);
    let stands = Heard::Stands { scope: board(), stamp: Stamp { generation: 2, version: 3 } };
    assert_eq!(presence.hear(stands.clone()), [], "what leads there may be on its way");
    passes(&mut presence, 1);
    assert_eq!(presence.hear(stands), [], "it is not");
    passes(&mut presence, 1);
    let read = |version, of: &[&str]| {
        let Heard::Read { scope, members, .. } = read(2, of) else { unreachable!("made so") };
        Heard::Read { scope, stamp: Stamp { generation: 2, version }, members }
    };
    assert_eq!(presence.hear(read(3, &["ada"])), [], "ada was in it");
    assert_eq!(presence.hear(Heard::Beat), [went("bo")]);
}

#[test]
fn who_was_forgotten_has_the_time_to_be_named_again_from_when_it_can_be_said() {
    for lost in [Heard::Away, Heard::Unknown(board())] {
        let mut presence = forgotten();
        passes(&mut presence, SAID_AGAIN - 1);
        assert_eq!(presence.hear(lost), []);
        passes(&mut presence, 1);
        for heard in [Heard::Here, read(2, &[])] {
            assert_eq!(presence.hear(heard), []);
        }
        passes(&mut presence, SAID_AGAIN - 2);
        assert_eq!(presence.hear(Heard::Beat), [went("ada"), went("bo")]);
    }
}

#[test]
fn a_scope_is_minded_until_a_look_would_show_that_a_going_was_lost() {
    let mut presence = Presence::among(GRACE, ME);
    presence.watch(&board());
    for heard in [Heard::Here, read(1, &["ada"])] {
        presence.hear(heard);
    }
    moves(&mut presence, came(1, "di"), Duration::ZERO);
    moves(&mut presence, Move::Entered { key: SocketKey(1), board: BoardId(1) }, Duration::ZERO);
    let own = |presence: &mut Presence| {
        let said = presence.take_words().into_iter().find_map(|word| match word {
            Word::Say { scope, said, .. } if scope == board() => Some(said),
            _ => None,
        });
        said.expect("what it says of its own")
    };
    let mut version = 2;
    let mut hears_own = |presence: &mut Presence| {
        version += 1;
        let said = own(presence);
        presence.hear(Heard::Said { scope: board(), stamp: Stamp { generation: 1, version }, node: ME, said })
    };
    assert_eq!(hears_own(&mut presence).len(), 1, "di came");
    moves(&mut presence, Move::Left { key: SocketKey(1), board: BoardId(1) }, Duration::ZERO);
    assert_eq!(hears_own(&mut presence).len(), 1, "di went");
    let forgets = |presence: &mut Presence| presence.forget_unless(|_| false).contains(&board());
    assert!(!forgets(&mut presence));
    passes(&mut presence, 4);
    assert!(!forgets(&mut presence));
    passes(&mut presence, 1);
    assert!(forgets(&mut presence));
}
