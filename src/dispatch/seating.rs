//! A join: what was missed, the seat, the answer, in one step.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use serde_json::{Value, to_value};

use super::{Dispatcher, Stale};
use crate::{
    access::Permit,
    command::Since,
    contract::{BoardJoined, ErrorCode, Failure, FeedJoined, PostJoined, Viewer},
    frame::Frame,
    history::{Gap, Missed, Resumed},
    ids::{BoardId, Cursor, Place, PostId, SocketKey},
    ports::{Acknowledge, EffectSink},
    rooms::{Counted, NotSeated, Spot},
    versions::Basis,
};

/// A join that was permitted on `basis`.
pub struct Join {
    pub key: SocketKey,
    pub seat: Seat,
    pub since: Since,
    pub basis: Basis,
    /// Whether what is older than memory is to be asked for.
    pub deeper: bool,
    /// Called once the socket sits, behind what it missed and before whatever comes later.
    pub acknowledge: Acknowledge,
}

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Join").field("key", &self.key).field("seat", &self.seat).finish_non_exhaustive()
    }
}

/// Where a socket wants to sit, with the right to.
#[derive(Debug)]
pub enum Seat {
    Board { permit: Permit, typing: bool },
    Post { permit: Permit, post: PostId },
    Feed { permits: Vec<Permit> },
}

/// Why a permitted join did not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJoined {
    /// Rights changed: decide anew.
    Stale(Stale),
    NotSeated(NotSeated),
    /// The cursor's place has not been told here yet: another node was quicker.
    Ahead(Place),
    /// The tick that is being told changes further on who may sit there: up to here has to be told first.
    Untold(Place),
    /// The cursor is older than what is in memory.
    Older,
}

impl Seat {
    fn spot(&self) -> Spot {
        match self {
            Self::Board { permit, .. } => Spot::Board(permit.board()),
            Self::Post { post, .. } => Spot::Post(*post),
            Self::Feed { .. } => Spot::Feed,
        }
    }

    pub(super) fn boards(&self) -> BTreeSet<BoardId> {
        match self {
            Self::Board { permit, .. } | Self::Post { permit, .. } => BTreeSet::from([permit.board()]),
            Self::Feed { permits } => permits.iter().map(Permit::board).collect(),
        }
    }

    /// What the client is answered.
    fn joined(
        self,
        cursor: String,
        recovered: bool,
        (users, user_count): (Vec<Viewer>, u32),
    ) -> Result<Value, serde_json::Error> {
        match self {
            Self::Board { permit, .. } => {
                to_value(BoardJoined { board_id: permit.board(), cursor, recovered, users, user_count })
            }
            Self::Post { permit, post } => {
                to_value(PostJoined { post_id: post, board_id: permit.board(), cursor, recovered })
            }
            Self::Feed { permits } => {
                let board_ids = permits.iter().map(Permit::board).collect::<BTreeSet<_>>().into_iter().collect();
                to_value(FeedJoined { board_ids, cursor, recovered })
            }
        }
    }
}

impl<S: EffectSink> Dispatcher<S> {
    pub(super) async fn join(&mut self, join: Box<Join>) -> Result<(), (NotJoined, Box<Join>)> {
        if !self.versions.still(&join.basis) {
            return Err((NotJoined::Stale(Stale), join));
        }
        if let Err(refused) = self.rooms.has_room(join.key, join.seat.spot()) {
            return Err((NotJoined::NotSeated(refused), join));
        }
        if let Some(place) = self.untold.of_seat(&join.seat, self.chronicle.told()) {
            return Err((NotJoined::Untold(place), join));
        }
        let missed = match self.missed(&join) {
            Ok(missed) => missed.filter(|missed| self.fits(join.key, missed)),
            Err(refused) => return Err((refused, join)),
        };
        if let Err(refused) = self.sit(join.key, &join.seat, join.since, missed.is_some()) {
            return Err((NotJoined::NotSeated(refused), join));
        }
        let Join { key, seat, acknowledge, .. } = *join;
        // Others hear of it now, and the answer counts it.
        self.settle().await;
        let viewers = match &seat {
            Seat::Board { permit, .. } => self.viewers(key, permit.board()),
            _ => Default::default(),
        };
        let recovered = missed.is_some();
        for frame in missed.into_iter().flatten() {
            self.sink.emit(&[key], &frame).await;
        }
        acknowledge(seat.joined(self.chronicle.cursor().to_string(), recovered, viewers).map_err(|error| {
            tracing::error!(%error, "an answer could not be encoded");
            Failure::new(ErrorCode::Unavailable, "the answer could not be made; try again")
        }));
        Ok(())
    }

