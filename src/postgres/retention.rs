//! What is kept of outbox and ticks, for how long and how much.
//!
//! Invariants:
//! - a row is cut only when the oldest tick kept or one before it holds it; the newest tick is never cut;
//! - ticks go before their rows: whoever still finds the tick behind which it reads finds every row behind it;
//! - rows that no tick holds are cut only with the beginning of a new epoch, which every reader hears of;
//! - of an epoch the oldest ticks go first, so that whoever finds one finds all behind it, also between two slices;
//! - any number of nodes may sweep at once: each keeps to this by what it finds, and one of them begins the epoch. Who finds ticks
//!   standing that he meant to have cut leaves the rest to whoever is cutting them.
//!
//! Cutting is done in slices, each a transaction of its own; cancelling between or in them is safe.

use std::time::Duration;

use sqlx::PgPool;

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

/// How a cut ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nothing is left that was to go.
    Whole,
    /// Another is cutting ticks that were to go before the rows.
    LeftToAnother,
}

impl Retention {
    /// Cuts what is too old. What is still too large is kept for half as long, again and again; when even so it is too
    /// large, since nobody makes ticks, a new epoch begins. What another is cutting meanwhile is seen to by the next sweep.
    pub async fn sweep(&self) -> Result<Swept, sqlx::Error> {
        // Before it is measured: should somebody else begin an epoch meanwhile and cut what was too large, his is the one.
        let newest = self.newest_epoch().await?;
        let mut keep = self.keep;
        let mut cut = self.cut(keep).await?;
        let mut size = self.size().await?;
        while cut == Cut::Whole && size > self.max_size && keep > SHORTEST {
            keep = (keep / 2).max(SHORTEST);
            cut = self.cut(keep).await?;
            size = self.size().await?;
        }
        let new_epoch = cut == Cut::Whole && size > self.max_size;
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

    async fn cut(&self, keep: Duration) -> Result<Cut, sqlx::Error> {
        let mut connection = Lent::of(&self.pool).await?;
        let horizon = sqlx::query_file!("sql/retention/horizon.sql", keep.as_secs_f64());
        let horizon = answered(SLICE_WITHIN, horizon.fetch_optional(&mut *connection)).await?;
        connection.give_back();
        // Without an epoch there is no schema, or it is being made.
        let Some(horizon) = horizon else { return Ok(Cut::Whole) };
        let (epoch, tick) = (horizon.epoch, horizon.tick);
        while self.cut_ticks(epoch, tick).await? >= SLICE.unsigned_abs() {}
        loop {
            let (rows, ticks_stand) = self.cut_rows(epoch, tick).await?;
            if ticks_stand {
                return Ok(Cut::LeftToAnother);
            }
            if rows < SLICE {
                return Ok(Cut::Whole);
            }
        }
    }

    /// How many went. Between two slices the connection is anybody's: there may be no other.
    async fn cut_ticks(&self, epoch: i64, tick: i64) -> Result<u64, sqlx::Error> {
        let mut connection = Lent::of(&self.pool).await?;
        let slice = sqlx::query_file!("sql/retention/cut_ticks.sql", epoch, tick, SLICE).execute(&mut *connection);
        let cut = answered(SLICE_WITHIN, slice).await?.rows_affected();
        connection.give_back();
        Ok(cut)
    }

    /// The same, and whether none may go, since older ticks stand.
    async fn cut_rows(&self, epoch: i64, tick: i64) -> Result<(i64, bool), sqlx::Error> {
        let mut connection = Lent::of(&self.pool).await?;
        let slice = sqlx::query_file!("sql/retention/cut_rows.sql", epoch, tick, SLICE).fetch_one(&mut *connection);
        let cut = answered(SLICE_WITHIN, slice).await?;
        connection.give_back();
        Ok((cut.rows, cut.standing))
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
