//! The newcomer's demo: a small forum with a page in front, to see the real-time service at work.
//!
//! What it stands for: the forum that already exists. It writes to PostgreSQL with the forum's own statements and knows
//! nothing of Socket.IO, so whatever a second window shows has really gone through the triggers. For the same reason this
//! module imports nothing else of the crate; the one thing it is handed is a way to mint a token.
//!
//! In reading order:
//! - [`people`]: who there is, with the roles that a host platform would put into their tokens
//! - [`install()`]: the forum's schema and something to read in it
//! - [`access`]: the forum's own check of who may read a board
//! - [`forum`]: the forum's statements, one function each
//! - [`routes`]: the REST endpoints over them; [`page`]: the files the browser loads
//! - [`simulate`]: a crowd that keeps the forum busy, through the same statements
//!
//! It believes whoever you say you are (`X-Demo-User`), which is the point of it and the reason never to put it in front
//! of a real forum. The service beside it believes tokens only.

pub mod access;
mod crowd;
mod error;
pub mod forum;
mod install;
mod page;
pub mod people;
mod portrait;
mod routes;
mod rows;

use std::sync::Arc;

pub use crowd::simulate;
pub use error::DemoError;
pub use install::install;
pub use people::DemoUser;

/// What went wrong while minting a token; shown to nobody but the log.
pub type MintError = Box<dyn std::error::Error + Send + Sync>;

/// Signs a forum token for a person of the demo, as the host platform does at sign-in.
pub type Mint = Arc<dyn Fn(&DemoUser) -> Result<String, MintError> + Send + Sync>;

/// What the demo's routes need.
#[derive(Clone)]
pub struct DemoState {
    /// Connections to the forum's database, with the forum's rights.
    pub pool: sqlx::PgPool,
    /// How a token is made.
    pub mint: Mint,
}

/// The page under `/demo` and the forum's REST API under `/demo/api`.
pub fn router(state: DemoState) -> axum::Router {
    page::router().merge(routes::router(state))
}
