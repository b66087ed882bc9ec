//! `cargo xtask demo`: a private PostgreSQL, the service with the demo's forum, a page. Ctrl-C leaves nothing behind: the
//! database and its folder go with this process, whichever way it ends.

use std::process::{Command, ExitCode};

use curia_scratch::{Options, Postgres, ScratchError, provide};

const PORT: u16 = 4000;

/// Runs until Ctrl-C.
pub fn run(simulate: bool) -> ExitCode {
    match serve(simulate) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(simulate: bool) -> Result<ExitCode, ScratchError> {
    provide::postgres()?;
    let server = Postgres::start(&Options::default())?;
    let database = server.create_database("curia_demo")?;
    let port = if curia_scratch::is_free(PORT) { PORT } else { curia_scratch::free_port()? };
    println!("open http://127.0.0.1:{port}/demo in two windows; Ctrl-C ends it");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "curia-realtime", "--", "demo"]);
    command.args(["--database-url", &database, "--port", &port.to_string()]);
    // The demo believes whoever you say you are; its secret guards nothing.
    command.args(["--jwt-secret", "a-secret-that-only-the-demo-knows-and-everybody-may"]);
    if simulate {
        command.arg("--simulate");
    }
    let status = command.status();
    server.stop()?;
    match status {
        Ok(status) if status.success() => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("the service could not be started: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}
