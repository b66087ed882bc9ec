//! A socket whose actor is another from now on: what it may no longer see it leaves at once, and what it newly may is told.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
};

use super::{Rooms, Seat, visitor};
use crate::{
    access::{BoardFacts, CommunityFacts, Denied, Permit, decide},
    actor::Actor,
    contract::RevokeReason,
    ids::{BoardId, Place, Room, SocketKey},
    presence::Move,
};

/// What another token changed for a socket, by board and ascending.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// It was put out of these, which it could open before.
    pub lost: Vec<(BoardId, RevokeReason)>,
    /// It can open these, which it could not before; a feed is extended by whoever tells it.
    pub gained: Vec<Permit>,
}

impl Seat {
    /// Every board that it sees anything of.
    fn sees(&self) -> BTreeSet<BoardId> {
        let posts = self.posts.values().map(|(board, _)| board);
        let feed = self.feed.iter().flat_map(|feed| feed.keys());
        self.boards.keys().chain(feed).chain(posts).copied().collect()
    }
}

impl Rooms {
    /// Judges the socket by `actor`, who is the same user of the same community. `community` and `boards`, which are all that the
    /// community owns or imports, are as of the ticks applied, everything up to `told` having been told: of a board that newly opens
    /// nothing up to there is to reach the socket any longer ([`Rooms::was_opened_behind`]).
    pub fn renew(
        &mut self,
        key: SocketKey,
        actor: Actor,
        community: Option<CommunityFacts>,
        boards: &HashMap<BoardId, BoardFacts>,
        told: Place,
    ) -> Renewed {
        let Some(seat) = self.seats.get_mut(&key) else { return Renewed::default() };
        let seen = seat.sees();
        let before = mem::replace(&mut seat.actor, actor.clone());
        // What the community is shown no more opens by a change of rights, which is remembered for everybody.
        seat.opened.retain(|board, _| boards.contains_key(board));
        self.moves.push(Move::Came { key, visitor: visitor(&actor) });
        let community_before = self.communities.get(&actor.community).cloned();
        if let Some(facts) = community {
            self.communities.insert(actor.community.clone(), facts);
        }
        let admins = Room::CommunityAdmins(actor.community.clone());
        if actor.admin {
            self.enter(admins, key)
        } else {
            self.quit(admins, key)
        }

        let mut renewed = Renewed::default();
        for board in boards.keys().copied().chain(seen.iter().copied()).collect::<BTreeSet<_>>() {
            let facts = boards.get(&board);
            let shut_out = self.seats.get(&key).is_some_and(|seat| seat.is_shut_out(board));
            let could = !shut_out && decide(&before, facts, community_before.as_ref()).is_ok();
            match decide(&actor, facts, self.communities.get(&actor.community)) {
                Ok(_) if could => {}
                Ok(permit) => {
                    self.open(key, board, told);
                    renewed.gained.push(permit);
                }
                Err(denied) => {
                    self.evict(key, board);
                    if could || seen.contains(&board) {
                        renewed.lost.push((board, Denied::reason(denied)));
                    }
                }
            }
        }
        renewed
    }

    /// Whether another token opened one of `boards` to the socket behind `place`. What lies between was told while it was shut out.
    pub fn was_opened_behind(&self, key: SocketKey, place: Place, boards: &BTreeSet<BoardId>) -> bool {
        let Some(seat) = self.seats.get(&key) else { return false };
        boards.iter().filter_map(|board| seat.opened.get(board)).any(|opened| *opened > place)
    }

