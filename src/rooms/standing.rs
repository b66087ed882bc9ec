//! Where a user's sockets sit with regard to an event, for whoever asks why.

use super::Rooms;
use crate::{
    audience::Audience,
    ids::{Cursor, Room, SocketKey, UserId},
    why::{Asked, Outcome},
};

impl Rooms {
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
