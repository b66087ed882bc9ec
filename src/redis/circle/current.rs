//! `user_current_board:{userId}`: in which board each user of this node sat down last, in whichever community. The latest word of whichever
//! node stands; a node keeps, and takes back, what it said itself: what one that has died said runs out, and then another says its own.

use std::collections::BTreeMap;

use redis::cmd;

use super::{KEPT, millis};
use crate::{
    circle::Said,
    ids::{BoardId, CommunityId, UserId},
    redis::{
        key::{part_of, short},
        question::{Question, Script},
    },
};

/// Of this node's own users, as it was said there.
pub(super) struct Current {
    prefix: String,
    clear: Script,
    keep: Script,
    /// One a community, the latest last; never none.
    boards: BTreeMap<UserId, Vec<(CommunityId, BoardId)>>,
}

impl Current {
    /// Of nobody.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            clear: Script::new(include_str!("clear.lua")),
            keep: Script::new(include_str!("keep.lua")),
            boards: BTreeMap::new(),
        }
    }

    /// Where he sits in the community; what is [kept](Current::keep) of him says it.
    pub(super) fn sits(&mut self, community: &CommunityId, user: &UserId, board: BoardId) {
        self.moved(community, user, Some(board));
    }

    /// Says of those who sat down elsewhere in the community, or went.
    pub(super) fn sit_down(&mut self, community: &CommunityId, said: &[Said]) -> Vec<Question> {
        let moved = said.iter().filter_map(|Said { user, stay, .. }| {
            let board = stay.as_ref().and_then(|stay| stay.boards.first().copied());
            match self.moved(community, user, board) {
                (before, Some(board)) if before != Some(board) => {
                    let said = cmd("SET").arg(self.key(user)).arg(board.0).arg("PX").arg(millis(KEPT)).to_owned();
                    Some(said.into())
                }
                (Some(before), None) => Some(self.clear.on(&self.key(user)).arg(before.0)),
                _ => None,
            }
        });
        moved.collect()
    }

    /// In which board he sat down last, before and now.
    fn moved(
        &mut self,
        community: &CommunityId,
        user: &UserId,
        board: Option<BoardId>,
    ) -> (Option<BoardId>, Option<BoardId>) {
        let boards = self.boards.entry(user.clone()).or_default();
        let last = |boards: &[(CommunityId, BoardId)]| boards.last().map(|(_, board)| *board);
        let before = last(boards);
        let there = boards.iter().find(|(of, _)| of == community).map(|(_, board)| *board);
        if there != board {
            boards.retain(|(of, _)| of != community);
            boards.extend(board.map(|board| (community.clone(), board)));
        }
        let now = last(boards);
        if boards.is_empty() {
            self.boards.remove(user);
        }
        (before, now)
    }

    /// A part of them.
    pub(super) fn of_part(&self, part: usize, of: usize) -> Vec<UserId> {
        self.boards.keys().filter(|user| part_of(user.as_str(), of) == part).cloned().collect()
    }

    /// Keeps it for longer, and says it again where nothing is said; nothing of one who sits nowhere.
    pub(super) fn keep(&self, user: &UserId) -> Option<Question> {
        let (_, board) = self.boards.get(user)?.last()?;
        Some(self.keep.on(&self.key(user)).arg(board.0).arg(millis(KEPT)))
    }

    fn key(&self, user: &UserId) -> String {
        format!("{}user_current_board:{}", self.prefix, short(user.as_str()))
    }
}
