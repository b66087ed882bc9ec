//! What the access rule asks for, from the database.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use sqlx::{PgExecutor, Postgres, pool::PoolConnection};

use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    contract::Features,
    ids::{BoardId, CommunityId, PostId},
    ports::{FactStore, FactsError},
};

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

/// What is asked lies behind what was told, or may lie elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("this server is a standby, or it was restored or promoted and the stream has not begun anew in it yet")]
struct NotAtHome;

/// The forum's database as the place where facts come from: the one that the stream comes from too. A standby could open what the stream
/// has shut already.
#[derive(Clone, Debug)]
pub struct PostgresFacts(pub sqlx::PgPool);

impl PostgresFacts {
    async fn at_home(&self) -> Result<PoolConnection<Postgres>, FactsError> {
        let mut connection = self.0.acquire().await.map_err(unavailable)?;
        match sqlx::query_file_scalar!("sql/facts/at_home.sql").fetch_one(&mut *connection).await {
            Ok(true) => Ok(connection),
            Ok(false) => Err(FactsError(NotAtHome.into())),
            Err(error) => Err(unavailable(error)),
        }
    }
}

impl FactStore for PostgresFacts {
    async fn boards(
        &self,
        named: BTreeSet<BoardId>,
        of: BTreeSet<CommunityId>,
    ) -> Result<HashMap<BoardId, BoardFacts>, FactsError> {
        boards(&mut *self.at_home().await?, &named, &of).await.map_err(unavailable)
    }

    async fn community(&self, id: CommunityId) -> Result<Option<CommunityFacts>, FactsError> {
        let ids = BTreeSet::from([id]);
        let found = communities(&mut *self.at_home().await?, &ids).await.map_err(unavailable)?;
        Ok(found.into_values().next())
    }

    async fn board_of_post(&self, post: PostId) -> Result<Option<BoardId>, FactsError> {
        board_of_post(&mut *self.at_home().await?, post).await.map_err(unavailable)
    }
}

fn unavailable(error: sqlx::Error) -> FactsError {
    FactsError(error.into())
}
