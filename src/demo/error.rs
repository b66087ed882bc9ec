//! Why the demo's forum refused or failed, and how it tells the browser.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sqlx::error::ErrorKind;

use super::MintError;

/// A refusal or failure of the demo's forum.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No `X-Demo-User` header.
    #[error("the request does not say who you are; send the header X-Demo-User with a user id from /demo/api/people")]
    Anonymous,
    /// A person the demo does not know.
    #[error("nobody here is called {0:?}; /demo/api/people lists who there is")]
    Stranger(String),
    /// What is asked for is not there, or its existence is not told.
    #[error("there is no such {0} here, or it has been deleted")]
    NotFound(&'static str),
    /// The board exists in the person's community and is closed to them.
    #[error("the board \"{0}\" is closed to your roles; ask an admin of your community")]
    BoardClosed(String),
    /// Only the author or an admin may do this.
    #[error("only {0} may do that")]
    NotYours(&'static str),
    /// The request can't be understood or breaks a limit.
    #[error("{0}")]
    Invalid(String),
    /// A second vote by the same person.
    #[error("you have already voted for this post; take the vote back first")]
    AlreadyVoted,
    /// Taking back a vote that is not there.
    #[error("you have not voted for this post, so there is no vote to take back")]
    NotVoted,
    /// `(community_id, name)` of boards is unique.
    #[error("your community already has a board of that name; choose another name")]
    NameTaken,
    /// The database to install into is in use.
    #[error(
        "this database already has a table \"boards\"; the demo brings its own forum and leaves yours alone: \
         give it an empty database"
    )]
    NotEmpty,
    /// The texts compiled into the demo can't be read.
    #[error("the demo's own texts are malformed; rebuild from an unchanged checkout")]
    Texts(#[source] serde_json::Error),
    /// Minting failed.
    #[error("no token could be made for you; see the server's log")]
    Mint(#[source] MintError),
    /// The database refused or is away.
    #[error("the forum's database could not do that; see the server's log")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DemoError {
    /// Constraints of the forum's tables say what happened better than their names do.
    fn from(error: sqlx::Error) -> Self {
        let violated = error.as_database_error().map(|database| (database.kind(), database.table().map(str::to_owned)));
        match violated {
            Some((ErrorKind::UniqueViolation, Some(table))) if table == "votes" => Self::AlreadyVoted,
            Some((ErrorKind::UniqueViolation, Some(table))) if table == "boards" => Self::NameTaken,
            // The row it refers to went away between the check and the write.
            Some((ErrorKind::ForeignKeyViolation, _)) => Self::NotFound("post, comment or board"),
            _ => Self::Database(error),
        }
    }
}

impl From<JsonRejection> for DemoError {
    fn from(rejection: JsonRejection) -> Self {
        Self::Invalid(rejection.body_text())
    }
}

impl From<PathRejection> for DemoError {
    fn from(rejection: PathRejection) -> Self {
        Self::Invalid(rejection.body_text())
    }
}

impl DemoError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Anonymous | Self::Stranger(_) => (StatusCode::UNAUTHORIZED, "auth_missing"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::BoardClosed(_) | Self::NotYours(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_payload"),
            Self::AlreadyVoted | Self::NotVoted => (StatusCode::CONFLICT, "vote_unchanged"),
            Self::NameTaken | Self::NotEmpty => (StatusCode::CONFLICT, "name_taken"),
            Self::Database(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Self::Database(_) | Self::Mint(_) | Self::Texts(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for DemoError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        if status.is_server_error() {
            tracing::error!(error = &self as &dyn std::error::Error, "the demo's forum failed a request");
        }
        (status, Json(json!({ "error": { "code": code, "message": self.to_string() } }))).into_response()
    }
}
