//! Reads the outbox in snapshot ticks (design section 2).
//!
//! Invariants:
//! - tick n holds what is visible in its snapshot and was not in that of tick n-1; so a row is read in exactly one tick,
//!   however late its transaction committed, and an open transaction delays only itself;
//! - a batch is handed out only after its tick is recorded: the primary key of `tick` decides between two readers;
//! - batch and rows are read in the tick's own snapshot, one `REPEATABLE READ` transaction; the tick is recorded beside it,
//!   by a statement of its own, so that the reading transaction never takes a transaction id;
//! - after any error the position is unchanged: [`OutboxReader::next`] can simply be called again.
//!
//! Cancelling `next` is safe: a tick recorded but not handed out is found by [`OutboxReader::open`] as the last one.
//! Replaying its events is the business of whoever serves cursors.

use std::sync::Arc;

use sqlx::{PgConnection, PgPool};

use crate::{
    batch::{self, Batch},
    change::OutboxRow,
    event::Needs,
    ids::{Epoch, Tick},
    postgres::rows,
};

/// Why the outbox can't be read.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error(
        "there is no position to read from: the schema curia_realtime holds no tick, or this server is a standby; run `curia-realtime migrate up` on the primary"
    )]
    NoPosition,
    #[error("another reader recorded tick {} of epoch {}; this one has to take up the position anew", .tick.0, .epoch.0)]
    Overtaken { epoch: Epoch, tick: Tick },
    #[error("the outbox could not be read")]
    Database(#[from] sqlx::Error),
}

/// The one who ticks.
#[derive(Debug)]
pub struct OutboxReader {
    pool: PgPool,
    epoch: Epoch,
    tick: Tick,
    /// Of the last tick, as PostgreSQL writes it.
    snapshot: String,
    content_limit: usize,
}

impl OutboxReader {
    /// Takes up the position behind the last recorded tick. Uses two connections of `pool` at a time; rows' content is cut
    /// to `content_limit` bytes.
    pub async fn open(pool: PgPool, content_limit: usize) -> Result<Self, OutboxError> {
        let position = sqlx::query_file!("sql/outbox/position.sql").fetch_optional(&pool).await?;
        let position = position.ok_or(OutboxError::NoPosition)?;
        Ok(Self {
            pool,
            epoch: Epoch(position.epoch),
            tick: Tick(position.tick),
            snapshot: position.snapshot,
            content_limit,
        })
    }

    /// The epoch and the last tick read.
    pub fn position(&self) -> (Epoch, Tick) {
        (self.epoch, self.tick)
    }

    /// Whether anything was committed since the last tick; cheap enough to be asked every few milliseconds.
    pub async fn has_news(&self) -> Result<bool, OutboxError> {
        Ok(sqlx::query_file_scalar!("sql/outbox/news.sql", self.snapshot).fetch_one(&self.pool).await?)
    }

    /// Makes the next tick and reads it; `None` when nothing was committed since the last.
    pub async fn next(&mut self) -> Result<Option<Batch>, OutboxError> {
        if !self.has_news().await? {
            return Ok(None);
        }
        let mut reading = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let taken = sqlx::query_file!("sql/outbox/snapshot.sql").fetch_one(&mut *reading).await?;
        let outbox = self.read_outbox(&mut reading).await?;
        if outbox.is_empty() {
            return Ok(None);
        }
        let (entries, poison) = batch::read(&outbox);
        let needs = Needs::of(entries.iter().map(|entry| &entry.change));
        let tick = Tick(self.tick.0 + 1);
        let recorded = self.record(tick, &taken.snapshot, taken.at);
        let (rows, ()) = tokio::try_join!(
            async { rows::load(&mut reading, &needs, self.content_limit).await.map_err(OutboxError::from) },
            recorded
        )?;
        reading.commit().await?;
        self.tick = tick;
        self.snapshot = taken.snapshot;
        Ok(Some(Batch { epoch: self.epoch, tick, entries, poison, rows: Arc::new(rows) }))
    }

    async fn read_outbox(&self, reading: &mut PgConnection) -> Result<Vec<OutboxRow>, OutboxError> {
        Ok(sqlx::query_file_as!(OutboxRow, "sql/outbox/batch.sql", self.snapshot).fetch_all(reading).await?)
    }

    async fn record(&self, tick: Tick, snapshot: &str, at: chrono::DateTime<chrono::Utc>) -> Result<(), OutboxError> {
        let recorded = sqlx::query_file!("sql/outbox/record_tick.sql", self.epoch.0, tick.0, snapshot, at);
        match recorded.execute(&self.pool).await {
            Ok(_) => Ok(()),
            Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
                Err(OutboxError::Overtaken { epoch: self.epoch, tick })
            }
            Err(error) => Err(error.into()),
        }
    }
}
