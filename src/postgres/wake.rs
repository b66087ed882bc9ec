//! The listening connection: wake-ups from writers, the lock that tells them to send any, and the lease on making ticks.
//!
//! Invariants:
//! - a writer notifies only when it finds the parking lock taken. So whoever parks has to read once more before it sleeps:
//!   what a writer committed before the lock was taken comes without a bell;
//! - a bell that rings while nobody waits is kept;
//! - locks and subscription live and die with the connection: a [`Listener`] that failed once is of no more use;
//! - it listens where the outbox is read, or there is none: elsewhere no bell rings, and the lease would be another's.
//!
//! The connection is driven by a task that ends with the [`Listener`].

use std::{future::poll_fn, time::Duration};

use sqlx::PgPool;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{error::Elapsed, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket, error::SqlState};

use super::{database_url::DatabaseUrl, pool::Lent, tls::TlsError};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// None of the questions waits for a lock.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// Somebody has to change something first.
const REFUSALS: [SqlState; 4] = [
    SqlState::INVALID_PASSWORD,
    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    SqlState::INVALID_CATALOG_NAME,
    SqlState::INSUFFICIENT_PRIVILEGE,
];
/// Where operators ask.
const QUESTIONS: &str = "curia_realtime_why";

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum WakeError {
    #[error("LISTEN_DATABASE_URL (or DATABASE_URL) can't be used for listening")]
    Url(#[source] tokio_postgres::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{place} can't be listened to")]
    Connect {
        place: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error(
        "{place} does not let the listening connection in; check user, password and database in LISTEN_DATABASE_URL (where it is not set: DATABASE_URL)"
    )]
    Refused {
        place: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("what DATABASE_URL leads to does not say where it is, and so not whether somebody listens there")]
    Unread(#[source] sqlx::Error),
    /// Another server, another database of it, or other tables.
    #[error(
        "{place} is another than DATABASE_URL leads to, and what is committed is not heard there; let LISTEN_DATABASE_URL (where it is not set: DATABASE_URL) name the server and database that are read"
    )]
    Elsewhere {
        place: String,
        #[source]
        source: Option<tokio_postgres::Error>,
    },
    #[error("the listening connection failed")]
    Lost(#[from] tokio_postgres::Error),
    #[error("the listening connection was closed")]
    Closed,
    #[error("the listening connection gives no answer")]
    Silent(#[from] Elapsed),
}

/// See the module.
#[derive(Debug)]
pub struct Listener {
    client: Client,
    bells: watch::Receiver<()>,
    /// Drives the connection.
    _connection: JoinSet<()>,
}

impl Listener {
    /// Subscribes to the writers' bell, and hands over what operators ask. `url` has to keep its session, behind a transaction pooler no
    /// bell arrives; and to lead to where `read` does, which is made sure of. A question that finds no place is left out.
    pub async fn connect(url: &DatabaseUrl, read: &PgPool, questions: mpsc::Sender<String>) -> Result<Self, WakeError> {
        let mut config = url.listen_config().map_err(WakeError::Url)?;
        config
            .application_name("curia-realtime listener")
            .connect_timeout(CONNECT_WITHIN)
            .tcp_user_timeout(ANSWER_WITHIN)
            .keepalives_idle(KEEPALIVE_AFTER);
        let connected = timeout(CONNECT_WITHIN, config.connect(url.tls().connector()?)).await?;
        let (client, connection) =
            connected.map_err(|source| match source.code().is_some_and(|code| REFUSALS.contains(code)) {
                true => WakeError::Refused { place: url.place(), source },
                false => WakeError::Connect { place: url.place(), source },
            })?;
        let (bell, bells) = watch::channel(());
        let mut task = JoinSet::new();
        task.spawn(drive(connection, bell, questions));
        let listener = Self { client, bells, _connection: task };
        if let Some(source) = listener.strays(read).await? {
            return Err(WakeError::Elsewhere { place: url.place(), source });
        }
        listener.run(include_str!("../../sql/wake/session.sql")).await?;
        listener.run(include_str!("../../sql/wake/listen.sql")).await?;
        Ok(listener)
    }

    /// Whether this is another place than `read`, and by which error, if it took one to see that.
    async fn strays(&self, read: &PgPool) -> Result<Option<Option<tokio_postgres::Error>>, WakeError> {
        let asking = async {
            let mut connection = Lent::of(read).await?;
            let home = sqlx::query_file!("sql/wake/home.sql").fetch_one(&mut *connection).await?.home;
            connection.give_back();
            Ok(home)
        };
        let there = timeout(ANSWER_WITHIN, asking).await?.map_err(WakeError::Unread)?;
        let here = self.client.query_one(include_str!("../../sql/wake/home.sql"), &[]);
        match timeout(ANSWER_WITHIN, here).await? {
            Ok(row) => Ok((row.try_get::<_, Option<String>>(0)? != there).then_some(None)),
            // Without our tables, or without a right to them, though they can be read over there.
            Err(error) if is_strange(&error) => Ok(Some(Some(error))),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this connection now holds the lease on making ticks. To be asked until it does, once is enough then.
    pub async fn lease(&self) -> Result<bool, WakeError> {
        self.ask(include_str!("../../sql/wake/lease.sql")).await
    }

    /// Asks writers to ring, unless one is at work that was not asked.
    pub async fn park(&self) -> Result<bool, WakeError> {
        self.ask(include_str!("../../sql/wake/park.sql")).await
    }

    /// Writers need not ring any longer.
    pub async fn unpark(&self) -> Result<(), WakeError> {
        // `false` would say that it was not parked, which is what is wanted.
        self.ask(include_str!("../../sql/wake/unpark.sql")).await.map(drop)
    }

    /// Rings the bell of every listener, this one included.
    pub async fn ring(&self) -> Result<(), WakeError> {
        self.run(include_str!("../../sql/wake/ring.sql")).await
    }

    /// Finds out whether the connection still lives.
    pub async fn ping(&self) -> Result<(), WakeError> {
        self.run("").await
    }

    /// Waits for a bell that was not waited for yet. Cancelling it loses none.
    pub async fn rung(&mut self) -> Result<(), WakeError> {
        self.bells.changed().await.map_err(|_| WakeError::Closed)
    }

    async fn ask(&self, question: &'static str) -> Result<bool, WakeError> {
        Ok(timeout(ANSWER_WITHIN, self.client.query_one(question, &[])).await??.try_get(0)?)
    }

    async fn run(&self, statement: &str) -> Result<(), WakeError> {
        Ok(timeout(ANSWER_WITHIN, self.client.batch_execute(statement)).await??)
    }
}

fn is_strange(error: &tokio_postgres::Error) -> bool {
    const LACKING: [SqlState; 3] =
        [SqlState::INVALID_SCHEMA_NAME, SqlState::UNDEFINED_FUNCTION, SqlState::INSUFFICIENT_PRIVILEGE];
    error.code().is_some_and(|code| LACKING.contains(code))
}

/// Ends with the connection, which the bell's receiver then hears.
async fn drive<S>(mut connection: Connection<Socket, S>, bell: watch::Sender<()>, questions: mpsc::Sender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(asked))) if asked.channel() == QUESTIONS => {
                if questions.try_send(asked.payload().to_owned()).is_err() {
                    tracing::debug!("a question was left out: others wait for their answers");
                }
            }
            Some(Ok(AsyncMessage::Notification(_))) => drop(bell.send(())),
            Some(Ok(_)) => {}
            // Whoever uses the listener next is told that it is gone, and says so.
            Some(Err(error)) => return tracing::debug!(%error, "the listening connection ended"),
            None => return,
        }
    }
}
