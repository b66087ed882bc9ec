//! What the access rule asks for, from the database.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::{PgExecutor, PgPool};
use tokio::{sync::watch, time::timeout};

use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    batch::HARMLESS,
    contract::Features,
    dispatch::Reached,
    ids::{BoardId, CommunityId, Epoch, PostId, Tick},
    ports::{FactStore, FactsError},
};

/// So long a node may be behind the rights that somebody asks for.
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
                community: row.community_id.into(),
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
    let board = sqlx::query_file_scalar!("sql/facts/post_board.sql", post.0).fetch_optional(executor).await?;
    Ok(board.flatten().map(BoardId))
}

/// The forum's database as the place where facts come from.
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
    async fn settled<T, R>(&self, read: impl Fn() -> R) -> Result<T, FactsError>
    where
        R: Future<Output = Result<T, sqlx::Error>>,
    {
        let mut reached = self.reached.clone();
        let waiting = async {
            loop {
                let Reached { epoch, told, .. } = *reached.borrow_and_update();
                let facts = read().await.map_err(|error| FactsError(error.into()))?;
                if self.is_settled(epoch, told.tick).await.map_err(|error| FactsError(error.into()))? {
                    return Ok(facts);
                }
                metrics::counter!("curia_facts_awaited_total").increment(1);
                reached.changed().await.map_err(|gone| FactsError(gone.into()))?;
            }
        };
        timeout(SETTLED_WITHIN, waiting).await.map_err(|late| FactsError(late.into()))?
    }

    async fn is_settled(&self, epoch: Epoch, told: Tick) -> Result<bool, sqlx::Error> {
        let harmless: Vec<String> = HARMLESS.iter().map(|kind| (*kind).to_owned()).collect();
        let settled = sqlx::query_file_scalar!("sql/facts/settled.sql", epoch.0, told.0, &harmless, LOOKED_THROUGH);
        // Without the tick a new epoch has begun, and this node is about to hear of it.
        Ok(settled.fetch_optional(&self.pool).await?.unwrap_or(false))
    }
}

impl FactStore for PostgresFacts {
    async fn boards(
        &self,
        named: BTreeSet<BoardId>,
        of: BTreeSet<CommunityId>,
    ) -> Result<HashMap<BoardId, BoardFacts>, FactsError> {
        self.settled(|| boards(&self.pool, &named, &of)).await
    }

    async fn community(&self, id: CommunityId) -> Result<Option<CommunityFacts>, FactsError> {
        let ids = BTreeSet::from([id.clone()]);
        let mut found = self.settled(|| communities(&self.pool, &ids)).await?;
        Ok(found.remove(&id))
    }

    async fn board_of_post(&self, post: PostId) -> Result<Option<BoardId>, FactsError> {
        self.settled(|| board_of_post(&self.pool, post)).await
    }
}
