//! Where a post stands at each moment between a tick and the reading of its rows.

use super::Outlook;
use crate::{
    access::{BoardFacts, CommunityFacts},
    actor::Actor,
    event::Moved,
    ids::{BoardId, PostId},
};

/// A move that lies ahead of the tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// Of the change, in its fence.
    pub(crate) number: u32,
    pub(crate) from: Option<BoardId>,
    pub(crate) to: Option<BoardId>,
    /// How many changes are undone just before it.
    pub(crate) undone: usize,
}

/// The moves of one post, going back in time.
pub(super) type Way = Vec<Move>;

/// Where a post is led out of somebody's reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Astray {
    /// In the board in which it stands at the tick.
    Here,
    /// With this move.
    By(Move),
}

impl Outlook {
    /// Where in these moments the actor may first not see the post any longer, which stands in `here` at the tick. `here_now` and
    /// `community_now` are what holds where nothing is noted.
    pub(crate) fn astray(
        &self,
        actor: &Actor,
        post: PostId,
        (here, here_now): (Option<BoardId>, Option<&BoardFacts>),
        community_now: Option<&CommunityFacts>,
    ) -> Option<Astray> {
        let moves = self.ways.get(&post).map_or(&[][..], Vec::as_slice);
        let may = |board: Option<BoardId>, facts, moments| {
            board.is_some_and(|board| self.decide_between(moments, actor, board, facts, community_now).is_ok())
        };
        let mut next = moves.iter().rev().peekable();
        if !may(here, here_now, (usize::MAX, next.peek().map_or(0, |next| next.undone))) {
            return Some(Astray::Here);
        }
        while let Some(made) = next.next() {
            let until = next.peek().map_or(0, |next| next.undone);
            let facts = made.to.and_then(|board| self.passed(board));
            if !may(made.to, facts, (made.undone.saturating_sub(1), until)) {
                return Some(Astray::By(*made));
            }
        }
        None
    }

    /// Whether the actor may see the post at all of these moments; `None` where it is not moved, and its board alone decides.
    pub fn may_follow(&self, actor: &Actor, post: PostId, community_now: Option<&CommunityFacts>) -> Option<bool> {
        let here = self.stood(post)?;
        let facts = here.and_then(|board| self.passed(board));
        Some(self.astray(actor, post, (here, facts), community_now).is_none())
    }

    /// Where the post stands at the earliest of these moments, if it is moved later.
    pub(crate) fn stood(&self, post: PostId) -> Option<Option<BoardId>> {
        self.ways.get(&post)?.last().map(|first| first.from)
    }

    /// Where every post that is moved stands at the earliest of these moments.
    pub fn moved(&self) -> Moved {
        self.ways.iter().filter_map(|(post, way)| Some((*post, way.last()?.from))).collect()
    }

    /// What the rule asks, at the latest moment, of a board which such a post passes.
    pub(crate) fn passed(&self, board: BoardId) -> Option<&BoardFacts> {
        self.passed.get(&board)
    }

    /// Going back in time. `facts` are of the boards that the post left and came into.
    pub(crate) fn note_move<'a>(&mut self, post: PostId, made: Move, facts: impl Iterator<Item = &'a BoardFacts>) {
        self.ways.entry(post).or_default().push(made);
        self.passed.extend(facts.map(|facts| (facts.board, facts.clone())));
    }
}
