//! Against a naive model that looks at every socket each time.

mod nodes;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const GRACE: Duration = Duration::from_secs(5);
const USERS: [&str; 3] = ["ada", "bo", "cy"];
const COMMUNITIES: [&str; 2] = ["a", "b"];
const DEVICES: [Option<&str>; 3] = [None, Some("left"), Some("right")];

fn who(user: &str) -> Viewer {
    Viewer { user_id: user.into(), user_name: Some(user.to_uppercase()), avatar_url: None }
}

fn visitor(user: &str, community: &str, device: Option<&str>) -> Visitor {
    Visitor { who: who(user), community: community.into(), device: device.map(DeviceId::from) }
}

#[derive(Clone, Debug)]
enum Step {
    Connect { user: usize, community: usize, device: usize },
    Gone(usize),
    Enter { socket: usize, board: i32 },
    Leave { socket: usize, board: i32 },
    Renew(usize),
    Dismiss(usize),
    Wait(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..USERS.len(), 0..COMMUNITIES.len(), 0..DEVICES.len())
            .prop_map(|(user, community, device)| Step::Connect { user, community, device }),
        3 => (0usize..8).prop_map(Step::Gone),
        4 => (0usize..8, 1i32..4).prop_map(|(socket, board)| Step::Enter { socket, board }),
        2 => (0usize..8, 1i32..4).prop_map(|(socket, board)| Step::Leave { socket, board }),
        1 => (0usize..8).prop_map(Step::Renew),
        1 => (0..USERS.len()).prop_map(Step::Dismiss),
        // Within the grace, at its very end, beyond it.
        4 => prop_oneof![1u64..5_000, Just(5_000u64), 5_001u64..9_000].prop_map(Step::Wait),
    ]
}

#[derive(Default)]
struct Model {
    sockets: BTreeMap<SocketKey, (Visitor, BTreeSet<BoardId>)>,
    /// Until when who has no socket in a scope is there still.
    lingers: BTreeMap<(Scope, UserId), Duration>,
}

impl Model {
    fn scopes((visitor, boards): &(Visitor, BTreeSet<BoardId>)) -> Vec<Scope> {
        let community = Scope::Community(visitor.community.clone());
        boards.iter().copied().map(Scope::Board).chain([community]).collect()
    }

    fn sits(&self, scope: &Scope, user: &UserId) -> bool {
        let mut of_user = self.sockets.values().filter(|(visitor, _)| visitor.who.user_id == *user);
        of_user.any(|socket| Self::scopes(socket).contains(scope))
    }

    fn moved(&mut self, moved: &Move, now: Duration) {
        match moved {
            Move::Came { key, visitor } => {
                self.sockets.entry(*key).or_insert((visitor.clone(), BTreeSet::new()));
            }
            Move::Entered { key, board } => {
                if let Some((_, boards)) = self.sockets.get_mut(key) {
                    boards.insert(*board);
                }
            }
            Move::Left { key, board } => {
                if let Some((_, boards)) = self.sockets.get_mut(key) {
                    boards.remove(board);
                }
            }
            Move::Gone { key } => {
                if let Some(socket) = self.sockets.remove(key) {
                    for scope in Self::scopes(&socket) {
                        self.lingers.insert((scope, socket.0.who.user_id.clone()), now + GRACE);
                    }
                }
            }
        }
        let sits: Vec<_> = self.lingers.keys().filter(|(scope, user)| self.sits(scope, user)).cloned().collect();
        for there in sits {
            self.lingers.remove(&there);
        }
    }

    fn present(&self, now: Duration) -> BTreeSet<(Scope, UserId)> {
        let of_socket = |socket: &(Visitor, BTreeSet<BoardId>)| {
            let user = socket.0.who.user_id.clone();
            Self::scopes(socket).into_iter().map(move |scope| (scope, user.clone())).collect::<Vec<_>>()
        };
        let sitting = self.sockets.values().flat_map(of_socket);
        let lingering = self.lingers.iter().filter(|(_, ends)| **ends > now).map(|(there, _)| there.clone());
        sitting.chain(lingering).collect()
    }

