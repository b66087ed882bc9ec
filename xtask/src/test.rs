//! `cargo xtask test`: brings PostgreSQL, Redis, Chromium and the Node packages, then each step in order, timed; the first that fails ends
//! the run. The last line is the sum of all tests.

use std::{error::Error, path::Path, process::Command, time::Instant};

use curia_scratch::provide;

use crate::{
    interrupt::Interrupt,
    step::{self, Tally},
};

const STEPS: &[(&str, &[&str])] = &[
    ("formatting", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("tests", &["test", "--workspace"]),
];

/// Runs every step.
pub fn run() -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    provide::postgres()?;
    provide::redis()?;
    provide::chromium()?;
    provide::node_packages(Path::new("tests/browser"))?;
    let mut total = Tally::default();
    let mut times = Vec::new();
    let mut outcome = Ok(());
    for (name, arguments) in STEPS {
        println!("== {name}: cargo {}", arguments.join(" "));
        let began = Instant::now();
        let (status, tally) = step::run(Command::new(env!("CARGO")).args(*arguments), &interrupt)?;
        total = total.and(tally);
        times.push((name, began.elapsed()));
        if interrupt.asked() {
            return Err("interrupted".into());
        }
        if !status.success() {
            outcome = Err(format!("{name} failed ({status}); nothing after it was run").into());
            break;
        }
    }
    for (name, time) in times {
        println!("== {name}: {:.0} s", time.as_secs_f64());
    }
    println!("{total}");
    outcome
}
