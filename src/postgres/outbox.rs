//! Reads the outbox in snapshot ticks (design section 2).
//!
//! Invariants:
//! - tick n holds what is visible in its snapshot and was not in that of tick n-1; so a row is read in exactly one tick,
//!   however late its transaction committed, and an open transaction delays only itself;
//! - a batch is handed out only after its tick is recorded: the primary key of `tick` decides between two readers, and who
//!   comes second reads what the first recorded;
//! - a tick is read in one `REPEATABLE READ` transaction, page by page where it is large; its rows are those of that moment,
//!   and so are the rights that its first page brings, also where they changed after the tick;
//! - after any error the position is unchanged: [`OutboxReader::next`] can simply be called again;
//! - reading goes on only where the newest epoch is at home and the last tick stands as it was told; else a new epoch begins.
//!
//! Cancelling `next` is safe: a tick recorded but not handed out is found again, as one that another reader recorded.

mod pages;
mod position;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use self::{
    pages::Unfinished,
    position::{Position, TakenUp, leave_standby, take_up},
};
use crate::{
    batch::{self, Batch, Made},
    change::OutboxRow,
    event::Needs,
    fence::Fence,
    ids::{Epoch, Tick},
    postgres::{epoch, pool, rows},
    snapshot::{NotASnapshot, Snapshot},
};

/// Rows handed out at a time; what a page takes in memory is this times the content limit.
const PAGE: usize = 1_000;

