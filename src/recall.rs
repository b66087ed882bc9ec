//! Reads the stream again where memory does not reach back far enough, once for all who come back at the same time.
//!
//! Invariants:
//! - one reading at a time, twice as far back as what was asked for where so much is kept and has room: how often the database is
//!   asked does not grow with the number of those who ask;
//! - nobody waits for a reading that does not end;
//! - nothing is handed over before the dispatcher has applied the rights as of the moment of reading;
//! - what could not be had is not tried again for a while, and nobody's while the dispatcher is late.
//!
//! One task, ended by `shutdown` or by the loss of whoever asks. Whoever asks is answered in any case, and looks again himself.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    chronicle::Stretch,
    dispatch::{Options, Reached, Request},
    ids::{Cursor, Epoch, Place, Tick},
    ports::{Archive, FactsError, Past},
};

/// A reading may take so long, however much it finds; who waits for it in vain is told to load his state.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
/// For so long the rights of the moment of reading may take to be applied.
const APPLIED_WITHIN: Duration = Duration::from_secs(2);
/// For so long what could not be had is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// For so long at most nothing is looked up for rights that are late.
const LATE_FOR: Duration = Duration::from_secs(30);

/// Somebody whose cursor is older than memory.
#[derive(Debug)]
pub struct Recalled {
    pub cursor: Cursor,
    /// Told when it is worth looking again, or will never be.
    pub done: oneshot::Sender<()>,
}

/// See the module.
pub struct Recall<A> {
    pub archive: A,
    /// To the dispatcher.
    pub requests: mpsc::Sender<Request>,
    /// How far it has come.
    pub reached: watch::Receiver<Reached>,
    pub options: Options,
}

/// What came of looking something up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Memory reaches back to it now.
    Taken,
    /// It is not kept whole, or has no room: something nearer may be had.
    TooLarge,
    /// The dispatcher did not come to this place in time, where the rights stand with which it may be shown.
    Late(Place),
}

/// What is not looked up for now.
#[derive(Debug)]
enum Refused {
    /// What is owed from this tick or an older one, until then.
    Upto(Tick, Instant),
    /// Anything, until the dispatcher has come so far: what is read sooner, however near, waits for rights of a later moment still. Or until
    /// then, whatever may keep it.
    Until(Epoch, Place, Instant),
}

impl Refused {
    fn holds(&self, reached: &Reached) -> bool {
        match *self {
            Self::Upto(_, until) => Instant::now() < until,
            Self::Until(epoch, place, until) => {
                reached.epoch == epoch && reached.told < place && Instant::now() < until
            }
        }
    }

    fn concerns(&self, owed: Place) -> bool {
        match *self {
            Self::Upto(tick, _) => owed.tick <= tick,
            Self::Until(..) => true,
        }
    }
}

impl<A: Archive> Recall<A> {
    /// Serves whoever asks, one after the other.
    pub async fn run(self, mut asked: mpsc::Receiver<Recalled>, shutdown: CancellationToken) {
        let mut refused: Option<Refused> = None;
        let serving = async {
            while let Some(Recalled { cursor, done }) = asked.recv().await {
                let (owed, reached) = (cursor.owed_from(), *self.reached.borrow());
                refused.take_if(|refused| !refused.holds(&reached));
                let hopeless = refused.as_ref().is_some_and(|refused| refused.concerns(owed));
                if !hopeless && cursor.epoch == reached.epoch && owed < reached.floor {
                    refused = self.look_up(cursor.epoch, owed).await.or(refused);
                }
                // He may have gone.
                let _ = done.send(());
            }
        };
        shutdown.run_until_cancelled(serving).await;
    }

