//! Several nodes that meet in one place, which may lose all it knows, and the way to which may break.

mod departed;
mod forgotten;
mod table;
mod world;

use self::world::{Event, NODES, World, all_scopes, any_event};
use super::*;
use crate::circle::{Heard, Members, Stamp};

fn converges(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut world = World::new();
    for event in events {
        world.happens(event)?;
    }
    world.settles()?;
    let truth = world.present();
    for node in &world.nodes {
        for (scope, roll) in &node.presence.rolls {
            let present: Vec<&UserId> = truth.iter().filter(|(of, _)| of == scope).map(|(_, user)| user).collect();
            let listed = node.presence.list(scope, usize::MAX, |_| false).expect("it is known");
            let users: Vec<&UserId> = listed.users.iter().map(|user| &user.user_id).collect();
            prop_assert_eq!(&users, &present, "{:?} of {:?}", scope, node.id);
            prop_assert_eq!(listed.count, present.len());
            prop_assert!(roll.is_known());
        }
        prop_assert_eq!(&node.told.0, &truth, "what was told is what is listed");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn all_nodes_come_to_the_truth_and_tell_each_transition_once(
        events in prop::collection::vec(any_event(), 1..120),
    ) {
        converges(events)?;
    }
}

/// Three nodes with somebody in a board on each, after what happened to where they meet, and their ways there: nobody is told anything.
fn is_no_news(happened: &[Event]) {
    is_no_news_in([0, 2, 1], [0; NODES], happened);
}

/// The nodes come back in this order; at each somebody opens so many more tabs before the next does.
fn is_no_news_in(order: [usize; NODES], tabs: [usize; NODES], happened: &[Event]) {
    let mut world = World::new();
    for (nth, user) in [(0, 0), (1, 1), (2, 2)] {
        world.happens(Event::Mend(nth)).unwrap();
        world.happens(Event::Hear(nth, 9)).unwrap();
        world.happens(Event::Step(nth, Step::Connect { user, community: 0, device: 0 })).unwrap();
        world.happens(Event::Step(nth, Step::Enter { socket: 0, board: 1 })).unwrap();
    }
    world.settles().unwrap();
    let there = world.present();
    assert_eq!(there.len(), 6);
    for node in &mut world.nodes {
        // From now on the least notice is one too many.
        assert_eq!(std::mem::take(&mut node.told.0), there);
    }
    for event in happened {
        world.happens(event.clone()).unwrap();
    }
    // Those who come back later are waited for, and one of them in vain.
    for nth in order {
        world.happens(Event::Mend(nth)).unwrap();
        world.happens(Event::Hear(nth, 20)).unwrap();
        for tab in 1..=tabs[nth] {
            world.happens(Event::Step(nth, Step::Connect { user: nth, community: 0, device: 0 })).unwrap();
            world.happens(Event::Step(nth, Step::Enter { socket: tab, board: 1 })).unwrap();
        }
    }
    world.settles().unwrap();
    assert!(world.nodes.iter().all(|node| node.told.0.is_empty()), "nothing was told");
    for node in &world.nodes {
        assert_eq!(node.presence.list(&Scope::Board(BoardId(1)), 9, |_| false).unwrap().count, 3);
    }
    assert!(world.table.scopes.values().all(|(_, members)| members.len() != 1 && members.len() != 2), "said again");
}

/// Of a place that forgot all, if those who were there say so again.
#[test]
fn what_was_forgotten_and_is_said_again_is_no_news() {
    is_no_news(&[Event::Forget, Event::Cut(0), Event::Cut(1), Event::Cut(2)]);
}

/// Of one that lost the latest words: an older copy of it has come in its place.
#[test]
fn what_was_set_back_and_is_said_again_is_no_news() {
    let board = all_scopes().iter().position(|scope| *scope == Scope::Board(BoardId(1))).unwrap();
    for words in 1..3 {
        for breaks in [false, true] {
            is_no_news(&[Event::SetBack(board, words, breaks)]);
        }
    }
}

/// A scope that nobody minds is forgotten only once what was said of it is taken back.
#[test]
fn a_scope_is_not_forgotten_before_its_people_are_taken_back() {
    let mut world = World::new();
    world.happens(Event::Mend(0)).unwrap();
    world.happens(Event::Hear(0, 9)).unwrap();
    world.happens(Event::Step(0, Step::Connect { user: 0, community: 0, device: 0 })).unwrap();
    world.settles().unwrap();
    world.happens(Event::Cut(0)).unwrap();
    world.happens(Event::Hear(0, 9)).unwrap();
    world.happens(Event::Step(0, Step::Gone(0))).unwrap();
    world.happens(Event::Step(0, Step::Wait(9_000))).unwrap();
    let community = Scope::Community(COMMUNITIES[0].into());
    assert!(!world.nodes[0].presence.forget_unless(|_| false).contains(&community), "Redis still names him");
    world.settles().unwrap();
    assert!(world.table.scopes.values().all(|(_, members)| members.is_empty()));
    assert!(!world.nodes[0].presence.forget_unless(|_| false).is_empty());
}

/// Whoever lives and is taken for dead says so.
#[test]
fn a_node_that_was_spoken_for_and_lives_says_that_its_people_are_there() {
    let mut world = World::new();
    world.happens(Event::Mend(0)).unwrap();
    world.happens(Event::Hear(0, 9)).unwrap();
    world.happens(Event::Step(0, Step::Connect { user: 0, community: 0, device: 0 })).unwrap();
    world.settles().unwrap();
    let scope = Scope::Community(COMMUNITIES[0].into());
    let heard = world.table.say(scope.clone(), NodeId(0), vec![Said { user: USERS[0].into(), stay: None, nth: 0 }]);
    world.nodes[0].coming.extend(heard);
    world.settles().unwrap();
    assert_eq!(world.table.scope(&scope).1.len(), 1);
}

/// Nobody waits for what was just found to be unreadable.
#[test]
fn a_scope_that_cant_be_read_is_not_waited_for_until_it_is_read() {
    let scope = Scope::Board(BoardId(1));
    let mut presence = Presence::among(GRACE, NodeId(0));
    presence.watch(&scope);
    assert!(!presence.may_soon_know(&scope), "where nothing is heard");
    presence.hear(Heard::Here);
    assert!(presence.may_soon_know(&scope));
    presence.hear(Heard::Unknown(scope.clone()));
    assert!(!presence.may_soon_know(&scope) && !presence.knows(&scope));
    let read = |version| Heard::Read {
        scope: scope.clone(),
        stamp: Stamp { generation: 1, version },
        members: Members::new(),
    };
    presence.hear(read(1));
    assert!(!presence.may_soon_know(&scope) && presence.knows(&scope));
    // A word is missing, and it is read anew at once.
    presence.hear(Heard::Said {
        scope: scope.clone(),
        stamp: Stamp { generation: 1, version: 3 },
        node: NodeId(1),
        said: Vec::new(),
    });
    assert!(presence.may_soon_know(&scope));
}

/// Boards that somebody asked for, and nobody minds any longer, are forgotten whether they could be read or not.
#[test]
fn what_could_never_be_read_is_forgotten_once_nobody_minds_it() {
    let away = &mut World::new().nodes[0].presence;
    let boards: BTreeSet<Scope> = (1..1_000).map(|board| Scope::Board(BoardId(board))).collect();
    let asked = |presence: &mut Presence| boards.iter().for_each(|board| presence.watch(board));
    asked(away);
    let minded = |scope: &Scope| *scope == Scope::Board(BoardId(7));
    assert_eq!(away.forget_unless(minded).len(), 998);
    assert_eq!(away.rolls.len(), 1);
    assert!(away.take_words().is_empty(), "nobody hears it");

    away.hear(Heard::Here);
    away.take_words();
    asked(away);
    for scope in &boards {
        away.hear(Heard::Unknown(scope.clone()));
    }
    assert_eq!(away.take_words().len(), 998);
    assert_eq!(away.forget_unless(minded).len(), 998);
    assert!(away.take_words().iter().all(|word| matches!(word, Word::Unwatch(_))));
}
