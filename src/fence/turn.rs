//! The rights before and behind a tick's changes, by undoing them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Fence;
use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    change::Change,
    ids::{BoardId, CommunityId},
    rooms::Rooms,
};

/// What the rule rests on at some moment, as far as it is not what the rows say.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// `None` where there is no such board yet.
    pub(super) boards: HashMap<BoardId, Option<BoardFacts>>,
    pub(super) communities: HashMap<CommunityId, CommunityFacts>,
}

/// The rights before and behind the changes of a fence.
pub(super) struct Turn {
    pub(super) before: Rights,
    pub(super) after: Rights,
    /// The boards that others might open at some moment than at the one before, with the last change that made it so.
    pub(super) changed: BTreeMap<BoardId, u32>,
    /// The boards that were deleted by now.
    pub(super) gone: BTreeSet<BoardId>,
}

impl Fence {
    /// The state before the first change, by undoing all of them from `after` on.
    pub(super) fn undone(&self, after: Rights, rooms: &Rooms) -> Turn {
        let touched = self.changes.iter().filter_map(|(_, change)| match change {
            Change::BoardCreated { board }
            | Change::BoardUpdated { board, .. }
            | Change::ImportChanged { board, .. } => Some((*board, self.facts_in(&after, *board).cloned())),
            _ => None,
        });
        let mut before = Rights { boards: touched.collect(), communities: HashMap::new() };
        let mut changed = BTreeMap::new();
        for (ordinal, change) in self.changes.iter().rev() {
            match change {
                Change::BoardCreated { board } => {
                    before.boards.insert(*board, None);
                }
                Change::BoardUpdated { board, was, .. } if was.community.is_none() => {
                    before.boards.insert(*board, None);
                    changed.entry(*board).or_insert(*ordinal);
                }
                Change::BoardUpdated { board, .. } | Change::ImportChanged { board, .. } => {
                    if let (Some(facts @ None), Some(was)) = (before.boards.get_mut(board), was_without(change)) {
                        *facts = Some(was);
                        changed.entry(*board).or_insert(*ordinal);
                    } else if let Some(Some(facts)) = before.boards.get_mut(board) {
                        let then = facts.clone();
                        undo(change, facts);
                        if *facts != then {
                            changed.entry(*board).or_insert(*ordinal);
                        }
                    }
                }
                Change::CommunityUpdated { community, settings_was } => {
                    let known = before.communities.get(community).or_else(|| after.communities.get(community));
                    let known = known.or_else(|| self.rows.communities.get(community));
                    if let Some(facts) = known.or_else(|| rooms.communities.get(community)).cloned() {
                        let rule = RoleRule::of_settings(Some(settings_was));
                        if rule != facts.rule {
                            for board in self.shown_in(community, &before, &after) {
                                changed.entry(board).or_insert(*ordinal);
                            }
                        }
                        before.communities.insert(community.clone(), CommunityFacts { rule, ..facts });
                    }
                }
                _ => {}
            }
        }
        Turn { before, after, changed, gone: self.deleted().collect() }
    }

    pub(super) fn deleted(&self) -> impl Iterator<Item = BoardId> {
        self.changes.iter().filter_map(|(_, change)| match change {
            Change::BoardDeleted { board, .. } => Some(*board),
            _ => None,
        })
    }

    /// The boards that a community owns or imports at the moment to which `before` goes back from `after`.
    fn shown_in(&self, community: &CommunityId, before: &Rights, after: &Rights) -> Vec<BoardId> {
        let known = before.boards.keys().chain(after.boards.keys()).chain(self.rows.facts.keys());
        let boards: BTreeSet<BoardId> = known.copied().collect();
        let shown = |board: &BoardId| {
            let facts = match before.boards.get(board) {
                Some(facts) => facts.as_ref(),
                None => self.facts_in(after, *board),
            };
            facts.is_some_and(|facts| is_shown_in(facts, community))
        };
        boards.into_iter().filter(shown).collect()
    }

    /// What the rule asks of the board at that moment, if there is one.
    pub(super) fn facts_in<'a>(&'a self, rights: &'a Rights, board: BoardId) -> Option<&'a BoardFacts> {
        match rights.boards.get(&board) {
            Some(facts) => facts.as_ref(),
            None => self.rows.board_facts(board),
        }
    }
}

/// What the rule asked of a board that belongs to nobody since this change. Who imported it is not known any more.
fn was_without(change: &Change) -> Option<BoardFacts> {
    let Change::BoardUpdated { board, was, .. } = change else { return None };
    let rule = RoleRule::of_settings(Some(&was.settings));
    Some(BoardFacts { board: *board, community: was.community.clone()?, rule, importers: BTreeSet::new() })
}

/// Takes back what a change of a board or of an import did to what the rule asks.
fn undo(change: &Change, facts: &mut BoardFacts) {
    match change {
        Change::BoardUpdated { was, .. } => {
            if let Some(community) = &was.community {
                facts.community = community.clone();
            }
            facts.rule = RoleRule::of_settings(Some(&was.settings));
        }
        Change::ImportChanged { community, active_was: true, .. } => drop(facts.importers.insert(community.clone())),
        Change::ImportChanged { community, active_was: false, .. } => drop(facts.importers.remove(community)),
        _ => {}
    }
}

fn is_shown_in(facts: &BoardFacts, community: &CommunityId) -> bool {
    facts.community == *community || facts.importers.contains(community)
}
