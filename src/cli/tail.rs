//! `curia-realtime tail`

use std::{collections::BTreeSet, io, time::Duration};

use clap::Args;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::time::{Instant, sleep};

use super::{
    CliError,
    flags::{Database, Flags},
    print,
    serve::Signals,
};
use crate::{
    batch::Batch,
    config::DatabaseConfig,
    ids::{BoardId, CommunityId, Cursor, Epoch, Place, Tick},
    postgres::{
        connect::{ConnectError, connect},
        database_url::DatabaseUrl,
        doctor, facts,
        outbox::{Found, OutboxError, OutboxReader},
        pool,
        schema::{SchemaError, require_schema},
        why,
    },
    tail::{self, Filter, Page, Teller},
    telemetry::chain,
};

/// Bytes of a content that are read, as the service sends by default.
const CONTENT_LIMIT: usize = 16 * 1_024;
/// Between two looks that find nothing.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(1);
/// Another node stands in for one that is stuck within two seconds.
const UNTICKED: Duration = Duration::from_secs(3);

/// What is wanted, and from where.
#[derive(Args)]
pub(super) struct Wanted {
    /// Begin behind this cursor, instead of now
    #[arg(long, value_name = "CURSOR")]
    since: Option<Cursor>,
    /// What is of this board alone
    #[arg(long, value_name = "ID")]
    board: Option<i32>,
    /// What is of this community alone, of the boards that it imports among it
    #[arg(long, value_name = "ID")]
    community: Option<String>,
    /// One JSON object a line, with the whole payload
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Flags<Database>,
}

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    #[error(
        "the cursor is of another database, or of an epoch that has ended: the newest here is {newest:x}, the cursor's is {asked:x}; begin without --since"
    )]
    OtherEpoch { asked: i64, newest: i64 },
    #[error(
        "what followed the cursor is no longer kept whole: the oldest tick kept is {first}, and {needed} is needed; begin without --since, or behind a younger one"
    )]
    NotKept { needed: i64, first: i64 },
    #[error("there is no tick {asked} yet, the newest is {last}; is the cursor copied whole?")]
    NotYet { asked: i64, last: i64 },
    #[error(
        "the stream has no position to read from; start `curia-realtime serve`, or look with `curia-realtime doctor`"
    )]
    NoPosition,
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("the stream could not be read")]
    Outbox(#[from] OutboxError),
    #[error("the database could not be read")]
    Database(#[from] sqlx::Error),
}

/// Prints until it is told to stop.
pub(super) async fn run(wanted: Wanted) -> Result<(), CliError> {
    let Wanted { since, board, community, json, settings } = wanted;
    let database = DatabaseConfig::read(&settings.sources()?)?;
    let mut signals = Signals::await_them()?;
    let filter = Filter::new(board.map(BoardId), community.map(CommunityId::from));
    let following = async {
        let mut tail = Tail::begin(database.direct(), filter, since, json).await?;
        loop {
            tail.go_on().await?;
        }
    };
    tokio::select! {
        () = signals.next() => Ok(()),
        ended = following => ended,
    }
}

/// One connection, and how far it was read.
struct Tail {
    pool: PgPool,
    reader: OutboxReader,
    teller: Teller,
    json: bool,
    /// Since when changes wait that no tick holds, and whether that was said.
    unticked: Option<(Instant, bool)>,
    /// What was said last of an error.
    said: String,
}

impl Tail {
    async fn begin(url: &DatabaseUrl, filter: Filter, since: Option<Cursor>, json: bool) -> Result<Self, CliError> {
        // A connection of its own says better than a pool why there is none.
        drop(connect(url).await?);
        let options = url.options().application_name("curia-realtime tail");
        let pool =
            PgPoolOptions::new().max_connections(1).acquire_timeout(pool::CONNECTED_WITHIN).connect_with(options).await;
        let pool = pool.map_err(|error| ConnectError::of(url, error))?;
        require_schema(&pool).await.map_err(TailError::from)?;
        let behind = match since {
            Some(cursor) => Some(behind(&pool, &cursor).await?),
            None => None,
        };
        let reader = OutboxReader::along(pool.clone(), CONTENT_LIMIT, behind).await.map_err(TailError::from)?;
        let reader = reader.ok_or(TailError::NoPosition)?;
        let (epoch, tick) = reader.position();
        let teller = Teller::new(filter, epoch, Place::end_of(tick), since);
        say(&format!("from {} on", since.unwrap_or(Cursor::end_of(epoch, tick))));
        if !doctor::is_led(&pool).await.map_err(TailError::from)? {
            say(
                "nobody holds the lease on making ticks, without which nothing is told: start `curia-realtime serve`, or look with `curia-realtime doctor`",
            );
        }
        let mut tail = Self { pool, reader, teller, json, unticked: None, said: String::new() };
        let shown = tail.shown().await?;
        tail.teller.filter.shows(shown.into_iter().flatten());
        Ok(tail)
    }

    /// One look.
    async fn go_on(&mut self) -> Result<(), CliError> {
        match self.reader.next(false).await {
            Ok(Found::Page(batch)) => {
                (self.unticked, self.said) = (None, String::new());
                self.tell(&batch).await
            }
            Ok(Found::Nothing) => {
                (self.unticked, self.said) = (None, String::new());
                sleep(PAUSE).await;
                Ok(())
            }
            Ok(Found::Unticked) => {
                let (since, was_said) = self.unticked.get_or_insert_with(|| (Instant::now(), false));
                if !*was_said && since.elapsed() >= UNTICKED {
                    *was_said = true;
                    say(
                        "changes are committed, and nobody makes ticks: start `curia-realtime serve`, or look with `curia-realtime doctor`",
                    );
                }
                sleep(PAUSE).await;
                Ok(())
            }
            Err(OutboxError::Discontinued { why, .. }) => {
                self.say_once(format!(
                    "the stream does not go on where it was read: {why}; it is taken up in the next epoch"
                ));
                self.take_up().await;
                Ok(())
            }
            Err(error) => {
                self.say_once(chain(&error));
                self.reader.forget_idle();
                sleep(RETRY).await;
                Ok(())
            }
        }
    }

    async fn tell(&mut self, batch: &Batch) -> Result<(), CliError> {
        // Between pages the only connection is busy.
        let shown = if self.reader.amid_a_tick() { None } else { self.shown().await? };
        // What was the community's until this page is told that it no longer is.
        self.teller.filter.also_shows(shown.iter().flatten().copied());
        let Page { sent, untold } = self.teller.tell(batch);
        if let Some(shown) = shown {
            self.teller.filter.shows(shown);
        }
        if untold > 0 {
            say(&format!(
                "{untold} rows of tick {} can't be told one by one: clients load their state anew",
                batch.tick.0
            ));
        }
        let words = if self.json { tail::json } else { tail::line };
        let lines: String = sent.iter().filter_map(words).collect();
        print(&lines)
    }

    /// The boards of the community that is wanted, as they are now.
    async fn shown(&self) -> Result<Option<BTreeSet<BoardId>>, TailError> {
        let Some(community) = self.teller.filter.community.clone() else { return Ok(None) };
        let mut connection = pool::Lent::of(&self.pool).await?;
        let boards = facts::boards(&mut *connection, &BTreeSet::new(), &BTreeSet::from([community])).await?;
        connection.give_back();
        Ok(Some(boards.into_keys().collect()))
    }

    /// In an epoch that has begun: from its beginning, or else from now.
    async fn take_up(&mut self) {
        let newest = OutboxReader::along(self.pool.clone(), CONTENT_LIMIT, None).await;
        if let Ok(Some(reader)) = newest {
            let epoch = reader.position().0;
            let first = OutboxReader::along(self.pool.clone(), CONTENT_LIMIT, Some((epoch, Tick(0)))).await;
            self.reader = first.ok().flatten().unwrap_or(reader);
            let (epoch, tick) = self.reader.position();
            self.teller = Teller::new(self.teller.filter.clone(), epoch, Place::end_of(tick), None);
            say(&format!("from {} on", Cursor::end_of(epoch, tick)));
        } else {
            sleep(RETRY).await;
        }
    }

    fn say_once(&mut self, text: String) {
        if self.said != text {
            say(&text);
            self.said = text;
        }
    }
}

/// The tick behind which all that the cursor's bearer is owed stands.
async fn behind(pool: &PgPool, cursor: &Cursor) -> Result<(Epoch, Tick), TailError> {
    let (epoch, owed) = (cursor.epoch, cursor.owed_from());
    let standing = why::standing(pool, cursor).await?;
    let newest = standing.newest.ok_or(TailError::NoPosition)?;
    if newest != epoch {
        return Err(TailError::OtherEpoch { asked: epoch.0, newest: newest.0 });
    }
    let (first, last) = standing.kept.ok_or(TailError::NoPosition)?;
    let asked = cursor.place.tick.0;
    if asked > last {
        return Err(TailError::NotYet { asked, last });
    }
    let needed = if owed >= Place::end_of(owed.tick) { owed.tick.0 } else { owed.tick.0 - 1 };
    if needed < first {
        return Err(TailError::NotKept { needed, first });
    }
    Ok((epoch, Tick(needed)))
}

/// What is no event goes where it is in nobody's way.
fn say(text: &str) {
    // Whoever closed it wants to hear nothing.
    let _ = io::Write::write_fmt(&mut io::stderr().lock(), format_args!("curia-realtime: {text}\n"));
}
