//! Ticks that are larger than a page, and the rights that a tick's first page brings.

use std::sync::Arc;

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{Fences, OutboxError, OutboxReader, PAGE};
use crate::{
    batch::{self, Ahead, Batch, HARMLESS},
    change::{Change, OutboxRow},
    event::Needs,
    fence::Fence,
    ids::Tick,
    postgres::{reading::Reading, rows},
    snapshot::Snapshot,
};

/// Changes of rights that are judged one by one. With more in one tick, asking every socket anew is the lesser work.
const FENCE_LIMIT: usize = 10_000;

/// A tick of which pages were handed out, and not all.
#[derive(Debug)]
pub(super) struct Unfinished {
    tick: Tick,
    snapshot: Snapshot,
    /// Rows on the pages handed out.
    handed: u32,
    /// Where the rest is read; lost with its connection, and then opened anew.
    reading: Option<Reading>,
    /// For the next page.
    fences: Fences,
}

impl OutboxReader {
    pub(super) async fn begin_pages(
        &mut self,
        mut reading: Reading,
        tick: Tick,
        snapshot: Snapshot,
        fences: Fences,
    ) -> Result<Batch, OutboxError> {
        self.open_pages(&mut reading, &snapshot, 0).await?;
        self.unfinished = Some(Unfinished { tick, snapshot, handed: 0, reading: Some(reading), fences });
        self.next_page().await
    }

    /// The next page of the unfinished tick.
    pub(super) async fn next_page(&mut self) -> Result<Batch, OutboxError> {
        // Taken out while it is read: after an error, or when cancelled, the rest is read in a transaction of its own.
        let Some(Unfinished { tick, snapshot, handed, reading, fences }) = self.unfinished.take() else {
            return Err(self.discontinued("no tick is unfinished"));
        };
        self.unfinished = Some(Unfinished {
            tick,
            snapshot: snapshot.clone(),
            handed,
            reading: None,
            fences: <(Fence, Option<Ahead>)>::default(),
        });
        let (mut reading, (fence, ahead)) = match reading {
            Some(reading) => (reading, fences),
            None => self.reopen_pages(&snapshot, handed).await?,
        };
        let outbox = fetch_page(&mut reading).await?;
        let (entries, poison) = batch::read(&outbox, handed);
        let needs = Needs::of(entries.iter().map(|entry| &entry.change));
        let rows = Arc::new(rows::load(&mut reading, &needs, self.content_limit).await?);
        let last = outbox.len() < PAGE;
        let handed = handed.saturating_add(u32::try_from(outbox.len()).unwrap_or(u32::MAX));
        if last {
            reading.commit().await?;
            self.unfinished = None;
            self.tick = tick;
            self.snapshot = snapshot;
        } else {
            let fences = <(Fence, Option<Ahead>)>::default();
            self.unfinished = Some(Unfinished { tick, snapshot, handed, reading: Some(reading), fences });
        }
        Ok(Batch { epoch: self.epoch, tick, entries, poison, rows, fence, ahead, last, made: None })
    }

    async fn open_pages(&self, reading: &mut PgConnection, upto: &Snapshot, handed: u32) -> Result<(), OutboxError> {
        let (from, upto) = (self.snapshot.as_str(), upto.as_str());
        let open = sqlx::query_file!("sql/outbox/open_pages.sql", from, upto, i64::from(handed));
        open.execute(reading).await?;
        Ok(())
    }

    /// The tick's own fence was handed out with its first page, unless that never was.
    async fn reopen_pages(&mut self, snapshot: &Snapshot, handed: u32) -> Result<(Reading, Fences), OutboxError> {
        let mut reading = Reading::begin(&self.pool).await?;
        self.seen = Some(self.still_kept(&mut reading).await?);
        let (fence, ahead) = self.fences(&mut reading, snapshot).await?;
        self.open_pages(&mut reading, snapshot, handed).await?;
        let fence = if handed == 0 { fence } else { Fence::default() };
        Ok((reading, (fence, ahead)))
    }

    /// What changed of rights in the tick whose snapshot is `upto`, and from there to now.
    pub(super) async fn fences(&self, reading: &mut PgConnection, upto: &Snapshot) -> Result<Fences, OutboxError> {
        let (from, upto) = (self.snapshot.as_str(), upto.as_str());
        let harmless: Vec<String> = HARMLESS.iter().map(|kind| (*kind).to_owned()).collect();
        let limit = FENCE_LIMIT as i64 + 1;
        let found = sqlx::query_file!("sql/outbox/fence.sql", from, upto, &harmless, limit);
        let found = found.fetch_all(&mut *reading).await?;
        if found.len() > FENCE_LIMIT {
            return Ok((Fence { changes: vec![(0, reset())], rows: Arc::default() }, None));
        }
        let mut changes = (Vec::new(), Vec::new());
        let mut ahead_at = Vec::new();
        for row in found {
            let at = row.at;
            let ordinal = row.ordinal.map(|ordinal| u32::try_from(ordinal).unwrap_or(u32::MAX));
            let row = OutboxRow {
                seq: row.seq,
                at,
                kind: row.kind,
                board_id: row.board_id,
                post_id: row.post_id,
                row_id: row.row_id,
                data: row.data,
            };
            // What can't be read is told as poison by the page that holds it.
            let change = Change::try_from(&row).unwrap_or_else(|_| reset());
            match ordinal {
                Some(ordinal) => changes.0.push((ordinal, change)),
                None => {
                    ahead_at.push(at);
                    let place = u32::try_from(changes.1.len()).unwrap_or(u32::MAX);
                    changes.1.push((place, change));
                }
            }
        }
        let needs = Needs::of(changes.0.iter().chain(&changes.1).map(|(_, change)| change));
        let rows = Arc::new(rows::load(reading, &needs, self.content_limit).await?);
        let fence = Fence { changes: changes.0, rows: Arc::clone(&rows) };
        let ahead = Ahead { fence: Fence { changes: changes.1, rows }, at: ahead_at };
        let ahead = Some(ahead).filter(|ahead| !ahead.at.is_empty());
        Ok((fence, ahead))
    }
}

fn reset() -> Change {
    Change::Reset { table: String::new() }
}

async fn fetch_page(reading: &mut PgConnection) -> Result<Vec<OutboxRow>, sqlx::Error> {
    const FETCH: &str = "FETCH FORWARD 1000 FROM pages";
    const { assert!(PAGE == 1_000) };
    sqlx::query(FETCH).fetch_all(reading).await?.iter().map(outbox_row).collect()
}

fn outbox_row(row: &PgRow) -> Result<OutboxRow, sqlx::Error> {
    Ok(OutboxRow {
        seq: row.try_get("seq")?,
        at: row.try_get("at")?,
        kind: row.try_get("kind")?,
        board_id: row.try_get("board_id")?,
        post_id: row.try_get("post_id")?,
        row_id: row.try_get("row_id")?,
        data: row.try_get("data")?,
    })
}
