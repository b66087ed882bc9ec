//! Asking a database what [`crate::doctor`] judges, without changing anything.
//!
//! Invariants:
//! - each question is a read-only transaction of its own, which waits a second for a lock and lasts two at most; whoever got no answer
//!   within four asks nothing more on that connection;
//! - nothing is set for the session, which may be a pooler's.
//!
//! Only the listening connection ([`listening`]) is a session, as that of the service is; it ends with the question.

pub mod listening;

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{
    capture,
    connect::{ConnectError, cause, connect_within},
    database_url::DatabaseUrl,
    migrations::{TRIGGERS, latest},
    pool::{Lent, answered},
    rows,
    schema::{SchemaError, schema_of},
};
use crate::{
    doctor::{
        Asked, Unanswered,
        database::{Connections, Replicas, Server, Trigger},
        stream::{COUNTED, Newest, Nodes, Open, Outbox, Position},
    },
    event::Needs,
    ids::{BoardId, CommentId, CommunityId, PostId},
};

/// A server that neither answers nor refuses within this is not reached.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// Longer than the server lets a statement last.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);
/// What the service does with our tables beside reading them.
const WRITES: [(&str, &str); 5] = [
    ("DELETE", "curia_realtime.outbox"),
    ("INSERT", "curia_realtime.epoch"),
    ("INSERT", "curia_realtime.tick"),
    ("DELETE", "curia_realtime.tick"),
    ("SELECT", "curia_realtime.outbox"),
];

/// What was found.
#[derive(Debug)]
pub struct Seen {
    pub server: Asked<Server>,
    /// The version that is installed, or what is wrong with it.
    pub schema: Asked<Result<i32, SchemaError>>,
    /// Where the schema is as it should be, on a primary.
    pub installed: Option<Installed>,
}

/// What our schema holds.
#[derive(Debug)]
pub struct Installed {
    pub triggers: Asked<Vec<Trigger>>,
    pub replicas: Asked<Vec<Replicas>>,
    /// What PostgreSQL said to the readings of the service, where it refused them.
    pub refused: Asked<Option<String>>,
    /// Privileges that the role lacks.
    pub missing: Asked<Vec<String>>,
    pub nodes: Asked<Nodes>,
    pub position: Asked<Position>,
    pub outbox: Asked<Outbox>,
    pub transactions: Asked<Vec<Open>>,
}

/// Looks at a database.
pub async fn examine(url: &DatabaseUrl) -> Result<Seen, ConnectError> {
    let mut session = Session { connection: Some(connect_within(CONNECTED_WITHIN, url, &options(url)).await?) };
    let server = session.server().await;
    let schema = session.ask(schema_of_program).await;
    let is_standby = server.as_ref().is_ok_and(|server| server.standby);
    let installed = if matches!(schema, Ok(Ok(_))) && !is_standby { Some(session.installed().await) } else { None };
    session.close().await;
    Ok(Seen { server, schema, installed })
}

/// Named apart from nodes; and behind a transaction pooler a prepared statement would be somebody else's.
fn options(url: &DatabaseUrl) -> PgConnectOptions {
    url.options().application_name("curia-realtime doctor").statement_cache_capacity(0)
}

