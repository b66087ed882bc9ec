//! `curia-realtime`: arguments, tracing, run. No logic.

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};
use curia_realtime::{
    app::{App, AppError},
    config::Settings,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Every committed change of the forum, in order, to the browsers that may see it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Follow the database and serve browsers.
    Serve(Box<Settings>),
    /// Fill an empty database with a small forum and serve it with a page at /demo.
    Demo {
        #[command(flatten)]
        settings: Box<Settings>,
        /// A lively crowd writes all the time.
        #[arg(long)]
        simulate: bool,
    },
    /// Print the contract as TypeScript.
    Types,
}

#[tokio::main]
async fn main() -> ExitCode {
    let (settings, demo) = match Arguments::parse().command {
        Command::Serve(settings) => (settings, None),
        Command::Demo { settings, simulate } => (settings, Some(simulate)),
        Command::Types => {
            print!("{}", curia_realtime::typescript::contract());
            return ExitCode::SUCCESS;
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(*settings, demo).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("curia-realtime: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprint!(": {error}");
                source = error.source();
            }
            eprintln!();
            ExitCode::from(if matches!(error, AppError::DatabaseUrl(_)) { 2 } else { 1 })
        }
    }
}

/// `demo`: whether there is one, and whether with a crowd.
async fn run(settings: Settings, demo: Option<bool>) -> Result<(), AppError> {
    let app = App::build(settings).await?;
    if let Ok(address) = app.address() {
        tracing::info!(%address, "listening");
    }
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        stop_signal().await;
        stop.cancel();
    });
    match demo {
        Some(crowd) => app.with_demo(crowd, &shutdown).await?.run(shutdown).await,
        None => app.run(shutdown).await,
    }
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
