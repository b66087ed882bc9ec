//! The fence: what a tick changed of anybody's rights is applied before anything of that tick is delivered.
//!
//! [`Fence::shutting`] evicts, whatever was believed before; who lost and who gained a board is told later, at the place in the
//! stream where the change stands, so that cursors stay in order. What was true before is taken from the changes themselves
//! (`*_was` of the outbox), undone from the last to the first, and lets nobody in: a wrong `was` can leave somebody
//! untold, or out, never inside.
//!
//! A tick that is read late shows rows of a later moment. Whom any moment up to that one shuts out is shut out first, and told at once
//! ([`Fence::shutting_ahead`]); the tick itself is then judged by all of them ([`Outlook`]). Of a board that is deleted, whoever might open
//! it last sits there until that is told.
//!
//! A post that moves takes its room along: who sits there is judged by the board in which it stands at the end of the tick, and at each
//! later moment by that in which it stands then. So a board that it has left by then takes nobody out of its room.

mod posts;
mod turn;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
};

use self::turn::Turn;
use crate::{
    access::{BoardFacts, Denied, Permit, decide},
    change::Change,
    contract::RevokeReason,
    event::Rows,
    ids::{BoardId, Place, PostId, Room, SocketKey},
    outlook::Outlook,
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
    /// The same where it moves later than the tick, which is told at once: by the number of the change in the fence of what lies ahead.
    pub moved_ahead: BTreeMap<u32, Vec<(PostId, SocketKey)>>,
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
        append(&mut self.moved_ahead, other.moved_ahead);
        self.changed.extend(other.changed);
    }
}

/// By what a board is judged.
struct Basis<'a> {
    /// The changes, undone.
    turn: &'a Turn,
    /// From the tick to the moment of its rows.
    outlook: &'a Outlook,
    /// The changes belong to later ticks, which tell what they open. Then the tick's own, undone: they are not told yet either.
    ahead_of: Option<&'a Turn>,
    /// Posts that stand in more than one board in this time: their rooms are judged by where they stand.
    moving: &'a BTreeSet<PostId>,
}

impl Fence {
    /// Brings `rooms`, which were told everything up to `told`, to the rights of this tick, all at once; see [`Fence::shutting`].
    pub fn shut(&self, outlook: &Outlook, rooms: &mut Rooms, told: Place) -> Verdicts {
        let mut judging = self.shutting(outlook, rooms, told);
        while judging.next(rooms) {}
        judging.end(rooms).0
    }

    /// Shuts out whom later ticks shut out, all at once; see [`Fence::shutting_ahead`].
    pub fn shut_ahead(&self, tick: &Fence, rooms: &mut Rooms, told: Place) -> (Verdicts, Outlook) {
        let mut judging = self.shutting_ahead(tick, rooms, told);
        while judging.next(rooms) {}
        judging.end(rooms)
    }

    /// Begins to bring `rooms`, which were told everything up to `told`, to the rights of this tick. Where the rows are of a later moment,
    /// `outlook` are the rights from the tick until then, as [`Fence::shutting_ahead`] gave them. So nobody is seated but whom the tick
    /// and every moment up to that of the rows let in.
    pub fn shutting<'a>(&'a self, outlook: &'a Outlook, rooms: &mut Rooms, told: Place) -> Judging<'a> {
        let turn = self.undone(outlook);
        let moving = self.moved_posts().chain(outlook.moved().into_keys()).collect();
        self.judging(turn, Some(outlook), None, moving, rooms, told)
    }

