//! The fence: what a tick changed of anybody's rights is applied before anything of that tick is delivered.
//!
//! [`Fence::shut`] evicts, whatever was believed before; who lost and who gained a board is told later, at the place in the
//! stream where the change stands, so that cursors stay in order. What was true before is taken from the changes themselves
//! (`*_was` of the outbox), undone from the last to the first, and lets nobody in: a wrong `was` can leave somebody
//! untold, or out, never inside.
//!
//! A tick that is read late shows rows of a later moment. Whom that moment shuts out is shut out first, and told at once
//! ([`Fence::shut_ahead`]); the tick itself is then judged by its own moment as well.

mod turn;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::turn::{Rights, Turn};
use crate::{
    access::{Denied, Permit, decide},
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
    /// The boards that others might open at some moment than at the one before, with the last change that made it so.
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

impl Fence {
    /// Brings `rooms`, which were told everything up to `told`, to the rights of this tick. Where the rows are of a later moment,
    /// `ahead` are the changes until then: they were applied before, by [`Fence::shut_ahead`], and are judged here as not made yet. So
    /// nobody is seated but whom the tick and the moment of the rows let in.
    pub fn shut(&self, ahead: Option<&Fence>, rooms: &mut Rooms, told: Place) -> Verdicts {
        let after = ahead.map(|ahead| ahead.undone(Rights::default(), rooms).before).unwrap_or_default();
        let mut turn = self.undone(after, rooms);
        turn.gone.extend(ahead.into_iter().flat_map(Fence::deleted));
        let mut verdicts = self.judge_all(&turn, rooms, told);
        for (permit, key) in verdicts.gained.values().flatten() {
            rooms.reopen(*key, permit.board());
        }
        verdicts.changed = turn.changed;
        verdicts
    }

    /// Shuts out whom later ticks shut out, before rows of their time are shown. Who lost a board is to be told at once, and is not told
    /// by the tick itself; who gained one is told by the tick.
    pub fn shut_ahead(&self, rooms: &mut Rooms, told: Place) -> Verdicts {
        let turn = self.undone(Rights::default(), rooms);
        let verdicts = self.judge_all(&turn, rooms, told);
        for (board, _, key) in verdicts.lost.values().flatten() {
            rooms.shut_ahead(*key, *board);
        }
        Verdicts { gained: BTreeMap::new(), ..verdicts }
    }

    fn judge_all(&self, turn: &Turn, rooms: &mut Rooms, told: Place) -> Verdicts {
        self.renew_communities(rooms);
        let mut verdicts = Verdicts::default();
        for (board, ordinal) in self.boards(turn) {
            self.judge(board, ordinal, turn, rooms, &mut verdicts, told);
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

    fn renew_communities(&self, rooms: &mut Rooms) {
        for (community, facts) in &self.rows.communities {
            if let Some(known) = rooms.communities.get_mut(community) {
                *known = facts.clone();
            }
        }
    }

    /// Every board whose answer may have changed, with the ordinal of the last change that concerns it.
    fn boards(&self, turn: &Turn) -> BTreeMap<BoardId, u32> {
        let mut boards = turn.changed.clone();
        for (ordinal, change) in &self.changes {
            if let Change::BoardCreated { board }
            | Change::BoardUpdated { board, .. }
            | Change::ImportChanged { board, .. } = change
            {
                let last = boards.entry(*board).or_insert(*ordinal);
                *last = (*last).max(*ordinal);
            }
        }
        boards
    }

    fn judge(
        &self,
        board: BoardId,
        ordinal: u32,
        turn: &Turn,
        rooms: &mut Rooms,
        verdicts: &mut Verdicts,
        told: Place,
    ) {
        let now = self.rows.board_facts(board);
        // A board that is gone has no rows to leak; its rooms are dissolved once they have been told.
        if now.is_none() && turn.gone.contains(&board) {
            return;
        }
        let at = self.facts_in(&turn.after, board);
        let then = turn.before.boards.get(&board).map_or(at, Option::as_ref);
        let created = turn.before.boards.get(&board).is_some_and(Option::is_none);
        let mut concerned: BTreeSet<SocketKey> = rooms.members(&Room::Board(board)).into_iter().collect();
        for facts in then.into_iter().chain(at).chain(now) {
            for community in std::iter::once(&facts.community).chain(&facts.importers) {
                concerned.extend(rooms.members(&Room::Community(community.clone())));
            }
        }
        for key in concerned {
            let Some(seat) = rooms.seats.get(&key) else { continue };
            let actor = &seat.actor;
            let community_is = rooms.communities.get(&actor.community);
            let community_at = turn.after.communities.get(&actor.community).or(community_is);
            let community_was = turn.before.communities.get(&actor.community).or(community_at);
            let could = decide(actor, then, community_was).is_ok() && !seat.is_shut_out(board);
            let can = decide(actor, at, community_at).and_then(|_| decide(actor, now, community_is));
            match can {
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

fn evict_community(community: &CommunityId, rooms: &mut Rooms) {
    rooms.communities.remove(community);
    for key in rooms.members(&Room::Community(community.clone())) {
        rooms.leave_everything(key);
    }
}

#[cfg(test)]
mod tests;
