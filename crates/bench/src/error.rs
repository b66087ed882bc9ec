use std::{io, process::ExitStatus};

use curia_driver::DriverError;
use curia_scratch::ScratchError;
use tokio_postgres::error::SqlState;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(
        "pgbench is neither beside the PostgreSQL server's programs nor in PATH; it comes with the system's server package: apt-get install postgresql, dnf install postgresql-contrib, brew install postgresql@17"
    )]
    NoPgbench,
    #[error("pgbench failed ({status}); it said: {said}")]
    Pgbench { status: ExitStatus, said: String },
    #[error("could not {doing}")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("PostgreSQL did not {doing}{}", state(.source))]
    Database {
        doing: &'static str,
        #[source]
        source: tokio_postgres::Error,
    },
    /// What was measured did not do its work, so its speed says nothing.
    #[error("no measurement: {0}")]
    Unproved(String),
}

impl BenchError {
    /// For `map_err`: names what the operating system refused.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// For `map_err`: names what was asked of PostgreSQL.
    pub fn database(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { doing, source }
    }
}

fn state(error: &tokio_postgres::Error) -> String {
    error.code().map(SqlState::code).map(|code| format!(" ({code})")).unwrap_or_default()
}
