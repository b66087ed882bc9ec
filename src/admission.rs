//! Before the outbox is followed: the database has to answer, and to be one that this program can serve from.
//!
//! A database that can't be reached is waited for, since it may come back by itself. One that answers and refuses, or holds
//! another schema, needs somebody to act: that ends the service with an error that says what to do.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    http::readiness::{Component, State},
    postgres::{
        connect::{ConnectError, connect},
        database_url::DatabaseUrl,
        pool::answered,
        schema::{SchemaError, require_schema},
    },
};

/// Once it is connected.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const RETRY_FROM: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

/// Why the database can't be served from.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl NotAdmitted {
    /// Whether trying again later makes sense.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect(error) => error.may_pass(),
            Self::Schema(error) => error.may_pass(),
        }
    }
}

/// Asks once.
pub async fn admit(url: &DatabaseUrl, pool: &PgPool) -> Result<(), NotAdmitted> {
    // A connection of its own, since a pool only tells that none could be had in time.
    use sqlx::Connection;
    let connection = connect(url).await?;
    answered(ANSWERED_WITHIN, connection.close()).await.map_err(SchemaError::from)?;
    Ok(answered(ANSWERED_WITHIN, require_schema(pool)).await?)
}

/// Asks until the answer is yes, until it is a lasting no, or until `shutdown`, which is no answer. Logs once a cause.
pub async fn admitted(
    url: &DatabaseUrl,
    pool: &PgPool,
    stream: &Component,
    shutdown: &CancellationToken,
) -> Result<(), NotAdmitted> {
    let mut told = String::new();
    let mut pause = RETRY_FROM;
    loop {
        let answer = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            answer = admit(url, pool) => answer,
        };
        match answer {
            Err(error) if error.may_pass() => {
                // Before it is logged: whoever reads the line finds it on /readyz.
                stream.set(State::NotReady("waiting for the database".to_owned()));
                let text = error.to_string();
                if text != told {
                    tracing::warn!("{text}; trying again until it answers");
                    told = text;
                }
            }
            answer => return answer,
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(RETRY_AT_MOST);
    }
}
