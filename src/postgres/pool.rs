//! The connections that are shared: everything goes through them but the listener and what changes the schema.

use std::time::Duration;

use sqlx::{Connection, PgPool, postgres::PgPoolOptions};

use super::database_url::DatabaseUrl;

/// Whoever waits longer for a connection is told that there is none.
pub const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// For so long a connection may keep to a server that the address no longer leads to.
const CONNECTED_AT_MOST: Duration = Duration::from_secs(60);
/// What answered within it is not asked whether it is alive: the question would cost as much as most statements. No server is back
/// from a restart so soon.
const SURELY_ALIVE: Duration = Duration::from_millis(500);

/// At most so many connections, opened as they are needed: a server that can't be reached is waited for where it is asked. Whoever
/// gets one that died within the last half of a second gets an error, and should [`forget_idle`].
pub fn open(url: &DatabaseUrl, most: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(CONNECTED_WITHIN)
        .max_lifetime(CONNECTED_AT_MOST)
        .test_before_acquire(false)
        .before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for > SURELY_ALIVE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(url.options())
}

/// Gives up the connections that nobody uses: after an error, since what ended one will have ended them, and where the address may
/// lead to another server by now.
pub fn forget_idle(pool: &PgPool) {
    while let Some(mut idle) = pool.try_acquire() {
        idle.close_on_drop();
    }
}
