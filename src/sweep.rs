//! Keeps the outbox small. One task, at work while this node makes the ticks, whether it holds the lease or not; ended by
//! `shutdown`.
//!
//! Where several nodes do, each sweeps, which does no harm ([`crate::postgres::retention`]); where none does, nobody has told
//! what could be cut.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    http::readiness::{Component, State},
    postgres::retention::{Retention, Swept},
    telemetry::chain,
};

const EVERY_AT_MOST: Duration = Duration::from_secs(30);
const EVERY_AT_LEAST: Duration = Duration::from_secs(1);

/// Sweeps every 30 s, or more often where little is kept, and says in `outbox` when it fills.
pub async fn sweep(
    retention: Retention,
    mut ticks: watch::Receiver<bool>,
    outbox: Component,
    shutdown: CancellationToken,
) {
    let every = (retention.keep / 10).clamp(EVERY_AT_LEAST, EVERY_AT_MOST);
    let sweeping = async {
        // An error: nobody follows the outbox any longer.
        while ticks.wait_for(|ticks| *ticks).await.is_ok() {
            match retention.sweep().await {
                Ok(swept) => outbox.set(standing(&retention, swept)),
                Err(error) => outbox.set(State::Degraded(format!("could not be cut: {}", chain(&error)))),
            }
            sleep(every).await;
        }
    };
    shutdown.run_until_cancelled(sweeping).await;
}

/// In words that change only with the state, since each change is logged.
fn standing(retention: &Retention, swept: Swept) -> State {
    // A gauge is a floating-point number.
    metrics::gauge!("curia_outbox_bytes").set(swept.size as f64);
    let limit = retention.max_size;
    match swept {
        Swept { new_epoch: true, .. } => {
            State::Degraded(format!("changes that nobody had read were cut at the size limit of {limit} bytes"))
        }
        Swept { shortened: Some(keep), .. } => State::Degraded(format!(
            "kept for {} s only, to stay within the size limit of {limit} bytes (REALTIME_OUTBOX_MAX_SIZE)",
            keep.as_secs()
        )),
        Swept { size, .. } if size > limit / 2 => State::Degraded(format!(
            "takes more than half of its size limit of {limit} bytes (REALTIME_OUTBOX_MAX_SIZE)"
        )),
        Swept { .. } => State::Ready,
    }
}
