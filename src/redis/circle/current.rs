//! `user_current_board:{userId}`: in which board each user of this node sat down last. The latest word of whichever node stands; a
//! node takes back what it said itself.

use std::collections::BTreeMap;

use redis::cmd;

use super::{KEPT, millis};
use crate::{
    circle::Said,
    ids::{BoardId, UserId},
    redis::{
        key::{part_of, short},
        question::{Question, Script},
    },
};

/// Of this node's own users, as it was said there.
pub(super) struct Current {
    prefix: String,
    clear: Script,
    boards: BTreeMap<UserId, BoardId>,
}

impl Current {
    /// Of nobody.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), clear: Script::new(include_str!("clear.lua")), boards: BTreeMap::new() }
    }

    /// Says where these sit, unless it is known of another node.
    pub(super) fn sit(&mut self, seats: Vec<(UserId, BoardId)>) -> Vec<Question> {
        let questions = seats.iter().map(|(user, board)| self.unless_known(user, *board)).collect();
        self.boards.extend(seats);
        questions
    }

    /// Says of those who sat down elsewhere, or went.
    pub(super) fn sit_down(&mut self, said: &[Said]) -> Vec<Question> {
        let mut questions = Vec::new();
        for Said { user, stay, .. } in said {
            let board = stay.as_ref().and_then(|stay| stay.boards.first().copied());
            let before = match board {
                Some(board) => self.boards.insert(user.clone(), board),
                None => self.boards.remove(user),
            };
            match (before, board) {
                (before, Some(board)) if before != Some(board) => {
                    questions.push(
                        cmd("SET").arg(self.key(user)).arg(board.0).arg("PX").arg(millis(KEPT)).to_owned().into(),
                    );
                }
                (Some(before), None) => questions.push(self.clear.on(&self.key(user)).arg(before.0)),
                _ => {}
            }
        }
        questions
    }

    /// A part of them.
    pub(super) fn of_part(&self, part: usize, of: usize) -> Vec<UserId> {
        self.boards.keys().filter(|user| part_of(user.as_str(), of) == part).cloned().collect()
    }

    /// Keeps it for longer, if it is there.
    pub(super) fn keep(&self, user: &UserId) -> Question {
        cmd("PEXPIRE").arg(self.key(user)).arg(millis(KEPT)).to_owned().into()
    }

    /// Says it again, where it was not.
    pub(super) fn again(&self, user: &UserId) -> Option<Question> {
        Some(self.unless_known(user, *self.boards.get(user)?))
    }

    fn unless_known(&self, user: &UserId, board: BoardId) -> Question {
        cmd("SET").arg(self.key(user)).arg(board.0).arg("PX").arg(millis(KEPT)).arg("NX").to_owned().into()
    }

    fn key(&self, user: &UserId) -> String {
        format!("{}user_current_board:{}", self.prefix, short(user.as_str()))
    }
}
