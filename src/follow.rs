//! Follows the outbox: takes up the position, reads tick after tick, and goes on where it was after any error.
//!
//! One task, ended by `shutdown` or by the loss of whoever takes the batches. Between two looks it rests as [`Wake`] says. Where
//! another node makes the ticks and relays them, it takes them from there and only makes sure ([`hearing`]); a tick that this
//! node made is handed to the others before it is told here.

mod hearing;
mod stream;

use std::{mem, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::hearing::{Heard, Hearing};
pub use self::stream::Stream;
use crate::{
    batch::Batch,
    ids::{Epoch, Tick},
    postgres::outbox::{Found, OutboxError, OutboxReader},
    relay::{Ends, Told},
    telemetry::chain,
    wake::{LONGEST_POLL, Wake},
};

/// A node that leaves changes without a tick for so long may hold the lease and be stuck, or be gone without PostgreSQL knowing:
/// another makes the tick. Where nobody rings for a change it is found at the next look around, a second later at most: within two
/// seconds together.
const TAKE_OVER: Duration = Duration::from_millis(800);
/// From tick to tick it takes at least so many times as long as the reading of one took: what is left is the forum's.
const SPREAD: u32 = 5;
/// And at most so long, whatever the reading took.
const LONGEST_SPREAD: Duration = Duration::from_millis(250);
const _: () = assert!(TAKE_OVER.as_millis() >= 3 * LONGEST_POLL.as_millis());

/// See the module.
pub struct Follower {
    /// Nobody else's.
    pub pool: PgPool,
    pub content_limit: usize,
    pub wake: Wake,
    /// Said to be ready while the outbox can be read.
    pub stream: Stream,
    /// Whether this node makes the ticks, with the lease or without.
    pub ticks: watch::Sender<bool>,
    pub batches: mpsc::Sender<Batch>,
    /// To other nodes and from them; none without Redis.
    pub relay: Option<Ends>,
}

/// Where the following stands.
struct Course {
    reader: OutboxReader,
    told: Told,
    hearing: Hearing,
    retries: ExponentialBackoff,
    /// When the look under way began.
    looked: Instant,
    /// For the next, where nothing stands there already, it is time then.
    due: Instant,
    /// Whether this node holds the lease, or nobody can say who does.
    leads: bool,
    /// Since when there are changes that no tick holds.
    unticked: Option<Instant>,
    /// Whoever should make them is stuck.
    stuck: bool,
    /// Makes ticks for another that is stuck, until that makes one again.
    stands_in: bool,
    /// Whatever was committed until then has been read.
    read_until: DateTime<Utc>,
}

impl Course {
    /// There is another tick; whether it was made here.
    fn ticked(&mut self, here: bool) {
        self.unticked = None;
        self.stands_in = here && (self.stuck || self.stands_in);
    }

    fn has_read_of(&mut self, batch: &Batch) {
        if let Some(written) = batch.entries.iter().map(|entry| entry.at).max() {
            self.has_read(written);
        }
    }

    /// It never goes back: a row of a transaction that was open for long was written long before it could be read.
    fn has_read(&mut self, until: DateTime<Utc>) {
        self.read_until = self.read_until.max(until);
        metrics::gauge!("curia_stream_read_until_timestamp_seconds")
            .set(self.read_until.timestamp_millis() as f64 / 1e3);
    }
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
        let hearing = Hearing::new(heard, self.wake.pace().look_around());
        let Some(reader) = self.open().await else { return };
        // Whoever asked may have given up.
        let _ = position.send(reader.position());
        told.stands(reader.position());
        let mut course = Course {
            reader,
            told,
            hearing,
            retries: retries(),
            looked: Instant::now(),
            due: Instant::now(),
            leads: false,
            unticked: None,
            stuck: false,
            stands_in: false,
            read_until: DateTime::UNIX_EPOCH,
        };
        while self.go_on(&mut course).await.is_some() {}
    }

    /// One look, at what is heard or into the outbox. `None` when nobody takes batches any longer.
    async fn go_on(&mut self, course: &mut Course) -> Option<()> {
        course.looked = Instant::now();
        course.leads = self.wake.may_tick().await;
        course.stuck = course.unticked.is_some_and(|since| since.elapsed() >= TAKE_OVER);
        let ticks = course.leads || course.stuck || course.stands_in;
        self.ticks.send_if_modified(|before| mem::replace(before, ticks) != ticks);
        if ticks {
            course.hearing.ignore();
        } else if !course.reader.amid_a_tick() {
            let until =
                course.unticked.map_or(self.wake.lease_due(), |since| self.wake.lease_due().min(since + TAKE_OVER));
            match course.hearing.next(course.reader.standing(), until).await {
                Heard::Next(batch, snapshot) => {
                    // It was made a moment ago.
                    self.stream.has_caught_up();
                    course.ticked(false);
                    course.reader.advance(batch.tick, snapshot);
                    course.has_read_of(&batch);
                    return self.hand_over(*batch, &course.told).await;
                }
                Heard::Nothing => return Some(()),
                Heard::Look => course.hearing.looked(),
            }
        }
        metrics::counter!("curia_outbox_looks_total").increment(1);
        let found = self.stream.awaited(course.reader.next(ticks)).await;
        if let Ok(found) = &found {
            course.retries = retries();
            if is_the_present(found, &course.reader) {
                self.stream.has_caught_up();
            }
            self.stream.is_read();
        }
        self.take(found, course).await
    }

    async fn take(&mut self, found: Result<Found, OutboxError>, course: &mut Course) -> Option<()> {
        match found {
            Ok(Found::Page(batch)) => {
                let (last, here) = (batch.last, course.reader.made_here());
                course.ticked(here);
                course.has_read_of(&batch);
                self.hand_over(batch, &course.told).await?;
                if last {
                    // A tick for every commit of a busy forum would cost it more than a few milliseconds are worth.
                    let spread = (course.looked.elapsed() * SPREAD).min(LONGEST_SPREAD);
                    course.due = course.looked + spread.max(self.wake.pace().poll);
                }
                // Who leads and reads a tick of another is stood in for: resting as long as that one does he would never be the next.
                // And who is behind, or hears ticks, has to be in time for the next.
                let hurries = course.leads || course.hearing.carries() || course.reader.is_behind();
                if last && (here || !hurries) {
                    sleep_until(course.due).await;
                }
            }
            Ok(Found::Unticked) => {
                let known = course.unticked.is_some();
                let since = *course.unticked.get_or_insert_with(Instant::now);
                if !known {
                    self.wake.stir().await;
                }
                // Nobody rings again for what is there already.
                self.rest(course, Some(since + TAKE_OVER)).await;
            }
            Ok(Found::Nothing) => {
                course.unticked = None;
                // What is committed during the look may not be in it.
                course.has_read(Utc::now() - course.looked.elapsed());
                self.rest(course, None).await;
            }
            Err(error @ OutboxError::Discontinued { .. }) => {
                self.stream.is_not_read(chain(&error));
                self.wake.reconnect();
                self.reopen(&mut course.reader).await?;
                let (epoch, tick) = course.reader.position();
                course.told.stands((epoch, tick));
                self.batches.send(Batch::discontinuity(epoch, tick)).await.ok()?;
            }
            Err(error) => {
                // While the database is away nobody is late.
                course.unticked = None;
                course.reader.forget_idle();
                self.wait_for_database(&error, &mut course.retries).await;
            }
        }
        Some(())
    }

    /// To the other nodes and to the dispatcher; `None` when nobody takes batches any longer.
    async fn hand_over(&mut self, batch: Batch, told: &Told) -> Option<()> {
        report(&batch);
        told.tell(&batch);
        let taken = self.batches.send(batch).await.ok();
        self.wake.stir().await;
        taken
    }

    /// Until it is time to look again, for a tick of one's own at the latest; what is heard says so by itself.
    async fn rest(&mut self, course: &Course, stands_in: Option<Instant>) {
        if course.hearing.carries() {
            return;
        }
        let now = Instant::now();
        if course.due > now {
            return sleep_until(course.due).await;
        }
        let at_most = stands_in.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        self.wake.rest(at_most).await;
    }

    /// `None` when nobody takes batches any longer.
    async fn open(&mut self) -> Option<OutboxReader> {
        let (mut retries, mut torn) = (retries(), None);
        while !self.batches.is_closed() {
            match OutboxReader::open_behind(self.pool.clone(), self.content_limit, torn).await {
                Ok(reader) => return Some(reader),
                Err(error) => {
                    if let OutboxError::Incomplete { epoch: Some(epoch), .. } = &error {
                        torn = Some(*epoch);
                    }
                    self.wait_for_database(&error, &mut retries).await;
                }
            }
        }
        None
    }

    /// As above.
    async fn reopen(&mut self, reader: &mut OutboxReader) -> Option<()> {
        let mut retries = retries();
        while !self.batches.is_closed() {
            match reader.reopen().await {
                Ok(()) => return Some(()),
                Err(error) => self.wait_for_database(&error, &mut retries).await,
            }
        }
        None
    }

    async fn wait_for_database(&mut self, error: &OutboxError, retries: &mut ExponentialBackoff) {
        self.stream.failed(error).await;
        // The iterator has no end. Whatever ended the reading may have ended the listening, too.
        tokio::join!(sleep(retries.next().unwrap_or(TAKE_OVER)), self.wake.make_sure());
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

/// Whether nothing is known behind what was found.
fn is_the_present(found: &Found, reader: &OutboxReader) -> bool {
    match found {
        Found::Nothing => true,
        Found::Page(batch) => batch.last && !reader.is_behind(),
        // How much that is shows with its tick.
        Found::Unticked => false,
    }
}

fn report(batch: &Batch) {
    metrics::counter!("curia_stream_changes_total").increment(batch.entries.len() as u64);
    metrics::counter!("curia_outbox_poison_total").increment(batch.poison.len() as u64);
    for error in &batch.poison {
        tracing::error!(error = chain(error), "an outbox row could not be understood and was set aside");
    }
}
