//! Who goes along with a post that moves.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Fence, Verdicts};
use crate::{
    change::Change,
    ids::{BoardId, PostId, Room, SocketKey},
    outlook::{Astray, Outlook},
    rooms::Rooms,
};

/// All that a tick moves one post.
#[derive(Clone, Copy)]
struct Moved {
    /// Of the first move.
    ordinal: u32,
    from: Option<BoardId>,
    to: Option<BoardId>,
}

impl Fence {
    pub(super) fn moved_posts(&self) -> impl Iterator<Item = PostId> {
        self.changes.iter().filter_map(|(_, change)| match change {
            Change::PostMoved { post, .. } => Some(*post),
            _ => None,
        })
    }

    fn moves(&self) -> BTreeMap<PostId, Moved> {
        let mut moves = BTreeMap::new();
        for (ordinal, change) in &self.changes {
            if let Change::PostMoved { post, from, to } = change {
                moves.entry(*post).or_insert(Moved { ordinal: *ordinal, from: *from, to: *to }).to = *to;
            }
        }
        moves
    }

    /// Leaves in the room of each post that is `moving` those who may open the board in which it stands, at every moment of `outlook`. Behind
    /// the boards: who was told that the board is shut which a post leaves is told no more of it.
    pub(super) fn follow(
        &self,
        moving: &BTreeSet<PostId>,
        outlook: &Outlook,
        rooms: &mut Rooms,
        verdicts: &mut Verdicts,
    ) {
        let moves = self.moves();
        let lost: HashSet<(BoardId, SocketKey)> = match moving.is_empty() {
            true => HashSet::new(),
            false => verdicts.lost.values().flatten().map(|(board, _, key)| (*board, *key)).collect(),
        };
        for post in moving {
            let moved = moves.get(post);
            let here = moved.map(|moved| moved.to).or(outlook.stood(*post)).flatten();
            let here_now = here.and_then(|board| self.rows.board_facts(board).or(outlook.passed(board)));
            for key in rooms.members(&Room::Post(*post)) {
                let Some(seat) = rooms.seats.get(&key) else { continue };
                let community = rooms.communities.get(&seat.actor.community);
                let astray = outlook.astray(&seat.actor, *post, (here, here_now), community);
                let knows = |from: &BoardId| !lost.contains(&(*from, key)) && !seat.is_shut_out(*from);
                match (astray, moved) {
                    (None, Some(_)) => drop(here.map(|board| rooms.post_moved(key, *post, board))),
                    (None, None) => {}
                    (Some(Astray::Here), Some(moved)) => {
                        if moved.from.as_ref().is_some_and(knows) {
                            verdicts.moved_out.entry(moved.ordinal).or_default().push((*post, key));
                        }
                        rooms.leave_post(key, *post);
                    }
                    // He is told that its board is shut.
                    (Some(Astray::Here), None) => rooms.leave_post(key, *post),
                    (Some(Astray::By(made)), _) => {
                        if made.from.as_ref().is_some_and(knows) {
                            verdicts.moved_ahead.entry(made.number).or_default().push((*post, key));
                        }
                        rooms.leave_post(key, *post);
                    }
                }
            }
        }
    }
}
