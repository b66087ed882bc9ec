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
//! - nothing is waited for without a bound, and a connection on which an answer is still to come is closed;
//! - reading goes on only where the newest epoch is at home and the last tick stands as it was told; else a new epoch begins;
//! - nothing is read where not every change is noted, from [`LOOK_EVERY`] after that began; a new epoch begins when it is.
//!
//! Cancelling `next` is safe, and so is its giving up: a tick recorded but not handed out is found again, as one that another
//! reader recorded.

mod pages;
mod patience;
mod position;
mod ticks;

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;

use self::{
    pages::Unfinished,
    patience::Patience,
    position::{Position, TakenUp, UNNOTED, take_up},
};
use crate::{
    batch::{self, Batch},
    fence::Fence,
    ids::{Epoch, Tick},
    postgres::{
        capture::{self, Lacking},
        pool::{self, Lent},
    },
    snapshot::{NotASnapshot, Snapshot},
};

/// Rows handed out at a time; what a page takes in memory is this times the content limit.
const PAGE: usize = 1_000;
/// A look is one statement that finds what it asks for by keys.
const LOOK: Patience = Patience::usually(Duration::from_secs(2));
/// How often it is looked whether every change is noted: a question of a fraction of a millisecond.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The statements of a page, and the recording of its tick.
const READ: Patience = Patience::usually(Duration::from_secs(5));

/// Why the outbox can't be read.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("not every change is noted, and nothing is told until it is: {lacking}")]
    Incomplete {
        /// In which that was seen.
        epoch: Option<Epoch>,
        lacking: Lacking,
    },
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
    look: Patience,
    read: Patience,
    /// Of the triggers, and when they were looked at.
    mark: String,
    looked: Instant,
    /// In which epoch not every change was noted.
    torn: Option<Epoch>,
}

/// What is to be read next.
enum Next {
    /// Of a tick that was handed out in part.
    Page,
    Recorded(Tick, Snapshot),
    /// A tick that is still to be made.
    New,
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

impl OutboxReader {
    /// Takes up the position behind the last recorded tick, in a new epoch where the one before is broken. Uses two connections of
    /// `pool` at a time; rows' content is cut to `content_limit` bytes.
    pub async fn open(pool: PgPool, content_limit: usize) -> Result<Self, OutboxError> {
        Self::open_behind(pool, content_limit, None).await
    }

    /// As [`OutboxReader::open`], where before it was seen that in the epoch `torn` not every change was noted
    /// ([`OutboxError::Incomplete`]).
    pub async fn open_behind(pool: PgPool, content_limit: usize, torn: Option<Epoch>) -> Result<Self, OutboxError> {
        let taken_up = take_up(&pool, None, torn).await?;
        Ok(Self::at(taken_up, pool, content_limit))
    }

    /// For somebody who only reads along, and never may tick: behind this tick, else behind the newest. None where that is not kept, or
    /// where a node has to begin an epoch first. Uses one connection of `pool` at a time, and writes nothing.
    pub async fn along(
        pool: PgPool,
        content_limit: usize,
        behind: Option<(Epoch, Tick)>,
    ) -> Result<Option<Self>, OutboxError> {
        let taken_up = position::recorded(&pool, behind).await?;
        Ok(taken_up.map(|taken_up| Self::at(taken_up, pool, content_limit)))
    }

    fn at(taken_up: TakenUp, pool: PgPool, content_limit: usize) -> Self {
        let TakenUp { position: Position { epoch, tick, snapshot }, mark, .. } = taken_up;
        Self {
            pool,
            content_limit,
            epoch,
            tick,
            snapshot,
            seen: None,
            unfinished: None,
            made_here: false,
            is_behind: false,
            look: LOOK,
            read: READ,
            mark,
            looked: Instant::now(),
            torn: None,
        }
    }

