//! Our migrations, and applying them beside a forum that is running.
//!
//! Invariants:
//! - each file is one transaction that also writes its line into `curia_realtime.migration`: a file is applied whole or not
//!   at all, whoever runs it, and psql does the same;
//! - the files ask for a lock for a fraction of a second only, so the forum's writers never queue behind us for longer; who
//!   does not get it in time rolls back, waits and tries again, up to a bound;
//! - one run at a time: the session holds `pg_advisory_lock(1129665097, 3)`.

mod table;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, error::DatabaseError};
use tokio::time::Instant;

use super::{
    capture::{self, Lacking},
    connect::cause,
};
pub use table::{FORUM_TABLES, MIGRATIONS, Migration, OWN_TABLES, TRIGGERS, latest};

const PAUSE_AT_FIRST: Duration = Duration::from_millis(200);
const PAUSE_AT_MOST: Duration = Duration::from_secs(5);

/// Which way a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the newest version.
    Up,
    /// Until nothing of ours is left.
    Down,
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A file went through.
    Done(Direction, &'a Migration),
    /// It did not get its lock and will try again after the pause.
    Waiting { migration: &'a Migration, holders: Holders, pause: Duration },
    /// Another run has to end first.
    Queued { pid: Option<i32> },
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(Direction::Up, migration) => write!(f, "applied {migration}"),
            Self::Done(Direction::Down, migration) => write!(f, "took back {migration}"),
            Self::Waiting { migration, holders, pause } => write!(
                f,
                "{migration} waits for {holders}; nothing of it is applied yet, trying again in {} ms (who blocks whom: SELECT pid, pg_blocking_pids(pid), state, query FROM pg_stat_activity)",
                pause.as_millis()
            ),
            Self::Queued { pid: Some(pid) } => {
                write!(f, "waiting for another `curia-realtime migrate` on this database (process {pid} of the server)")
            }
            Self::Queued { pid: None } => write!(f, "waiting for another `curia-realtime migrate` on this database"),
        }
    }
}

/// Who holds what a migration waits for, as far as that could still be seen.
#[derive(Debug, Default)]
pub struct Holders(Vec<Holder>);

#[derive(Debug)]
struct Holder {
    table: String,
    pid: i32,
    user: Option<String>,
    state: Option<String>,
    seconds: Option<i64>,
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("a lock that was given back meanwhile");
        }
        for (place, holder) in self.0.iter().enumerate() {
            let Holder { table, pid, .. } = holder;
            write!(f, "{}{table}, held by process {pid}", if place == 0 { "" } else { " and " })?;
            // A role that may not see other roles' sessions gets neither.
            let user = holder.user.as_ref().map(|user| format!("role {user}"));
            let state = holder.state.clone();
            let seconds = holder.seconds.map(|seconds| format!("for {seconds} s"));
            let known: Vec<String> = [user, state, seconds].into_iter().flatten().collect();
            if !known.is_empty() {
                write!(f, " ({})", known.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Why a run ended early. Whatever it had applied before stands.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("gave up after {} s: {migration} waits for {holders}; {standing}, the rest is unchanged: end that session or run this again in a quieter hour", .waited.as_secs())]
    Locked { migration: String, holders: Holders, waited: Duration, standing: Standing },
    #[error(
        "another `curia-realtime migrate` still runs on this database; nothing was changed: wait for it, then look with `curia-realtime migrate status`"
    )]
    AnotherRun,
    #[error(
        "the database is at version {found}, this program knows {}; nothing was changed: use the newer program",
        latest()
    )]
    Newer { found: i32 },
    #[error("{} missing; nothing was changed: check that the URL names the forum's database, which keeps its tables in the schema public", .0.join(", "))]
    NoForum(Vec<String>),
    #[error(
        "{migration} is not allowed ({cause}); {standing}, the rest is unchanged: run this as a superuser, or as the owner of the forum's tables with CREATEROLE and CREATE on the database"
    )]
    Rights {
        migration: String,
        cause: String,
        standing: Standing,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the role {user} may not read which migrations were applied; run this as a superuser, or as the owner of the forum's tables with CREATEROLE"
    )]
    HistoryRights { user: String },
    #[error(
        "{migration} failed ({cause}); {standing}, the rest is unchanged: look with `curia-realtime migrate status`"
    )]
    Failed {
        migration: String,
        cause: String,
        standing: Standing,
        #[source]
        source: sqlx::Error,
    },
    #[error("the database is at version {}, and yet not every change is noted: {lacking}", latest())]
    Unnoted { lacking: Lacking },
    #[error("the database could not be asked ({}); look with `curia-realtime migrate status` what was applied", cause(.0))]
    Database(#[from] sqlx::Error),
}