    fn open(&mut self, key: SocketKey, board: BoardId, told: Place) {
        self.reopen(key, board);
        if let Some(seat) = self.seats.get_mut(&key) {
            seat.opened.insert(board, told);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        access::RoleRule,
        contract::Features,
        ids::{Place, PostId, RoleId, Tick},
    };

    const KEY: SocketKey = SocketKey(1);

    fn actor(roles: BTreeSet<RoleId>, admin: bool) -> Actor {
        Actor {
            user: "ada".into(),
            community: "a".into(),
            roles,
            admin,
            name: None,
            picture: None,
            device: None,
            expires_at: Default::default(),
        }
    }

    fn roles() -> impl Strategy<Value = BTreeSet<RoleId>> {
        prop::collection::btree_set(prop::sample::select(vec!["crew", "guest", "mod"]).prop_map(RoleId::from), 0..3)
    }

    fn rule() -> impl Strategy<Value = RoleRule> {
        prop_oneof![
            2 => Just(RoleRule::Open),
            1 => Just(RoleRule::Malformed),
            4 => roles().prop_map(RoleRule::AnyOf),
        ]
    }

    fn boards() -> impl Strategy<Value = HashMap<BoardId, BoardFacts>> {
        let facts = (rule(), any::<bool>()).prop_map(|(rule, imported)| {
            let (community, importers) = if imported { ("b", vec!["a".into()]) } else { ("a", vec![]) };
            (rule, community, importers)
        });
        prop::collection::vec(facts, 0..6).prop_map(|all| {
            let numbered = (1..).map(BoardId).zip(all);
            let facts = numbered.map(|(board, (rule, community, importers))| {
                (
                    board,
                    BoardFacts {
                        board,
                        community: Some(community.into()),
                        rule,
                        importers: importers.into_iter().collect(),
                    },
                )
            });
            facts.collect()
        })
    }

    proptest! {
        #[test]
        fn whoever_is_judged_anew_sits_where_he_may_and_hears_what_changed(
            (before, after) in (roles(), roles()), (was_admin, is_admin) in any::<(bool, bool)>(), community in rule(), boards in boards(),
            joined in prop::collection::btree_set(1..7i32, 0..6), feed: bool,
        ) {
            let (before, after) = (actor(before, was_admin), actor(after, is_admin));
            let community = CommunityFacts { community: "a".into(), rule: community, features: Features::ALL_ON };
            let open = |actor: &Actor| -> HashMap<BoardId, Permit> {
                let permits = boards.values().filter_map(|facts| decide(actor, Some(facts), Some(&community)).ok());
                permits.map(|permit| (permit.board(), permit)).collect()
            };
            let (could, can) = (open(&before), open(&after));
            let (place, told) = (Place::before(Tick(1)), Place::end_of(Tick(3)));
            let mut rooms = Rooms::new(100);
            rooms.connect(KEY, before.clone(), Some(community.clone()), place);
            for permit in joined.iter().filter_map(|board| could.get(&BoardId(*board))) {
                let BoardId(number) = permit.board();
                if number % 2 == 0 {
                    rooms.join_board(KEY, permit, true, place).unwrap();
                } else {
                    rooms.join_post(KEY, permit, PostId(number), place).unwrap();
                }
            }
            if feed {
                rooms.join_feed(KEY, &could.values().cloned().collect::<Vec<_>>(), place).unwrap();
            }
            let renewed = rooms.renew(KEY, after, Some(community.clone()), &boards, told);
            for permit in &renewed.gained {
                rooms.extend_feed(KEY, permit, place);
            }
            let is_in = |room| rooms.members(&room).contains(&KEY);
            for number in 1..7 {
                let board = BoardId(number);
                let (was, is, sat) = (could.contains_key(&board), can.contains_key(&board), joined.contains(&number));
                let expected = is && (feed || (sat && was && number % 2 == 0));
                prop_assert_eq!(is_in(Room::Board(board)), expected, "{:?}", board);
                prop_assert_eq!(is_in(Room::Typing(board)), is && was && sat && number % 2 == 0, "{:?}", board);
                prop_assert_eq!(is_in(Room::Post(PostId(number))), is && was && sat && number % 2 == 1, "{:?}", board);
                prop_assert_eq!(renewed.lost.iter().any(|(lost, _)| *lost == board), was && !is, "{:?}", board);
                prop_assert_eq!(renewed.gained.iter().any(|permit| permit.board() == board), is && !was, "{:?}", board);
                let before = Place::end_of(Tick(2));
                prop_assert_eq!(rooms.was_opened_behind(KEY, before, &[board].into()), is && !was, "{:?}", board);
                prop_assert!(!rooms.was_opened_behind(KEY, told, &[board].into()));
            }
            prop_assert_eq!(is_in(Room::CommunityAdmins("a".into())), is_admin);
            prop_assert_eq!(rooms.is_admin(KEY, &"a".into()), is_admin);
            prop_assert!(!rooms.is_admin(KEY, &"b".into()));
            prop_assert!(is_in(Room::User("ada".into())) && is_in(Room::Community("a".into())));
        }
    }
}
