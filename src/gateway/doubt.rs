//! Who can't be answered since the database can't be asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Gateway;
use crate::{
    contract::{ErrorCode, Failure},
    ports::FactsError,
};

/// What fails again within it belongs to the same outage.
const SAME_OUTAGE: Duration = Duration::from_secs(60);

/// When the database could not be asked last.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<Option<Instant>>);

impl Doubts {
    /// Notes one; whether it is the first of an outage.
    fn begin(&self) -> bool {
        let now = Instant::now();
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        before.is_none_or(|before| now - before >= SAME_OUTAGE)
    }
}

impl<F> Gateway<F> {
    /// For whoever asked. In an outage everybody asks, and it is logged once.
    pub(super) fn unavailable(&self, error: Arc<FactsError>) -> Failure {
        if self.doubts.begin() {
            tracing::warn!(
                error = &*error as &dyn std::error::Error,
                "rights can't be decided; for whom else is not said while this goes on"
            );
        }
        Failure::new(ErrorCode::Unavailable, "the database can't be asked at the moment; try again shortly")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_begins_once_however_long_it_goes_on() {
        let doubts = Doubts::default();
        assert!(doubts.begin());
        for _ in 0..10 {
            advance(SAME_OUTAGE / 2).await;
            assert!(!doubts.begin());
        }
        advance(SAME_OUTAGE).await;
        assert!(doubts.begin());
    }
}