async fn schema_of_program(connection: &mut PgConnection) -> Result<Result<i32, SchemaError>, sqlx::Error> {
    match schema_of(connection).await {
        Ok(()) => Ok(Ok(latest())),
        Err(SchemaError::Database(error)) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}

/// A connection on which questions are asked one after the other.
struct Session {
    /// None once an answer is still to come on it.
    connection: Option<PgConnection>,
}

impl Session {
    async fn ask<T>(&mut self, question: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>) -> Asked<T> {
        let Some(connection) = self.connection.as_mut() else {
            return Err(Unanswered("the connection gave no answer before".to_owned()));
        };
        let asking = async {
            let mut alone = connection.begin_with(include_str!("../../sql/doctor/begin.sql")).await?;
            let answer = question(&mut alone).await?;
            alone.commit().await?;
            Ok::<_, sqlx::Error>(answer)
        };
        match timeout(ANSWERED_WITHIN, asking).await {
            Ok(answer) => answer.map_err(|error| Unanswered(cause(&error))),
            Err(_) => {
                self.connection = None;
                Err(Unanswered(format!("PostgreSQL gave no answer within {} s", ANSWERED_WITHIN.as_secs())))
            }
        }
    }

    async fn close(self) {
        if let Some(connection) = self.connection {
            // What does not end in time ends with the process.
            let _ = timeout(ANSWERED_WITHIN, connection.close()).await;
        }
    }

    async fn server(&mut self) -> Asked<Server> {
        let asked = Utc::now();
        let row = self
            .ask(async |connection: &mut PgConnection| {
                sqlx::query_file!("sql/doctor/server.sql").fetch_one(connection).await
            })
            .await?;
        let took = (Utc::now() - asked) / 2;
        Ok(Server {
            version: row.version,
            named: row.named,
            standby: row.standby,
            read_only: row.read_only,
            role: row.role,
            ahead: (row.now - (asked + took)).num_milliseconds(),
            within: took.num_milliseconds(),
            connections: Connections { places: row.places, taken: row.taken, ours: row.ours },
        })
    }

    async fn installed(&mut self) -> Installed {
        Installed {
            triggers: self.ask(triggers).await,
            replicas: self.ask(replicas).await,
            refused: self.ask(refused).await,
            missing: self.ask(missing).await,
            nodes: self.ask(nodes).await,
            position: self.ask(position).await,
            outbox: self.ask(outbox).await,
            transactions: self.ask(transactions).await,
        }
    }
}

async fn triggers(connection: &mut PgConnection) -> Result<Vec<Trigger>, sqlx::Error> {
    let (names, tables): (Vec<String>, Vec<String>) = TRIGGERS
        .iter()
        .flat_map(|(table, names)| names.iter().map(move |name| ((*name).to_owned(), format!("public.{table}"))))
        .unzip();
    let found = sqlx::query_file!("sql/doctor/triggers.sql", &names, &tables).fetch_all(connection).await?;
    Ok(found.into_iter().map(|row| Trigger { name: row.name, table: row.place, enabled: row.enabled }).collect())
}

async fn replicas(connection: &mut PgConnection) -> Result<Vec<Replicas>, sqlx::Error> {
    let found = sqlx::query_file!("sql/doctor/replicas.sql").fetch_all(connection).await?;
    Ok(found.into_iter().map(|row| Replicas { role: row.role, database: row.database }).collect())
}

/// The statements by which the service reads the forum, for rows that are not there.
async fn refused(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let needs = Needs {
        heads: BTreeSet::from([PostId(0)]),
        posts: BTreeSet::from([PostId(0)]),
        comments: BTreeSet::from([CommentId(0)]),
        boards: BTreeSet::from([BoardId(0)]),
        communities: BTreeSet::from([CommunityId::from("")]),
        ..Needs::default()
    };
    match rows::load(connection, &needs, 0).await {
        Ok(_) => Ok(None),
        Err(error) if error.as_database_error().is_some_and(|said| said.code().as_deref() == Some("42501")) => {
            Ok(Some(cause(&error)))
        }
        Err(error) => Err(error),
    }
}

async fn missing(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let (privileges, tables): (Vec<_>, Vec<_>) =
        WRITES.iter().map(|(privilege, table)| ((*privilege).to_owned(), (*table).to_owned())).unzip();
    sqlx::query_file_scalar!("sql/doctor/writes.sql", &privileges, &tables).fetch_one(connection).await
}

async fn nodes(connection: &mut PgConnection) -> Result<Nodes, sqlx::Error> {
    let listening = sqlx::query_file_scalar!("sql/why/nodes.sql").fetch_one(&mut *connection).await?;
    let lease = sqlx::query_file!("sql/doctor/lease.sql").fetch_optional(connection).await?;
    let lease = lease.map(|holder| {
        let address = holder.address.map(|address| format!(" from {address}")).unwrap_or_default();
        let since = holder.since.map(|since| format!(" since {}", shown(since))).unwrap_or_default();
        format!("process {} of the server, connected{address}{since}", holder.pid)
    });
    Ok(Nodes { listening, lease })
}

/// Whether somebody holds the lease on making ticks.
pub async fn is_led(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let mut connection = Lent::of(pool).await?;
    let nodes = answered(ANSWERED_WITHIN, nodes(&mut connection)).await?;
    connection.give_back();
    Ok(nodes.lease.is_some())
}

async fn position(connection: &mut PgConnection) -> Result<Position, sqlx::Error> {
    let nothing_told = (None::<i64>, None::<i64>, None::<&str>);
    let (epoch, tick, snapshot) = nothing_told;
    let stands =
        sqlx::query_file!("sql/outbox/position.sql", epoch, tick, snapshot).fetch_one(&mut *connection).await?;
    let mut newest = None;
    if let (None, Some(epoch), Some(tick)) = (&stands.broken, stands.epoch, stands.tick) {
        let waiting = sqlx::query_file!("sql/doctor/waiting.sql", epoch, tick, COUNTED);
        newest = waiting.fetch_optional(&mut *connection).await?.map(|found| Newest {
            tick,
            age: seconds(found.seconds),
            waiting: found.rows,
            since: found.oldest.map(seconds),
        });
    }
    let lacking = capture::look(&mut *connection).await?.lacking.map(|lacking| lacking.to_string());
    Ok(Position { lacking, broken: stands.broken, newest })
}

async fn outbox(connection: &mut PgConnection) -> Result<Outbox, sqlx::Error> {
    // As estimated: rows are counted by who is about to cut.
    let size = sqlx::query_file_scalar!("sql/retention/size.sql", i64::MAX).fetch_one(&mut *connection).await?;
    let age = sqlx::query_file_scalar!("sql/doctor/oldest.sql").fetch_one(connection).await?;
    Ok(Outbox { size: u64::try_from(size).unwrap_or(0), age: age.map(seconds) })
}

async fn transactions(connection: &mut PgConnection) -> Result<Vec<Open>, sqlx::Error> {
    let found = sqlx::query_file!("sql/doctor/transactions.sql").fetch_all(connection).await?;
    let open = found.into_iter().map(|row| Open {
        pid: row.pid,
        gid: row.gid,
        role: row.role,
        state: row.state,
        age: row.seconds.map(seconds),
        since: row.since.map(|at| format!("{}{}", if row.at_latest { "before " } else { "" }, shown(at))),
        writes: row.writes,
    });
    Ok(open.collect())
}

/// What lies ahead by a clock that was put back counts as now.
fn seconds(of: f64) -> Duration {
    Duration::try_from_secs_f64(of).unwrap_or_default()
}

fn shown(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
