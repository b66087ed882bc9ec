//! Which counts a socket was sent. What is told at a place behind the one from which a seat is served was sent to it; of counts that is not
//! all: one that waited is told at the newest place, also to whoever joined there, and one that may not have been delivered is told
//! again behind a later cursor than its own place.

use super::Rooms;
use crate::{
    audience::Audience,
    history::Record,
    ids::{BoardId, SocketKey, Tick},
};

/// The counts of a board that a socket was sent, or is about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Those of records from this number on: they were told while it sat there.
    pub live_from: u64,
    /// Those that changed last in this tick or later: they were told again as it joined, or a newer one of the same was.
    pub again_from: Option<Tick>,
}

impl Counted {
    fn and(self, other: Self) -> Self {
        let again_from = self.again_from.into_iter().chain(other.again_from).min();
        Self { live_from: self.live_from.min(other.live_from), again_from }
    }
}

impl Rooms {
    /// The socket, which sits in these boards, was sent these counts of them beside those that it was sent before.
    pub fn sent_counts(&mut self, key: SocketKey, boards: impl IntoIterator<Item = BoardId>, sent: Counted) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        for board in boards {
            let all = seat.counted.entry(board).or_insert(sent);
            *all = all.and(sent);
        }
    }

    /// Whether the socket was sent the record of this number, or is about to be.
    pub fn has_been_sent<F>(&self, key: SocketKey, record: &Record<F>, number: u64) -> bool {
        let Some(served) = self.served(key, &record.audience) else { return false };
        let counted = || match (record.counted, &record.audience) {
            (Some(newest), Audience::Board(board)) => Some((newest.tick, self.seats.get(&key)?.counted.get(board)?)),
            _ => None,
        };
        served < record.place
            || counted().is_some_and(|(newest, sent)| {
                (served == record.place && number >= sent.live_from)
                    || sent.again_from.is_some_and(|from| newest >= from)
            })
    }
}