/// How far a run had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing(Option<i32>);

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(version) => write!(f, "the database is at version {version}"),
            None => write!(f, "nothing of ours is in the database"),
        }
    }
}

/// A migration that the database has, that this program knows, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub version: i32,
    pub name: String,
    /// `None` while it is pending.
    pub applied_at: Option<DateTime<Utc>>,
    /// Whether this program has its file.
    pub known: bool,
}

/// Applied and pending migrations, oldest first.
pub async fn status(connection: &mut PgConnection) -> Result<Vec<Entry>, MigrateError> {
    let mut entries = history(connection).await?;
    let newest = entries.last().map_or(0, |entry| entry.version);
    let pending = MIGRATIONS.iter().filter(|migration| migration.version > newest);
    entries.extend(pending.map(|migration| Entry {
        version: migration.version,
        name: migration.name.to_owned(),
        applied_at: None,
        known: true,
    }));
    Ok(entries)
}

/// What keeps changes from being noted, where all files are applied.
pub async fn lacking(connection: &mut PgConnection) -> Result<Option<Lacking>, MigrateError> {
    Ok(capture::look(connection).await?.lacking)
}

/// Applies what is missing; gives the number of files. Waits for locks no longer than `patience` altogether. An error also where all
/// is applied and somebody took a trigger away since.
pub async fn up(
    connection: &mut PgConnection,
    patience: Duration,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<usize, MigrateError> {
    let absent = standing(connection).await?.absent;
    if !absent.is_empty() {
        return Err(MigrateError::NoForum(absent));
    }
    let mut run = Run::begin(connection, Direction::Up, patience, tell).await?;
    let pending: Vec<&Migration> = MIGRATIONS.iter().filter(|migration| Some(migration.version) > run.at).collect();
    let applied = run.apply(&pending).await?;
    match lacking(connection).await? {
        None => Ok(applied),
        Some(lacking) => Err(MigrateError::Unnoted { lacking }),
    }
}

/// Takes everything of ours out of the database, newest first; gives the number of files.
pub async fn down(
    connection: &mut PgConnection,
    patience: Duration,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<usize, MigrateError> {
    let mut run = Run::begin(connection, Direction::Down, patience, tell).await?;
    let applied: Vec<&Migration> =
        MIGRATIONS.iter().rev().filter(|migration| Some(migration.version) <= run.at).collect();
    run.apply(&applied).await
}

struct StandingRow {
    installed: bool,
    unreadable: Vec<String>,
    absent: Vec<String>,
    user: String,
}

async fn standing(connection: &mut PgConnection) -> Result<StandingRow, sqlx::Error> {
    let tables: Vec<String> = FORUM_TABLES.iter().chain(OWN_TABLES).map(|table| (*table).to_owned()).collect();
    sqlx::query_file_as!(StandingRow, "sql/migrations/standing.sql", &tables).fetch_one(connection).await
}

async fn history(connection: &mut PgConnection) -> Result<Vec<Entry>, MigrateError> {
    let standing = standing(connection).await?;
    if !standing.installed {
        return Ok(Vec::new());
    }
    let lend = standing.unreadable.iter().any(|table| table == "curia_realtime.migration");
    if lend {
        // Who installs is not left with rights on our schema. He can lend them to himself and need not keep them.
        if sqlx::raw_sql("BEGIN; GRANT curia_realtime TO CURRENT_USER").execute(&mut *connection).await.is_err() {
            roll_back(connection).await;
            return Err(MigrateError::HistoryRights { user: standing.user });
        }
    }
    let rows = sqlx::query_file!("sql/migrations/history.sql").fetch_all(&mut *connection).await;
    if lend {
        roll_back(connection).await;
    }
    let known = |version| MIGRATIONS.iter().any(|migration| migration.version == version);
    let entry =
        |(version, name, applied_at)| Entry { version, name, applied_at: Some(applied_at), known: known(version) };
    Ok(rows?.into_iter().map(|row| entry((row.version, row.name, row.applied_at))).collect())
}

/// A connection that can't be rolled back is lost, and the server rolls it back.
async fn roll_back(connection: &mut PgConnection) {
    if let Err(error) = sqlx::raw_sql("ROLLBACK").execute(connection).await {
        tracing::debug!(%error, "the connection was lost before ROLLBACK");
    }
}

fn sqlstate(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(DatabaseError::code).unwrap_or_default().into_owned()
}

/// One run, alone on this database until its connection is closed.
struct Run<'a> {
    connection: &'a mut PgConnection,
    direction: Direction,
    patience: Duration,
    until: Instant,
    tell: &'a mut (dyn FnMut(Progress<'_>) + Send),
    /// The version the database is at.
    at: Option<i32>,
}

