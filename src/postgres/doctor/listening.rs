//! Whether what is committed would be heard.
//!
//! Two connections are needed for that: behind a transaction pooler one that listens and rings may hear itself, and never another.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{sync::mpsc, time::timeout};

use super::{ANSWERED_WITHIN, CONNECTED_WITHIN, options};
use crate::postgres::{
    database_url::DatabaseUrl,
    pool::answered,
    wake::{Listener, WakeError},
};

/// A notification takes milliseconds.
const RUNG_WITHIN: Duration = Duration::from_secs(3);

/// Why no bell is heard.
#[derive(Debug, thiserror::Error)]
pub enum DeafError {
    #[error(transparent)]
    Listen(#[from] WakeError),
    #[error("DATABASE_URL leads to a server that rings no bell")]
    Ring(#[source] sqlx::Error),
    #[error(
        "{place} takes LISTEN and is never told: it does not keep its session, as behind a transaction pooler; let LISTEN_DATABASE_URL lead to the server itself, or to a pooler in session mode"
    )]
    Deaf { place: String },
}

/// Listens as the service does, and hears a bell that is rung over `read`. A bell is a wake-up: nodes look once more.
pub async fn listen(read: &DatabaseUrl, direct: &DatabaseUrl) -> Result<(), DeafError> {
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECTED_WITHIN).connect_lazy_with(options(read));
    let heard = hear(&pool, direct).await;
    // What does not end in time ends with the process.
    let _ = timeout(ANSWERED_WITHIN, pool.close()).await;
    heard
}

async fn hear(pool: &PgPool, direct: &DatabaseUrl) -> Result<(), DeafError> {
    let (questions, _) = mpsc::channel(1);
    let mut listener = Listener::connect(direct, pool, questions).await?;
    let ringing = sqlx::raw_sql(include_str!("../../../sql/wake/ring.sql")).execute(pool);
    answered(ANSWERED_WITHIN, ringing).await.map_err(DeafError::Ring)?;
    match timeout(RUNG_WITHIN, listener.rung()).await {
        Ok(rung) => Ok(rung?),
        Err(_) => Err(DeafError::Deaf { place: direct.place() }),
    }
}
