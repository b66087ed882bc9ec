//! `curia-bench`: what the triggers cost the forum's writers, and how soon a commit reaches the browsers.
//!
//! `cargo xtask bench` builds it and the service and runs it. How to read its tables: `docs/performance.md`.

mod error;
mod forum;
mod latency;
mod observer;
mod pgbench;
mod statistics;
mod writer;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

/// Benchmarks of curia-realtime, each against a throw-away PostgreSQL.
#[derive(Parser)]
#[command(name = "cargo xtask bench", version)]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// The forum's commit rate with our triggers, with none, and with the usual NOTIFY of the row
    Writer(writer::Arguments),
    /// From a commit to the browsers, with both ends timed by one clock
    Latency(latency::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().benchmark {
        Benchmark::Writer(arguments) => writer::run(&arguments).await,
        Benchmark::Latency(arguments) => latency::run(&arguments).await,
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    eprintln!("curia-bench: {told}");
    ExitCode::FAILURE
}
