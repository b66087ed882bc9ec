//! What is kept of outbox and ticks, for how long and how much.
//!
//! Invariants:
//! - a row is cut only when the oldest tick kept or one before it holds it; the newest tick is never cut;
//! - ticks go before their rows: whoever still finds the tick behind which it reads finds every row behind it;
//! - rows that no tick holds are cut only with the beginning of a new epoch, which every reader hears of;
//! - any number of nodes may sweep at once: each keeps to this by what it finds, and one of them begins the epoch.
//!
//! Cutting is done in slices, each a transaction of its own; cancelling between or in them is safe.

use std::time::Duration;

use sqlx::{PgPool, Postgres, postgres::PgArguments, query::Query};

use super::{
    epoch,
    pool::{Lent, answered},
};
use crate::ids::Epoch;

/// Rows a transaction.
const SLICE: i64 = 10_000;
/// So long one may take.
const SLICE_WITHIN: Duration = Duration::from_secs(60);
/// Less than this is not kept, however large the outbox.
const SHORTEST: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Debug)]
pub struct Retention {
    pub pool: PgPool,
    /// How long ticks and their rows are kept.
    pub keep: Duration,
    /// Bytes that live rows may take, by estimate.
    pub max_size: u64,
}

/// How the outbox stands after a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Bytes of live rows, by estimate.
    pub size: u64,
    /// How long ticks are kept, where that is shorter than wanted.
    pub shortened: Option<Duration>,
    /// Rows were cut that nobody had read.
    pub new_epoch: bool,
}

impl Retention {
    /// Cuts what is too old. What is still too large is kept for half as long, again and again; when even so it is too
    /// large, since nobody makes ticks, a new epoch begins.
    pub async fn sweep(&self) -> Result<Swept, sqlx::Error> {
        // Before it is measured: should somebody else begin an epoch meanwhile and cut what was too large, his is the one.
        let newest = self.newest_epoch().await?;
        let mut keep = self.keep;
        self.cut(keep).await?;
        let mut size = self.size().await?;
        while size > self.max_size && keep > SHORTEST {
            keep = (keep / 2).max(SHORTEST);
            self.cut(keep).await?;
            size = self.size().await?;
        }
        let new_epoch = size > self.max_size;
        if new_epoch {
            self.begin_epoch_behind(newest).await?;
            keep = Duration::ZERO;
            self.cut(keep).await?;
            size = self.size().await?;
        }
        Ok(Swept { size, shortened: (keep < self.keep).then_some(keep), new_epoch })
    }

    async fn newest_epoch(&self) -> Result<Option<Epoch>, sqlx::Error> {
        let mut connection = Lent::of(&self.pool).await?;
        let horizon = sqlx::query_file!("sql/retention/horizon.sql", 0.0).fetch_optional(&mut *connection);
        let horizon = answered(SLICE_WITHIN, horizon).await?;
        connection.give_back();
        Ok(horizon.map(|horizon| Epoch(horizon.epoch)))
    }

    async fn begin_epoch_behind(&self, newest: Option<Epoch>) -> Result<(), sqlx::Error> {
        let mut connection = Lent::of(&self.pool).await?;
        epoch::begin(&mut connection, newest, "the outbox was cut at its size limit").await?;
        connection.give_back();
        Ok(())
    }

    async fn cut(&self, keep: Duration) -> Result<(), sqlx::Error> {
        let mut connection = Lent::of(&self.pool).await?;
        let horizon = sqlx::query_file!("sql/retention/horizon.sql", keep.as_secs_f64());
        let horizon = answered(SLICE_WITHIN, horizon.fetch_optional(&mut *connection)).await?;
        connection.give_back();
        // Without an epoch there is no schema, or it is being made.
        let Some(horizon) = horizon else { return Ok(()) };
        let whole = SLICE.unsigned_abs();
        let ticks = || sqlx::query_file!("sql/retention/cut_ticks.sql", horizon.epoch, horizon.tick, SLICE);
        while self.cut_slice(ticks()).await? >= whole {}
        let rows = || sqlx::query_file!("sql/retention/cut_rows.sql", horizon.epoch, horizon.tick, SLICE);
        while self.cut_slice(rows()).await? >= whole {}
        Ok(())
    }

    /// How many were cut. Between two slices the connection is anybody's: there may be no other.
    async fn cut_slice(&self, slice: Query<'_, Postgres, PgArguments>) -> Result<u64, sqlx::Error> {
        let mut connection = Lent::of(&self.pool).await?;
        let cut = answered(SLICE_WITHIN, slice.execute(&mut *connection)).await?.rows_affected();
        connection.give_back();
        Ok(cut)
    }

    async fn size(&self) -> Result<u64, sqlx::Error> {
        let mut connection = Lent::of(&self.pool).await?;
        let limit = i64::try_from(self.max_size).unwrap_or(i64::MAX);
        let bytes = sqlx::query_file_scalar!("sql/retention/size.sql", limit).fetch_one(&mut *connection);
        let bytes = answered(SLICE_WITHIN, bytes).await?;
        connection.give_back();
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}