    /// What is refused from now on, where it did not succeed.
    async fn look_up(&self, epoch: Epoch, owed: Place) -> Option<Refused> {
        let begun = Instant::now();
        let reaching = timeout(FOUND_WITHIN, self.reach(epoch, owed));
        match reaching.await.unwrap_or_else(|late| Err(FactsError(late.into()))) {
            Ok(Outcome::Taken) => {
                metrics::histogram!("curia_recall_seconds").record(begun.elapsed().as_secs_f64());
                None
            }
            Ok(Outcome::TooLarge) => Some(Refused::Upto(owed.tick, Instant::now() + REFUSED_FOR)),
            Ok(Outcome::Late(place)) => Some(Refused::Until(epoch, place, Instant::now() + LATE_FOR)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the past can't be looked up");
                // Nobody else's is had sooner, and whoever waits for it would wait behind all others.
                Some(Refused::Upto(Tick(i64::MAX), Instant::now() + REFUSED_FOR))
            }
        }
    }

    /// Makes memory reach back to `owed`: twice as far where that may be had and fits beside what is there, else no further.
    async fn reach(&self, epoch: Epoch, owed: Place) -> Result<Outcome, FactsError> {
        let asked = if owed == Place::end_of(owed.tick) { owed.tick.0 } else { (owed.tick.0 - 1).max(0) };
        let floor = self.reached.borrow().floor.tick.0;
        let twice = floor.saturating_sub((floor - asked).saturating_mul(2)).max(0);
        match self.take_in(epoch, Tick(twice)).await? {
            Outcome::TooLarge if twice < asked => self.take_in(epoch, Tick(asked)).await,
            outcome => Ok(outcome),
        }
    }

    async fn take_in(&self, epoch: Epoch, from: Tick) -> Result<Outcome, FactsError> {
        let past = match self.read(epoch, from).await? {
            // It is told in a moment, as a rule.
            Past::Restless(tick) if self.comes_to(epoch, behind(tick)).await => self.read(epoch, from).await?,
            past => past,
        };
        Ok(match past {
            Past::Whole(stretch) => self.hand_over(stretch).await,
            Past::TooLarge => Outcome::TooLarge,
            Past::Restless(tick) => Outcome::Late(behind(tick)),
        })
    }

    /// From `from` to what is in memory.
    async fn read(&self, epoch: Epoch, from: Tick) -> Result<Past, FactsError> {
        let floor = self.reached.borrow().floor;
        metrics::counter!("curia_recalls_total").increment(1);
        self.archive.stretch(epoch, from, floor.tick, self.options.history.records).await
    }

    /// To the dispatcher, once it has applied the rights as of the moment of reading.
    async fn hand_over(&self, stretch: Box<Stretch>) -> Outcome {
        let applied = Place::end_of(stretch.as_of);
        if !self.comes_to(stretch.epoch, applied).await {
            return Outcome::Late(applied);
        }
        let (bounds, window, upto) = (self.options.history, self.options.merge_window, stretch.upto);
        let Ok(older) = tokio::task::spawn_blocking(move || Box::new(stretch.history(bounds, window))).await else {
            // What it panicked over, and said so, it would find there again.
            return Outcome::TooLarge;
        };
        let (reply, fits) = oneshot::channel();
        // A dispatcher that is gone answers nobody.
        let _ = self.requests.send(Request::Extend { older, upto, reply }).await;
        if fits.await.unwrap_or(false) { Outcome::Taken } else { Outcome::TooLarge }
    }

    /// Whether the dispatcher comes so far in time.
    async fn comes_to(&self, epoch: Epoch, place: Place) -> bool {
        let mut reached = self.reached.clone();
        let coming = reached.wait_for(|reached| reached.epoch != epoch || reached.told >= place);
        timeout(APPLIED_WITHIN, coming).await.is_ok_and(|reached| reached.is_ok_and(|reached| reached.epoch == epoch))
    }
}

/// Where everything of the tick behind this one has been told.
fn behind(tick: Tick) -> Place {
    Place::end_of(Tick(tick.0.saturating_add(1)))
}

#[cfg(test)]
mod tests;
