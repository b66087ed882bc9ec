//! `cargo xtask`: what a developer does, in one word. Arguments only; each subcommand has a file of its own.

mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  test    formatting, clippy with warnings as errors, every test";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    match command.as_deref() {
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