    /// Begins to shut out whom later ticks shut out, before rows of their time are shown. Who lost a board is to be told at once, and is not
    /// told by `tick`, which comes next, and which judges who sits in the rooms of posts that move; who gained one is told by the tick that
    /// lets him in. Gives the rights of all these moments, too.
    pub fn shutting_ahead<'a>(&'a self, tick: &Fence, rooms: &mut Rooms, told: Place) -> Judging<'a> {
        let turn = self.undone(&Outlook::default());
        let untold = tick.undone(&turn.past);
        let moving = self.moved_posts().chain(tick.moved_posts()).collect();
        self.judging(turn, None, Some(untold), moving, rooms, told)
    }

    fn judging<'a>(
        &'a self,
        turn: Turn,
        outlook: Option<&'a Outlook>,
        ahead_of: Option<Turn>,
        moving: BTreeSet<PostId>,
        rooms: &mut Rooms,
        told: Place,
    ) -> Judging<'a> {
        self.renew_communities(rooms);
        let boards = self.boards(&turn).into_iter();
        Judging { fence: self, turn, outlook, ahead_of, moving, boards, verdicts: Verdicts::default(), told }
    }

    fn renew_communities(&self, rooms: &mut Rooms) {
        for (_, change) in &self.changes {
            if let Change::CommunityCreated { community }
            | Change::CommunityUpdated { community, .. }
            | Change::CommunityDeleted { community, .. } = change
            {
                rooms.community_is(community, self.rows.communities.get(community));
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
        basis: &Basis<'_>,
        rooms: &mut Rooms,
        verdicts: &mut Verdicts,
        told: Place,
    ) {
        let Basis { turn, outlook, ahead_of, moving } = basis;
        let ahead = ahead_of.is_some();
        // Of a board that the tick deletes, just before.
        let at = turn.past.board_last(board).unwrap_or_else(|| self.facts_in(outlook, board));
        let before = turn.past.board_then(board);
        let then = ahead_of.and_then(|tick| tick.past.board_then(board)).or(before).unwrap_or(at);
        let is_made =
            |(_, change): &(u32, Change)| matches!(change, Change::BoardCreated { board: made } if *made == board);
        let created = self.changes.iter().any(is_made);
        let ends = turn.past.is_gone(board) && !ahead;
        let gone = turn.past.is_gone(board) || outlook.is_gone(board);
        for key in concerned(board, then.into_iter().chain(at).chain(self.rows.board_facts(board)), rooms) {
            let Some(seat) = rooms.seats.get(&key) else { continue };
            let actor = &seat.actor;
            let community_is = rooms.communities.get(&actor.community);
            let community_last = turn.past.community_last(board, &actor.community);
            let community_at = community_last.or(outlook.community_then(&actor.community)).unwrap_or(community_is);
            let community_was = ahead_of.and_then(|tick| tick.past.community_then(&actor.community));
            let community_was = community_was.or(turn.past.community_then(&actor.community)).unwrap_or(community_at);
            let could = decide(actor, then, community_was).is_ok() && !seat.is_shut_out(board);
            let can_at = decide(actor, at, community_at);
            let can = if ends { can_at.clone() } else { outlook.decide(actor, board, at, community_is) };
            match can {
                Err(denied) => {
                    if could {
                        verdicts.lost.entry(ordinal).or_default().push((board, Denied::reason(denied), key));
                    }
                    rooms.evict_but(key, board, moving);
                    if can_at.is_ok() && !ahead {
                        // Later ticks shut it again: they find that he was never told it is open.
                        rooms.shut_ahead(key, board);
                    }
                }
                Ok(_) if ahead || could => {}
                // What is no more is opened to nobody.
                Ok(_) if gone => rooms.shut_ahead(key, board),
                Ok(permit) if created => {
                    rooms.reopen(key, board);
                    rooms.extend_feed(key, &permit, told);
                }
                Ok(permit) => verdicts.gained.entry(ordinal).or_default().push((permit, key)),
            }
        }
    }
}

/// A fence that is being applied, board by board, so that others get a turn where it concerns many. Until its end nothing may be delivered.
pub struct Judging<'a> {
    fence: &'a Fence,
    /// The changes, undone.
    turn: Turn,
    /// From the tick to the moment of its rows; the changes' own where they belong to later ticks.
    outlook: Option<&'a Outlook>,
    /// The tick that comes next, undone, where the changes belong to later ones.
    ahead_of: Option<Turn>,
    /// Posts that stand in more than one board from before the tick to the moment of its rows.
    moving: BTreeSet<PostId>,
    boards: btree_map::IntoIter<BoardId, u32>,
    verdicts: Verdicts,
    told: Place,
}

impl Judging<'_> {
    /// Judges everybody whom one more board concerns; `false` when there is none left.
    pub fn next(&mut self, rooms: &mut Rooms) -> bool {
        let Self { fence, turn, outlook, ahead_of, moving, boards, verdicts, told } = self;
        let Some((board, ordinal)) = boards.next() else { return false };
        let outlook = outlook.unwrap_or(&turn.past);
        let basis = Basis { turn, outlook, ahead_of: ahead_of.as_ref(), moving };
        fence.judge(board, ordinal, &basis, rooms, verdicts, *told);
        true
    }

    /// The verdicts, behind the last board, and the rights of every moment that the changes undo.
    pub fn end(self, rooms: &mut Rooms) -> (Verdicts, Outlook) {
        let Self { fence, turn: Turn { past, changed }, outlook, ahead_of, moving, mut verdicts, .. } = self;
        if ahead_of.is_some() {
            for (board, _, key) in verdicts.lost.values().flatten() {
                rooms.shut_ahead(*key, *board);
            }
            return (Verdicts { gained: BTreeMap::new(), ..verdicts }, past);
        }
        fence.follow(&moving, outlook.unwrap_or(&past), rooms, &mut verdicts);
        for (permit, key) in verdicts.gained.values().flatten() {
            rooms.reopen(*key, permit.board());
        }
        (Verdicts { changed, ..verdicts }, past)
    }
}

/// Whoever sits in the board, or may be let in or shut out by any of these.
fn concerned<'a>(board: BoardId, facts: impl Iterator<Item = &'a BoardFacts>, rooms: &Rooms) -> BTreeSet<SocketKey> {
    let mut concerned: BTreeSet<SocketKey> = rooms.members(&Room::Board(board)).into_iter().collect();
    for facts in facts {
        for community in facts.shown_in() {
            concerned.extend(rooms.members(&Room::Community(community.clone())));
        }
    }
    concerned
}

#[cfg(test)]
mod tests;
