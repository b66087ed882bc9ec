//! `cargo xtask test`: brings PostgreSQL, Redis, HAProxy, Chromium, the Node packages and the test runner, then each step in order, timed; the first that fails ends
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
    ("tests", &["nextest", "run", "--workspace"]),
];
/// Where programs of cargo go that the machine lacks.
pub const TOOLS: &str = "target/tools";

/// Runs every step.
pub fn run() -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    provide::postgres()?;
    provide::redis()?;
    provide::haproxy()?;
    provide::chromium()?;
    provide::node_packages(Path::new("tests/browser"))?;
    let nextest = provide::nextest(Path::new(TOOLS))?;
    let mut total = Tally::default();
    let mut times = Vec::new();
    let mut outcome = Ok(());
    for (name, arguments) in STEPS {
        println!("== {name}: cargo {}", arguments.join(" "));
        let began = Instant::now();
        let (status, tally) = step::run(&mut cargo(arguments, &nextest), &interrupt)?;
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

/// `cargo` with these arguments; a subcommand that is a program of its own is called as cargo would call it.
fn cargo(arguments: &[&str], nextest: &Path) -> Command {
    let program = if arguments.first() == Some(&"nextest") { nextest } else { Path::new(env!("CARGO")) };
    let mut command = Command::new(program);
    command.args(arguments);
    command
}
