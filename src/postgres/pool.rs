//! Connections that are opened as they are needed and given back: a server that can't be reached is waited for where it is asked.
//!
//! A link may fall silent: nothing comes and nothing is closed, for as long as the system at this end has patience, which is a
//! quarter of an hour and more. So nobody waits for an answer without a bound, and a connection on which an answer is still to
//! come is of no more use, and must not go back to where the next would wait for it.
//!
//! Nor may what it was asked keep a place at the server: a backend that waits for a lock, or computes, would notice that its
//! connection was closed only when it answers, and with each that is given up another is opened, up to `max_connections` of everybody.
//! So each looks once a second, and what is asked often ends by itself soon after it was given up ([`super::reading`]).

use std::{
    future::Future,
    io,
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgPoolOptions};
use tokio::time::timeout;

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
/// One that does not answer within it when it is asked whether it is alive is not.
const ALIVE_WITHIN: Duration = Duration::from_secs(2);

/// The connections of a service, at most so many together as it was given.
pub struct Pools {
    /// For whoever reads the outbox, and asks again after any error: nobody else, and by [`Lent`] connections alone. One of them
    /// may be dead: then others are likely to be, and he should [`forget_idle`].
    pub reading: PgPool,
    /// For everybody else, by [`Lent`] connections as well: each is asked whether it is alive, so that one that died meanwhile is
    /// nobody's error.
    pub asking: PgPool,
}

impl Pools {
    /// At most `most` connections, at least [`READING`] and one.
    pub fn new(url: &DatabaseUrl, most: u32) -> Self {
        let reading = options(READING).before_acquire(|connection, known| {
            Box::pin(async move { Ok(known.idle_for <= LIKELY_ALIVE || is_alive(connection).await) })
        });
        let asking = options(most.saturating_sub(READING).max(1))
            .before_acquire(|connection, _| Box::pin(async { Ok(is_alive(connection).await) }));
        Self { reading: reading.connect_lazy_with(url.options()), asking: asking.connect_lazy_with(url.options()) }
    }

    /// Waits until all are given back and closed.
    pub async fn close(&self) {
        tokio::join!(self.reading.close(), self.asking.close());
    }
}

fn options(most: u32) -> PgPoolOptions {
    // The library's own test would wait without a bound of its own.
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(CONNECTED_WITHIN)
        .max_lifetime(CONNECTED_AT_MOST)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // A server that can't do this refuses it, and serves as well. One that has gone fails whatever it is asked next.
                let session = sqlx::raw_sql(include_str!("../../sql/pool/session.sql")).execute(connection).await;
                session.inspect_err(|error| tracing::debug!(%error, "what is given up may go on at the server")).ok();
                Ok(())
            })
        })
}

async fn is_alive(connection: &mut PgConnection) -> bool {
    matches!(timeout(ALIVE_WITHIN, connection.ping()).await, Ok(Ok(())))
}

/// Gives up the connections that nobody uses: after an error, since what ended one will have ended them, and where the address may
/// lead to another server by now.
pub fn forget_idle(pool: &PgPool) {
    while let Some(mut idle) = pool.try_acquire() {
        idle.close_on_drop();
    }
}

/// What PostgreSQL answers within this time, else an error that says so. Of the question itself nobody knows then what becomes of
/// it.
pub async fn answered<T, E: From<sqlx::Error>>(
    within: Duration,
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(within, question).await.unwrap_or_else(|_| {
        let silent = format!("PostgreSQL gave no answer within {} s", within.as_secs());
        Err(sqlx::Error::from(io::Error::new(io::ErrorKind::TimedOut, silent)).into())
    })
}

/// A connection that is closed where it is not given back: whoever fails, or is cut off, leaves an answer on it that is still to
/// come.
#[derive(Debug)]
pub struct Lent {
    connection: PoolConnection<Postgres>,
    is_whole: bool,
}

impl Lent {
    /// One of the pool's, or a new one, within [`CONNECTED_WITHIN`].
    pub async fn of(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: pool.acquire().await?, is_whole: false })
    }

    /// Everything that was asked on it has been answered, and no transaction is open.
    pub fn give_back(mut self) {
        self.is_whole = true;
        // As the library does where it is dropped, but that it would wait for ever for one that falls silent on its way back.
        let returning = self.connection.return_to_pool();
        tokio::spawn(timeout(ALIVE_WITHIN, returning));
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_whole {
            self.connection.close_on_drop();
        }
    }
}
