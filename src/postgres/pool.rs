//! Connections that are opened as they are needed and given back: a server that can't be reached is waited for where it is asked.

use std::time::Duration;

use sqlx::{Connection, PgPool, postgres::PgPoolOptions};

use super::database_url::DatabaseUrl;

/// Whoever waits longer for a connection is told that there is none.
pub const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// For so long a connection may keep to a server that the address no longer leads to.
const CONNECTED_AT_MOST: Duration = Duration::from_secs(60);
/// What a tick takes at a time: one to read it in, one to record it, and one that is on its way back.
const READING: u32 = 3;
/// A connection that answered within it is taken by the reader unasked: the question whether it is alive would cost him as much as
/// most of his statements.
const LIKELY_ALIVE: Duration = Duration::from_millis(500);

/// The connections of a service, at most so many together as it was given.
pub struct Pools {
    /// For whoever reads the outbox, and asks again after any error. One of them may be dead: then others are likely to be, and he should
    /// [`forget_idle`].
    pub reading: PgPool,
    /// For everybody else: each is asked whether it is alive, so that one that died meanwhile is nobody's error.
    pub asking: PgPool,
}

impl Pools {
    /// At most `most` connections, at least [`READING`] and one.
    pub fn new(url: &DatabaseUrl, most: u32) -> Self {
        let reading = options(READING).test_before_acquire(false).before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for > LIKELY_ALIVE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
        let asking = options(most.saturating_sub(READING).max(1));
        Self { reading: reading.connect_lazy_with(url.options()), asking: asking.connect_lazy_with(url.options()) }
    }

    /// Waits until all are given back and closed.
    pub async fn close(&self) {
        tokio::join!(self.reading.close(), self.asking.close());
    }
}

fn options(most: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(most).acquire_timeout(CONNECTED_WITHIN).max_lifetime(CONNECTED_AT_MOST)
}

/// Gives up the connections that nobody uses: after an error, since what ended one will have ended them, and where the address may
/// lead to another server by now.
pub fn forget_idle(pool: &PgPool) {
    while let Some(mut idle) = pool.try_acquire() {
        idle.close_on_drop();
    }
}
