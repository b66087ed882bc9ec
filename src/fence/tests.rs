mod posts;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    actor::Actor,
    audience::{Audience, Topic},
    change::BoardWas,
    contract::{Board, Features},
    event::{BoardRow, PostHead},
    ids::{CommunityId, RoleId, Tick},
};

fn start() -> Place {
    Place::before(Tick(0))
}

/// A little forum of three communities and two boards, changed by hand as the database would be.
#[derive(Clone, Debug)]
struct Forum {
    communities: BTreeMap<CommunityId, Value>,
    /// With the owner, if there is one.
    boards: BTreeMap<BoardId, (Option<CommunityId>, Value)>,
    imports: BTreeSet<(BoardId, CommunityId)>,
    /// Boards that are no more, with what was asked of them and of the communities when they ended.
    ended: BTreeMap<BoardId, (BoardFacts, BTreeMap<CommunityId, Value>)>,
}

#[derive(Clone, Debug)]
enum Act {
    Board(i32, Value),
    Community(&'static str, Value),
    /// To nobody, too.
    Give(i32, Option<&'static str>),
    Import(i32, &'static str, bool),
    End(i32),
    EndCommunity(&'static str),
    /// Made anew, as a sign-in makes it.
    Begin(&'static str),
}

impl Forum {
    fn new() -> Self {
        let community = |id: &str| (CommunityId::from(id), json!({}));
        let board = |id, owner: &str| (BoardId(id), (Some(CommunityId::from(owner)), json!({})));
        Self {
            communities: BTreeMap::from([community("a"), community("b"), community("c")]),
            boards: BTreeMap::from([board(1, "a"), board(2, "b")]),
            imports: BTreeSet::new(),
            ended: BTreeMap::new(),
        }
    }

    fn board_facts(&self, id: BoardId) -> BoardFacts {
        if let Some((last, _)) = self.ended.get(&id) {
            return last.clone();
        }
        let (community, settings) = &self.boards[&id];
        let importers = self.imports.iter().filter(|(board, _)| *board == id).map(|(_, importer)| importer.clone());
        BoardFacts {
            board: id,
            community: community.clone(),
            rule: RoleRule::of_settings(Some(settings)),
            importers: importers.collect(),
        }
    }

    fn community_facts(&self, id: &CommunityId) -> Option<CommunityFacts> {
        community_facts(id, &self.communities)
    }

    fn act(&mut self, act: &Act) -> Change {
        match act {
            Act::Board(id, settings) => {
                let board = self.boards.get_mut(&BoardId(*id)).unwrap();
                let was = BoardWas { community: board.0.clone(), settings: board.1.clone() };
                board.1 = settings.clone();
                Change::BoardUpdated { board: BoardId(*id), was, told: true }
            }
            Act::Give(id, to) => {
                let board = self.boards.get_mut(&BoardId(*id)).unwrap();
                let was = BoardWas { community: board.0.clone(), settings: board.1.clone() };
                board.0 = to.map(CommunityId::from);
                Change::BoardUpdated { board: BoardId(*id), was, told: false }
            }
            Act::Community(id, settings) => {
                let settings_was = self.communities.insert((*id).into(), settings.clone()).unwrap();
                Change::CommunityUpdated { community: (*id).into(), settings_was }
            }
            Act::Import(id, importer, active) => {
                let pair = (BoardId(*id), CommunityId::from(*importer));
                let active_was = if *active { !self.imports.insert(pair) } else { self.imports.remove(&pair) };
                Change::ImportChanged {
                    board: BoardId(*id),
                    community: (*importer).into(),
                    active_was,
                    with_board: false,
                }
            }
            Act::End(id) => {
                let board = BoardId(*id);
                self.ended.insert(board, (self.board_facts(board), self.communities.clone()));
                let (community, settings) = self.boards.remove(&board).unwrap();
                Change::BoardDeleted { board, was: BoardWas { community, settings } }
            }
            Act::EndCommunity(id) => {
                let settings_was = self.communities.remove(&CommunityId::from(*id)).unwrap();
                Change::CommunityDeleted { community: (*id).into(), settings_was }
            }
            Act::Begin(id) => {
                self.communities.insert((*id).into(), json!({}));
                Change::CommunityCreated { community: (*id).into() }
            }
        }
    }

    /// Whether there is what it is done to.
    fn allows(&self, act: &Act) -> bool {
        let exists = |community: &str| self.communities.contains_key(&CommunityId::from(community));
        let stands = |board: &i32| !self.ended.contains_key(&BoardId(*board));
        match act {
            Act::Board(board, _) | Act::Import(board, ..) | Act::End(board) => stands(board),
            Act::Give(board, to) => stands(board) && to.is_none_or(exists),
            Act::Community(id, _) | Act::EndCommunity(id) => exists(id),
            Act::Begin(id) => !exists(id),
        }
    }

    /// The boards that end with it, which PostgreSQL notes behind it.
    fn takes_along(&mut self, act: &Act) -> Vec<Act> {
        let Act::EndCommunity(id) = act else { return Vec::new() };
        let owned =
            self.boards.iter().filter(|(_, (owner, _))| owner.as_ref().is_some_and(|owner| owner.as_str() == *id));
        owned.map(|(BoardId(board), _)| Act::End(*board)).collect()
    }

    /// What the act writes; nothing where the board is no more.
    fn changes(&mut self, act: &Act) -> Vec<Change> {
        if !self.allows(act) {
            return Vec::new();
        }
        let along = self.takes_along(act);
        // They end as long as their community is there.
        let ended: Vec<Change> = along.iter().flat_map(|act| self.changes(act)).collect();
        let importers = match act {
            Act::End(board) => self.board_facts(BoardId(*board)).importers,
            _ => BTreeSet::new(),
        };
        // PostgreSQL has the cascade behind the deletion itself.
        let mut changes = vec![self.act(act)];
        changes.extend(ended);
        changes.extend(importers.into_iter().filter_map(|community| match act {
            Act::End(board) => {
                Some(Change::ImportChanged { board: BoardId(*board), community, active_was: true, with_board: true })
            }
            _ => None,
        }));
        changes
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
            communities: self
                .communities
                .keys()
                .filter_map(|id| Some((id.clone(), self.community_facts(id)?)))
                .collect(),
            ..Rows::default()
        }
    }

    fn opens(&self, actor: &Actor, board: BoardId) -> bool {
        let communities = self.ended.get(&board).map_or(&self.communities, |(_, communities)| communities);
        self.opens_by(communities, actor, board)
    }

    fn opens_by(&self, communities: &BTreeMap<CommunityId, Value>, actor: &Actor, board: BoardId) -> bool {
        let community = community_facts(&actor.community, communities);
        decide(actor, Some(&self.board_facts(board)), community.as_ref()).is_ok()
    }
}

fn community_facts(id: &CommunityId, communities: &BTreeMap<CommunityId, Value>) -> Option<CommunityFacts> {
    let settings = communities.get(id)?;
    Some(CommunityFacts {
        community: id.clone(),
        rule: RoleRule::of_settings(Some(settings)),
        features: Features::of_settings(Some(settings)),
    })
}

fn actors() -> Vec<Actor> {
    let mut actors = Vec::new();
    for community in ["a", "b", "c"] {
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
    let anybody = || prop_oneof![Just("a"), Just("b"), Just("c")];
    prop_oneof![
        2 => (1..3, settings.clone()).prop_map(|(id, settings)| Act::Board(id, settings)),
        2 => (anybody(), settings).prop_map(|(id, settings)| Act::Community(id, settings)),
        2 => (1..3, proptest::option::weighted(0.8, who())).prop_map(|(id, to)| Act::Give(id, to)),
        3 => (1..3, anybody(), any::<bool>()).prop_map(|(id, to, active)| Act::Import(id, to, active)),
        1 => Just(Act::EndCommunity("c")),
        2 => Just(Act::Begin("c")),
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
            rooms.connect(*key, actor.clone(), forum.community_facts(&actor.community), start());
        }
        for acts in ticks {
            let before = forum.clone();
            for (key, actor) in &keys {
                for board in [BoardId(1), BoardId(2)] {
                    let facts = before.board_facts(board);
                    if let Ok(permit) = decide(actor, Some(&facts), before.community_facts(&actor.community).as_ref()) {
                        rooms.join_board(*key, &permit, false, start()).unwrap();
                        rooms.join_post(*key, &permit, PostId(board.0), start()).unwrap();
                    }
                }
            }
            let changes: Vec<Change> = acts.iter().flat_map(|act| forum.changes(act)).collect();
            let changes = (1..).zip(changes).collect();
            let verdicts = Fence { changes, rows: Arc::new(forum.rows()) }.shut(&Outlook::default(), &mut rooms, start());

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

fn any_act_or_end() -> impl Strategy<Value = Act> {
    let owner = prop_oneof![Just("a"), Just("b")];
    prop_oneof![
        24 => any_act(),
        2 => (1..3).prop_map(Act::End),
        1 => owner.clone().prop_map(Act::EndCommunity),
        1 => owner.prop_map(Act::Begin),
    ]
}

proptest! {
    /// Ticks that are read late show rows of a later moment, which may lie in the middle of a later tick, between two transactions: nobody sits where the tick or
    /// any moment up to that one shuts him out, nor is he among those who may open the board; who sits was told so, and who may is let in
    /// again once the tick is told from which on he may. Of a board that ends, whoever might open it last sits there until then.
    #[test]
    fn a_late_reading_lets_in_nobody_too_early_and_leaves_nobody_out(
        ticks in proptest::collection::vec((proptest::collection::vec(any_act_or_end(), 1..4), 0usize..6), 1..8),
    ) {
        let mut forum = Forum::new();
        let mut states = vec![forum.clone()];
        let mut changes: Vec<Change> = Vec::new();
        let mut told_upto = Vec::new();
        let mut committed = BTreeSet::new();
        for (acts, lag) in &ticks {
            for act in acts {
                let written = forum.changes(act);
                states.extend(std::iter::repeat_n(forum.clone(), written.len()));
                changes.extend(written);
                committed.insert(changes.len());
            }
            told_upto.push((changes.len(), *lag));
        }
        let mut stage = Stage::new(&states[0]);
        let (mut at, mut seen) = (0, 0);
        for (upto, lag) in told_upto {
            let began = std::mem::replace(&mut at, upto);
            seen = (at + lag).min(changes.len()).max(seen).max(at);
            seen = committed.range(seen..).next().copied().unwrap_or(seen);
            let rows = Arc::new(states[seen].rows());
            let ahead = (seen > at).then(|| fence(&changes[at..seen], &rows));
            let outlook = stage.tick(&fence(&changes[began..at], &rows), ahead.as_ref())?;
            for board in BOARDS {
                stage.check(board, &states[at..=seen], &rows, &outlook, states[began].ended.contains_key(&board))?;
            }
            for board in BOARDS.into_iter().filter(|board| states[at].ended.contains_key(board)) {
                stage.rooms.dissolve_board(board);
                stage.told.retain(|(_, told)| *told != board);
            }
        }
    }
}

/// Nobody is told that he was shut out of a board that is no more by then: its end is what he is told.
#[test]
fn what_changes_behind_the_end_of_a_board_shuts_nobody_out_of_it() {
    let mut forum = Forum::new();
    let mut stage = Stage::new(&forum);
    // That it was touched before makes the fence look at it.
    let closed = json!({"permissions": {"allowedRoles": ["x"]}});
    let acts = [Act::Board(1, json!({"open": true})), Act::End(1), Act::Community("a", closed)];
    let changes: Vec<Change> = acts.iter().flat_map(|act| forum.changes(act)).collect();
    let rows = Arc::new(forum.rows());
    let (early, _) = fence(&changes, &rows).shut_ahead(&fence(&[], &rows), &mut stage.rooms, start());
    assert!(early.lost.values().flatten().all(|(board, ..)| *board != BoardId(1)), "{:?}", early.lost);
}

const BOARDS: [BoardId; 2] = [BoardId(1), BoardId(2)];

/// A community that ends takes its boards along: whoever sits there is told that they end, and of another's he is told that he lost it.
#[test]
fn who_sits_in_a_board_that_ends_with_its_community_is_told_that_it_ends() {
    for late in [false, true] {
        let mut forum = Forum::new();
        let lent = forum.changes(&Act::Import(2, "a", true));
        let mut stage = Stage::new(&forum);
        assert_eq!(lent.len(), 1);
        let ends = forum.changes(&Act::EndCommunity("a"));
        assert!(matches!(ends[..], [Change::CommunityDeleted { .. }, Change::BoardDeleted { .. }]), "{ends:?}");
        let rows = Arc::new(forum.rows());
        if late {
            stage.tick(&fence(&[], &rows), Some(&fence(&ends, &rows))).unwrap();
        }
        stage.tick(&fence(&ends, &rows), None).unwrap();
        let of_a = |key: &SocketKey| stage.people[usize::try_from(key.0).unwrap()].1.community.as_str() == "a";
        let sit = |board| stage.rooms.members(&Room::Board(BoardId(board))).into_iter().filter(of_a).count();
        assert_eq!((sit(1), sit(2)), (4, 0), "late: {late}");
    }
}

/// A node that is late hears that a post moved when its new board has been shut and opened again: whoever was shut out in between does not
/// follow it there, since its rows may be of that time. Shut and opened before the move it keeps nobody from following.
#[test]
fn who_was_shut_out_between_a_move_and_the_reading_of_it_does_not_follow_the_post() {
    let moved = Change::PostMoved { post: PostId(7), from: Some(BoardId(1)), to: Some(BoardId(2)) };
    for (moved_at, follow) in [(0, 2), (1, 2), (2, 4)] {
        let mut forum = Forum::new();
        forum.act(&Act::Give(2, Some("a")));
        let mut stage = Stage::new(&forum);
        for (key, actor) in stage.people.clone() {
            if let Ok(permit) =
                decide(&actor, Some(&forum.board_facts(BoardId(1))), forum.community_facts(&actor.community).as_ref())
            {
                stage.rooms.join_post(key, &permit, PostId(7), start()).unwrap();
            }
        }
        assert_eq!(stage.rooms.members(&Room::Post(PostId(7))).len(), 4);
        let shuts = Act::Board(2, json!({"permissions": {"allowedRoles": ["x"]}}));
        let mut changes: Vec<Change> = [shuts, Act::Board(2, json!({}))].iter().map(|act| forum.act(act)).collect();
        changes.insert(moved_at, moved.clone());
        let head = PostHead { board: Some(BoardId(2)), upvotes: 0, comments: 0, author: None };
        let rows = Arc::new(Rows { heads: [(PostId(7), head)].into(), ..forum.rows() });
        // With the move in the tick that is told, or in a later one.
        let (tick, ahead) = changes.split_at(usize::from(moved_at == 0));
        stage.tick(&fence(tick, &rows), Some(&fence(ahead, &rows))).unwrap();
        let sit = stage.rooms.members(&Room::Post(PostId(7)));
        assert_eq!(sit.len(), follow, "moved as number {moved_at}");
        stage.tick(&fence(ahead, &rows), None).unwrap();
        assert_eq!(stage.rooms.members(&Room::Post(PostId(7))), sit);
    }
}

/// Everybody with a feed, and what they were told of it.
struct Stage {
    rooms: Rooms,
    people: Vec<(SocketKey, Actor)>,
    told: BTreeSet<(SocketKey, BoardId)>,
}

impl Stage {
    fn new(forum: &Forum) -> Self {
        let mut rooms = Rooms::new(200);
        let mut told = BTreeSet::new();
        let people: Vec<(SocketKey, Actor)> = (0..).map(SocketKey).zip(actors()).collect();
        for (key, actor) in &people {
            let community = forum.community_facts(&actor.community);
            let facts = BOARDS.map(|board| forum.board_facts(board));
            let permits: Vec<Permit> =
                facts.iter().filter_map(|facts| decide(actor, Some(facts), community.as_ref()).ok()).collect();
            rooms.connect(*key, actor.clone(), community, start());
            rooms.join_feed(*key, &permits, start()).unwrap();
            told.extend(permits.iter().map(|permit| (*key, permit.board())));
        }
        Self { rooms, people, told }
    }

    fn tick(&mut self, fence: &Fence, ahead: Option<&Fence>) -> Result<Outlook, TestCaseError> {
        let early = ahead.map(|ahead| ahead.shut_ahead(fence, &mut self.rooms, start()));
        let (early, outlook) = early.unwrap_or_default();
        let verdicts = fence.shut(&outlook, &mut self.rooms, start());
        prop_assert!(early.gained.is_empty());
        for (board, _, key) in early.lost.values().chain(verdicts.lost.values()).flatten() {
            prop_assert!(self.told.remove(&(*key, *board)), "told {board:?} shut that he was not told is open");
        }
        for (permit, key) in verdicts.gained.values().flatten() {
            prop_assert!(self.told.insert((*key, permit.board())), "told twice that it is open");
            self.rooms.extend_feed(*key, permit, start());
        }
        Ok(outlook)
    }

    /// `states` are those from the tick to the moment of its rows.
    fn check(
        &self,
        board: BoardId,
        states: &[Forum],
        rows: &Rows,
        outlook: &Outlook,
        ended_before: bool,
    ) -> Result<(), TestCaseError> {
        let who_may = self.rooms.sockets(&Audience::WhoMayOpen(board), Topic::Boards, None, rows, outlook);
        for (key, actor) in &self.people {
            let sits = self.rooms.members(&Room::Board(board)).contains(key);
            prop_assert_eq!(sits, self.told.contains(&(*key, board)), "{:?} {:?}", key, board);
            let open: Vec<bool> = states.iter().map(|state| state.opens(actor, board)).collect();
            let throughout = !ended_before && !open.contains(&false);
            let ends = rows.board_facts(board).is_none();
            // Where it ends nobody is let in any more; closed and opened again in the tick that ends it may count as never closed.
            let right =
                sits == throughout || ends && (!sits || states[0].opens_by(&states[0].communities, actor, board));
            prop_assert!(right, "{key:?} sits in {board:?}: {sits}; {open:?}");
            prop_assert_eq!(who_may.contains(key), throughout && !ends, "{:?} {:?} {:?}", key, board, open);
            let own =
                self.rooms.sockets(&Audience::User(actor.user.clone(), board), Topic::Boards, None, rows, outlook);
            prop_assert_eq!(own.contains(key), throughout && !ends);
        }
        Ok(())
    }
}

/// Somebody with role x and somebody without, both with board 1 open in their feeds.
#[test]
fn who_is_shut_out_before_a_board_ends_is_not_told_that_it_ends_and_the_others_are() {
    let only_x = || json!({"permissions": {"allowedRoles": ["x"]}});
    for late in [false, true] {
        let mut forum = Forum::new();
        let mut stage = Stage::new(&forum);
        let shuts = forum.act(&Act::Board(1, only_x()));
        let ends = forum.act(&Act::End(1));
        let rows = Arc::new(forum.rows());
        if late {
            let ahead = fence(&[ends], &rows);
            stage.tick(&fence(&[shuts], &rows), Some(&ahead)).unwrap();
        } else {
            stage.tick(&fence(&[shuts, ends], &rows), None).unwrap();
        }
        let sit = stage.rooms.members(&Room::Board(BoardId(1)));
        let with_x = |key: &SocketKey| {
            let (_, actor) = &stage.people[usize::try_from(key.0).unwrap()];
            actor.admin || actor.roles.contains(&RoleId::from("x"))
        };
        assert_eq!(sit.len(), 2, "the one with the role and the admin, late: {late}");
        assert!(sit.iter().all(with_x));
    }
}
