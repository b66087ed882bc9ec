//! What was heard, on its way to the dispatcher.
//!
//! Invariants:
//! - nobody waits for the dispatcher: what it can't take at once lies here, in order, until it can;
//! - who keeps the way takes nothing more that is to be heard while the dispatcher [is behind](Backlog::is_behind), so that no more lies
//!   here than came of one beat or of one look at what was published, and the last round.

use std::{collections::VecDeque, future::pending, pin::pin};

use tokio::sync::mpsc;

use crate::circle::Heard;

/// See the module.
pub(super) struct Backlog {
    to: mpsc::Sender<Heard>,
    waiting: VecDeque<Heard>,
    /// Whether [`Heard::Here`] waits.
    begins: bool,
}

impl Backlog {
    pub(super) fn new(to: mpsc::Sender<Heard>) -> Self {
        Self { to, waiting: VecDeque::new(), begins: false }
    }

    /// Adds what was heard. Of who lives the latest word waits alone.
    pub(super) fn push(&mut self, heard: Heard) {
        let is_of_nodes = |heard: &Heard| matches!(heard, Heard::Nodes(_));
        match self.waiting.iter_mut().find(|waiting| is_of_nodes(waiting)) {
            Some(earlier) if is_of_nodes(&heard) => *earlier = heard,
            _ => {
                self.begins |= matches!(heard, Heard::Here);
                self.waiting.push_back(heard);
            }
        }
        while !self.waiting.is_empty() {
            let Ok(permit) = self.to.try_reserve() else { return };
            if let Some(heard) = self.waiting.pop_front() {
                self.begins &= !matches!(heard, Heard::Here);
                permit.send(heard);
            }
        }
    }

    /// Nothing that waits is true any longer.
    pub(super) fn give_up(&mut self) {
        self.waiting.clear();
        self.begins = false;
        self.push(Heard::Away);
    }

    /// Waits until the dispatcher can take the next, and hands it over; without one, for ever. Cancelling it loses nothing.
    pub(super) async fn hand_over(&mut self) {
        if self.waiting.is_empty() {
            return pending().await;
        }
        // Without a dispatcher the service is stopping.
        let Ok(permit) = self.to.reserve().await else { return pending().await };
        if let Some(heard) = self.waiting.pop_front() {
            self.begins &= !matches!(heard, Heard::Here);
            permit.send(heard);
        }
    }

    /// What is asked meanwhile: the dispatcher does not wait for its answer. While it [begins](Self::begins) nothing is handed over.
    pub(super) async fn handing_over<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let mut asked = pin!(asked);
        loop {
            tokio::select! {
                biased;
                answer = &mut asked => return answer,
                () = self.hand_over(), if !self.begins => {}
            }
        }
    }

    /// Whether as much waits as the dispatcher may have before it.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting.len() >= self.to.max_capacity()
    }

    /// Whether the dispatcher does not know yet that everything begins anew: what it says until then is void.
    pub(super) fn begins(&self) -> bool {
        self.begins
    }
}
