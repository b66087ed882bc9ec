//! `curia-realtime serve` and `curia-realtime demo`

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    CliError,
    flags::{Flags, Server},
};
use crate::{app::App, config::Config, files, http::Metrics, lifecycle::Ending, telemetry};

/// A small forum beside the service.
pub(super) struct Demo {
    /// Somebody is always writing.
    pub(super) simulate: bool,
}

/// Serves until it is told to stop. Nothing is opened before the whole configuration was read.
pub(super) async fn run(flags: Flags<Server>, demo: Option<Demo>) -> Result<(), CliError> {
    let config = Config::read(&flags.sources()?)?;
    telemetry::start(&config.log);
    let files = files::warning(config.limits.max_connections.into());
    for warning in config.warnings().iter().chain(&files) {
        tracing::warn!("{warning}");
    }
    let ending = Ending::default();
    tokio::spawn(heed(Signals::await_them(), ending.clone()));
    let app = App::build(config).await?.with_metrics(Metrics::install()?).await?;
    if let Ok(address) = app.address() {
        tracing::info!(%address, "listening");
    }
    let app = match demo {
        Some(Demo { simulate }) => app.with_demo(simulate).await?,
        None => app,
    };
    Ok(app.run(ending).await?)
}

/// The first signal sends the clients away in order, the second ends it at once.
async fn heed(signals: io::Result<Signals>, ending: Ending) {
    match signals {
        Ok(mut signals) => {
            signals.next().await;
            ending.leave();
            signals.next().await;
            tracing::info!("told a second time: whoever is left is cut off, and the process ends at once");
            ending.stop();
        }
        // Only the default action is left, which ends the process.
        Err(error) => tracing::warn!(%error, "SIGTERM and Ctrl-C will end the process at once: they can't be handled"),
    }
}

/// SIGTERM and Ctrl-C. One that comes while nobody waits is kept.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn await_them() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
