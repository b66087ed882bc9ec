//! When to look for changes: often while there are any, and not at all while nobody writes.
//!
//! Invariants:
//! - the node that holds the lease parks only after it found nothing for a while, and looks once more before it sleeps;
//! - nobody sleeps longer than the safety poll, bell or no bell, and who does not hold the lease no longer than a second: where the
//!   one who did is gone, nobody is asked to ring;
//! - a connection that listens elsewhere than the outbox is read is none;
//! - without a listening connection this node looks by the clock and may make ticks: the lease saves work, the tick table's
//!   primary key is what keeps the stream right.
//!
//! A connection is opened beside the reading, which never waits for it; it ends with this value.

use std::{mem, time::Duration};

use backon::ExponentialBackoff;
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    follow::retries,
    http::readiness::{Component, State},
    postgres::{
        database_url::DatabaseUrl,
        wake::{Listener, WakeError},
    },
    telemetry::chain,
};

/// The lease is asked for this often by those that don't hold it.
const LEASE_EVERY: Duration = Duration::from_millis(500);
/// And looked around at least this often, so that the work is taken over within two seconds.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(1);
/// Between two looks while it is quiet and nobody can ring.
const UNHEARD: Duration = Duration::from_millis(25);

/// Between two looks of a node that is well while there is work: others take one that leaves changes for much longer to be stuck.
pub const LONGEST_POLL: Duration = Duration::from_millis(250);

/// How often to look.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks while there is work; [`LONGEST_POLL`] at most.
    pub poll: Duration,
    /// Without work for so long, it waits to be woken.
    pub park_after: Duration,
    /// Between two looks while it waits.
    pub safety_poll: Duration,
}

impl Pace {
    /// Between two looks of a node that waits for another.
    pub fn look_around(&self) -> Duration {
        self.safety_poll.min(LOOK_AROUND_EVERY)
    }
}

/// See the module.
pub struct Wake {
    direct: DatabaseUrl,
    /// Leads to where the outbox is read.
    read: PgPool,
    pace: Pace,
    listening: Component,
    /// What operators ask.
    questions: mpsc::Sender<String>,
    listener: Option<Listener>,
    leads: watch::Sender<bool>,
    parked: bool,
    /// The last news, or the last bell.
    stirred: Instant,
    lease_at: Instant,
    park_at: Instant,
    connecting: JoinSet<Result<Listener, WakeError>>,
    connect_at: Instant,
    retries: ExponentialBackoff,
}

impl Wake {
    /// `direct` leads to the database that is `read` without a transaction pooler in between; what operators ask there is handed over.
    pub fn new(
        direct: DatabaseUrl,
        read: PgPool,
        pace: Pace,
        listening: Component,
        questions: mpsc::Sender<String>,
    ) -> Self {
        let now = Instant::now();
        Self {
            direct,
            read,
            pace,
            listening,
            questions,
            listener: None,
            leads: watch::Sender::new(false),
            parked: false,
            stirred: now,
            lease_at: now,
            park_at: now,
            connecting: JoinSet::new(),
            connect_at: now,
            retries: retries(),
        }
    }

    /// How often to look.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Whether this node makes the ticks.
    pub async fn may_tick(&mut self) -> bool {
        self.connect();
        let Some(listener) = &self.listener else { return true };
        if !self.holds_lease() && Instant::now() >= self.lease_at {
            self.lease_at = Instant::now() + LEASE_EVERY;
            match listener.lease().await {
                Ok(leads) => self.now_leads(leads),
                Err(error) => self.lost(&error),
            }
        }
        self.holds_lease() || self.listener.is_none()
    }

    /// When the lease is worth asking for again.
    pub fn lease_due(&self) -> Instant {
        self.lease_at
    }

