//! When a refusal is told: at the end of a step, counted from when it was asked for, however soon it was found.
//!
//! The same questions are asked of what another community has and of what is not there; how long one of them takes is PostgreSQL's and
//! Redis's. A row that comes from disk, or an entry that comes at all, must not show in the answer.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::contract::{ErrorCode, Failure};

/// See the module. Of no length: refusals are told as they are found.
#[derive(Clone, Copy, Debug)]
pub struct Steps(pub Duration);

impl Steps {
    /// Waits where `failure` is one that must not tell by its time what it was found of. What was asked next waits with it.
    pub(super) async fn await_end(self, asked: Instant, failure: &Failure) {
        if matches!(failure.code, ErrorCode::NotFound | ErrorCode::Forbidden) {
            sleep_until(asked + self.ended(asked.elapsed())).await;
        }
    }

    /// The end of the step within which `found` lies.
    fn ended(self, found: Duration) -> Duration {
        let Self(step) = self;
        let over = found.as_nanos().checked_rem(step.as_nanos()).unwrap_or_default();
        if over == 0 { found } else { found + step - Duration::from_nanos_u128(over) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_refusal_is_told_at_the_first_end_of_a_step_behind_it(step in 1_u64..100, found in 0_u64..5_000) {
            let mut end = 0;
            while end < found {
                end += step;
            }
            let ended = Steps(Duration::from_micros(step)).ended(Duration::from_micros(found));
            prop_assert_eq!(ended, Duration::from_micros(end));
        }

        #[test]
        fn without_steps_it_is_told_at_once(found in any::<u32>()) {
            let found = Duration::from_nanos(found.into());
            prop_assert_eq!(Steps(Duration::ZERO).ended(found), found);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_it_took_to_find_it_is_told_at_one_time() {
        let steps = Steps(Duration::from_millis(10));
        for (code, is_awaited) in [
            (ErrorCode::NotFound, true),
            (ErrorCode::Forbidden, true),
            (ErrorCode::Unavailable, false),
            (ErrorCode::RateLimited, false),
        ] {
            for took in 1..10 {
                let asked = Instant::now();
                tokio::time::sleep(Duration::from_millis(took)).await;
                steps.await_end(asked, &Failure::new(code, "")).await;
                let expected = if is_awaited { 10 } else { took };
                assert_eq!(asked.elapsed(), Duration::from_millis(expected), "{code:?} after {took} ms");
            }
        }
    }
}
