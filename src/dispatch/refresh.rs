//! Another token for a socket: new rights, both ways, in one step between two batches.
//!
//! A socket's commands are asked for one after the other, so a join that was decided for the actor before is over by
//! the time this comes.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::{Dispatcher, Stale};
use crate::{
    access::{BoardFacts, CommunityFacts, Permit},
    actor::Actor,
    chronicle::Position,
    contract::{AccessGranted, AccessRevoked, RevokeReason, ServerEvent},
    event::Rows,
    ids::{BoardId, SocketKey},
    ports::EffectSink,
    rooms::Renewed,
    versions::Basis,
};

/// Whom a socket speaks for from now on: the same user of the same community.
#[derive(Debug)]
pub struct Refresh {
    pub key: SocketKey,
    pub actor: Actor,
    pub community: Option<CommunityFacts>,
    /// All that the community owns or imports.
    pub boards: Arc<HashMap<BoardId, BoardFacts>>,
    /// What both rest on.
    pub basis: Basis,
    /// When it was asked for.
    pub at: DateTime<Utc>,
}

impl<S: EffectSink> Dispatcher<S> {
    /// Puts the socket out of what is no longer open to it and tells it so, then what newly is.
    pub(super) async fn refresh(&mut self, refresh: Refresh) -> Result<(), Stale> {
        if !self.versions.still(&refresh.basis) {
            return Err(Stale);
        }
        let Refresh { key, actor, community, boards, at, .. } = refresh;
        let position = Position { place: self.chronicle.told(), at };
        let Renewed { lost, gained } = self.rooms.renew(key, actor, community, &boards, position.place);
        for (board, reason) in lost {
            // Of what a later page of this tick was about to open, nothing has been told.
            if !self.to_gain.take(board, key) {
                self.tell_revoked(key, board, reason, position).await;
            }
        }
        let sent = self.chronicle.ahead_of_rights(&gained.iter().map(Permit::board).collect());
        self.send(sent, &Rows::default()).await;
        for permit in gained {
            let board = permit.board();
            // It has left already, which a later page was about to tell.
            if let Some(reason) = self.was_to_lose(key, board) {
                self.tell_revoked(key, board, reason, position).await;
            }
            match self.untold.of_board(board, position.place) {
                // As whoever had the right when the tick began.
                Some(place) => self.to_gain.append([(place.ordinal, vec![(permit, key)])].into()),
                None => self.tell_granted(&permit, key, position).await,
            }
        }
        Ok(())
    }

    pub(super) async fn tell_revoked(
        &self,
        key: SocketKey,
        board_id: BoardId,
        reason: RevokeReason,
        position: Position,
    ) {
        let event = ServerEvent::BoardAccessRevoked(AccessRevoked { board_id, reason });
        self.tell_one(key, event, position).await;
    }

    /// From here on the feed shows the board, too.
    pub(super) async fn tell_granted(&mut self, permit: &Permit, key: SocketKey, position: Position) {
        self.rooms.extend_feed(key, permit, position.place);
        let event = ServerEvent::BoardAccessGranted(AccessGranted { board_id: permit.board() });
        self.tell_one(key, event, position).await;
    }

    /// Whether a later page of the tick that is being told was still to tell that it lost the board.
    fn was_to_lose(&mut self, key: SocketKey, board: BoardId) -> Option<RevokeReason> {
        let mut reason = None;
        for lost in self.verdicts.lost.values_mut() {
            let meant = lost.extract_if(.., |(of, _, to)| (*of, *to) == (board, key)).last();
            reason = meant.map(|(_, why, _)| why).or(reason);
        }
        reason
    }
}
