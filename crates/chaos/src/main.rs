//! `curia-chaos`: a run of one seed or of several, an accounting of each. `cargo xtask chaos` builds it and the service and runs it.

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use curia_chaos::{
    ChaosError,
    account::Finding,
    report,
    run::{self, Outcome, Settings},
};
use tokio::signal::unix::{SignalKind, signal};

/// Nodes, clients and writers under random faults, and an accounting of what each client was told.
#[derive(Parser)]
#[command(name = "cargo xtask chaos", version)]
struct Arguments {
    /// What everything random is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many seeds, one after the other
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How long each seed lasts
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Nodes of the service
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=5))]
    nodes: u64,
    /// Clients that come and go
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    clients: u64,
    /// Sessions of the forum that write
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=50))]
    writers: u64,
    /// Another build of the service than the one beside this program
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::select! {
        outcome = run_all(&arguments) => outcome,
        () = asked_to_end() => Err(ChaosError::Interrupted),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut told = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                told = format!("{told}: {error}");
                cause = error.source();
            }
            eprintln!("curia-chaos: {told}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every seed proved what it was to prove.
async fn run_all(arguments: &Arguments) -> Result<bool, ChaosError> {
    let program = arguments.program.clone().map_or_else(curia_driver::program, Ok)?;
    let mut kept = true;
    println!("{}", report::HEADING);
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        let settings = Settings {
            seed,
            length: Duration::from_secs_f64(arguments.minutes * 60.0),
            nodes: usize::try_from(arguments.nodes).unwrap_or(1),
            clients: arguments.clients,
            writers: arguments.writers,
            program: program.clone(),
        };
        let outcome = run::run(&settings).await?;
        let findings = outcome.account.findings();
        println!("{}", report::line(&settings, &outcome, &findings));
        kept &= judge(&settings, &outcome, &findings);
    }
    Ok(kept)
}

fn judge(settings: &Settings, outcome: &Outcome, findings: &[Finding]) -> bool {
    for (kind, count) in &outcome.faults {
        eprintln!("  {kind}: {count}");
    }
    if !findings.is_empty() {
        println!("\nseed {} of {:?}: promises were broken", settings.seed, settings.length);
        println!("{}", report::history(outcome, findings));
        return false;
    }
    if let Some(why) = report::proves_nothing(settings, outcome) {
        println!("\nseed {} proves nothing: {why}", settings.seed);
        return false;
    }
    true
}

async fn asked_to_end() {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        },
        // Then a signal ends us at once, and the keepers see to the rest.
        _ => std::future::pending().await,
    }
}
