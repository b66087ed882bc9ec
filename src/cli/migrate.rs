//! `curia-realtime migrate`

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    CliError,
    flags::{Database, Flags},
    print,
};
use crate::{
    config::{self, DatabaseConfig},
    postgres::{
        connect::connect,
        migrations::{self, Entry, MIGRATIONS, Migration, Progress},
    },
};

#[derive(Subcommand)]
pub(super) enum Action {
    /// Apply what is missing; a second time there is nothing to do
    Up(Change),
    /// Take everything of ours out again, unread events too, and leave the database as it was
    Down(Change),
    /// List applied and pending migrations
    Status(Flags<Database>),
    /// Print the statements, for `psql -v ON_ERROR_STOP=1 -f -`; needs no database
    Sql {
        /// Those that take them back
        #[arg(long)]
        down: bool,
    },
}

#[derive(Args)]
pub(super) struct Change {
    /// How long to wait altogether for locks that the forum holds
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = patience)]
    patience: Duration,
    #[command(flatten)]
    settings: Flags<Database>,
}

fn patience(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or("expected a duration such as 10s, 5m, 1h, at most 7d")
}

/// Runs the action.
pub(super) async fn run(action: Action) -> Result<(), CliError> {
    match action {
        Action::Up(change) => up(change).await,
        Action::Down(change) => down(change).await,
        Action::Status(flags) => status(flags).await,
        Action::Sql { down } => print(&statements(down)),
    }
}

async fn up(change: Change) -> Result<(), CliError> {
    let database = DatabaseConfig::read(&change.settings.sources()?)?;
    let mut connection = connect(database.direct()).await?;
    let applied = migrations::up(&mut connection, change.patience, &mut tell).await?;
    let version = migrations::latest();
    print(&match applied {
        0 => format!("nothing to do: {} is at version {version}\n", database.url.place()),
        _ => format!("{} is at version {version}\n", database.url.place()),
    })
}

async fn down(change: Change) -> Result<(), CliError> {
    let database = DatabaseConfig::read(&change.settings.sources()?)?;
    let mut connection = connect(database.direct()).await?;
    let taken_back = migrations::down(&mut connection, change.patience, &mut tell).await?;
    print(&match taken_back {
        0 => format!("nothing to do: nothing of ours is in {}\n", database.url.place()),
        _ => format!("nothing of ours is left in {}\n", database.url.place()),
    })
}

/// What goes on is told on standard error, so that scripts read the result alone.
fn tell(progress: Progress<'_>) {
    eprintln!("curia-realtime: {progress}");
}

async fn status(flags: Flags<Database>) -> Result<(), CliError> {
    let database = DatabaseConfig::read(&flags.sources()?)?;
    let mut connection = connect(database.direct()).await?;
    let entries = migrations::status(&mut connection).await?;
    let newest =
        entries.last().is_some_and(|entry| entry.version == migrations::latest() && entry.applied_at.is_some());
    let lacking = if newest { migrations::lacking(&mut connection).await? } else { None };
    let lacking = lacking.map(|lacking| format!("not every change is noted: {lacking}\n")).unwrap_or_default();
    print(&(table(&entries) + &lacking))
}

fn table(entries: &[Entry]) -> String {
    let names = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or_default();
    let line = |entry: &Entry| {
        let state = match entry.applied_at {
            Some(at) => format!("applied {}", at.format("%Y-%m-%d %H:%M:%S UTC")),
            None => "pending".to_owned(),
        };
        let unknown = if entry.known { "" } else { "  newer than this program" };
        format!("{:04}  {:names$}  {state}{unknown}\n", entry.version, entry.name)
    };
    entries.iter().map(line).collect()
}

fn statements(down: bool) -> String {
    let file = |migration: &Migration| {
        let (direction, sql) = if down { ("down", migration.down) } else { ("up", migration.up) };
        format!("-- {migration}.{direction}.sql\n{sql}\n")
    };
    if down { MIGRATIONS.iter().rev().map(file).collect() } else { MIGRATIONS.iter().map(file).collect() }
}
