//! What the access rule asks for, from the database.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor, PgPool};
use tokio::{sync::watch, time::timeout};

use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    batch::HARMLESS,
    contract::Features,
    dispatch::Reached,
    ids::{BoardId, CommunityId, Epoch, PostId, Tick, UserId},
    ports::{FactStore, FactsError},
    postgres::{pool::answered, reading::Reading, said::Said},
};

/// So long a node may be behind the rights that somebody asks for, and the database may take to answer.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);
/// So many rows behind the last tick are looked through; a node that is further behind seats nobody.
const LOOKED_THROUGH: i64 = 10_000;

/// The boards named, and those that the communities named own or import.
pub async fn boards(
    executor: impl PgExecutor<'_>,
    boards: &BTreeSet<BoardId>,
    communities: &BTreeSet<CommunityId>,
) -> Result<HashMap<BoardId, BoardFacts>, sqlx::Error> {
    let boards: Vec<i32> = boards.iter().map(|id| id.0).collect();
    let communities: Vec<String> = communities.iter().cloned().map(String::from).collect();
    let found = sqlx::query_file!("sql/facts/boards.sql", &boards, &communities).fetch_all(executor).await?;
    Ok(found
        .into_iter()
        .map(|row| {
            let settings =
                if row.malformed { Value::from("malformed") } else { json!({"permissions": row.permissions}) };
            let facts = BoardFacts {
                board: BoardId(row.id),
                community: row.community_id.map(CommunityId::from),
                rule: RoleRule::of_settings(Some(&settings)),
                importers: row.importers.into_iter().map(CommunityId::from).collect(),
            };
            (facts.board, facts)
        })
        .collect())
}

/// The communities named, as far as they exist.
pub async fn communities(
    executor: impl PgExecutor<'_>,
    ids: &BTreeSet<CommunityId>,
) -> Result<HashMap<CommunityId, CommunityFacts>, sqlx::Error> {
    let ids: Vec<String> = ids.iter().cloned().map(String::from).collect();
    let found = sqlx::query_file!("sql/facts/communities.sql", &ids).fetch_all(executor).await?;
    Ok(found
        .into_iter()
        .map(|row| {
            let facts = CommunityFacts {
                community: row.id.into(),
                rule: RoleRule::of_settings(row.settings.as_ref()),
                features: Features::of_settings(row.settings.as_ref()),
            };
            (facts.community.clone(), facts)
        })
        .collect())
}

/// The board in which a post stands; `None` where there is no such post or it stands in none.
pub async fn board_of_post(executor: impl PgExecutor<'_>, post: PostId) -> Result<Option<BoardId>, sqlx::Error> {
    let board = sqlx::query_file_scalar!("sql/facts/post_board.sql", post.0).fetch_one(executor).await?;
    Ok(board.map(BoardId))
}

/// What is asked lies behind what was told, or may lie elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("this server is a standby, or it was restored or promoted and the stream has not begun anew in it yet")]
struct NotAtHome;

/// The forum's database as the place where facts come from: the one that the stream comes from too. A standby could open what the stream
/// has shut already.
///
/// Facts are as this node has applied them: where rights changed behind the last tick that was told, the question waits for the tick
/// that says so. Else somebody who was shut out, and let in again a moment ago, could be seated before what was committed in between
/// has been told here, and be told it.
#[derive(Clone, Debug)]
pub struct PostgresFacts {
    pub pool: PgPool,
    /// How far the telling has come.
    pub reached: watch::Receiver<Reached>,
}

impl PostgresFacts {
    /// What `read` finds, once it is as of what this node has told.
    async fn settled<T>(
        &self,
        read: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, FactsError> {
        let mut reached = self.reached.clone();
        let waiting = async {
            loop {
                let Reached { epoch, told, .. } = *reached.borrow_and_update();
                let mut reading = Reading::begin_facts(&self.pool).await.map_err(unavailable)?;
                let facts = read(&mut reading).await.map_err(unavailable)?;
                // Looked at behind the reading, on the connection that it was made on: what an epoch that had begun by then says of its
                // home held while it was made, too, since a server that leaves its home ends its connections or its epoch.
                let standing = standing(&mut reading, epoch, told.tick).await.map_err(unavailable)?;
                reading.commit().await.map_err(unavailable)?;
                match standing {
                    Standing::Settled => return Ok(facts),
                    Standing::Behind => {}
                    Standing::Elsewhere => return Err(FactsError(NotAtHome.into())),
                }
                metrics::counter!("curia_facts_awaited_total").increment(1);
                reached.changed().await.map_err(|gone| FactsError(gone.into()))?;
            }
        };
        timeout(SETTLED_WITHIN, waiting).await.map_err(|late| FactsError(late.into()))?
    }
}

/// Where facts were read.
enum Standing {
    /// As of the tick that was told last.
    Settled,
    /// Rights have changed since.
    Behind,
    /// Not where the stream comes from.
    Elsewhere,
}

async fn standing(connection: &mut PgConnection, epoch: Epoch, told: Tick) -> Result<Standing, sqlx::Error> {
    let harmless: Vec<String> = HARMLESS.iter().map(|kind| (*kind).to_owned()).collect();
    let found = sqlx::query_file!("sql/facts/settled.sql", epoch.0, told.0, &harmless, LOOKED_THROUGH);
    let found = found.fetch_one(connection).await?;
    Ok(match (found.at_home, found.settled) {
        (false, _) => Standing::Elsewhere,
        (true, true) => Standing::Settled,
        // Also where a new epoch has begun: this node is about to hear of it.
        (true, false) => Standing::Behind,
    })
}

impl FactStore for PostgresFacts {
    async fn boards(
        &self,
        named: BTreeSet<BoardId>,
        of: BTreeSet<CommunityId>,
    ) -> Result<HashMap<BoardId, BoardFacts>, FactsError> {
        // What these communities show they show whether it is named or not, and of anything else nobody may tell whether it is there.
        let named = if of.is_empty() { named } else { BTreeSet::new() };
        self.settled(move |connection| {
            let (named, of) = (named.clone(), of.clone());
            Box::pin(async move { boards(connection, &named, &of).await })
        })
        .await
    }

    async fn community(&self, id: CommunityId) -> Result<Option<CommunityFacts>, FactsError> {
        let ids = BTreeSet::from([id.clone()]);
        let found = self.settled(move |connection| {
            let ids = ids.clone();
            Box::pin(async move { communities(connection, &ids).await })
        });
        Ok(found.await?.remove(&id))
    }

    async fn user_exists(&self, user: UserId) -> Result<bool, FactsError> {
        // Not waited for until it is settled: who is deleted and not told so here yet is told later.
        let Reached { epoch, told, .. } = *self.reached.borrow();
        let asking = async {
            let mut reading = Reading::begin_facts(&self.pool).await?;
            let exists = sqlx::query_file_scalar!("sql/facts/user_exists.sql", user.as_str());
            let exists = exists.fetch_one(&mut *reading).await?;
            let standing = standing(&mut reading, epoch, told.tick).await?;
            reading.commit().await?;
            Ok((exists, standing))
        };
        match answered(SETTLED_WITHIN, asking).await.map_err(unavailable)? {
            (_, Standing::Elsewhere) => Err(FactsError(NotAtHome.into())),
            (exists, Standing::Settled | Standing::Behind) => Ok(exists),
        }
    }

    async fn board_of_post(&self, post: PostId) -> Result<Option<BoardId>, FactsError> {
        self.settled(move |connection| Box::pin(board_of_post(connection, post))).await
    }
}

fn unavailable(error: sqlx::Error) -> FactsError {
    FactsError(Said(error).into())
}
