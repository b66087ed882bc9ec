//! `cargo xtask`: what a developer does, in one word. Arguments only; each subcommand has a file of its own.

mod bench;
mod chaos;
mod demo;
mod fuzz;
mod interrupt;
mod picture;
mod queries;
mod step;
mod test;

use std::{env, error::Error, path::Path, process::ExitCode};

const USAGE: &str = "usage: cargo xtask <command>

  demo [--simulate] [--port <port>] [--program <path>]
            a small forum with a page to open in two windows; Ctrl-C leaves nothing behind. It builds the service, or takes a program
            that is built already
  bench <writer|latency|reconnect|backlog|fence|idle|nodes> [--help]
            what the triggers cost the forum's writers; how soon a commit reaches the browsers
  chaos [--seed <n>] [--minutes <m>] [--broken <name>] [--help]
            nodes, clients and writers under random faults; what each client was told is accounted for
  fuzz [<target>] [--seconds <n>]
            random inputs for everything that reads what comes from outside; 30 seconds a target
  test      formatting, clippy with warnings as errors, every test
  picture   renew docs/demo.png, the picture of the README, after a change of the demo's page
  queries   renew .sqlx from a live schema, after a change of sql/ or migrations/";

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let command = words.next();
    let rest: Vec<_> = words.collect();
    let outcome = at_the_top().and_then(|()| match (command.as_deref(), rest.is_empty()) {
        (Some("demo"), _) if rest == ["--help"] => {
            println!("{}", demo::USAGE);
            Ok(())
        }
        (Some("demo"), _) => match demo::Arguments::parse(rest) {
            Ok(arguments) => demo::run(&arguments),
            Err(wrong) => {
                eprintln!("{wrong}");
                std::process::exit(2)
            }
        },
        (Some("bench"), _) => bench::run(&rest),
        (Some("chaos"), _) => chaos::run(rest),
        (Some("fuzz"), _) => match fuzz::Arguments::parse(rest) {
            Ok(arguments) => fuzz::run(&arguments),
            Err(wrong) => {
                eprintln!("{wrong}");
                std::process::exit(2)
            }
        },
        (Some("test"), true) => test::run(),
        (Some("picture"), true) => picture::run(),
        (Some("queries"), true) => queries::run(),
        (Some("help" | "--help"), true) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2)
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Every path here is the project's, wherever in it the command was typed.
fn at_the_top() -> Result<(), Box<dyn Error>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask lies in no project")?;
    Ok(env::set_current_dir(top)?)
}
