//! What PostgreSQL said, as its own message says it.

use std::{error::Error, fmt};

/// An error of the driver. Its own display adds the line of PostgreSQL's source code at which the server noticed, which reads like a
/// line of the statement and is none.
#[derive(Debug)]
pub struct Said(pub sqlx::Error);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            sqlx::Error::Database(error) => f.write_str(error.message()),
            other => other.fmt(f),
        }
    }
}

impl Error for Said {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            sqlx::Error::Database(_) => None,
            other => other.source(),
        }
    }
}
