//! The forum's schema and something to read in it.

use sqlx::PgPool;

use super::error::DemoError;
use super::forum;
use super::people::everybody;

/// The forum's tables as its own migrations leave them.
const SCHEMA: &str = include_str!("../../tests/fixtures/forum.sql");
/// Boards, imports, posts and comments.
const CONTENT: &str = include_str!("../../sql/demo/content.sql");

/// Makes an empty database into the demo's forum.
///
/// Refuses a database that already has boards, so that a mistyped address never writes into a real forum.
pub async fn install(pool: &PgPool) -> Result<(), DemoError> {
    if sqlx::query_file!("sql/demo/installed.sql").fetch_one(pool).await?.installed {
        return Err(DemoError::NotEmpty);
    }
    sqlx::raw_sql(SCHEMA).execute(pool).await?;
    for person in everybody() {
        forum::sign_in(pool, person).await?;
    }
    sqlx::raw_sql(CONTENT).execute(pool).await?;
    for person in everybody() {
        sqlx::query_file!("sql/demo/content_votes.sql", person.user_id, person.community_id).execute(pool).await?;
    }
    sqlx::query_file!("sql/demo/content_vote_counts.sql").execute(pool).await?;
    Ok(())
}
