//! Who was deleted before this node was there to be told.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;

use crate::{
    ids::UserId,
    versions::{DEPARTED, Versions},
};

/// The whole outbox is looked through, once.
const WITHIN: Duration = Duration::from_secs(3);

/// Lets `versions` know whoever was deleted as long ago as the outbox reaches back. Where it can't be had in time, that is logged: the
/// tokens of those users are good until they expire then.
pub async fn remember(pool: &PgPool, versions: &Versions) {
    // Few enough for any integer.
    let asked = sqlx::query_file_scalar!("sql/facts/departed.sql", DEPARTED as i64).fetch_all(pool);
    match timeout(WITHIN, asked).await {
        // Who was deleted first is the first to be forgotten.
        Ok(Ok(users)) => users.into_iter().rev().flatten().for_each(|user| versions.user_departed(&UserId::from(user))),
        Ok(Err(error)) => tracing::warn!(%error, "who was deleted before could not be looked up"),
        Err(_) => tracing::warn!("who was deleted before could not be looked up in {} s", WITHIN.as_secs()),
    }
}
