//! `curia-realtime serve` and `curia-realtime demo`

use tokio_util::sync::CancellationToken;

use super::{
    CliError,
    flags::{Flags, Server},
};
use crate::{app::App, config::Config, http::Metrics, telemetry};

/// A small forum beside the service.
pub(super) struct Demo {
    /// Somebody is always writing.
    pub(super) simulate: bool,
}

/// Serves until it is told to stop. Nothing is opened before the whole configuration was read.
pub(super) async fn run(flags: Flags<Server>, demo: Option<Demo>) -> Result<(), CliError> {
    let config = Config::read(&flags.sources()?)?;
    telemetry::start(&config.log);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let app = App::build(config).await?.with_metrics(Metrics::install()?).await?;
    if let Ok(address) = app.address() {
        tracing::info!(%address, "listening");
    }
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        stop_signal().await;
        stop.cancel();
    });
    let app = match demo {
        Some(Demo { simulate }) => app.with_demo(simulate).await?,
        None => app,
    };
    Ok(app.run(shutdown).await?)
}

/// SIGTERM or Ctrl-C. Where no handler can be installed only the default action is left, which ends the process.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
