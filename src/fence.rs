//! The fence: what a tick changed of anybody's rights is applied before anything of that tick is delivered.
//!
//! [`Fence::shut`] evicts, whatever was believed before; who lost and who gained a board is told later, at the place in the
//! stream where the change stands, so that cursors stay in order. What was true before is taken from the changes themselves
//! (`*_was` of the outbox), undone from the last to the first, and serves only the telling: a wrong `was` can leave somebody
//! untold, never inside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    access::{BoardFacts, CommunityFacts, Denied, Permit, RoleRule, decide},
    change::Change,
    contract::RevokeReason,
    event::Rows,
    ids::{BoardId, CommunityId, Place, PostId, Room, SocketKey},
    rooms::Rooms,
};

/// The changes of access of one whole tick and the rows as they stand at its snapshot.
#[derive(Debug, Default)]
pub struct Fence {
    /// With their ordinals, ascending.
    pub changes: Vec<(u32, Change)>,
    pub rows: Arc<Rows>,
}

/// Who is to be told what, by the ordinal at which it is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Told `board:accessRevoked`.
    pub lost: BTreeMap<u32, Vec<(BoardId, RevokeReason, SocketKey)>>,
    /// Told `board:accessGranted`; a feed is extended then.
    pub gained: BTreeMap<u32, Vec<(Permit, SocketKey)>>,
    /// Put out of a post's room because it moved out of their reach.
    pub moved_out: BTreeMap<u32, Vec<(PostId, SocketKey)>>,
    /// The boards that others may open than before, with the last change that concerns them.
    pub changed: BTreeMap<BoardId, u32>,
}

impl Verdicts {
    /// Adds those of another fence of the same tick.
    pub fn append(&mut self, other: Self) {
        fn append<T>(all: &mut BTreeMap<u32, Vec<T>>, more: BTreeMap<u32, Vec<T>>) {
            for (ordinal, told) in more {
                all.entry(ordinal).or_default().extend(told);
            }
        }
        append(&mut self.lost, other.lost);
        append(&mut self.gained, other.gained);
        append(&mut self.moved_out, other.moved_out);
        self.changed.extend(other.changed);
    }
}

/// What the rule rested on before the tick.
struct Before {
    boards: HashMap<BoardId, Option<BoardFacts>>,
    communities: HashMap<CommunityId, CommunityFacts>,
}

impl Fence {
    /// Brings `rooms`, which were told everything up to `told`, to the rights of this tick.
    pub fn shut(&self, rooms: &mut Rooms, told: Place) -> Verdicts {
        let before = self.before(rooms);
        self.renew_communities(rooms);
        let mut verdicts = Verdicts::default();
        for (board, ordinal) in self.boards(&before) {
            if self.differs(board, &before) {
                verdicts.changed.insert(board, ordinal);
            }
            self.judge(board, ordinal, &before, rooms, &mut verdicts, told);
        }
        for (ordinal, change) in &self.changes {
            match change {
                Change::PostMoved { post, .. } => self.follow(*post, *ordinal, rooms, &mut verdicts),
                Change::CommunityDeleted { community } => evict_community(community, rooms),
                _ => {}
            }
        }
        verdicts
    }

    /// The state before the first change, by undoing all of them.
    fn before(&self, rooms: &Rooms) -> Before {
        let touched = self.changes.iter().filter_map(|(_, change)| match change {
            Change::BoardCreated { board }
            | Change::BoardUpdated { board, .. }
            | Change::ImportChanged { board, .. } => Some((*board, self.rows.board_facts(*board).cloned())),
            _ => None,
        });
        let mut boards: HashMap<BoardId, Option<BoardFacts>> = touched.collect();
        let mut communities: HashMap<CommunityId, CommunityFacts> = HashMap::new();
        for (_, change) in self.changes.iter().rev() {
            match change {
                Change::BoardCreated { board } => {
                    boards.insert(*board, None);
                }
                Change::BoardUpdated { board, was, .. } => {
                    if let Some(Some(facts)) = boards.get_mut(board) {
                        facts.community = was.community.clone();
                        facts.rule = RoleRule::of_settings(Some(&was.settings));
                    }
                }
                Change::ImportChanged { board, community, active_was } => {
                    if let Some(Some(facts)) = boards.get_mut(board) {
                        if *active_was {
                            facts.importers.insert(community.clone());
                        } else {
                            facts.importers.remove(community);
                        }
                    }
                }
                Change::CommunityUpdated { community, settings_was } => {
                    let known = rooms.communities.get(community).or_else(|| self.rows.communities.get(community));
                    if let Some(facts) = known {
                        let rule = RoleRule::of_settings(Some(settings_was));
                        communities.insert(community.clone(), CommunityFacts { rule, ..facts.clone() });
                    }
                }
                _ => {}
            }
        }
        Before { boards, communities }
    }