    /// As [`OutboxReader::open`], for a reader that was [`OutboxError::Discontinued`]: what it told has to stand in the epoch that goes
    /// on. Connections that were idle are given up, since the address may lead to another server by now.
    pub async fn reopen(&mut self) -> Result<(), OutboxError> {
        pool::forget_idle(&self.pool);
        let told = Position { epoch: self.epoch, tick: self.tick, snapshot: self.snapshot.clone() };
        let taken_up = take_up(&self.pool, Some(&told), self.torn).await.inspect_err(|error| {
            if let OutboxError::Incomplete { epoch: Some(epoch), .. } = error {
                self.torn = Some(*epoch);
            }
        })?;
        let TakenUp { reason, position: Position { epoch, tick, .. }, .. } = &taken_up;
        tracing::info!(reason, epoch = epoch.0, tick = tick.0, "the stream goes on in a new epoch");
        *self = Self::at(taken_up, self.pool.clone(), self.content_limit);
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

    /// The next page of the stream: of a tick that is recorded, else, where `may_tick`, of a new one. Within some seconds, or an
    /// error says that there is no answer; where answers are slow it waits for longer the next time.
    pub async fn next(&mut self, may_tick: bool) -> Result<Found, OutboxError> {
        let next = match self.unfinished {
            Some(_) => Next::Page,
            None => match self.look_for_news().await? {
                None => return Ok(Found::Nothing),
                Some(Next::New) if !may_tick => return Ok(Found::Unticked),
                Some(next) => next,
            },
        };
        let mut patience = self.read;
        let reading = async {
            match next {
                Next::Page => self.next_page().await.map(Found::Page),
                Next::Recorded(tick, snapshot) => self.recorded(tick, snapshot).await.map(Found::Page),
                Next::New => self.tick().await,
            }
        };
        let found = patience.wait(reading).await;
        self.read = patience;
        found
    }

    async fn look_for_news(&mut self) -> Result<Option<Next>, OutboxError> {
        let mut connection = Lent::of(&self.pool).await?;
        let news = sqlx::query_file!("sql/outbox/news.sql", self.epoch.0, self.tick.0, self.snapshot.as_str());
        let news = self.look.wait(async { Ok(news.fetch_one(&mut *connection).await?) }).await?;
        if news.standby {
            // The next attempt is a connection of its own: the address may lead to the primary by then.
            return Err(OutboxError::Standby);
        }
        let goes_on = news.epoch == Some(self.epoch.0) && news.at_home == Some(true) && news.held;
        let torn = goes_on && self.is_torn(&mut connection).await?;
        connection.give_back();
        if news.epoch != Some(self.epoch.0) {
            return Err(self.discontinued("a new epoch has begun"));
        }
        if news.at_home != Some(true) {
            return Err(self.discontinued("the database was restored, copied or recovered, or a standby was promoted"));
        }
        if !news.held {
            return Err(self.discontinued("what was told last stands there no longer"));
        }
        if torn {
            self.torn = Some(self.epoch);
            return Err(self.discontinued(UNNOTED));
        }
        self.is_behind = news.more;
        match (news.tick, news.snapshot) {
            (Some(tick), Some(snapshot)) if tick == self.tick.0 + 1 => {
                Ok(Some(Next::Recorded(Tick(tick), snapshot.parse()?)))
            }
            (Some(_), _) => Err(self.discontinued("the next ticks are kept no longer")),
            _ => Ok(news.news.then_some(Next::New)),
        }
    }

    /// Now and then: whether a trigger was missing, off, or made anew since reading began here.
    async fn is_torn(&mut self, connection: &mut PgConnection) -> Result<bool, OutboxError> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(false);
        }
        let seen = self.look.wait(async { Ok(capture::look(connection).await?) }).await?;
        self.looked = Instant::now();
        if seen.mark == self.mark {
            return Ok(false);
        }
        let lacking = seen.lacking.map_or_else(|| "by now all are back".to_owned(), |lacking| lacking.to_string());
        tracing::error!(lacking, "{UNNOTED}; every client loads its state anew once all is noted");
        Ok(true)
    }

    fn discontinued(&self, why: &'static str) -> OutboxError {
        OutboxError::Discontinued { epoch: self.epoch, tick: self.tick, why }
    }
}

/// The fence of a tick and what lies ahead of it.
type Fences = (Fence, Option<batch::Ahead>);
