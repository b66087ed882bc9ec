//! The rights before a tick's changes, and at every moment from there on, by undoing them.

use std::collections::{BTreeMap, BTreeSet};

use super::Fence;
use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    change::{BoardWas, Change},
    contract::Features,
    ids::{BoardId, CommunityId},
    outlook::{Move, Outlook},
};

/// The changes of a fence, undone.
pub(super) struct Turn {
    /// From behind the last change back to before the first.
    pub(super) past: Outlook,
    /// The boards that others might open at some moment than at the one before, with the last change that made it so.
    pub(super) changed: BTreeMap<BoardId, u32>,
}

impl Fence {
    /// Undoes all changes, from the earliest moment of `after` on.
    pub(super) fn undone(&self, after: &Outlook) -> Turn {
        let mut past = Outlook::default();
        for board in self.touched() {
            past.note_board(board, 0, self.facts_in(after, board).cloned());
        }
        let mut turn = Turn { past, changed: BTreeMap::new() };
        for (undone, (ordinal, change)) in (1..).zip(self.changes.iter().rev()) {
            match change {
                Change::CommunityCreated { community } => {
                    self.undo_community(&mut turn, undone, *ordinal, (community, None), after);
                }
                Change::CommunityUpdated { community, settings_was }
                | Change::CommunityDeleted { community, settings_was } => {
                    let rule = RoleRule::of_settings(Some(settings_was));
                    self.undo_community(&mut turn, undone, *ordinal, (community, Some(rule)), after);
                }
                Change::BoardDeleted { board, was } => {
                    let facts = facts_of(*board, was, self.gone_along(*board));
                    let taken_along = was.community.as_ref().and_then(|owner| self.taken_along(owner, undone));
                    turn.past.note_end(*board, taken_along.unwrap_or(undone), Some(facts));
                }
                Change::PostMoved { post, from, to } => {
                    let passed = from.iter().chain(to).filter_map(|board| self.rows.board_facts(*board));
                    turn.past.note_move(*post, Move { number: *ordinal, from: *from, to: *to, undone }, passed);
                }
                _ => turn.undo_board(undone, *ordinal, change),
            }
        }
        turn
    }

    /// Takes back what a change did to a community, which had this rule before; none where it was not there.
    fn undo_community(
        &self,
        turn: &mut Turn,
        undone: usize,
        ordinal: u32,
        (community, was): (&CommunityId, Option<RoleRule>),
        after: &Outlook,
    ) {
        let then = turn.past.community_then(community).or_else(|| after.community_then(community));
        let later = then.unwrap_or_else(|| self.rows.communities.get(community));
        if later.map(|facts| &facts.rule) == was.as_ref() {
            return;
        }
        let features = later.map_or(Features::ALL_ON, |facts| facts.features);
        let earlier = was.map(|rule| CommunityFacts { community: community.clone(), rule, features });
        for board in self.shown_in(community, &turn.past, after) {
            turn.changed.entry(board).or_insert(ordinal);
        }
        turn.past.note_community(community, undone, earlier);
    }

    /// Where the owner of a board that is deleted was deleted just before and took it along, how many changes are undone before that:
    /// PostgreSQL has the cascade behind the deletion itself, and both are one.
    fn taken_along(&self, owner: &CommunityId, undone: usize) -> Option<usize> {
        let earlier = (1..).zip(self.changes.iter().rev()).skip(undone);
        let mut of_owner = earlier.filter_map(|(undone, (_, change))| match change {
            Change::CommunityDeleted { community, .. } if community == owner => Some(Some(undone)),
            Change::CommunityCreated { community } if community == owner => Some(None),
            _ => None,
        });
        of_owner.next()?
    }

    /// Who imported a board until it was deleted, wherever in the transaction that is noted.
    fn gone_along(&self, ended: BoardId) -> BTreeSet<CommunityId> {
        let importers = self.changes.iter().filter_map(|(_, change)| match change {
            Change::ImportChanged { board, community, active_was: true, with_board: true } if *board == ended => {
                Some(community.clone())
            }
            _ => None,
        });
        importers.collect()
    }

    fn touched(&self) -> BTreeSet<BoardId> {
        let touched = self.changes.iter().filter_map(|(_, change)| match change {
            Change::BoardCreated { board }
            | Change::BoardUpdated { board, .. }
            | Change::BoardDeleted { board, .. }
            | Change::ImportChanged { board, .. } => Some(*board),
            _ => None,
        });
        touched.collect()
    }

    /// The boards that a community owns or imports at the moment to which `past` goes back from `after`.
    fn shown_in(&self, community: &CommunityId, past: &Outlook, after: &Outlook) -> Vec<BoardId> {
        let known = past.boards().chain(after.boards()).chain(self.rows.facts.keys().copied());
        let boards: BTreeSet<BoardId> = known.collect();
        let shown = |board: &BoardId| {
            let facts = past.board_then(*board).unwrap_or_else(|| self.facts_in(after, *board));
            facts.is_some_and(|facts| facts.is_shown_in(community))
        };
        boards.into_iter().filter(shown).collect()
    }

    /// What the rule asks of the board at the earliest moment of `outlook`, if there is one.
    pub(super) fn facts_in<'a>(&'a self, outlook: &'a Outlook, board: BoardId) -> Option<&'a BoardFacts> {
        outlook.board_then(board).unwrap_or_else(|| self.rows.board_facts(board))
    }
}

impl Turn {
    /// Takes back what a change did to what the rule asks of a board.
    fn undo_board(&mut self, undone: usize, ordinal: u32, change: &Change) {
        match change {
            Change::BoardCreated { board } => self.past.note_board(*board, undone, None),
            Change::ImportChanged { with_board: true, .. } => {}
            Change::BoardUpdated { board, .. } | Change::ImportChanged { board, .. } => {
                let later = self.past.board_then(*board).flatten();
                let earlier = earlier(change, later);
                if earlier.as_ref() != later {
                    self.past.note_board(*board, undone, earlier);
                    self.changed.entry(*board).or_insert(ordinal);
                }
            }
            _ => {}
        }
    }
}

/// What the rule asked of a board before the change, given what it asked behind it.
fn earlier(change: &Change, later: Option<&BoardFacts>) -> Option<BoardFacts> {
    match (change, later) {
        (Change::BoardUpdated { board, was, .. }, later) => {
            let importers = later.map(|later| later.importers.clone()).unwrap_or_default();
            Some(facts_of(*board, was, importers))
        }
        (Change::ImportChanged { community, active_was, .. }, Some(later)) => {
            let mut facts = later.clone();
            if *active_was {
                facts.importers.insert(community.clone());
            } else {
                facts.importers.remove(community);
            }
            Some(facts)
        }
        _ => later.cloned(),
    }
}

/// What the rule asked of a board before it was changed or deleted.
fn facts_of(board: BoardId, was: &BoardWas, importers: BTreeSet<CommunityId>) -> BoardFacts {
    let rule = RoleRule::of_settings(Some(&was.settings));
    BoardFacts { board, community: was.community.clone(), rule, importers }
}
