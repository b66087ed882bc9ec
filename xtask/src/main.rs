//! `cargo xtask`: what a developer does, in one word. Arguments only; each subcommand has a file of its own.

mod demo;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  demo [--simulate]    a throw-away forum with a page that shows the service at work
  test                 formatting, clippy with warnings as errors, every test";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    match command.as_deref() {
        Some("demo") => demo::run(std::env::args().any(|argument| argument == "--simulate")),
        Some("test") => test::run(),
        Some("help") | Some("--help") => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
