//! Reads the stream again where memory does not reach back far enough, once for all who come back at the same time.
//!
//! Invariants:
//! - one reading at a time, twice as far back as what was asked for where so much is kept and has room: how often the database is
//!   asked does not grow with the number of those who ask;
//! - nothing is handed over before the dispatcher has applied the rights as of the moment of reading;
//! - what could not be had is not tried again for a while.
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
    ids::{Cursor, Place, Tick},
    ports::{Archive, FactsError},
};

/// For so long the rights of the moment of reading may take to be applied.
const APPLIED_WITHIN: Duration = Duration::from_secs(2);
/// For so long what could not be had is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(5);

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

impl<A: Archive> Recall<A> {
    /// Serves whoever asks, one after the other.
    pub async fn run(self, mut asked: mpsc::Receiver<Recalled>, shutdown: CancellationToken) {
        // From this tick on back nothing can be had until then.
        let mut refused: Option<(Tick, Instant)> = None;
        let serving = async {
            while let Some(Recalled { cursor, done }) = asked.recv().await {
                let owed = cursor.owed_from();
                refused.take_if(|(_, until)| *until <= Instant::now());
                let hopeless = refused.is_some_and(|(tick, _)| owed.tick <= tick);
                if !hopeless && cursor.epoch == self.reached.borrow().epoch && owed < self.reached.borrow().floor {
                    let begun = Instant::now();
                    match self.reach(owed).await {
                        Ok(true) => metrics::histogram!("curia_recall_seconds").record(begun.elapsed().as_secs_f64()),
                        Ok(false) => refused = Some((owed.tick, Instant::now() + REFUSED_FOR)),
                        Err(error) => {
                            tracing::warn!(error = &error as &dyn std::error::Error, "the past can't be looked up");
                            // Nobody else's is had sooner, and whoever waits for it would wait behind all others.
                            refused = Some((Tick(i64::MAX), Instant::now() + REFUSED_FOR));
                        }
                    }
                }
                // He may have gone.
                let _ = done.send(());
            }
        };
        shutdown.run_until_cancelled(serving).await;
    }

    /// Whether memory now reaches back to `owed`: twice as far where that may be had and fits beside what is there, else no further.
    async fn reach(&self, owed: Place) -> Result<bool, FactsError> {
        let asked = if owed == Place::end_of(owed.tick) { owed.tick.0 } else { owed.tick.0 - 1 };
        let floor = self.reached.borrow().floor.tick.0;
        let twice = floor.saturating_sub((floor - asked).saturating_mul(2)).max(0);
        for from in [twice, asked] {
            if let Some(stretch) = self.read(Tick(from)).await?
                && self.hand_over(stretch).await
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From `from` to what is in memory.
    async fn read(&self, from: Tick) -> Result<Option<Stretch>, FactsError> {
        let Reached { epoch, floor, .. } = *self.reached.borrow();
        metrics::counter!("curia_recalls_total").increment(1);
        self.archive.stretch(epoch, from, floor.tick, self.options.history.records).await
    }

    /// Whether the dispatcher took it in, once it has applied the rights as of the moment of reading.
    async fn hand_over(&self, stretch: Stretch) -> bool {
        let applied = Place::end_of(stretch.as_of);
        let mut reached = self.reached.clone();
        let waiting = async { reached.wait_for(|reached| reached.told >= applied).await.is_ok() };
        if !timeout(APPLIED_WITHIN, waiting).await.unwrap_or(false) {
            return false;
        }
        let (bounds, window, upto) = (self.options.history, self.options.merge_window, stretch.upto);
        let Ok(older) = tokio::task::spawn_blocking(move || Box::new(stretch.history(bounds, window))).await else {
            return false;
        };
        let (reply, fits) = oneshot::channel();
        // A dispatcher that is gone answers nobody.
        let _ = self.requests.send(Request::Extend { older, upto, reply }).await;
        fits.await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