/// Why the outbox can't be read.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error(
        "the schema curia_realtime lacks keys or triggers, as while a dump is being restored; reading begins when they are there (otherwise run `curia-realtime migrate down` and `curia-realtime migrate up`)"
    )]
    Incomplete,
    #[error(
        "the position in the stream was lost while it was looked up, since the database is being replaced; it is looked up again"
    )]
    Unsettled,
    #[error(
        "this server is a standby and gives no position in the stream; it is asked again until it is promoted, or DATABASE_URL leads to the primary"
    )]
    Standby,
    /// [`OutboxReader::reopen`] finds a position to go on from.
    #[error("the stream does not go on behind tick {} of epoch {}: {why}", .tick.0, .epoch.0)]
    Discontinued { epoch: Epoch, tick: Tick, why: &'static str },
    #[error("PostgreSQL names a moment in a way that is not known here")]
    Snapshot(#[from] NotASnapshot),
    #[error("the outbox could not be read")]
    Database(#[from] sqlx::Error),
}

/// What stands behind the position.
#[derive(Debug)]
pub enum Found {
    /// Now handed out. A tick that is no larger than a page is one page.
    Page(Batch),
    /// Nothing was committed.
    Nothing,
    /// Something was committed that no tick holds yet, and making ticks is another's.
    Unticked,
}

/// One node's reading of the stream.
#[derive(Debug)]
pub struct OutboxReader {
    pool: PgPool,
    content_limit: usize,
    epoch: Epoch,
    /// The last tick that was handed out whole.
    tick: Tick,
    /// Its snapshot.
    snapshot: Snapshot,
    /// The latest moment at which anything was read.
    seen: Option<Snapshot>,
    unfinished: Option<Unfinished>,
    /// Of the tick that was handed out last, whole or in part.
    made_here: bool,
    /// Behind that another is recorded already.
    is_behind: bool,
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub epoch: Epoch,
    /// The last tick that was handed out whole.
    pub tick: Tick,
    /// Its snapshot.
    pub snapshot: &'a Snapshot,
    /// Rows were handed out as they stood then.
    pub seen: Option<&'a Snapshot>,
}

/// A moment of the outbox, to be a tick.
struct Taken {
    snapshot: Snapshot,
    at: DateTime<Utc>,
    /// One row more than a page, where there are more.
    outbox: Vec<OutboxRow>,
}

/// A transaction in which a tick is read.
type Reading = Transaction<'static, Postgres>;

impl OutboxReader {
    /// Takes up the position behind the last recorded tick, in a new epoch where the one before is broken. Uses two connections of
    /// `pool` at a time; rows' content is cut to `content_limit` bytes.
    pub async fn open(pool: PgPool, content_limit: usize) -> Result<Self, OutboxError> {
        let TakenUp { position: Position { epoch, tick, snapshot }, .. } = take_up(&pool, None).await?;
        Ok(Self {
            pool,
            content_limit,
            epoch,
            tick,
            snapshot,
            seen: None,
            unfinished: None,
            made_here: false,
            is_behind: false,
        })
    }

    /// As [`OutboxReader::open`], for a reader that was [`OutboxError::Discontinued`]: what it told has to stand in the epoch that goes
    /// on. Connections that were idle are given up, since the address may lead to another server by now.
    pub async fn reopen(&mut self) -> Result<(), OutboxError> {
        pool::forget_idle(&self.pool);
        let told = Position { epoch: self.epoch, tick: self.tick, snapshot: self.snapshot.clone() };
        let TakenUp { position, reason } = take_up(&self.pool, Some(&told)).await?;
        let Position { epoch, tick, snapshot } = position;
        tracing::info!(reason, epoch = epoch.0, tick = tick.0, "the stream goes on in a new epoch");
        *self = Self {
            pool: self.pool.clone(),
            content_limit: self.content_limit,
            epoch,
            tick,
            snapshot,
            seen: None,
            unfinished: None,
            made_here: false,
            is_behind: false,
        };
        Ok(())
    }

    /// After an error: what ended one connection may have ended others.
    pub fn forget_idle(&self) {
        pool::forget_idle(&self.pool);
    }

    /// The epoch and the last tick handed out whole.
    pub fn position(&self) -> (Epoch, Tick) {
        (self.epoch, self.tick)
    }

    /// The same with the moments of reading.
    pub fn standing(&self) -> Standing<'_> {
        Standing { epoch: self.epoch, tick: self.tick, snapshot: &self.snapshot, seen: self.seen.as_ref() }
    }

    /// Whether this reader made the tick of which it handed something out last.
    pub fn made_here(&self) -> bool {
        self.made_here
    }

    /// Whether another tick was recorded already behind the one of which something was handed out last.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether a tick was handed out in part, and its next page is next.
    pub fn amid_a_tick(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Goes on behind a tick that came by another way, read at its own snapshot. What was handed out of it is not handed out again.
    pub fn advance(&mut self, tick: Tick, snapshot: Snapshot) {
        self.tick = tick;
        self.seen = Some(snapshot.clone());
        self.snapshot = snapshot;
        self.unfinished = None;
    }

    /// The next page of the stream: of a tick that is recorded, else, where `may_tick`, of a new one.
    pub async fn next(&mut self, may_tick: bool) -> Result<Found, OutboxError> {
        if self.unfinished.is_some() {
            return self.next_page().await.map(Found::Page);
        }
        let mut connection = self.pool.acquire().await?;
        let news = sqlx::query_file!("sql/outbox/news.sql", self.epoch.0, self.tick.0, self.snapshot.as_str());
        let news = news.fetch_one(&mut *connection).await?;
        if news.standby {
            return Err(leave_standby(connection));
        }
        drop(connection);
        if news.epoch != Some(self.epoch.0) {
            return Err(self.discontinued("a new epoch has begun"));
        }
        if news.at_home != Some(true) {
            return Err(self.discontinued("the database was restored, copied or recovered, or a standby was promoted"));
        }
        if !news.held {
            return Err(self.discontinued("what was told last stands there no longer"));
        }
        self.is_behind = news.more;
        match (news.tick, news.snapshot) {
            (Some(tick), Some(snapshot)) if tick == self.tick.0 + 1 => {
                self.recorded(Tick(tick), snapshot.parse()?).await.map(Found::Page)
            }
            (Some(_), _) => Err(self.discontinued("the next ticks are kept no longer")),
            _ if !news.news => Ok(Found::Nothing),
            _ if may_tick => self.tick().await,
            _ => Ok(Found::Unticked),
        }
    }

    /// Makes the next tick.
    async fn tick(&mut self) -> Result<Found, OutboxError> {
        let mut reading = self.begin().await?;
        let Some(Taken { snapshot, at, outbox }) = self.take(&mut reading).await? else {
            // Cut away meanwhile; or rows that a restore brought late, which would look like news for ever.
            drop(reading);
            epoch::drop_strangers(&mut *self.pool.acquire().await?).await?;
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
    async fn recorded(&mut self, tick: Tick, snapshot: Snapshot) -> Result<Batch, OutboxError> {
        let mut reading = self.begin().await?;
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

    async fn begin(&self) -> Result<Reading, sqlx::Error> {
        self.pool.begin_with(include_str!("../../sql/outbox/begin.sql")).await
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
        let recorded = sqlx::query_file!("sql/outbox/record_tick.sql", self.epoch.0, tick.0, snapshot, at);
        Ok(recorded.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// What is behind our position was not cut away: seen in the transaction that reads it, whose moment this tells.
    async fn still_kept(&self, reading: &mut PgConnection) -> Result<Snapshot, OutboxError> {
        let kept = sqlx::query_file!("sql/outbox/still_kept.sql", self.epoch.0, self.tick.0).fetch_one(reading).await?;
        if !kept.kept {
            return Err(self.discontinued("what was not read yet is kept no longer"));
        }
        Ok(kept.seen.parse()?)
    }

    fn discontinued(&self, why: &'static str) -> OutboxError {
        OutboxError::Discontinued { epoch: self.epoch, tick: self.tick, why }
    }
}

/// The fence of a tick and what lies ahead of it.
type Fences = (Fence, Option<batch::Ahead>);
