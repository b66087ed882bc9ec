//! `curia-realtime`: arguments and run. No logic.

use std::process::ExitCode;

use clap::Parser;
use curia_realtime::cli::{self, Cli};
use mimalloc::MiMalloc;

/// What is told lies in memory for a while, many small pieces of different age: with the system's allocator half of the
/// service's time under load went into finding room for them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(Cli::parse()).await
}
