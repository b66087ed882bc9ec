//! `curia-bench`: what the triggers cost the forum's writers, how soon a commit reaches the browsers, how soon everything is as it was
//! after an outage, and what further nodes cost.
//!
//! `cargo xtask bench` builds it and the service and runs it. How to read its tables: `docs/performance.md`.

mod backlog;
mod error;
mod fence;
mod forum;
mod idle;
mod latency;
mod nodes;
mod observer;
mod pgbench;
mod reconnect;
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
    /// Until everybody who comes back at once has been sent what he missed
    Reconnect(reconnect::Arguments),
    /// How fast what was written during an outage is told
    Backlog(backlog::Arguments),
    /// From the commit that shuts somebody out to his eviction, over two nodes, and that nothing later reaches him
    Fence(fence::Arguments),
    /// What sockets that do nothing cost Redis
    Idle(idle::Arguments),
    /// What each further node costs PostgreSQL and Redis, with Redis and without
    Nodes(nodes::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().benchmark {
        Benchmark::Writer(arguments) => writer::run(&arguments).await,
        Benchmark::Latency(arguments) => latency::run(&arguments).await,
        Benchmark::Reconnect(arguments) => reconnect::run(&arguments).await,
        Benchmark::Backlog(arguments) => backlog::run(&arguments).await,
        Benchmark::Fence(arguments) => fence::run(&arguments).await,
        Benchmark::Idle(arguments) => idle::run(&arguments).await,
        Benchmark::Nodes(arguments) => nodes::run(&arguments).await,
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
