//! The beginning of a new epoch, where it can't be proved that the stream goes on.
//!
//! Invariants:
//! - an epoch follows the one that was seen to be broken, and once only, however many nodes saw it;
//! - before it begins, rows that a restore brought from where transactions were numbered otherwise are gone: none of them is ever
//!   taken for news, however far the numbers run;
//! - everything is done on one connection, and so on one server.
//!
//! Cancelling is safe: what is left undone is done by whoever looks next.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::pool::answered;
use crate::ids::Epoch;

/// Rows a transaction.
const SLICE: i64 = 10_000;
/// So long one may take.
const SLICE_WITHIN: Duration = Duration::from_secs(60);

/// Begins an epoch behind `broken`, or the first where there is none. `false` when somebody else was quicker.
pub(super) async fn begin(
    connection: &mut PgConnection,
    broken: Option<Epoch>,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    while drop_strangers(connection).await? == SLICE.unsigned_abs() {}
    let beginning = async {
        let mut alone = connection.begin_with(include_str!("../../sql/epoch/lock.sql")).await?;
        let begun = sqlx::query_file!("sql/epoch/begin.sql", broken.map(|epoch| epoch.0), reason);
        let begun = begun.execute(&mut *alone).await?.rows_affected() > 0;
        alone.commit().await?;
        Ok::<_, sqlx::Error>(begun)
    };
    let begun = answered(SLICE_WITHIN, beginning).await?;
    if begun {
        tracing::warn!(reason, "a new epoch of the stream has begun: every client loads its state anew");
    }
    Ok(begun)
}

/// Cuts a slice of the rows that were not written here, and says how many.
pub(super) async fn drop_strangers(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let dropped = sqlx::query_file!("sql/epoch/drop_strangers.sql", SLICE).execute(connection);
    Ok(answered(SLICE_WITHIN, dropped).await?.rows_affected())
}
