//! Asking the nodes over the database that all of them listen to: it is there in every topology, with Redis and without.
//!
//! A question is a notification on one channel, each answer some on a channel of that question's own; PostgreSQL limits either to
//! 8,000 bytes. Whoever may log in to the database may ask, and may answer in a node's place: it is trusted as the rows are.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgListener};
use tokio::time::{Instant, timeout_at};

use crate::{
    event::Moved,
    ids::{BoardId, Cursor, Epoch, PostId, Tick},
    ports::{Answers, FactsError},
    postgres::pool::{Lent, answered},
    why::{Part, Question, QuestionId},
};

/// Of a notification, in bytes (PostgreSQL, `NOTIFY`: a payload is shorter than 8000 bytes).
const LONGEST: usize = 7_999;
/// So long nodes may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The way back over the pool of a node.
#[derive(Clone, Debug)]
pub struct NotifiedAnswers {
    pub pool: PgPool,
}

impl Answers for NotifiedAnswers {
    async fn answer(&self, to: &QuestionId, parts: &[Part]) -> Result<(), FactsError> {
        let mut failed = None;
        // What is missing is noticed by who asked, and the rest is still worth telling.
        for part in parts {
            let text = fitting(part).map_err(|error| FactsError(error.into()))?;
            let sending = async {
                let mut connection = Lent::of(&self.pool).await?;
                sqlx::query_file!("sql/why/answer.sql", to.as_str(), text).execute(&mut *connection).await?;
                connection.give_back();
                Ok::<_, sqlx::Error>(())
            };
            failed = answered(ANSWER_WITHIN, sending).await.err().or(failed);
        }
        if let Some(error) = failed {
            return Err(FactsError(error.into()));
        }
        Ok(())
    }
}

/// Somebody with very many roles is told of without them.
fn fitting(part: &Part) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(part)?;
    match part {
        Part::Socket { node, socket } if text.len() > LONGEST => {
            let socket = crate::why::SocketReport { roles: Vec::new(), ..socket.clone() };
            serde_json::to_string(&Part::Socket { node: node.clone(), socket })
        }
        _ => Ok(text),
    }
}

/// What is kept of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The epoch that counts now.
    pub newest: Option<Epoch>,
    /// Whether the epoch asked for was ever one of this database.
    pub known: bool,
    /// Its first and last tick that are kept.
    pub kept: Option<(i64, i64)>,
}

/// What is kept of the cursor's epoch.
pub async fn standing(pool: &PgPool, cursor: &Cursor) -> Result<Standing, sqlx::Error> {
    let row = sqlx::query_file!("sql/why/standing.sql", cursor.epoch.0).fetch_one(pool).await?;
    Ok(Standing { newest: row.newest.map(Epoch), known: row.known, kept: row.first.zip(row.last) })
}

/// Which of the posts were moved behind the tick, with the board in which each stood at its end.
pub async fn moved(pool: &PgPool, epoch: Epoch, tick: Tick, posts: &[PostId]) -> Result<Moved, sqlx::Error> {
    let posts: Vec<i32> = posts.iter().map(|post| post.0).collect();
    let found = sqlx::query_file!("sql/why/moved.sql", epoch.0, tick.0, &posts).fetch_all(pool).await?;
    let stood = |board: Option<String>| board.and_then(|board| board.parse().ok()).map(BoardId);
    Ok(found.into_iter().map(|row| (PostId(row.post), stood(row.board))).collect())
}

/// What the nodes said.
#[derive(Debug, Default)]
pub struct Heard {
    /// How many listen; none where our role may not see the sessions of others.
    pub nodes: i64,
    pub parts: Vec<Part>,
}

/// Asks every node; waits until all that listen have answered, or some seconds.
pub async fn ask(pool: &PgPool, question: &Question) -> Result<Heard, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(&format!("curia_realtime_why_{}", question.id.as_str())).await?;
    let nodes = sqlx::query_file_scalar!("sql/why/nodes.sql").fetch_one(pool).await?;
    // Ids are bounded where they come from, and so are the events.
    let text = serde_json::to_string(question).unwrap_or_default();
    sqlx::query_file!("sql/why/ask.sql", text).execute(pool).await?;
    let mut heard = Heard { nodes, parts: Vec::new() };
    let until = Instant::now() + ANSWER_WITHIN;
    while !complete(&heard) {
        let Ok(answer) = timeout_at(until, listener.recv()).await else { break };
        heard.parts.extend(serde_json::from_str::<Part>(answer?.payload()));
    }
    Ok(heard)
}

/// Where nobody knows how many listen, the time decides.
fn complete(heard: &Heard) -> bool {
    let announced = |part: &Part| if let Part::Node { sockets, .. } = part { Some(*sockets) } else { None };
    let (answered, sockets) =
        heard.parts.iter().filter_map(announced).fold((0, 0), |(n, sum), more| (n + 1, sum + more));
    heard.nodes > 0 && answered >= heard.nodes && heard.parts.len() as i64 - answered >= sockets as i64
}
