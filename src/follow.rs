//! Follows the outbox: takes up the position, reads tick after tick, and goes on where it was after any error.
//!
//! One task, ended by `shutdown` or by the loss of whoever takes the batches. Between two looks it rests as [`Wake`] says. Where
//! another node makes the ticks and relays them, it takes them from there and only makes sure ([`hearing`]); a tick that this
//! node made is handed to the others before it is told here.

mod hearing;

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::hearing::{Heard, Hearing};
use crate::{
    batch::Batch,
    http::readiness::{Component, State},
    ids::{Epoch, Tick},
    postgres::outbox::{Found, OutboxError, OutboxReader},
    relay::{Ends, Told},
    telemetry::chain,
    wake::Wake,
};

/// A node that leaves changes without a tick for so long may hold the lease and be stuck: another makes the tick.
const TAKE_OVER: Duration = Duration::from_secs(1);
/// From tick to tick it takes at least so many times as long as the reading of one took: what is left is the forum's.
const SPREAD: u32 = 5;
/// And at most so long, whatever the reading took.
const LONGEST_SPREAD: Duration = Duration::from_millis(100);

/// See the module.
pub struct Follower {
    pub pool: PgPool,
    pub content_limit: usize,
    pub wake: Wake,
    /// Said to be ready while the outbox can be read.
    pub stream: Component,
    pub batches: mpsc::Sender<Batch>,
    /// To other nodes and from them; none without Redis.
    pub relay: Option<Ends>,
}

impl Follower {
    /// Hands over batches; says once from which position.
    pub async fn run(self, position: oneshot::Sender<(Epoch, Tick)>, shutdown: CancellationToken) {
        // Reading may be cut off anywhere: nothing is handed over that was not recorded, and the next start finds the rest.
        shutdown.run_until_cancelled(self.follow(position)).await;
    }

    async fn follow(mut self, position: oneshot::Sender<(Epoch, Tick)>) {
        let (told, heard) = match self.relay.take() {
            Some(Ends { told, heard }) => (told, Some(heard)),
            None => (Told::default(), None),
        };
        let mut hearing = Hearing::new(heard, self.wake.pace().safety_poll);
        let Some(mut reader) = self.open().await else { return };
        // Whoever asked may have given up.
        let _ = position.send(reader.position());
        told.stands(reader.position());
        let mut retries = retries();
        let mut unticked: Option<Instant> = None;
        // For another that is stuck, until it makes a tick again.
        let mut stands_in = false;
        loop {
            let looked = Instant::now();
            let may_tick = self.wake.may_tick().await;
            let stuck = unticked.is_some_and(|since| since.elapsed() >= TAKE_OVER);
            let ticks = may_tick || stuck || stands_in;
            if ticks {
                hearing.ignore();
            } else if !reader.amid_a_tick() {
                match hearing.next(reader.standing(), self.wake.lease_due()).await {
                    Heard::Next(batch, snapshot) => {
                        (unticked, stands_in) = (None, false);
                        reader.advance(batch.tick, snapshot);
                        if !self.hand_over(*batch, &told).await {
                            return;
                        }
                        continue;
                    }
                    Heard::Nothing => continue,
                    Heard::Look => hearing.looked(),
                }
            }
            metrics::counter!("curia_outbox_looks_total").increment(1);
            let found = reader.next(ticks).await;
            if found.is_ok() {
                retries = self::retries();
                self.stream.set(State::Ready);
            }
            match found {
                Ok(Found::Page(batch)) => {
                    unticked = None;
                    stands_in = batch.made.is_some() && (stuck || stands_in);
                    let last = batch.last;
                    if !self.hand_over(batch, &told).await {
                        return;
                    }
                    // Whoever hears the ticks of another has to be in time for the next.
                    if last && !hearing.carries() {
                        // A tick for every commit of a busy forum would cost it more than a few milliseconds are worth.
                        let spread = (looked.elapsed() * SPREAD).min(LONGEST_SPREAD);
                        sleep_until(looked + spread.max(self.wake.pace().poll)).await;
                    }
                }
                Ok(Found::Unticked) => {
                    if unticked.is_none() {
                        unticked = Some(Instant::now());
                        self.wake.stir().await;
                    }
                    self.rest(&hearing).await;
                }
                Ok(Found::Nothing) => {
                    unticked = None;
                    self.rest(&hearing).await;
                }
                Err(error @ OutboxError::Discontinued { .. }) => {
                    self.stream.set(State::NotReady(chain(&error)));
                    self.wake.reconnect();
                    if !self.reopen(&mut reader).await {
                        return;
                    }
                    let (epoch, tick) = reader.position();
                    told.stands((epoch, tick));
                    if self.batches.send(Batch::discontinuity(epoch, tick)).await.is_err() {
                        return;
                    }
                }
                Err(error) => self.wait_for_database(&error, &mut retries).await,
            }
        }
    }

    /// To the other nodes and to the dispatcher; `false` when nobody takes batches any longer.
    async fn hand_over(&mut self, batch: Batch, told: &Told) -> bool {
        report(&batch);
        told.tell(&batch);
        let taken = self.batches.send(batch).await.is_ok();
        self.wake.stir().await;
        taken
    }

    /// Until it is time to look again; what is heard says so by itself.
    async fn rest(&mut self, hearing: &Hearing) {
        if !hearing.carries() {
            self.wake.rest().await;
        }
    }

    /// `None` when nobody takes batches any longer.
    async fn open(&self) -> Option<OutboxReader> {
        let mut retries = retries();
        while !self.batches.is_closed() {
            match OutboxReader::open(self.pool.clone(), self.content_limit).await {
                Ok(reader) => return Some(reader),
                Err(error) => self.wait_for_database(&error, &mut retries).await,
            }
        }
        None
    }

    /// `false` when nobody takes batches any longer.
    async fn reopen(&self, reader: &mut OutboxReader) -> bool {
        let mut retries = retries();
        while !self.batches.is_closed() {
            match reader.reopen().await {
                Ok(()) => return true,
                Err(error) => self.wait_for_database(&error, &mut retries).await,
            }
        }
        false
    }

    async fn wait_for_database(&self, error: &OutboxError, retries: &mut ExponentialBackoff) {
        self.stream.set(State::NotReady(chain(error)));
        // The iterator has no end.
        sleep(retries.next().unwrap_or(TAKE_OVER)).await;
    }
}

/// Pauses between attempts to reach a server that is away, without end.
pub(crate) fn retries() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

fn report(batch: &Batch) {
    metrics::counter!("curia_stream_changes_total").increment(batch.entries.len() as u64);
    metrics::counter!("curia_outbox_poison_total").increment(batch.poison.len() as u64);
    for error in &batch.poison {
        tracing::error!(error = chain(error), "an outbox row could not be understood and was set aside");
    }
}