    fn renew_communities(&self, rooms: &mut Rooms) {
        for (community, facts) in &self.rows.communities {
            if let Some(known) = rooms.communities.get_mut(community) {
                *known = facts.clone();
            }
        }
    }

    /// Every board whose answer may have changed, with the ordinal of the last change that concerns it.
    fn boards(&self, before: &Before) -> BTreeMap<BoardId, u32> {
        let mut boards = BTreeMap::new();
        for (ordinal, change) in &self.changes {
            match change {
                Change::BoardCreated { board }
                | Change::BoardUpdated { board, .. }
                | Change::ImportChanged { board, .. } => {
                    boards.insert(*board, *ordinal);
                }
                Change::CommunityUpdated { community, .. } => {
                    let rule_is = self.rows.communities.get(community).map(|facts| &facts.rule);
                    if rule_is != before.communities.get(community).map(|facts| &facts.rule) {
                        let shown = self.rows.facts.values().filter(|facts| is_shown_in(facts, community));
                        boards.extend(shown.map(|facts| (facts.board, *ordinal)));
                    }
                }
                _ => {}
            }
        }
        boards
    }

    /// Whether the rule's answer may differ for a board that was there before.
    fn differs(&self, board: BoardId, before: &Before) -> bool {
        let now = self.rows.board_facts(board);
        let of_its_own = match before.boards.get(&board) {
            Some(None) => return false,
            Some(then) => then.as_ref() != now,
            None => false,
        };
        let shown_in = now.into_iter().flat_map(|facts| std::iter::once(&facts.community).chain(&facts.importers));
        let rule_differs = |community: &CommunityId| {
            let was = before.communities.get(community).map(|facts| &facts.rule);
            was.is_some() && was != self.rows.communities.get(community).map(|facts| &facts.rule)
        };
        of_its_own || shown_in.into_iter().any(rule_differs)
    }

    fn judge(
        &self,
        board: BoardId,
        ordinal: u32,
        before: &Before,
        rooms: &mut Rooms,
        verdicts: &mut Verdicts,
        told: Place,
    ) {
        // A board that is gone has no rows to leak; its rooms are dissolved once they have been told.
        let Some(now) = self.rows.board_facts(board) else { return };
        let then = match before.boards.get(&board) {
            Some(then) => then.as_ref(),
            None => Some(now),
        };
        let created = before.boards.get(&board).is_some_and(Option::is_none);
        let mut concerned: BTreeSet<SocketKey> = rooms.members(&Room::Board(board)).into_iter().collect();
        for facts in then.into_iter().chain([now]) {
            for community in std::iter::once(&facts.community).chain(&facts.importers) {
                concerned.extend(rooms.members(&Room::Community(community.clone())));
            }
        }
        for key in concerned {
            let Some(seat) = rooms.seats.get(&key) else { continue };
            let community_is = rooms.communities.get(&seat.actor.community);
            let community_was = before.communities.get(&seat.actor.community).or(community_is);
            let could = decide(&seat.actor, then, community_was).is_ok();
            match decide(&seat.actor, Some(now), community_is) {
                Err(denied) => {
                    rooms.evict(key, board);
                    if could {
                        verdicts.lost.entry(ordinal).or_default().push((board, Denied::reason(denied), key));
                    }
                }
                Ok(permit) if !could && !created => {
                    verdicts.gained.entry(ordinal).or_default().push((permit, key));
                }
                Ok(permit) => {
                    if created {
                        rooms.extend_feed(key, &permit, told);
                    }
                }
            }
        }
    }

    /// A post that moved takes its room along, without those who may not open its new board.
    fn follow(&self, post: PostId, ordinal: u32, rooms: &mut Rooms, verdicts: &mut Verdicts) {
        let board = self.rows.heads.get(&post).and_then(|head| head.board);
        let facts = board.and_then(|board| self.rows.board_facts(board));
        for key in rooms.members(&Room::Post(post)) {
            match rooms.permit(key, facts) {
                Some(permit) => rooms.post_moved(key, post, permit.board()),
                None => {
                    rooms.leave_post(key, post);
                    verdicts.moved_out.entry(ordinal).or_default().push((post, key));
                }
            }
        }
    }
}

fn is_shown_in(facts: &BoardFacts, community: &CommunityId) -> bool {
    facts.community == *community || facts.importers.contains(community)
}

fn evict_community(community: &CommunityId, rooms: &mut Rooms) {
    rooms.communities.remove(community);
    for key in rooms.members(&Room::Community(community.clone())) {
        rooms.leave_everything(key);
    }
}

#[cfg(test)]
mod tests;
