use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use curia_scratch::ScratchError;

/// Why the service or a client of it does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error("could not {doing}")]
    Io {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the service is not at {}; `cargo xtask bench` and `cargo xtask chaos` build it", .0.display())]
    NoService(PathBuf),
    #[error("the service ended by itself ({0}); the reason stands above")]
    ServiceEnded(ExitStatus),
    #[error("the service was not ready within {} s: {said}", .within.as_secs())]
    NotReady { within: Duration, said: String },
    #[error("`curia-realtime token` failed ({status}): {said}")]
    NoToken { status: ExitStatus, said: String },
    #[error("a client of the service could not {doing}")]
    Socket {
        doing: &'static str,
        #[source]
        source: Box<tokio_tungstenite::tungstenite::Error>,
    },
    #[error("a client of the service expected {expected} and was told: {said}")]
    Protocol { expected: &'static str, said: String },
}

impl DriverError {
    /// For `map_err`: names what the operating system refused.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// For `map_err`: names what a client was at.
    pub(crate) fn socket(doing: &'static str) -> impl FnOnce(tokio_tungstenite::tungstenite::Error) -> Self {
        move |source| Self::Socket { doing, source: Box::new(source) }
    }
}