    fn devices(&self, scope: &Scope, user: &UserId) -> u32 {
        let sockets = self.sockets.iter().filter(|(_, socket)| socket.0.who.user_id == *user);
        let there = sockets.filter(|(_, socket)| Self::scopes(socket).contains(scope));
        let devices: BTreeSet<_> = there
            .map(|(key, (visitor, _))| (visitor.device.clone(), visitor.device.is_none().then_some(*key)))
            .collect();
        // Whose last connection was just lost counts as he was by it.
        (devices.len() as u32).max(1)
    }
}

/// Whom the notices have made present.
#[derive(Default)]
struct Told(BTreeSet<(Scope, UserId)>);

impl Told {
    fn hear(&mut self, notices: Vec<Notice>) -> Result<(), TestCaseError> {
        for notice in notices {
            let is_news = match &notice {
                Notice::Came { scope, who } => self.0.insert((scope.clone(), who.user_id.clone())),
                Notice::Went { scope, who } => self.0.remove(&(scope.clone(), who.user_id.clone())),
            };
            prop_assert!(is_news, "told twice: {notice:?}");
        }
        Ok(())
    }
}

fn moves_of(step: &Step, keys: &[SocketKey], next: SocketKey, model: &Model) -> Vec<Move> {
    let of = |nth: usize| keys.get(nth % keys.len().max(1)).copied().unwrap_or(SocketKey(0));
    match *step {
        Step::Connect { user, community, device } => {
            vec![Move::Came { key: next, visitor: visitor(USERS[user], COMMUNITIES[community], DEVICES[device]) }]
        }
        Step::Gone(nth) => vec![Move::Gone { key: of(nth) }],
        Step::Enter { socket, board } => vec![Move::Entered { key: of(socket), board: BoardId(board) }],
        // A room that was not joined can't be left: see `Rooms::leave_board`.
        Step::Leave { socket, board } => vec![Move::Left { key: of(socket), board: BoardId(board) }],
        Step::Renew(nth) => {
            let visitor = model.sockets.get(&of(nth)).map(|(visitor, _)| visitor.clone());
            visitor.map(|visitor| Move::Came { key: of(nth), visitor }).into_iter().collect()
        }
        Step::Dismiss(user) => {
            let of_user = model.sockets.iter().filter(|(_, (visitor, _))| visitor.who.user_id == USERS[user].into());
            of_user.map(|(key, _)| Move::Gone { key: *key }).collect()
        }
        Step::Wait(_) => Vec::new(),
    }
}

/// What is told of one move.
fn moves(presence: &mut Presence, moved: Move, now: Duration) -> Vec<Notice> {
    presence.moved(moved, now);
    presence.settle()
}

/// What is told of every grace that is over.
fn ends(presence: &mut Presence, now: Duration) -> Vec<Notice> {
    presence.due(now);
    presence.settle()
}

fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut presence = Presence::alone(GRACE);
    let (mut model, mut told) = (Model::default(), Told::default());
    let mut now = Duration::ZERO;
    for (step, next) in steps.into_iter().zip(1..) {
        let keys: Vec<SocketKey> = model.sockets.keys().copied().collect();
        for moved in moves_of(&step, &keys, SocketKey(next), &model) {
            model.moved(&moved, now);
            told.hear(moves(&mut presence, moved, now))?;
        }
        match step {
            Step::Dismiss(user) => {
                let user = UserId::from(USERS[user]);
                model.lingers.retain(|(_, of), _| *of != user);
                presence.dismiss(&user);
                told.hear(presence.settle())?;
            }
            Step::Wait(ms) => now += Duration::from_millis(ms),
            _ => {}
        }
        told.hear(ends(&mut presence, now))?;
        let present = model.present(now);
        prop_assert_eq!(&told.0, &present, "told exactly at the transitions");
        for scope in present.iter().map(|(scope, _)| scope) {
            let listed = presence.list(scope, usize::MAX, |_| false).expect("one node knows");
            let users: Vec<_> = listed.users.iter().map(|user| (user.user_id.clone(), user.devices)).collect();
            let there = present.iter().filter(|(of, _)| of == scope).map(|(_, user)| user);
            let expected: Vec<_> = there.map(|user| (user.clone(), model.devices(scope, user))).collect();
            prop_assert_eq!(listed.count, expected.len());
            prop_assert_eq!(users, expected);
        }
        prop_assert_eq!(presence.rolls.len(), present.iter().map(|(scope, _)| scope).collect::<BTreeSet<_>>().len());
        prop_assert!(presence.next_due().is_none_or(|due| due > now));
    }
    for key in model.sockets.keys() {
        told.hear(moves(&mut presence, Move::Gone { key: *key }, now))?;
    }
    told.hear(ends(&mut presence, now + GRACE))?;
    prop_assert!(told.0.is_empty() && presence.rolls.is_empty() && presence.own.is_empty(), "nothing is left");
    prop_assert_eq!(presence.next_due(), None);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_list_is_the_model_and_what_is_told_are_its_transitions(
        steps in prop::collection::vec(any_step(), 1..80),
    ) {
        play(steps)?;
    }
}

