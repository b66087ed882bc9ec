//! What the access rule asks for, from the database.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use sqlx::PgExecutor;

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

/// The forum's database as the place where facts come from.
#[derive(Clone, Debug)]
pub struct PostgresFacts(pub sqlx::PgPool);

impl FactStore for PostgresFacts {
    async fn boards(
        &self,
        named: BTreeSet<BoardId>,
        of: BTreeSet<CommunityId>,
    ) -> Result<HashMap<BoardId, BoardFacts>, FactsError> {
        boards(&self.0, &named, &of).await.map_err(|error| FactsError(error.into()))
    }

    async fn community(&self, id: CommunityId) -> Result<Option<CommunityFacts>, FactsError> {
        let mut found =
            communities(&self.0, &BTreeSet::from([id.clone()])).await.map_err(|error| FactsError(error.into()))?;
        Ok(found.remove(&id))
    }

    async fn board_of_post(&self, post: PostId) -> Result<Option<BoardId>, FactsError> {
        board_of_post(&self.0, post).await.map_err(|error| FactsError(error.into()))
    }
}
