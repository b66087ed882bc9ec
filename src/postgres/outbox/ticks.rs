//! A tick is made, or read as another reader recorded it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Found, OutboxError, OutboxReader, PAGE};
use crate::{
    batch::{self, Batch, Made},
    change::OutboxRow,
    event::Needs,
    ids::Tick,
    postgres::{epoch, pool::Lent, reading::Reading, rows},
    snapshot::Snapshot,
};

/// A moment of the outbox, to be a tick.
struct Taken {
    snapshot: Snapshot,
    at: DateTime<Utc>,
    /// One row more than a page, where there are more.
    outbox: Vec<OutboxRow>,
}

impl OutboxReader {
    /// Makes the next tick.
    pub(super) async fn tick(&mut self) -> Result<Found, OutboxError> {
        let mut reading = Reading::begin(&self.pool).await?;
        let Some(Taken { snapshot, at, outbox }) = self.take(&mut reading).await? else {
            // Cut away meanwhile; or rows that a restore brought late, which would look like news for ever.
            reading.commit().await?;
            let mut connection = Lent::of(&self.pool).await?;
            epoch::drop_strangers(&mut connection).await?;
            connection.give_back();
            return Ok(Found::Nothing);
        };
        let tick = Tick(self.tick.0 + 1);
        if outbox.len() > PAGE {
            let fences = self.fences(&mut reading, &snapshot).await?;
            if !self.record(tick, &snapshot, at).await? {
                return Ok(Found::Unticked);
            }
            self.made_here = true;
            self.seen = Some(snapshot.clone());
            return self.begin_pages(reading, tick, snapshot, fences).await.map(Found::Page);
        }
        let (entries, poison) = batch::read(&outbox, 0);
        let needs = Needs::of(entries.iter().map(|entry| &entry.change));
        let content_limit = self.content_limit;
        let read = async {
            let rows = rows::load(&mut reading, &needs, content_limit).await?;
            reading.commit().await?;
            Ok(rows)
        };
        // Recording waits for the disk, and the reading does not wait for it.
        let (rows, recorded) = tokio::try_join!(read, self.record(tick, &snapshot, at))?;
        if !recorded {
            return Ok(Found::Unticked);
        }
        self.made_here = true;
        let made = Some(Box::new(Made { follows: self.snapshot.clone(), snapshot: snapshot.clone() }));
        self.advance(tick, snapshot);
        let rows = Arc::new(rows);
        let fence = batch::fence_of(&entries, &rows);
        Ok(Found::Page(Batch { epoch: self.epoch, tick, entries, poison, rows, fence, ahead: None, last: true, made }))
    }

    /// Reads a tick that is recorded. Its rows are those of now, so it brings the rights of now.
    pub(super) async fn recorded(&mut self, tick: Tick, snapshot: Snapshot) -> Result<Batch, OutboxError> {
        let mut reading = Reading::begin(&self.pool).await?;
        let seen = self.still_kept(&mut reading).await?;
        let fences = self.fences(&mut reading, &snapshot).await?;
        let outbox = self.first_page(&mut reading, &snapshot).await?;
        self.made_here = false;
        if outbox.len() > PAGE {
            self.seen = Some(seen);
            return self.begin_pages(reading, tick, snapshot, fences).await;
        }
        let (entries, poison) = batch::read(&outbox, 0);
        let needs = Needs::of(entries.iter().map(|entry| &entry.change));
        let rows = Arc::new(rows::load(&mut reading, &needs, self.content_limit).await?);
        reading.commit().await?;
        self.advance(tick, snapshot);
        self.seen = Some(seen);
        let (fence, ahead) = fences;
        Ok(Batch { epoch: self.epoch, tick, entries, poison, rows, fence, ahead, last: true, made: None })
    }

    /// What is to be the next tick; `None` where there is nothing.
    async fn take(&self, reading: &mut PgConnection) -> Result<Option<Taken>, OutboxError> {
        let page = sqlx::query_file!("sql/outbox/tick.sql", self.snapshot.as_str(), PAGE as i64 + 1);
        let page = page.fetch_all(reading).await?;
        let first = page.first().and_then(|first| first.snapshot.as_deref().zip(first.ticked_at));
        let Some((snapshot, at)) = first else { return Ok(None) };
        let snapshot = snapshot.parse()?;
        let outbox = page.into_iter().map(|row| OutboxRow {
            seq: row.seq,
            at: row.at,
            kind: row.kind,
            board_id: row.board_id,
            post_id: row.post_id,
            row_id: row.row_id,
            data: row.data,
        });
        Ok(Some(Taken { snapshot, at, outbox: outbox.collect() }))
    }

    /// One row more than a page, where there are more.
    async fn first_page(&self, reading: &mut PgConnection, upto: &Snapshot) -> Result<Vec<OutboxRow>, OutboxError> {
        let limit = PAGE as i64 + 1;
        let (from, upto) = (self.snapshot.as_str(), upto.as_str());
        let page = sqlx::query_file_as!(OutboxRow, "sql/outbox/batch.sql", from, upto, limit);
        Ok(page.fetch_all(reading).await?)
    }

    /// Whether the tick is ours: `false` when another reader recorded it first.
    async fn record(&self, tick: Tick, snapshot: &Snapshot, at: DateTime<Utc>) -> Result<bool, OutboxError> {
        let snapshot = snapshot.as_str();
        let mut connection = Lent::of(&self.pool).await?;
        let recorded = sqlx::query_file!("sql/outbox/record_tick.sql", self.epoch.0, tick.0, snapshot, at);
        let recorded = recorded.execute(&mut *connection).await?.rows_affected() == 1;
        connection.give_back();
        Ok(recorded)
    }

    /// What is behind our position was not cut away: seen in the transaction that reads it, whose moment this tells.
    pub(super) async fn still_kept(&self, reading: &mut PgConnection) -> Result<Snapshot, OutboxError> {
        let kept = sqlx::query_file!("sql/outbox/still_kept.sql", self.epoch.0, self.tick.0).fetch_one(reading).await?;
        if !kept.kept {
            return Err(self.discontinued("what was not read yet is kept no longer"));
        }
        Ok(kept.seen.parse()?)
    }
}