    /// Whether this node holds the lease on making ticks, as it changes.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    fn holds_lease(&self) -> bool {
        *self.leads.borrow()
    }

    /// Says so where it is news.
    fn now_leads(&self, leads: bool) {
        if self.leads.send_if_modified(|before| mem::replace(before, leads) != leads) {
            metrics::gauge!("curia_lease_held").set(f64::from(u8::from(leads)));
            if leads {
                tracing::info!("this node makes the ticks now: it holds the lease");
            } else {
                tracing::info!("this node has lost the lease; whoever takes it makes the ticks");
            }
        }
    }

    /// There was news: looks often again, and wakes the nodes that follow.
    pub async fn stir(&mut self) {
        let quiet = self.stirred.elapsed();
        self.stirred = Instant::now();
        let Some(listener) = &self.listener else { return };
        let done = if self.parked {
            self.parked = false;
            listener.unpark().await
        } else if self.holds_lease() && quiet >= self.pace.park_after {
            // The writer found nobody parked and rang for nobody, but others may have gone to sleep.
            listener.ring().await
        } else {
            Ok(())
        };
        if let Err(error) = done {
            self.lost(&error);
        }
    }

    /// Waits until it is time to look again, no longer than `at_most` or the poll, whichever is more.
    pub async fn rest(&mut self, at_most: Duration) {
        if let Err(error) = self.wait(at_most).await {
            self.lost(&error);
        }
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), WakeError> {
        let Pace { poll, park_after, safety_poll } = self.pace;
        let (quiet, leads) = (self.stirred.elapsed(), self.holds_lease());
        let at_most = at_most.max(poll).min(if leads { safety_poll } else { self.pace.look_around() });
        let Some(listener) = &mut self.listener else {
            sleep(if quiet < park_after { poll } else { poll.max(UNHEARD) }).await;
            return Ok(());
        };
        // Whoever follows sleeps later than the leader, whose bell wakes both.
        let sleeps = self.parked || (!leads && quiet >= park_after * 2);
        if sleeps {
            match timeout(at_most, listener.rung()).await {
                Ok(rung) => {
                    rung?;
                    // Still parked: the news is read first, and whoever reads it stirs.
                    self.stirred = Instant::now();
                }
                Err(_) => listener.ping().await?,
            }
        } else if leads && quiet >= park_after && Instant::now() >= self.park_at {
            self.parked = listener.park().await?;
            self.park_at = Instant::now() + park_after;
        } else {
            // A writer that stays open keeps us from parking for as long: then the looks are spread.
            sleep(if quiet < park_after * 2 { poll } else { poll.max(UNHEARD) }).await;
        }
        Ok(())
    }

    /// Finds out whether the listening connection lives, which nobody asks who does not rest. Takes as long as an answer at most.
    pub async fn make_sure(&mut self) {
        if let Some(listener) = &self.listener
            && let Err(error) = listener.ping().await
        {
            self.lost(&error);
        }
    }

    /// The address may lead to another server now: gives the listening connection up and opens another.
    pub fn reconnect(&mut self) {
        self.listener = None;
        self.now_leads(false);
        self.parked = false;
        self.connecting = JoinSet::new();
        self.connect_at = Instant::now();
    }

    fn connect(&mut self) {
        if self.listener.is_some() {
            return;
        }
        match self.connecting.try_join_next() {
            Some(Ok(Ok(listener))) => {
                self.listener = Some(listener);
                self.retries = retries();
                self.lease_at = Instant::now();
                self.listening.set(State::Ready);
            }
            Some(Ok(Err(error))) => self.lost(&error),
            Some(Err(error)) => {
                tracing::error!(%error, "opening the listening connection ended early");
                self.connect_at = Instant::now() + LEASE_EVERY;
            }
            None if self.connecting.is_empty() && Instant::now() >= self.connect_at => {
                let (direct, read, questions) = (self.direct.clone(), self.read.clone(), self.questions.clone());
                self.connecting.spawn(async move { Listener::connect(&direct, &read, questions).await });
            }
            None => {}
        }
    }

    fn lost(&mut self, error: &WakeError) {
        self.listener = None;
        self.now_leads(false);
        self.parked = false;
        // The iterator has no end.
        self.connect_at = Instant::now() + self.retries.next().unwrap_or(LEASE_EVERY);
        let cause = chain(error);
        self.listening.set(State::Degraded(format!("{cause}; changes are found by polling until it is back")));
    }
}
