use std::io;

use curia_driver::DriverError;
use curia_scratch::ScratchError;
use tokio_postgres::error::SqlState;

/// Why a run came to no accounting.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error("could not {doing}")]
    Io {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("PostgreSQL did not {doing}{}", .source.code().map(SqlState::code).map(|code| format!(" ({code})")).unwrap_or_default())]
    Database {
        doing: &'static str,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("row {seq} of the history can't be read: {what}")]
    History { seq: i64, what: &'static str },
    #[error("a task of the run ended: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("interrupted")]
    Interrupted,
}

impl ChaosError {
    /// For `map_err`: names what the operating system refused.
    pub fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// For `map_err`: names what was asked of PostgreSQL.
    pub fn database(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { doing, source }
    }
}
