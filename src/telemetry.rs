//! Log lines, to standard error: what a command prints on standard output is its result and nothing else.

use std::{
    error::Error,
    io::{self, IsTerminal},
};

use sqlx::{error::DatabaseError, postgres::PgDatabaseError};
use tracing::Level;
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

/// Libraries that write what clients send into their lines, tokens among it, from DEBUG on. Of these only louder lines are taken,
/// whatever the filter says.
const TALKATIVE: &[&str] = &["engineioxide", "socketioxide", "tokio_tungstenite", "tungstenite"];

/// Starts logging for the rest of the process. A second call changes nothing.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::builder().parse_lossy(&config.filter);
    let discreet = filter_fn(|line| *line.level() <= Level::INFO || !is_talkative(line.target()));
    // Filters of the whole, not of the layer that writes: those of a layer lose lines behind a question of the `log` crate.
    let filtered = tracing_subscriber::registry().with(filter).with(discreet);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Whoever already logs, as a test may, goes on doing so.
    let _ = match config.format {
        LogFormat::Text => filtered.with(lines).try_init(),
        LogFormat::Json => filtered.with(lines.json()).try_init(),
    };
}

fn is_talkative(target: &str) -> bool {
    // Their macros and cores are crates of their own.
    let library = target.split("::").next().unwrap_or(target);
    TALKATIVE.iter().any(|name| library.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}

/// An error and its causes in a line, without those that it tells itself, and without the lines of PostgreSQL's own source code that the
/// driver adds to what the server said.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut told = plainly(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = plainly(error);
        let already = text.lines().all(|line| told.contains(line));
        // The driver's own wording differs from ours by words in front.
        let at_its_end = error.source().is_none_or(|inner| !told.contains(&plainly(inner)));
        if !already && at_its_end {
            told.push_str(": ");
            told.push_str(&text);
        }
        cause = error.source();
    }
    told
}

/// The error's own words, in which those of a cause may stand.
fn plainly(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(said) = said(error) {
            text = text.replace(&said.to_string(), said.message());
        }
        at = error.source();
    }
    text
}

/// What PostgreSQL said, where the error is that or the driver's around it.
fn said<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a dyn DatabaseError> {
    let driver = || error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    let boxed = || error.downcast_ref::<Box<dyn DatabaseError>>().map(AsRef::as_ref);
    let bare = || error.downcast_ref::<PgDatabaseError>().map(|error| error as &dyn DatabaseError);
    driver().or_else(boxed).or_else(bare)
}
