//! `curia-scratch postgres|redis`: a throw-away server for as long as standard input stays open, for trying things by hand.

use std::io::{self, Read};
use std::process::ExitCode;

use curia_scratch::{Options, Postgres, Redis, ScratchError, provide};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let held = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["postgres"] => hold_postgres(),
        ["redis"] => hold_redis(),
        _ => {
            eprintln!("usage: curia-scratch postgres|redis (the server ends with standard input: Ctrl-D)");
            return ExitCode::from(2);
        }
    };
    match held {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn hold_postgres() -> Result<(), ScratchError> {
    provide::postgres()?;
    let server = Postgres::start(&Options::default())?;
    println!("{}", server.url());
    until_input_ends();
    server.stop()
}

fn hold_redis() -> Result<(), ScratchError> {
    provide::redis()?;
    let server = Redis::start()?;
    println!("{}", server.url());
    until_input_ends();
    server.stop().map(drop)
}

fn until_input_ends() {
    // An input that cannot be read is an input that has ended.
    let _ = io::stdin().lock().bytes().find(Result::is_err);
}
