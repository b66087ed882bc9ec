//! Where a user's sockets sit: for whoever asks why, for who is here, and for who may say that he writes.

use std::{
    collections::{BTreeSet, HashSet},
    mem,
};

use super::Rooms;
use crate::{
    actor::Actor,
    audience::Audience,
    ids::{BoardId, Cursor, PostId, Room, SocketKey, UserId},
    presence::{Move, Scope},
    why::{Asked, Outcome},
};

impl Rooms {
    /// What moved since this was asked last, in order.
    pub fn take_moves(&mut self) -> Vec<Move> {
        mem::take(&mut self.moves)
    }

    /// Who left a room since this was asked last.
    pub fn take_strayed(&mut self) -> BTreeSet<SocketKey> {
        mem::take(&mut self.strayed)
    }

    /// Scopes that somebody newly minds since this was asked last; some that others minded before.
    pub fn take_opened(&mut self) -> Vec<Scope> {
        mem::take(&mut self.opened)
    }

    /// Every scope of which somebody here is told who comes, goes or writes.
    pub fn minded(&self) -> HashSet<Scope> {
        let rooms = self.sitting.keys().filter_map(|room| match room {
            Room::Community(community) => Some(Scope::Community(community.clone())),
            Room::Board(board) => Some(Scope::Board(*board)),
            _ => None,
        });
        let posts = self.seats.values().flat_map(|seat| seat.posts.values());
        rooms.chain(posts.map(|(board, _)| Scope::Board(*board))).collect()
    }

    /// For whom the socket speaks, while it is here.
    pub fn actor(&self, key: SocketKey) -> Option<&Actor> {
        self.seats.get(&key).map(|seat| &seat.actor)
    }

    /// The board of a post in whose room the socket sits.
    pub fn board_of_post(&self, key: SocketKey, post: PostId) -> Option<BoardId> {
        self.seats.get(&key)?.posts.get(&post).map(|(board, _)| *board)
    }

    /// Whether the socket sits in the board's room.
    pub fn sits_in(&self, key: SocketKey, board: BoardId) -> bool {
        self.seats.get(&key).is_some_and(|seat| seat.sits_in(board))
    }

    /// Who is in any of the rooms, each once, but for the user's own sockets.
    pub fn others(&self, rooms: &[Room], user: &UserId) -> Vec<SocketKey> {
        let own = self.sitting.get(&Room::User(user.clone()));
        let mut keys = match rooms {
            [room] => self.members(room),
            rooms => {
                let all: BTreeSet<SocketKey> =
                    rooms.iter().filter_map(|room| self.sitting.get(room)).flatten().copied().collect();
                all.into_iter().collect()
            }
        };
        keys.retain(|key| !own.is_some_and(|own| own.contains(key)));
        keys
    }

    /// The user's sockets, in the order of their coming.
    pub fn sockets_of(&self, user: &UserId) -> Vec<SocketKey> {
        self.members(&Room::User(user.clone()))
    }

    /// What became of an event for a socket, everything up to `told` having been told.
    pub fn outcome(&self, key: SocketKey, asked: &Asked, told: Cursor) -> Outcome {
        let Asked { place, audience, topic } = asked;
        if *place > told.place {
            return Outcome::NotToldYet;
        }
        match self.served(key, audience) {
            None => Outcome::NotInRoom,
            Some(since) if since >= *place => Outcome::JoinedLater(since),
            Some(_) if !self.wants(key, *topic) => Outcome::SwitchedOff,
            Some(_) if matches!(audience, Audience::WhoMayOpen(_) | Audience::User(..)) => Outcome::SentIfOpen,
            Some(_) => Outcome::Sent,
        }
    }
}
