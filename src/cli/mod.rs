//! The command line: what is typed, what is answered, with which exit code (contract section 9).

mod config;
mod doctor;
mod flags;
mod migrate;
mod serve;
mod tail;
mod token;
mod why;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use self::{
    doctor::NotInOrder,
    flags::{Flags, Server},
    serve::Demo,
    tail::TailError,
    why::WhyError,
};
use crate::{
    admission::NotAdmitted,
    app::AppError,
    asyncapi,
    config::{ConfigError, SourceError},
    http::metrics::MetricsError,
    jwt::SignError,
    postgres::{connect::ConnectError, migrations::MigrateError},
    telemetry, typescript,
};

/// Every committed change of the forum, in order, to the browsers that may see it.
///
/// Settings are read from flags, the environment and the file .env in the working directory, in this order.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Follow the database and serve browsers
    Serve(Flags<Server>),
    /// Fill an empty database with a small forum and serve it with a page at /demo
    Demo {
        /// A lively crowd writes all the time
        #[arg(long)]
        simulate: bool,
        #[command(flatten)]
        settings: Flags<Server>,
    },
    /// Put our schema into the forum's database, or take it out again
    Migrate {
        #[command(subcommand)]
        action: migrate::Action,
    },
    /// Look for whatever keeps `serve` with these settings from its work, and change nothing
    Doctor(doctor::Wanted),
    /// Print what is told, as it is committed
    ///
    /// It shows everything, whatever anybody's rights are: it has those of the database. Presence, typing and what is told to single
    /// sockets is not in the stream and not shown. Counts are shown one by one, where the service merges them. It makes no ticks: without a
    /// node that does, nothing comes.
    Tail(tail::Wanted),
    /// Explain one event for one user: whom it went to, whether he may see it, what his sockets were sent
    Why(why::Wanted),
    /// Print a token like the forum's, for trying things out
    Token(token::Wanted),
    /// Print the effective configuration of `serve` and where each value comes from
    Config(Flags<Server>),
    /// Print the contract as TypeScript, or as an AsyncAPI document
    Types {
        /// AsyncAPI 3.0, as JSON
        #[arg(long)]
        asyncapi: bool,
    },
}

/// What a command can fail with.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    App(Box<AppError>),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Doctor(#[from] NotInOrder),
    #[error(transparent)]
    Tail(#[from] TailError),
    #[error(transparent)]
    Why(#[from] WhyError),
    #[error(
        "tokens are signed with JWT_SECRET alone, and only public keys are given; sign where the private key is kept"
    )]
    NoSecret,
    #[error("no token was made")]
    Sign(#[from] SignError),
    #[error("nothing can be written to standard output")]
    Output(#[from] io::Error),
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        Self::App(Box::new(error))
    }
}

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        Self::Config(error.into())
    }
}

impl CliError {
    /// 2: wrong usage or configuration, a schema of another version among it. 1: anything else that failed.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NoSecret => 2,
            Self::Tail(TailError::Schema(error)) if error.wants_migration() => 2,
            Self::Why(WhyError::Schema(error)) if error.wants_migration() => 2,
            Self::App(error) => match error.as_ref() {
                AppError::NotAdmitted(NotAdmitted::Schema(error)) if error.wants_migration() => 2,
                AppError::DemoWithoutSecret => 2,
                _ => 1,
            },
            _ => 1,
        }
    }
}

/// Runs the command; whatever goes wrong is told on standard error.
pub async fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(flags) => serve::run(flags, None).await,
        Command::Demo { simulate, settings } => serve::run(settings, Some(Demo { simulate })).await,
        Command::Migrate { action } => migrate::run(action).await,
        Command::Doctor(wanted) => doctor::run(wanted).await,
        Command::Tail(wanted) => tail::run(wanted).await,
        Command::Why(wanted) => why::run(wanted).await,
        Command::Token(wanted) => token::run(wanted),
        Command::Config(flags) => config::run(flags),
        Command::Types { asyncapi: true } => print(&asyncapi::contract()),
        Command::Types { asyncapi: false } => print(&typescript::contract()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has had enough of it.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            for line in telemetry::chain(&error).lines() {
                eprintln!("curia-realtime: {line}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Results go to standard output, and a pipe that closes is no panic.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