fn came(key: u64, user: &str) -> Move {
    Move::Came { key: SocketKey(key), visitor: visitor(user, "a", None) }
}

#[test]
fn a_page_that_is_loaded_again_within_the_grace_tells_nothing() {
    let mut presence = Presence::alone(GRACE);
    let community = Scope::Community("a".into());
    assert_eq!(moves(&mut presence, came(1, "ada"), Duration::ZERO).len(), 1);
    assert!(moves(&mut presence, Move::Gone { key: SocketKey(1) }, Duration::ZERO).is_empty());
    assert_eq!(presence.next_due(), Some(GRACE));
    assert!(moves(&mut presence, came(2, "ada"), GRACE - Duration::from_millis(1)).is_empty());
    assert!(ends(&mut presence, 2 * GRACE).is_empty(), "the grace ended with his coming");
    moves(&mut presence, Move::Gone { key: SocketKey(2) }, 2 * GRACE);
    assert_eq!(ends(&mut presence, 3 * GRACE), [Notice::Went { scope: community, who: who("ada") }]);
}

#[test]
fn who_goes_leaves_his_board_before_he_is_offline() {
    let mut presence = Presence::alone(GRACE);
    moves(&mut presence, came(1, "ada"), Duration::ZERO);
    moves(&mut presence, Move::Entered { key: SocketKey(1), board: BoardId(7) }, Duration::ZERO);
    moves(&mut presence, Move::Gone { key: SocketKey(1) }, Duration::ZERO);
    let scopes = [Scope::Board(BoardId(7)), Scope::Community("a".into())];
    assert_eq!(ends(&mut presence, GRACE), scopes.map(|scope| Notice::Went { scope, who: who("ada") }));
}

#[test]
fn of_a_members_boards_the_latest_is_named_that_may_be_shown() {
    let mut presence = Presence::alone(GRACE);
    moves(&mut presence, came(1, "ada"), Duration::ZERO);
    for board in [7, 8, 9] {
        moves(&mut presence, Move::Entered { key: SocketKey(1), board: BoardId(board) }, Duration::ZERO);
    }
    let named = |shown: &[i32]| {
        let listed = presence.list(&Scope::Community("a".into()), 10, |BoardId(board)| shown.contains(&board)).unwrap();
        listed.users[0].board_id
    };
    assert_eq!(named(&[7, 8]), Some(BoardId(8)));
    assert_eq!(named(&[]), None);
}

#[test]
fn a_list_is_cut_and_says_how_many_there_are() {
    let mut presence = Presence::alone(GRACE);
    for (key, user) in (1..).zip(["cy", "ada", "bo"]) {
        moves(&mut presence, came(key, user), Duration::ZERO);
    }
    let listed = presence.list(&Scope::Community("a".into()), 2, |_| false).unwrap();
    let users: Vec<&str> = listed.users.iter().map(|user| user.user_id.as_str()).collect();
    assert_eq!((users, listed.count), (vec!["ada", "bo"], 3));
}