    /// What the socket is sent again, in order; `None` when it can't all be had.
    fn missed(&self, join: &Join) -> Result<Option<Vec<Arc<Frame>>>, NotJoined> {
        let cursor = match join.since {
            Since::Now => return Ok(None),
            Since::Cursor(cursor) if cursor.epoch == self.chronicle.epoch() => cursor,
            Since::Cursor(_) | Since::Unknown => {
                count("unknown_cursor");
                return Ok(None);
            }
        };
        if cursor.place > self.chronicle.told() {
            return Err(NotJoined::Ahead(cursor.place));
        }
        let boards = join.seat.boards();
        if self.rooms.was_opened_behind(join.key, cursor.owed_from(), &boards) {
            count("rights_changed");
            return Ok(None);
        }
        if self.were_flags_changed_behind(join.key, cursor.place) {
            count("flags_changed");
            return Ok(None);
        }
        let what = match &join.seat {
            Seat::Board { permit, .. } => Resumed::Board(permit.board()),
            Seat::Post { permit, post } => Resumed::Post { post: *post, board: permit.board() },
            Seat::Feed { .. } => Resumed::Feed(&boards),
        };
        match self.chronicle.history.missed(&cursor, what, |post, topic| self.chronicle.holds(post, topic)) {
            Ok(missed) => {
                count("recovered");
                Ok(Some(self.owed(join.key, &missed, cursor)))
            }
            Err(Gap::Older) if join.deeper => Err(NotJoined::Older),
            Err(gap) => {
                count(match gap {
                    Gap::Older => "too_old",
                    Gap::Rights => "rights_changed",
                    Gap::TooMany => "too_many",
                });
                Ok(None)
            }
        }
    }

    /// Whether its community may have switched on again what it was not told for a while, the cursor's place among it.
    pub(super) fn were_flags_changed_behind(&self, key: SocketKey, place: Place) -> bool {
        let history = &self.chronicle.history;
        self.rooms.actor(key).is_some_and(|actor| history.were_flags_changed_behind(place, &actor.community))
    }

    /// Whoever is handed more at once than may wait for him would be closed, and come back for the same.
    fn fits(&self, key: SocketKey, missed: &[Arc<Frame>]) -> bool {
        let fits = self.sink.takes(key, missed.len(), missed.iter().map(|frame| frame.size()).sum());
        if !fits {
            count("too_large");
        }
        fits
    }

    /// The frames for this socket but for those that it was sent through another room, counts older than one that it was sent, and what it
    /// does not want.
    fn owed(&self, key: SocketKey, missed: &[Missed<'_, Arc<Frame>>], cursor: Cursor) -> Vec<Arc<Frame>> {
        let mut passed = HashSet::new();
        let mut owed = Vec::with_capacity(missed.len());
        for Missed { record, number, again } in missed.iter().rev() {
            let count = record.count();
            if self.rooms.has_been_sent(key, record, *number) {
                passed.extend(count);
            } else if self.rooms.wants(key, record.topic) && !count.is_some_and(|count| passed.contains(&count)) {
                let full = record.to_admins.as_ref().filter(|full| self.rooms.is_admin(key, &full.of));
                let frame = full.map_or(&record.frame, |full| &full.shown);
                owed.push(if *again { Arc::new(frame.at(cursor, record.at)) } else { Arc::clone(frame) });
            }
        }
        owed.reverse();
        owed
    }

    fn sit(&mut self, key: SocketKey, seat: &Seat, since: Since, recovered: bool) -> Result<(), NotSeated> {
        let served = match since {
            Since::Cursor(cursor) if recovered => cursor.place,
            _ => self.chronicle.told(),
        };
        match seat {
            Seat::Board { permit, typing } => self.rooms.join_board(key, permit, *typing, served)?,
            // A post's room is told no counts.
            Seat::Post { permit, post } => return self.rooms.join_post(key, permit, *post, served),
            Seat::Feed { permits } => self.rooms.join_feed(key, permits, served)?,
        }
        let again_from = match since {
            Since::Cursor(cursor) if recovered => cursor.held_from,
            _ => None,
        };
        let sent = Counted { live_from: self.chronicle.history.next(), again_from };
        self.rooms.sent_counts(key, seat.boards(), sent);
        Ok(())
    }
}

/// How joins with a cursor end.
fn count(outcome: &'static str) {
    metrics::counter!("curia_replays_total", "outcome" => outcome).increment(1);
}
