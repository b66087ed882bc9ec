//! Whoever asks who is here before that is known of other nodes: he waits a moment for it, and no longer.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Dispatcher, Join, NotJoined, NotListed, Seat};
use crate::{
    access::Permit, audience::Topic, contract::PresenceListed, ids::SocketKey, ports::EffectSink, presence::Scope,
    versions::Basis,
};

/// So long he waits.
const KNOWN_WITHIN: Duration = Duration::from_millis(250);

/// What waits until it is known who is in a scope.
pub(super) enum Waiting {
    Join { join: Box<Join>, reply: oneshot::Sender<Result<(), (NotJoined, Box<Join>)>> },
    List { key: SocketKey, board: Option<(Permit, Basis)>, reply: oneshot::Sender<Result<PresenceListed, NotListed>> },
}

impl<S: EffectSink> Dispatcher<S> {
    /// Serves whoever waited until it was known who is here, or long enough.
    pub(super) async fn serve_waiting(&mut self) {
        let now = self.began.elapsed();
        for _ in 0..self.attendance.waiting.len() {
            let Some((until, waiting)) = self.attendance.waiting.pop_front() else { return };
            if until > now && self.has_to_wait(&waiting) {
                self.attendance.waiting.push_back((until, waiting));
            } else {
                self.serve_now(waiting).await;
            }
        }
    }

    /// Joins, once it is known who is in the board or that this can't be known soon.
    pub(super) async fn join_knowing(
        &mut self,
        join: Box<Join>,
        reply: oneshot::Sender<Result<(), (NotJoined, Box<Join>)>>,
    ) {
        self.wait_or_serve(Waiting::Join { join, reply }).await;
    }

    pub(super) async fn wait_or_serve(&mut self, waiting: Waiting) {
        if self.has_to_wait(&waiting) {
            let until = self.began.elapsed() + KNOWN_WITHIN;
            self.attendance.waiting.push_back((until, waiting));
            self.attendance.say();
        } else {
            self.serve_now(waiting).await;
        }
    }

    fn has_to_wait(&mut self, waiting: &Waiting) -> bool {
        self.scope_of(waiting).is_some_and(|scope| self.attendance.may_soon_know(&scope))
    }

    async fn serve_now(&mut self, waiting: Waiting) {
        // Who asked may have gone; then nobody waits for the answer.
        match waiting {
            Waiting::Join { join, reply } => drop(reply.send(self.join(join).await)),
            Waiting::List { key, board, reply } => drop(reply.send(self.list(key, board))),
        }
    }

    /// Whose presence is asked for, where anybody asks for it.
    fn scope_of(&self, waiting: &Waiting) -> Option<Scope> {
        let (key, scope) = match waiting {
            Waiting::Join { join, .. } => match &join.seat {
                Seat::Board { permit, .. } => (join.key, Scope::Board(permit.board())),
                Seat::Post { .. } | Seat::Feed { .. } => return None,
            },
            Waiting::List { key, board: Some((permit, _)), .. } => (*key, Scope::Board(permit.board())),
            Waiting::List { key, board: None, .. } => {
                (*key, Scope::Community(self.rooms.actor(*key)?.community.clone()))
            }
        };
        self.rooms.wants(key, Topic::Presence).then_some(scope)
    }
}
