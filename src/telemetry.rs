//! Log lines, to standard error: what a command prints on standard output is its result and nothing else.

use std::{
    error::Error,
    io::{self, IsTerminal},
};

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging for the rest of the process. A second call changes nothing.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::builder().parse_lossy(&config.filter);
    let colours = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    // Whoever already logs, as a test may, goes on doing so.
    let _ = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// An error and its causes in a line, without those that it tells itself.
pub fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        let already = text.lines().all(|line| told.contains(line));
        // The driver's own wording differs from ours by words in front.
        let at_its_end = error.source().is_none_or(|inner| !told.contains(&inner.to_string()));
        if !already && at_its_end {
            told.push_str(": ");
            told.push_str(&text);
        }
        cause = error.source();
    }
    told
}
