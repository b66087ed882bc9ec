//! Connecting, with errors that say which door was closed and by whom.

use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection, error::DatabaseError, postgres::PgConnectOptions};

use super::database_url::DatabaseUrl;

/// A server that neither answers nor refuses within this is not reached.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no connection. No password is in here.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered, or a server that is starting, stopping or full: it may do later.
    #[error(
        "{place} can't be reached ({cause}); check that PostgreSQL runs there and that the URL names the right host and port"
    )]
    Unreachable {
        place: String,
        cause: String,
        #[source]
        source: Option<sqlx::Error>,
    },
    #[error("{place} does not exist; check the name behind the last / of the URL, or create it")]
    NoDatabase {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("{place} does not let the role {user:?} in ({cause}); check user and password in the URL")]
    Refused {
        place: String,
        user: String,
        cause: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("no connection to {place} ({cause}); check the URL")]
    Other {
        place: String,
        cause: String,
        #[source]
        source: sqlx::Error,
    },
}

impl ConnectError {
    /// Tells what a driver's error means for `url`.
    pub fn of(url: &DatabaseUrl, source: sqlx::Error) -> Self {
        let place = url.place();
        let cause = cause(&source);
        let code = source.as_database_error().and_then(DatabaseError::code).unwrap_or_default().into_owned();
        match (&source, code.as_str()) {
            (_, "3D000") => Self::NoDatabase { place, source },
            (_, "28P01" | "28000" | "42501") => Self::Refused { place, user: url.user().to_owned(), cause, source },
            // Too many connections, starting up, shutting down; and whatever kept the network from carrying an answer.
            (_, "53300" | "57P01" | "57P02" | "57P03") | (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut, _) => {
                Self::Unreachable { place, cause, source: Some(source) }
            }
            // A server that closes before it answers, since it is being stopped, reads to the driver as this answer.
            (sqlx::Error::Protocol(said), _) if said.contains("response from SSLRequest: 0x00") => {
                Self::Unreachable { place, cause, source: Some(source) }
            }
            _ => Self::Other { place, cause, source },
        }
    }

    /// Whether trying again later makes sense. Otherwise somebody has to change something first.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// The server's or the system's own words, without the driver's in front.
pub(super) fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// One connection, outside of any pool.
pub async fn connect(url: &DatabaseUrl) -> Result<PgConnection, ConnectError> {
    connect_within(CONNECT_WITHIN, url, &url.options()).await
}

/// As [`connect`], by options of the URL that were added to.
pub(super) async fn connect_within(
    within: Duration,
    url: &DatabaseUrl,
    options: &PgConnectOptions,
) -> Result<PgConnection, ConnectError> {
    match tokio::time::timeout(within, options.connect()).await {
        Ok(connected) => connected.map_err(|source| ConnectError::of(url, source)),
        Err(_) => Err(ConnectError::Unreachable {
            place: url.place(),
            cause: format!("no answer within {} s", within.as_secs()),
            source: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_closes_before_it_answers_is_not_reached_yet() {
        let url: DatabaseUrl = "postgres://forum@127.0.0.1:5432/forum".parse().unwrap();
        let closed = sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".to_owned());
        assert!(matches!(ConnectError::of(&url, closed), ConnectError::Unreachable { .. }));
    }
}
