//! `cargo xtask test`: brings PostgreSQL and the Node packages, then each step in order, timed; the first that fails ends the run.

use std::{
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

use curia_scratch::provide;

const STEPS: &[(&str, &[&str])] = &[
    ("formatting", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("tests", &["test", "--workspace"]),
];

/// Runs every step.
pub fn run() -> ExitCode {
    let brought = provide::postgres().and_then(|_| provide::node_packages(Path::new("tests/browser")));
    if let Err(error) = brought {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let mut times = Vec::new();
    for (name, arguments) in STEPS {
        println!("== {name}: cargo {}", arguments.join(" "));
        let began = Instant::now();
        match Command::new(env!("CARGO")).args(*arguments).status() {
            Ok(status) if status.success() => times.push((name, began.elapsed())),
            Ok(status) => {
                eprintln!("== {name} failed ({status}); nothing after it was run");
                return ExitCode::FAILURE;
            }
            Err(error) => {
                eprintln!("== {name} could not be started: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    for (name, time) in times {
        println!("== {name}: {:.0} s", time.as_secs_f64());
    }
    ExitCode::SUCCESS
}
