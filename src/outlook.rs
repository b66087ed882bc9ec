//! The rights between a tick and the moment at which its rows were read, where that is later.
//!
//! Whoever is shown a row has to be let in by the rights of the tick, of the moment of reading, and of every moment between: so
//! what was committed while he was shut out reaches him neither as an event nor inside an older one. A board that is deleted by
//! then stays open to whom it was open last, since nothing of it is left to be shown. A post that is moved in that time is judged at each
//! of these moments by the board in which it stands then.

mod way;

use std::collections::{BTreeSet, HashMap};

use crate::{
    access::{BoardFacts, CommunityFacts, Denied, Permit, decide},
    actor::Actor,
    ids::{BoardId, CommunityId, PostId},
};

use self::way::Way;
pub(crate) use self::way::{Astray, Move};

/// Values going back in time, each with the number of changes that are undone where it begins to hold.
type Course<T> = Vec<(usize, T)>;

/// What the rule rests on at each of these moments, as far as it differs from what the rows say.
#[derive(Debug, Default)]
pub struct Outlook {
    /// `None` where there is no such board.
    boards: HashMap<BoardId, Course<Option<BoardFacts>>>,
    /// As above.
    communities: HashMap<CommunityId, Course<Option<CommunityFacts>>>,
    /// Boards that are deleted by the latest moment, with the number of changes that are undone where each is last there.
    gone: HashMap<BoardId, usize>,
    /// Posts that are moved in these moments.
    ways: HashMap<PostId, Way>,
    /// What the rule asks at the latest moment of the boards that they pass.
    passed: HashMap<BoardId, BoardFacts>,
}

impl Outlook {
    /// The right that the actor has at all of these moments, or what denies it at the first that does. `board_now` and
    /// `community_now` are what holds where nothing is noted here.
    pub fn decide(
        &self,
        actor: &Actor,
        board: BoardId,
        board_now: Option<&BoardFacts>,
        community_now: Option<&CommunityFacts>,
    ) -> Result<Permit, Denied> {
        self.decide_between((usize::MAX, 0), actor, board, board_now, community_now)
    }

    /// The same of the moments from that at which the first number of changes is still undone to that at which the second is.
    fn decide_between(
        &self,
        (since, until): (usize, usize),
        actor: &Actor,
        board: BoardId,
        board_now: Option<&BoardFacts>,
        community_now: Option<&CommunityFacts>,
    ) -> Result<Permit, Denied> {
        let boards = self.boards.get(&board).map_or(&[][..], Vec::as_slice);
        let communities = self.communities.get(&actor.community).map_or(&[][..], Vec::as_slice);
        let decide_at = |undone: usize| {
            let board = holds(boards, undone).map_or(board_now, Option::as_ref);
            decide(actor, board, holds(communities, undone).map_or(community_now, Option::as_ref))
        };
        let steps = boards.iter().map(|(undone, _)| *undone).chain(communities.iter().map(|(undone, _)| *undone));
        // What changes behind its end shuts nobody out of a board.
        let latest = self.gone.get(&board).copied().unwrap_or(0).max(until);
        let steps: BTreeSet<usize> = steps.filter(|undone| *undone > latest && *undone <= since).collect();
        for undone in steps.into_iter().rev() {
            decide_at(undone)?;
        }
        decide_at(latest)
    }

    /// What the rule asked of the board at the earliest of these moments; `None` where nothing is noted.
    pub(crate) fn board_then(&self, board: BoardId) -> Option<Option<&BoardFacts>> {
        self.boards.get(&board)?.last().map(|(_, facts)| facts.as_ref())
    }

    /// The same at the latest, for a board that is deleted just before.
    pub(crate) fn board_last(&self, board: BoardId) -> Option<Option<&BoardFacts>> {
        self.boards.get(&board)?.first().map(|(_, facts)| facts.as_ref())
    }

    pub(crate) fn community_then(&self, community: &CommunityId) -> Option<Option<&CommunityFacts>> {
        self.communities.get(community)?.last().map(|(_, facts)| facts.as_ref())
    }

    /// What the rule asked of the community when the board, which is deleted, was last there; `None` where nothing is noted.
    pub(crate) fn community_last(&self, board: BoardId, community: &CommunityId) -> Option<Option<&CommunityFacts>> {
        let latest = *self.gone.get(&board)?;
        holds(self.communities.get(community)?, latest).map(Option::as_ref)
    }

    /// The boards of which something is noted.
    pub(crate) fn boards(&self) -> impl Iterator<Item = BoardId> {
        self.boards.keys().copied()
    }

    /// Whether the board is deleted by the latest moment.
    pub(crate) fn is_gone(&self, board: BoardId) -> bool {
        self.gone.contains_key(&board)
    }

    /// Where so many changes are undone, this begins to hold.
    pub(crate) fn note_board(&mut self, board: BoardId, undone: usize, facts: Option<BoardFacts>) {
        self.boards.entry(board).or_default().push((undone, facts));
    }

    pub(crate) fn note_community(&mut self, community: &CommunityId, undone: usize, facts: Option<CommunityFacts>) {
        self.communities.entry(community.clone()).or_default().push((undone, facts));
    }

    /// Where so many changes are undone the board was last there, and this held; what comes later is nobody's loss.
    pub(crate) fn note_end(&mut self, board: BoardId, undone: usize, facts: Option<BoardFacts>) {
        self.boards.insert(board, vec![(0, facts)]);
        self.gone.insert(board, undone);
    }
}

/// The value where so many changes are undone.
fn holds<T>(course: &[(usize, T)], undone: usize) -> Option<&T> {
    let count = course.partition_point(|(since, _)| *since <= undone);
    count.checked_sub(1).map(|at| &course[at].1)
}
