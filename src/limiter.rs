//! Limits that one node keeps in memory: enough where it is alone, and what it falls back on where it is not.
//!
//! Invariants:
//! - users are counted over all their sockets on this node, each class for itself;
//! - what nobody has asked of for as long as anything is counted is dropped, and at most [`MOST_KNOWN`] are kept: beyond that
//!   the one who asked longest ago is forgotten, so that a crowd can't fill the memory.

use std::{
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use moka::{policy::EvictionPolicy, sync::Cache};

use crate::{
    ids::UserId,
    limits::{Class, Moment, Rates, TooMany, Window},
    ports::{Limits, Verdict},
};

/// Users and classes of which is known what they took.
const MOST_KNOWN: u64 = 100_000;

/// See the module. Clones share what they know.
#[derive(Clone)]
pub struct InMemory {
    rates: Rates,
    began: Instant,
    windows: Cache<(UserId, Class), Arc<Mutex<Window>>>,
}

/// What this node took, for whoever knows of other nodes to confirm or take back.
pub struct Taken {
    began: Instant,
    window: Arc<Mutex<Window>>,
    at: Moment,
}

impl InMemory {
    /// Nothing taken yet.
    pub fn new(rates: Rates) -> Self {
        let windows = Cache::builder()
            .max_capacity(MOST_KNOWN)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(rates.longest())
            .build();
        Self { rates, began: Instant::now(), windows }
    }

    /// What each class may.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Takes one, as far as this node knows. Never waits.
    pub fn note(&self, user: &UserId, class: Class) -> Result<Taken, TooMany> {
        let window = self.windows.get_with((user.clone(), class), Arc::default);
        let at = {
            let mut window = lock(&window);
            // Read under the lock, so that moments never go back.
            let now = self.began.elapsed();
            window.take(now, self.rates.of(class)).inspect_err(|_| count(class))?;
            now
        };
        Ok(Taken { began: self.began, window, at })
    }
}

impl Taken {
    /// It was taken for all nodes by now, and not much earlier.
    pub fn confirm(self) {
        let mut window = lock(&self.window);
        window.taken_at(self.at, self.began.elapsed());
    }

    /// Other nodes have taken as many as may be.
    pub fn refuse(self, class: Class, too_many: TooMany) -> TooMany {
        let mut window = lock(&self.window);
        window.refused(self.at, self.began.elapsed(), too_many);
        count(class);
        too_many
    }
}

impl Limits for InMemory {
    fn take(&self, user: &UserId, class: Class) -> Result<Verdict, TooMany> {
        self.note(user, class)?;
        Ok(Box::pin(ready(Ok(()))))
    }
}

fn lock(window: &Mutex<Window>) -> MutexGuard<'_, Window> {
    // A window is sound between any two of its calls.
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(class: Class) {
    metrics::counter!("curia_rate_limited_total", "class" => class.name()).increment(1);
}
