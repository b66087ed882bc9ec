//! One browser that watches a board while the load runs, and says in the end whether it was told everything of it.

use std::{collections::HashMap, time::Duration};

use curia_driver::Client;
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    error::BenchError,
    forum::{BOARD, Session},
};

/// How long the service may take for what is left when the load has ended.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

/// A post's `upvote_count` and `comment_count`.
type Counts = HashMap<i32, (i64, i64)>;

/// What has to be heard before the watch ends.
struct Goal {
    /// Written after the load, so everything of the load comes before it.
    last_post: i64,
    votes: HashMap<i64, i64>,
    comments: HashMap<i64, i64>,
}

/// A watch that has begun.
pub struct Observer {
    before: Counts,
    goal: oneshot::Sender<Goal>,
    watch: JoinHandle<Result<u64, BenchError>>,
}

/// What the service did for the load.
pub struct Account {
    /// Events that the browser got.
    pub events: u64,
    /// Rows of the outbox, and the ticks they were read in, since the schema was installed.
    pub rows: i64,
    pub ticks: i64,
}

impl Account {
    /// Both together.
    pub fn and(self, other: &Self) -> Self {
        Self { events: self.events + other.events, rows: self.rows + other.rows, ticks: self.ticks + other.ticks }
    }
}

impl Observer {
    /// Joins the board.
    pub async fn begin(session: &Session, port: u16, token: &str) -> Result<Self, BenchError> {
        let mut client = Client::connect(port, token).await?;
        client.join_board(BOARD).await?;
        let before = counts(session).await?;
        let (goal, set) = oneshot::channel();
        Ok(Self { before, goal, watch: tokio::spawn(watch(client, set)) })
    }

    /// Waits until the browser has heard the newest count of every post of the board that changed and a post written now, and until every row
    /// of the outbox has been read. Fails when that does not happen in time.
    pub async fn finish(self, session: &Session) -> Result<Account, BenchError> {
        let (mut votes, mut comments) = (HashMap::new(), HashMap::new());
        for (post, (upvoted, commented)) in counts(session).await? {
            let (upvoted_before, commented_before) = self.before.get(&post).copied().unwrap_or_default();
            if upvoted != upvoted_before {
                votes.insert(i64::from(post), upvoted);
            }
            if commented != commented_before {
                comments.insert(i64::from(post), commented);
            }
        }
        let last = session
            .client
            .query_one(include_str!("../sql/last_post.sql"), &[&BOARD])
            .await
            .map_err(BenchError::database("take the last post"))?;
        // Nobody takes it when the watch has failed; that error is told below.
        let _ = self.goal.send(Goal { last_post: i64::from(last.get::<_, i32>(0)), votes, comments });
        let heard = timeout(CAUGHT_UP_WITHIN, self.watch).await.map_err(|_| {
            BenchError::Unproved(format!("the service had not told everything {CAUGHT_UP_WITHIN:?} after the load"))
        })?;
        let events = heard.map_err(|error| BenchError::Unproved(format!("the watch ended: {error}")))??;
        let read = session.client.query_one(include_str!("../sql/unread.sql"), &[]).await;
        let read = read.map_err(BenchError::database("say how far the outbox was read"))?;
        let (ticks, rows, unread): (i64, i64, i64) = (read.get("ticks"), read.get("written"), read.get("unread"));
        if unread > 0 {
            return Err(BenchError::Unproved(format!("{unread} of {rows} rows of the outbox were never read")));
        }
        Ok(Account { events, rows, ticks })
    }
}

/// Listens until the goal is reached; gives the number of events.
async fn watch(mut client: Client, mut set: oneshot::Receiver<Goal>) -> Result<u64, BenchError> {
    let (mut events, mut newest_post, mut votes, mut comments) = (0, 0, HashMap::new(), HashMap::new());
    let mut goal: Option<Goal> = None;
    loop {
        if let Some(goal) = &goal
            && newest_post >= goal.last_post
            && goal.votes.iter().all(|(post, count)| votes.get(post) == Some(count))
            && goal.comments.iter().all(|(post, count)| comments.get(post) == Some(count))
        {
            return Ok(events);
        }
        let heard = tokio::select! {
            reached = &mut set, if goal.is_none() => {
                let given_up = |_| BenchError::Unproved("the load failed".to_owned());
                goal = Some(reached.map_err(given_up)?);
                continue;
            }
            heard = client.next_event() => heard?,
        };
        events += 1;
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let (post, count) = (number(&heard.payload["postId"]), number(&heard.payload["newCount"]));
        match heard.name.as_str() {
            "post:voteChanged" => drop(votes.insert(post, count)),
            "post:commentCountChanged" => drop(comments.insert(post, count)),
            "board:newPost" => newest_post = number(&heard.payload["post"]["id"]),
            _ => {}
        }
    }
}

async fn counts(session: &Session) -> Result<Counts, BenchError> {
    let rows = session.client.query(include_str!("../sql/counts.sql"), &[&BOARD]).await;
    let rows = rows.map_err(BenchError::database("tell the counts of its posts"))?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}
