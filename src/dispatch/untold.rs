//! Changes of rights that are applied and not told yet: those of a tick that is told in pages, between two of them.
//!
//! The rights of the whole tick are applied with its first page. Whoever was there by then was judged by what he might open before, and
//! is kept from what he gains until it is told ([`super::grants`]). Of whoever asks between two pages nobody knows what he might open
//! before. Where the tick still has to tell that others may open a board, or that a post stands elsewhere, he is let in behind that: what
//! comes before it was written for others.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Seat;
use crate::{
    change::Change,
    fence::Fence,
    ids::{BoardId, Place, PostId, SocketKey, Tick},
};

/// See the module. Bounded by the changes of one tick that are judged one by one, and by sockets.
#[derive(Debug, Default)]
pub(super) struct Untold {
    /// Behind the last change of who may open the board.
    boards: HashMap<BoardId, Place>,
    /// Behind the last move of the post.
    posts: HashMap<PostId, Place>,
    /// Where nobody knows what was changed: up to here anything may open.
    anything: Option<Place>,
    /// Who came since the first page.
    came: HashSet<SocketKey>,
}

impl Untold {
    /// Adds what this fence of the tick changed.
    pub(super) fn add(&mut self, fence: &Fence, changed: &BTreeMap<BoardId, u32>, tick: Tick) {
        let behind = |ordinal: u32| Place { ordinal, ..Place::before(tick) }.end_of_row();
        self.boards.extend(changed.iter().map(|(board, ordinal)| (*board, behind(*ordinal))));
        for (ordinal, change) in &fence.changes {
            match change {
                Change::PostMoved { post, .. } => _ = self.posts.insert(*post, behind(*ordinal)),
                Change::Reset { .. } => self.anything = Some(Place::end_of(tick)),
                _ => {}
            }
        }
    }

    /// A socket came between two pages.
    pub(super) fn came(&mut self, key: SocketKey) {
        self.came.insert(key);
    }

    /// It is gone.
    pub(super) fn gone(&mut self, key: SocketKey) {
        self.came.remove(&key);
    }

    /// Up to where has to be told, everything up to `told` having been, before somebody may be let into the board.
    pub(super) fn of_board(&self, board: BoardId, told: Place) -> Option<Place> {
        self.boards.get(&board).copied().max(self.anything).filter(|place| *place > told)
    }

    /// The same before somebody may sit there.
    pub(super) fn of_seat(&self, seat: &Seat, told: Place) -> Option<Place> {
        if self.boards.is_empty() && self.posts.is_empty() && self.anything.is_none() {
            return None;
        }
        let post = match seat {
            Seat::Post { post, .. } => self.posts.get(post).copied().filter(|place| *place > told),
            Seat::Board { .. } | Seat::Feed { .. } => None,
        };
        seat.boards().into_iter().filter_map(|board| self.of_board(board, told)).chain(post).max()
    }

    /// Whether the socket came too late to be judged by the tick's fence, and what is told may not be for it yet.
    pub(super) fn keeps_from(&self, board: BoardId, key: SocketKey, told: Place) -> bool {
        self.came.contains(&key) && self.of_board(board, told).is_some()
    }
}
