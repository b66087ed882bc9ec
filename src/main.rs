//! `curia-realtime`: arguments and run. No logic.

use std::process::ExitCode;

use clap::Parser;
use curia_realtime::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(Cli::parse()).await
}
