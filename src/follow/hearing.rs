//! What a node that makes no ticks hears of them, and when it has to look for itself.
//!
//! A tick is taken from the relay where it is exactly the next, follows the very snapshot at which this node stands, and was
//! read no earlier than what this node has read itself. So rows, and the rights that come with them, only ever move forward in
//! time here, whichever way a tick comes (contract section 3: no row is sent that was read at a later moment than the rights that
//! were applied). What lags behind is this node as a whole, and joins lag with it: they are decided on facts as they were at its last
//! tick ([`crate::postgres::facts`] waits where rights have changed since), and whoever was seated on older ones is evicted by
//! the fence of the tick that changes them, before anything of it is told. So it makes no difference to rights how far a node is
//! behind.
//!
//! As long as the relay carries, this node looks only now and then, and at once when a number is missing. What carries nothing for
//! [`SILENCE`] carries no longer: the bell and the clock say when to look then, as without a relay.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    batch::Batch,
    ids::Tick,
    postgres::outbox::Standing,
    redis::message::{Message, NotUnderstood},
    relay::BEAT,
    snapshot::Snapshot,
};

/// A leading node that says nothing for so long is not heard: three of its beats are missing.
const SILENCE: Duration = BEAT.saturating_mul(3).saturating_add(Duration::from_millis(100));

/// What is to be done.
#[derive(Debug)]
pub enum Heard {
    /// This tick is the next, and stands at this snapshot.
    Next(Box<Batch>, Snapshot),
    /// PostgreSQL is to be asked.
    Look,
    /// Neither, until the time that was named.
    Nothing,
}

/// See the module.
pub struct Hearing {
    /// None without Redis.
    messages: Option<mpsc::Receiver<Vec<u8>>>,
    heard: Option<Instant>,
    look_at: Instant,
    look_every: Duration,
}

impl Hearing {
    /// Asks for a look at least every `look_every`.
    pub fn new(messages: Option<mpsc::Receiver<Vec<u8>>>, look_every: Duration) -> Self {
        Self { messages, heard: None, look_at: Instant::now(), look_every }
    }

    /// Whether the ticks of others are heard.
    pub fn carries(&self) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < SILENCE)
    }

    /// PostgreSQL was asked.
    pub fn looked(&mut self) {
        self.look_at = Instant::now() + self.look_every;
    }

    /// What was heard so far does not matter: this node goes by what it reads itself.
    pub fn ignore(&mut self) {
        while self.messages.as_mut().is_some_and(|messages| messages.try_recv().is_ok()) {}
        self.heard = None;
    }

    /// Waits for the tick behind `standing`, at the latest until `until`. Cancelling it loses messages, never ticks.
    pub async fn next(&mut self, standing: Standing<'_>, until: Instant) -> Heard {
        loop {
            let Some(messages) = &mut self.messages else { return Heard::Look };
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(_) => {
                    let Some(silent_at) = self.heard.map(|heard| heard + SILENCE) else { return Heard::Look };
                    let look_at = self.look_at.min(silent_at);
                    match timeout_at(look_at.min(until), messages.recv()).await {
                        Ok(Some(message)) => message,
                        // The relay has ended.
                        Ok(None) => return Heard::Look,
                        Err(_) if look_at <= Instant::now() => return Heard::Look,
                        Err(_) => return Heard::Nothing,
                    }
                }
            };
            let (outcome, heard) = self.judge(message, standing);
            if outcome != "known" {
                metrics::counter!("curia_relay_messages_total", "outcome" => outcome).increment(1);
            }
            if let Some(heard) = heard {
                return heard;
            }
        }
    }

    /// What the message is, for the metrics, and what follows from it.
    fn judge(&mut self, message: Vec<u8>, standing: Standing<'_>) -> (&'static str, Option<Heard>) {
        let message = match Message::read(message) {
            Ok(message) if message.heading.epoch == standing.epoch => message,
            // What is missing is missed by its number.
            Ok(_) | Err(NotUnderstood::Foreign) => return ("foreign", None),
            Err(NotUnderstood::Odd) => return ("odd", None),
        };
        self.heard = Some(Instant::now());
        let Tick(next) = standing.tick;
        let next = Tick(next.saturating_add(1));
        let heading = &message.heading;
        if heading.tick < next {
            return ("known", None);
        }
        let Some(made) = heading.made.as_ref().filter(|_| heading.tick == next) else {
            return ("missed", Some(Heard::Look));
        };
        if made.follows != *standing.snapshot {
            return ("astray", Some(Heard::Look));
        }
        if standing.seen.is_some_and(|seen| !made.snapshot.covers(seen)) {
            return ("overtaken", Some(Heard::Look));
        }
        match message.batch() {
            Ok(batch) => {
                let snapshot = made.snapshot.clone();
                ("taken", Some(Heard::Next(Box::new(batch), snapshot)))
            }
            Err(_) => ("odd", Some(Heard::Look)),
        }
    }
}

#[cfg(test)]
mod tests;