impl<'a> Run<'a> {
    async fn begin(
        connection: &'a mut PgConnection,
        direction: Direction,
        patience: Duration,
        tell: &'a mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Self, MigrateError> {
        let until = Instant::now() + patience;
        while !sqlx::query_scalar!("SELECT pg_try_advisory_lock(1129665097, 3) AS \"alone!\"")
            .fetch_one(&mut *connection)
            .await?
        {
            let pid = sqlx::query_file_scalar!("sql/migrations/runner.sql").fetch_optional(&mut *connection).await?;
            tell(Progress::Queued { pid });
            let pause = jittered(PAUSE_AT_MOST);
            if Instant::now() + pause > until {
                return Err(MigrateError::AnotherRun);
            }
            tokio::time::sleep(pause).await;
        }
        let entries = history(connection).await?;
        let at = entries.last().map(|entry| entry.version);
        match at {
            Some(found) if found > latest() => Err(MigrateError::Newer { found }),
            at => Ok(Self { connection, direction, patience, until, tell, at }),
        }
    }

    async fn apply(&mut self, migrations: &[&Migration]) -> Result<usize, MigrateError> {
        for migration in migrations {
            self.apply_one(migration).await?;
            let below = migration.version - 1;
            self.at = match self.direction {
                Direction::Up => Some(migration.version),
                Direction::Down => (below > 0).then_some(below),
            };
            (self.tell)(Progress::Done(self.direction, migration));
        }
        Ok(migrations.len())
    }

    async fn apply_one(&mut self, migration: &Migration) -> Result<(), MigrateError> {
        let sql = match self.direction {
            Direction::Up => migration.up,
            Direction::Down => migration.down,
        };
        let mut pause = PAUSE_AT_FIRST;
        loop {
            // The simple protocol: a file is several statements.
            let Err(source) = sqlx::raw_sql(sql).execute(&mut *self.connection).await else { return Ok(()) };
            let cause = cause(&source);
            let (name, standing) = (migration.to_string(), Standing(self.at));
            match sqlstate(&source).as_str() {
                // Lock not available, deadlock: it may pass.
                "55P03" | "40P01" => {
                    roll_back(self.connection).await;
                    let holders = self.holders(sql).await?;
                    let wait = jittered(pause);
                    if Instant::now() + wait > self.until {
                        let waited = self.patience;
                        return Err(MigrateError::Locked { migration: name, holders, waited, standing });
                    }
                    (self.tell)(Progress::Waiting { migration, holders, pause: wait });
                    tokio::time::sleep(wait).await;
                    pause = (pause * 2).min(PAUSE_AT_MOST);
                }
                "42501" => {
                    roll_back(self.connection).await;
                    return Err(MigrateError::Rights { migration: name, cause, standing, source });
                }
                "" => return Err(MigrateError::Database(source)),
                _ => {
                    roll_back(self.connection).await;
                    return Err(MigrateError::Failed { migration: name, cause, standing, source });
                }
            }
        }
    }

    async fn holders(&mut self, sql: &str) -> Result<Holders, sqlx::Error> {
        let touched = FORUM_TABLES.iter().chain(OWN_TABLES).filter(|table| sql.contains(**table));
        let tables: Vec<String> = touched.map(|table| (*table).to_owned()).collect();
        let readers_too = self.direction == Direction::Down;
        sqlx::query_file_as!(Holder, "sql/migrations/holders.sql", &tables, readers_too)
            .fetch_all(&mut *self.connection)
            .await
            .map(Holders)
    }
}

/// Between half and the whole of it, so that two who wait do not meet again and again.
fn jittered(pause: Duration) -> Duration {
    // Without randomness the whole pause does.
    let part = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + part / 2.0)
}
