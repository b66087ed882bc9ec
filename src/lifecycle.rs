//! How the service ends: in order when it is told to leave, at once when it is told to stop.
//!
//! In order is:
//! 1. `/readyz` says no and no session is opened any longer, so that new clients go elsewhere;
//! 2. every socket is told `server:draining` with the time at which it will be sent away, the times spread over the window;
//! 3. each is sent away at its time, by a cut after which its client comes back by itself, and until then told everything;
//! 4. behind the last socket everything else ends, as it does when told to stop.
//!
//! Invariants:
//! - nobody is sent away before the time that he was told; who was just coming in is, and finds another server as new ones do;
//! - it ends with the window and [`FAREWELLS_WITHIN`], whatever clients do, and as soon as nobody is left;
//! - told to stop, it leaves out what remains of this.
//!
//! One task, which is the one that ends all others.

mod tasks;

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    contract::{Draining, ServerEvent},
    frame::Frame,
    http::readiness::{Component, State},
    ids::SocketKey,
    socket::Members,
};

pub use self::tasks::Tasks;

/// How long those who were sent away may take to be gone.
const FAREWELLS_WITHIN: Duration = Duration::from_secs(1);
/// After so many sockets others get a turn.
const SLICE: usize = 256;

/// Tells a service to end. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    leave: CancellationToken,
    stop: CancellationToken,
}

impl Ending {
    /// In order, within the drain window. Saying it again changes nothing.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// At once, also when it is about to leave in order.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Cancelled when everything has to end.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stop
    }
}

/// See the module.
pub struct Drain {
    pub members: Members,
    /// Said not to be ready from the beginning of the end on.
    pub draining: Component,
    pub window: Duration,
}

impl Drain {
    /// Waits to be told, and ends the service as it is told.
    pub async fn run(self, ending: Ending) {
        let in_order = async {
            ending.leave.cancelled().await;
            self.send_away().await;
        };
        ending.stop.run_until_cancelled(in_order).await;
        for key in self.members.shut() {
            self.members.hang_up(key);
        }
        ending.stop();
    }

    async fn send_away(&self) {
        self.draining.set(State::NotReady("this server is going down".to_owned()));
        let began = Instant::now();
        let keys = self.members.shut();
        tracing::info!(sockets = keys.len(), window = ?self.window, "sending the clients away");
        let times: Vec<(SocketKey, Duration)> = keys.iter().copied().zip(times(self.window, keys.len())).collect();
        self.tell(&times).await;
        for (key, time) in times {
            tokio::select! {
                biased;
                () = self.members.empty() => break,
                () = sleep_until(began + time) => self.members.hang_up(key),
            }
        }
        let gone = timeout(FAREWELLS_WITHIN, self.members.empty()).await.is_ok();
        let took = began.elapsed();
        if gone {
            tracing::info!(?took, "everybody is away");
        } else {
            // A client that polls hears of it with its next poll.
            tracing::info!(?took, left = self.members.count(), "the time is over; who is left is cut off");
        }
    }

    async fn tell(&self, times: &[(SocketKey, Duration)]) {
        for slice in times.chunks(SLICE) {
            for (key, time) in slice {
                self.members.tell(*key, &frame(*time));
            }
            tokio::task::yield_now().await;
        }
    }
}

fn frame(time: Duration) -> Frame {
    let reconnect_in_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Frame::ephemeral(ServerEvent::ServerDraining(Draining { reconnect_in_ms }))
}

/// When each of `count` sockets is sent away: evenly, the last at the end of the window. None in its first tenth, so that the
/// news is there before.
fn times(window: Duration, count: usize) -> impl Iterator<Item = Duration> {
    let first = window / 10;
    (1..=count).map(move |nth| first + (window - first).mul_f64(nth as f64 / count as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spread_evenly_over_the_window() {
        let window = Duration::from_secs(25);
        for count in [1, 2, 20, 20_000] {
            let times: Vec<_> = times(window, count).collect();
            assert_eq!((times.len(), times.last()), (count, Some(&window)));
            assert!(times[0] >= window / 10);
            let step = (window - window / 10) / u32::try_from(count).unwrap();
            for pair in times.windows(2) {
                assert!((pair[1] - pair[0]).abs_diff(step) < Duration::from_micros(1), "{pair:?}");
            }
        }
        assert_eq!(times(window, 0).count(), 0);
    }
}
