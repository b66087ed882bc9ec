//! What `/readyz` says of the stream: whether it is read, and why not.

use std::{future::Future, pin::pin, time::Duration};

use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use crate::{
    http::readiness::{Component, State},
    postgres::{connect::connect, database_url::DatabaseUrl, outbox::OutboxError, schema::require_schema},
    telemetry::chain,
};

/// Where PostgreSQL has given no answer for so long, that is said, though it may still come.
const LATE: Duration = Duration::from_secs(3);
/// So long each question after the reason of an error may take.
const WHY_WITHIN: Duration = Duration::from_millis(800);

/// See the module.
pub struct Stream {
    /// Where it comes from.
    pub url: DatabaseUrl,
    /// For whoever does not read it.
    pub asking: PgPool,
    pub component: Component,
    is_read: bool,
    /// Was read up to the present once.
    has_caught_up: bool,
}

impl Stream {
    /// One that has not been read yet.
    pub fn new(url: DatabaseUrl, asking: PgPool, component: Component) -> Self {
        Self { url, asking, component, is_read: false, has_caught_up: false }
    }

    /// It was read a moment ago. Before the node has caught up that is not enough: behind much that was not read it lets nobody
    /// in.
    pub(super) fn is_read(&mut self) {
        if !self.has_caught_up {
            return self.is_not_read("this node catches up with what was committed before it started".to_owned());
        }
        self.is_read = true;
        self.component.set(State::Ready);
    }

    /// Nothing is known that is still to be read.
    pub(super) fn has_caught_up(&mut self) {
        self.has_caught_up = true;
    }

    /// Reading goes on once the reason is gone.
    pub(super) fn is_not_read(&mut self, why: String) {
        self.is_read = false;
        self.component.set(State::NotReady(why));
    }

    /// Waits for what is read, and says so when it is late.
    pub(super) async fn awaited<T>(&mut self, reading: impl Future<Output = T>) -> T {
        let mut reading = pin!(reading);
        tokio::select! {
            biased;
            read = &mut reading => return read,
            () = sleep(LATE) => {}
        }
        if self.is_read {
            let late = LATE.as_secs();
            self.is_not_read(format!("the outbox could not be read: PostgreSQL has given no answer for {late} s"));
        }
        reading.await
    }

    /// What an operator is told. A database that answers and has no outbox any longer lacks our schema, or the right to read it,
    /// or does not let us in: then that is what he has to mend, and not the statement that failed for it.
    pub(super) async fn failed(&mut self, error: &OutboxError) {
        let why = self.why(error).await;
        self.is_not_read(why);
    }

    async fn why(&self, error: &OutboxError) -> String {
        // All that the pool knows is that it has none.
        if let OutboxError::Database(sqlx::Error::PoolTimedOut) = error
            && let Ok(Err(closed)) = timeout(WHY_WITHIN, connect(&self.url)).await
        {
            return format!("the outbox could not be read: {}", chain(&closed));
        }
        if let OutboxError::Database(sqlx::Error::Database(_)) | OutboxError::Incomplete { .. } = error {
            if let Ok(Err(closed)) = timeout(WHY_WITHIN, connect(&self.url)).await
                && !closed.may_pass()
            {
                return chain(&closed);
            }
            if let Ok(Err(lacking)) = timeout(WHY_WITHIN, require_schema(&self.asking)).await
                && !lacking.may_pass()
            {
                return chain(&lacking);
            }
        }
        chain(error)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgPoolOptions;
    use tokio::time::Instant;

    use super::*;
    use crate::http::readiness::Readiness;

    /// Of a database that nobody asks.
    fn stream(readiness: &Readiness) -> Stream {
        let url: DatabaseUrl = "postgres://forum@127.0.0.1:1/forum".parse().unwrap();
        let asking = PgPoolOptions::new().connect_lazy_with(url.options());
        Stream::new(url, asking, readiness.component("stream", State::NotReady("new".to_owned())))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_is_said_while_it_is_waited_for() {
        let readiness = Readiness::default();
        let mut stream = stream(&readiness);
        stream.has_caught_up();
        stream.is_read();
        stream.awaited(sleep(LATE / 2)).await;
        assert!(readiness.report().ready);

        let began = Instant::now();
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move {
                readiness.until(false).await;
                Instant::now()
            }
        });
        stream.awaited(sleep(LATE * 10)).await;
        assert_eq!(waiting.await.unwrap() - began, LATE);
        let why = readiness.report().degraded.remove(0).why;
        assert!(why.contains("PostgreSQL has given no answer for 3 s"), "{why}");
        stream.is_read();
        assert!(readiness.report().ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_that_is_known_is_kept_while_more_is_waited_for() {
        let readiness = Readiness::default();
        let mut stream = stream(&readiness);
        stream.is_not_read("the password is wrong".to_owned());
        stream.awaited(sleep(LATE * 10)).await;
        assert_eq!(readiness.report().degraded.remove(0).why, "the password is wrong");
    }
}
