//! A way to Redis that is kept: made anew after any error, until its keeper is told to stop.
//!
//! Invariants:
//! - there is one way at a time, and none is used again once it failed;
//! - between two tries lies a pause, longer each time and with chance in it, so that nodes do not come back all at once; once a way has
//!   worked they begin anew;
//! - what comes while there is no way is taken by [`Kept::meanwhile`] and lies nowhere: nobody waits for Redis;
//! - that there is no way is told at each failure; once until it works again that is for the log, and not before a new way failed as
//!   well: where a connection was lost and the next one serves, nothing is wrong. That it works again is logged as often;
//! - told to stop it stops, whatever it waits for; where there was a way, the last word is said on it ([`Kept::leave`]).
//!
//! One task for each, owned by whoever spawned [`keep`].

use std::{
    convert::Infallible,
    future::{Future, pending},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What is done on a way to Redis. Every future may be dropped at any moment.
pub trait Kept: Send {
    /// Of no more use after its first error.
    type Way: Send;
    type Error: std::error::Error + Send + Sync;

    /// For the log, when it works again after it was told to do so that it did not.
    const BACK: Option<&'static str> = None;
    /// Between two tries; with chance in it up to twice as much.
    const LONGEST_PAUSE: Duration = Duration::from_secs(5);

    /// Makes a way.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Way, Self::Error>> + Send;

    /// Works on it until it fails, and says once that it did work.
    fn carry(&mut self, way: &mut Self::Way, worked: &mut Worked) -> impl Future<Output = Self::Error> + Send;

    /// There is no way, by this error; whether that is for the log.
    fn lost(&mut self, error: Self::Error, log: bool) -> impl Future<Output = ()> + Send;

    /// Takes what comes while there is none.
    fn meanwhile(&mut self) -> impl Future<Output = Infallible> + Send;

    /// Says the last word, within a time of its own.
    fn leave(&mut self, _way: Self::Way) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Whether a way was of use.
#[derive(Debug, Default)]
pub struct Worked {
    did: bool,
    /// What is to be logged then.
    back: Option<&'static str>,
}

impl Worked {
    /// It was.
    pub fn did(&mut self) {
        self.did = true;
        if let Some(back) = self.back.take() {
            tracing::info!("{back}");
        }
    }
}

/// Whether Redis is asked at the moment. Clones share it.
#[derive(Clone, Debug)]
pub struct Here {
    here: Arc<AtomicBool>,
    gauge: Option<&'static str>,
}

/// Redis is asked while this lives.
#[derive(Debug)]
pub struct While(Here);

impl Here {
    /// Not yet; `gauge` says it to operators.
    pub fn new(gauge: Option<&'static str>) -> Self {
        let here = Self { here: Arc::default(), gauge };
        here.set(false);
        here
    }

    /// Whether it is.
    pub fn is(&self) -> bool {
        self.here.load(Ordering::Relaxed)
    }

    /// It is from now on.
    pub fn begin(&self) -> While {
        self.set(true);
        While(self.clone())
    }

    fn set(&self, here: bool) {
        self.here.store(here, Ordering::Relaxed);
        if let Some(gauge) = self.gauge {
            metrics::gauge!(gauge).set(f64::from(u8::from(here)));
        }
    }
}

impl Drop for While {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// What is asked on a way to Redis and waits, in the order in which it came.
#[derive(Debug)]
pub struct Asked<T>(mpsc::Receiver<T>);

impl<T> Asked<T> {
    /// A queue of so many, and where it is filled.
    pub fn new(waiting: usize) -> (mpsc::Sender<T>, Self) {
        let (asks, asked) = mpsc::channel(waiting);
        (asks, Self(asked))
    }

    /// The next of them, as they came, no more than `at_once`: one at least, so not before there is one, and never again once nobody is left
    /// to ask. Cancelling it is safe.
    pub async fn round(&mut self, asks: &mut Vec<T>, at_once: usize) {
        if self.0.recv_many(asks, at_once).await == 0 {
            pending().await
        }
    }

    /// Hands over what comes, to be dropped: whoever asked hears at once that there is no answer.
    pub async fn refuse(&mut self, mut to: impl FnMut(T)) -> Infallible {
        while let Some(ask) = self.0.recv().await {
            to(ask);
        }
        pending().await
    }
}

/// Keeps a way until told to stop.
pub async fn keep<K: Kept>(mut kept: K, shutdown: CancellationToken) {
    let mut pauses = pauses(K::LONGEST_PAUSE);
    // Whether the log says that there is none.
    let mut logged = false;
    loop {
        let Some(connected) = shutdown.run_until_cancelled(kept.connect()).await else { return };
        let mut had_worked = false;
        let error = match connected {
            Ok(mut way) => {
                let mut worked = Worked { did: false, back: K::BACK.filter(|_| logged) };
                let carried = shutdown.run_until_cancelled(kept.carry(&mut way, &mut worked)).await;
                had_worked = worked.did;
                if had_worked {
                    (pauses, logged) = (self::pauses(K::LONGEST_PAUSE), false);
                }
                match carried {
                    Some(error) => error,
                    None => return kept.leave(way).await,
                }
            }
            Err(error) => error,
        };
        // They have no end.
        let pause = pauses.next().unwrap_or(K::LONGEST_PAUSE);
        let log = !had_worked && !mem::replace(&mut logged, true);
        let waiting = async {
            kept.lost(error, log).await;
            let _ = timeout(pause, kept.meanwhile()).await;
        };
        if shutdown.run_until_cancelled(waiting).await.is_none() {
            return;
        }
    }
}

fn pauses(longest: Duration) -> impl Iterator<Item = Duration> {
    let growing = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(longest);
    growing.with_jitter().without_max_times().build()
}

#[cfg(test)]
mod tests;
