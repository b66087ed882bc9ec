//! How long an answer is waited for. A link that fell silent should be noticed within seconds; PostgreSQL that is slow, or waits
//! for a lock, should be had in the end. Nobody can tell the one from the other, so the time is doubled whenever it was too
//! short.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::OutboxError;
use crate::postgres::pool::answered;

/// What takes longer than this is never had. Meanwhile somebody would have seen to it: `/readyz` says so all the time.
const LONGEST: Duration = Duration::from_secs(600);
/// What was answered within a quarter of the time leaves it shorter.
const ROOM: u32 = 4;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    usual: Duration,
    now: Duration,
}

impl Patience {
    /// Waits for so long where nothing was slow lately.
    pub const fn usually(usual: Duration) -> Self {
        Self { usual, now: usual }
    }

    /// Waits for an answer and learns how long that took. Cancelling it teaches nothing.
    pub async fn wait<T>(&mut self, question: impl Future<Output = Result<T, OutboxError>>) -> Result<T, OutboxError> {
        let asked = Instant::now();
        let answer = answered(self.now, question).await;
        let took = asked.elapsed();
        if answer.is_ok() {
            self.now = (took * ROOM).max(self.now / 2).clamp(self.usual, LONGEST);
        } else if took >= self.now {
            self.now = (self.now * 2).min(LONGEST);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const USUAL: Duration = Duration::from_secs(2);

    async fn takes(seconds: u64) -> Result<(), OutboxError> {
        sleep(Duration::from_secs(seconds)).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_slow_is_had_in_the_end_and_then_at_once() {
        let mut patience = Patience::usually(USUAL);
        let mut tries = 0;
        while patience.wait(takes(100)).await.is_err() {
            tries += 1;
        }
        assert_eq!(tries, 6, "2, 4, 8, 16, 32 and 64 s were too short");
        for _ in 0..3 {
            patience.wait(takes(100)).await.expect("the next that is as slow");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn behind_what_was_slow_silence_is_noticed_soon_again() {
        let mut patience = Patience::usually(USUAL);
        while patience.wait(takes(100)).await.is_err() {}
        for _ in 0..10 {
            patience.wait(takes(0)).await.expect("what is quick");
        }
        let asked = Instant::now();
        assert!(patience.wait(std::future::pending::<Result<(), OutboxError>>()).await.is_err());
        assert_eq!(asked.elapsed(), USUAL);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_no_silence() {
        let mut patience = Patience::usually(USUAL);
        for _ in 0..10 {
            assert!(patience.wait(async { Err::<(), _>(OutboxError::Unsettled) }).await.is_err());
        }
        assert_eq!(patience.now, USUAL);
        let silent = patience.wait(std::future::pending::<Result<(), OutboxError>>()).await;
        let Err(OutboxError::Database(said)) = silent else { panic!("{silent:?}") };
        assert!(said.to_string().contains("PostgreSQL gave no answer within 2 s"), "{said}");
    }
}
