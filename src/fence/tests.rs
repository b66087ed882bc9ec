use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    actor::Actor,
    change::BoardWas,
    contract::{Board, Features},
    event::BoardRow,
    ids::{RoleId, Tick},
};

fn start() -> Place {
    Place::before(Tick(0))
}

/// A little forum of two communities and two boards, changed by hand as the database would be.
#[derive(Clone, Debug)]
struct Forum {
    communities: BTreeMap<CommunityId, Value>,
    boards: BTreeMap<BoardId, (CommunityId, Value)>,
    imports: BTreeSet<(BoardId, CommunityId)>,
}

#[derive(Clone, Debug)]
enum Act {
    Board(i32, Value),
    Community(&'static str, Value),
    Give(i32, &'static str),
    Import(i32, &'static str, bool),
}

impl Forum {
    fn new() -> Self {
        let community = |id: &str| (CommunityId::from(id), json!({}));
        let board = |id, owner: &str| (BoardId(id), (CommunityId::from(owner), json!({})));
        Self {
            communities: BTreeMap::from([community("a"), community("b")]),
            boards: BTreeMap::from([board(1, "a"), board(2, "b")]),
            imports: BTreeSet::new(),
        }
    }

    fn board_facts(&self, id: BoardId) -> BoardFacts {
        let (community, settings) = &self.boards[&id];
        let importers = self.imports.iter().filter(|(board, _)| *board == id).map(|(_, importer)| importer.clone());
        BoardFacts {
            board: id,
            community: community.clone(),
            rule: RoleRule::of_settings(Some(settings)),
            importers: importers.collect(),
        }
    }

    fn community_facts(&self, id: &CommunityId) -> CommunityFacts {
        let settings = &self.communities[id];
        CommunityFacts {
            community: id.clone(),
            rule: RoleRule::of_settings(Some(settings)),
            features: Features::of_settings(Some(settings)),
        }
    }

    fn act(&mut self, act: &Act) -> Change {
        match act {
            Act::Board(id, settings) => {
                let board = self.boards.get_mut(&BoardId(*id)).unwrap();
                let was = BoardWas { community: Some(board.0.clone()), settings: board.1.clone() };
                board.1 = settings.clone();
                Change::BoardUpdated { board: BoardId(*id), was, told: true }
            }
            Act::Give(id, to) => {
                let board = self.boards.get_mut(&BoardId(*id)).unwrap();
                let was = BoardWas { community: Some(board.0.clone()), settings: board.1.clone() };
                board.0 = CommunityId::from(*to);
                Change::BoardUpdated { board: BoardId(*id), was, told: false }
            }
            Act::Community(id, settings) => {
                let settings_was = self.communities.insert((*id).into(), settings.clone()).unwrap();
                Change::CommunityUpdated { community: (*id).into(), settings_was }
            }
            Act::Import(id, importer, active) => {
                let pair = (BoardId(*id), CommunityId::from(*importer));
                let active_was = if *active { !self.imports.insert(pair) } else { self.imports.remove(&pair) };
                Change::ImportChanged { board: BoardId(*id), community: (*importer).into(), active_was }
            }
        }
    }

    /// As the postgres edge reads them: boards whole, communities with all their boards' facts.
    fn rows(&self) -> Rows {
        let row = |id: &BoardId| {
            let (community_id, settings) = self.boards[id].clone();
            let board = Board {
                id: *id,
                community_id,
                name: None,
                description: None,
                settings: Some(settings),
                created_at: None,
                updated_at: None,
            };
            (*id, BoardRow { board, facts: self.board_facts(*id) })
        };
        Rows {
            boards: self.boards.keys().map(row).collect(),
            facts: self.boards.keys().map(|id| (*id, self.board_facts(*id))).collect(),
            communities: self.communities.keys().map(|id| (id.clone(), self.community_facts(id))).collect(),
            ..Rows::default()
        }
    }

    fn opens(&self, actor: &Actor, board: BoardId) -> bool {
        decide(actor, Some(&self.board_facts(board)), Some(&self.community_facts(&actor.community))).is_ok()
    }
}

fn actors() -> Vec<Actor> {
    let mut actors = Vec::new();
    for community in ["a", "b"] {
        for (roles, admin) in [(&["x"][..], false), (&["y"], false), (&[], false), (&[], true)] {
            actors.push(Actor {
                user: format!("{community}{}", actors.len()).into(),
                community: community.into(),
                roles: roles.iter().map(|role| RoleId::from(*role)).collect(),
                admin,
                name: None,
                picture: None,
                device: None,
                expires_at: chrono::DateTime::UNIX_EPOCH,
            });
        }
    }
    actors
}

fn any_act() -> impl Strategy<Value = Act> {
    let settings = prop_oneof![
        Just(json!({})),
        Just(json!({"permissions": {"allowedRoles": ["x"]}})),
        Just(json!({"permissions": {"allowedRoles": ["x", "y"]}})),
        Just(json!({"permissions": {"allowedRoles": "x"}})),
    ];
    let who = || prop_oneof![Just("a"), Just("b")];
    prop_oneof![
        (1..3, settings.clone()).prop_map(|(id, settings)| Act::Board(id, settings)),
        (who(), settings).prop_map(|(id, settings)| Act::Community(id, settings)),
        (1..3, who()).prop_map(|(id, to)| Act::Give(id, to)),
        (1..3, who(), any::<bool>()).prop_map(|(id, to, active)| Act::Import(id, to, active)),
    ]
}

proptest! {
    /// After the fence everybody sits exactly where the rule lets him, and exactly those whose answer differs are told.
    #[test]
    fn the_fence_follows_the_database(ticks in proptest::collection::vec(proptest::collection::vec(any_act(), 1..5), 1..5)) {
        let mut forum = Forum::new();
        let mut rooms = Rooms::new(200);
        let keys: Vec<(SocketKey, Actor)> =
            actors().into_iter().enumerate().map(|(key, actor)| (SocketKey(key as u64), actor)).collect();
        for (key, actor) in &keys {
            rooms.connect(*key, actor.clone(), Some(forum.community_facts(&actor.community)), start());
        }
        for acts in ticks {
            let before = forum.clone();
            for (key, actor) in &keys {
                for board in [BoardId(1), BoardId(2)] {
                    let facts = before.board_facts(board);
                    if let Ok(permit) = decide(actor, Some(&facts), Some(&before.community_facts(&actor.community))) {
                        rooms.join_board(*key, &permit, false, start()).unwrap();
                        rooms.join_post(*key, &permit, PostId(board.0), start()).unwrap();
                    }
                }
            }
            let changes = acts.iter().enumerate().map(|(at, act)| (at as u32 + 1, forum.act(act))).collect();
            let verdicts = Fence { changes, rows: Arc::new(forum.rows()) }.shut(None, &mut rooms, start());

            let lost: BTreeSet<_> = verdicts.lost.values().flatten().map(|(board, _, key)| (*board, *key)).collect();
            let gained: BTreeSet<_> =
                verdicts.gained.values().flatten().map(|(permit, key)| (permit.board(), *key)).collect();
            for (key, actor) in &keys {
                for board in [BoardId(1), BoardId(2)] {
                    let (could, can) = (before.opens(actor, board), forum.opens(actor, board));
                    let sits = rooms.members(&Room::Board(board)).contains(key);
                    let reads = rooms.members(&Room::Post(PostId(board.0))).contains(key);
                    prop_assert_eq!((sits, reads), (could && can, could && can));
                    prop_assert_eq!(lost.contains(&(board, *key)), could && !can);
                    prop_assert_eq!(gained.contains(&(board, *key)), !could && can);
                }
            }
        }
    }
}

/// Changes in order, with the rows of a moment.
fn fence(changes: &[Change], rows: &Arc<Rows>) -> Fence {
    Fence { changes: (1..).zip(changes.iter().cloned()).collect(), rows: Arc::clone(rows) }
}

proptest! {
    /// Ticks that are read late show rows of a later moment, which may lie in the middle of a later tick: nobody sits where the tick or
    /// that moment shuts him out, who sits was told so, and who may is let in again once the tick is told up to which he may.
    #[test]
    fn a_late_reading_lets_in_nobody_too_early_and_leaves_nobody_out(
        ticks in proptest::collection::vec((proptest::collection::vec(any_act(), 1..4), 0usize..6), 1..8),
    ) {
        let mut forum = Forum::new();
        let mut states = vec![forum.clone()];
        let mut changes: Vec<Change> = Vec::new();
        for act in ticks.iter().flat_map(|(acts, _)| acts) {
            changes.push(forum.act(act));
            states.push(forum.clone());
        }
        let mut rooms = Rooms::new(200);
        let boards = [BoardId(1), BoardId(2)];
        let mut told = BTreeSet::new();
        let keys: Vec<(SocketKey, Actor)> = (0..).map(SocketKey).zip(actors()).collect();
        for (key, actor) in &keys {
            let community = states[0].community_facts(&actor.community);
            let facts = boards.map(|board| states[0].board_facts(board));
            let permits: Vec<Permit> =
                facts.iter().filter_map(|facts| decide(actor, Some(facts), Some(&community)).ok()).collect();
            rooms.connect(*key, actor.clone(), Some(community), start());
            rooms.join_feed(*key, &permits, start()).unwrap();
            told.extend(permits.iter().map(|permit| (*key, permit.board())));
        }
        let (mut at, mut seen) = (0, 0);
        for (acts, lag) in &ticks {
            let began = at;
            at += acts.len();
            seen = (at + lag).min(changes.len()).max(seen).max(at);
            let rows = Arc::new(states[seen].rows());
            let ahead = (seen > at).then(|| fence(&changes[at..seen], &rows));
            let early = ahead.as_ref().map(|ahead| ahead.shut_ahead(&mut rooms, start())).unwrap_or_default();
            let verdicts = fence(&changes[began..at], &rows).shut(ahead.as_ref(), &mut rooms, start());
            prop_assert!(early.gained.is_empty());
            for (board, _, key) in early.lost.values().chain(verdicts.lost.values()).flatten() {
                told.remove(&(*key, *board));
            }
            for (permit, key) in verdicts.gained.values().flatten() {
                prop_assert!(told.insert((*key, permit.board())), "told twice that it is open");
                rooms.extend_feed(*key, permit, start());
            }
            for (key, actor) in &keys {
                for board in boards {
                    let sits = rooms.members(&Room::Board(board)).contains(key);
                    prop_assert_eq!(sits, told.contains(&(*key, board)), "{:?} {:?} at {}", key, board, at);
                    let open: Vec<bool> = states[at..=seen].iter().map(|state| state.opens(actor, board)).collect();
                    prop_assert!(!sits || (open[0] && open[seen - at]), "{key:?} sits in {board:?} at {at}: {open:?}");
                    prop_assert!(sits || open.contains(&false), "{key:?} is left out of {board:?} at {at}");
                }
            }
        }
    }
}
