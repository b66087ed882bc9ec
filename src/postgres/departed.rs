//! Who was deleted before this node was there to be told.

use std::time::Duration;

use sqlx::PgPool;
use tokio::{time::timeout, try_join};

use super::pool::Lent;
use crate::{
    ids::UserId,
    versions::{DEPARTED, Versions},
};

/// The whole outbox is looked through, once.
const WITHIN: Duration = Duration::from_secs(3);

/// Lets `versions` know whoever was deleted as long ago as the outbox reaches back, which is `kept`. Where that can't be had in time, or not
/// all who were deleted have names, anybody may have been.
pub async fn remember(pool: &PgPool, versions: &Versions, kept: Duration) {
    let named = async {
        let mut connection = Lent::of(pool).await?;
        // One more than is remembered, so that it is known when there are more. Few enough for any integer.
        let named = sqlx::query_file_scalar!("sql/facts/departed.sql", DEPARTED as i64 + 1);
        let named = named.fetch_all(&mut *connection).await?;
        connection.give_back();
        Ok::<_, sqlx::Error>(named)
    };
    let unnamed = async {
        let mut connection = Lent::of(pool).await?;
        let unnamed = sqlx::query_file_scalar!("sql/facts/departed_unnamed.sql", kept.as_secs_f64());
        let unnamed = unnamed.fetch_one(&mut *connection).await?;
        connection.give_back();
        Ok(unnamed)
    };
    let unnamed = match timeout(WITHIN, async { try_join!(named, unnamed) }).await {
        Ok(Ok((users, unnamed))) => {
            // Who was deleted first is the first to be forgotten.
            users.into_iter().rev().flatten().for_each(|user| versions.user_departed(&UserId::from(user)));
            unnamed
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "who was deleted before could not be looked up; everybody who comes is");
            true
        }
        Err(_) => {
            let within = WITHIN.as_secs();
            tracing::warn!("who was deleted before could not be looked up in {within} s; everybody who comes is");
            true
        }
    };
    if unnamed {
        versions.somebody_departed();
    }
}
