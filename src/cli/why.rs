//! `curia-realtime why`

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
    time::Duration,
};

use clap::Args;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::time::sleep;

use super::{
    CliError,
    flags::{Database, Flags},
    print,
};
use crate::{
    access::{BoardFacts, CommunityFacts},
    actor::Actor,
    chronicle::Stretch,
    config::DatabaseConfig,
    event::Moved,
    ids::{BoardId, CommunityId, Cursor, Place, PostId, Tick, UserId},
    ports::{Archive, FactsError, Past},
    postgres::{
        archive::OutboxArchive,
        connect::{ConnectError, connect},
        facts,
        schema::{SchemaError, require_schema},
        why::{self as asking, Heard},
    },
    why::{
        Question, QuestionId, SocketReport,
        found::{self, Found, Row},
        text::{self, Said},
    },
};

/// Rows that are looked through at most.
const TICK_LIMIT: usize = 20_000;
/// Bytes of a content that are read, for whom it mentions.
const CONTENT_LIMIT: usize = 16 * 1_024;
/// So many ticks back the changes may lie of which a merged count tells.
const MERGED_FROM: i64 = 6;
/// A change of rights that no tick holds yet is waited for so often, a quarter of a second each time.
const TRIES: u32 = 12;

/// What is asked, and where.
#[derive(Args)]
pub(super) struct Wanted {
    #[command(flatten)]
    asked: Event,
    #[command(flatten)]
    settings: Flags<Database>,
}

/// One event and one user.
#[derive(Args)]
struct Event {
    /// The user id
    #[arg(long, value_name = "ID")]
    user: String,
    /// The event: `meta.cursor` of its second argument
    #[arg(long, value_name = "CURSOR")]
    event: Cursor,
    /// The community whose rules he is judged by where no socket of his is found
    #[arg(long, value_name = "ID")]
    community: Option<String>,
    /// A role of his there, as often as there are roles
    #[arg(long = "role", value_name = "ID", requires = "community")]
    roles: Vec<String>,
    /// He is an admin there
    #[arg(long, requires = "community")]
    admin: bool,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    #[error(
        "the event is of another database, or of one that was restored since: epoch {0:x} is not known here; take the cursor of an event of this database"
    )]
    UnknownEpoch(i64),
    #[error(
        "the event is no longer kept: ticks {first} to {last} of its epoch are, and it stands in tick {asked}; a longer REALTIME_RETENTION keeps more"
    )]
    NotKept { asked: i64, first: i64, last: i64 },
    #[error("there is no tick {asked} yet, the newest is {last}; is the cursor copied whole?")]
    NotYet { asked: i64, last: i64 },
    #[error("nothing of the event's epoch is kept any longer")]
    NothingKept,
    #[error(
        "the event stands in a tick of more than {TICK_LIMIT} rows, or rights are changing all the time; try again"
    )]
    NotRead,
    #[error("the database could not be read")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("the outbox could not be read")]
    Outbox(#[from] FactsError),
}

/// Explains one event for one user.
pub(super) async fn run(Wanted { asked, settings }: Wanted) -> Result<(), CliError> {
    let database = DatabaseConfig::read(&settings.sources()?)?;
    // A connection of its own says better than a pool why there is none.
    drop(connect(database.direct()).await?);
    let pool = PgPoolOptions::new().max_connections(3).connect_with(database.direct().options()).await;
    let pool = pool.map_err(|error| ConnectError::of(database.direct(), error))?;
    require_schema(&pool).await.map_err(WhyError::from)?;
    let explained = explain(&pool, &asked).await?;
    print(&explained)
}

async fn explain(pool: &PgPool, wanted: &Event) -> Result<String, WhyError> {
    let cursor = wanted.event;
    let user = UserId::from(wanted.user.as_str());
    let mut stretch = stretch(pool, &cursor).await?;
    // Asked behind the rows: whatever they show of a move is known.
    let posts: Vec<PostId> = stretch.rows.heads.keys().copied().collect();
    let moved = asking::moved(pool, cursor.epoch, cursor.place.tick, &posts).await?;
    stretch.rows.put_back(&moved);
    let found = found::at(&stretch, cursor.place, &user);
    let id = QuestionId::from(getrandom::u64().unwrap_or_default());
    let (events, names) = found.asked().into_iter().unzip();
    let question = Question { id, user: user.clone(), epoch: cursor.epoch, events };
    let heard = asking::ask(pool, &question).await?;
    let mut text = String::new();
    tell_event(&mut text, cursor, &found, &moved);
    let view = View { pool, user: &user, boards: found.boards().collect(), question: &question, names };
    view.tell_standing(&mut text, wanted, &heard).await?;
    view.tell_nodes(&mut text, &heard).await?;
    Ok(text)
}

/// The tick in which the event stands, with its rows as they are now; of merged counts some ticks before it, too.
async fn stretch(pool: &PgPool, cursor: &Cursor) -> Result<Stretch, WhyError> {
    let asked = cursor.place.tick.0;
    let standing = asking::standing(pool, cursor).await?;
    if !standing.known {
        return Err(WhyError::UnknownEpoch(cursor.epoch.0));
    }
    let (first, last) = standing.kept.ok_or(WhyError::NothingKept)?;
    if asked > last {
        return Err(WhyError::NotYet { asked, last });
    }
    if asked <= first {
        return Err(WhyError::NotKept { asked, first: first + 1, last });
    }
    let before = if found::is_merged(cursor.place) { MERGED_FROM } else { 1 };
    let from = Tick((asked - before).max(first));
    let archive = OutboxArchive { pool: pool.clone(), content_limit: CONTENT_LIMIT };
    for _ in 0..TRIES {
        if let Past::Whole(stretch) = archive.stretch(cursor.epoch, from, Tick(asked), TICK_LIMIT).await? {
            return Ok(*stretch);
        }
        sleep(Duration::from_millis(250)).await;
    }
    Err(WhyError::NotRead)
}

fn tell_event(text: &mut String, cursor: Cursor, found: &Found<'_>, moved: &Moved) {
    let Place { tick, ordinal, .. } = cursor.place;
    if found::is_merged(cursor.place) {
        line(
            text,
            0,
            &format!("event {cursor}: told at the end of tick {} or of a row of it, as merged counts are;", tick.0),
        );
        line(text, 1, "it tells of some of these changes, the newest of which come first");
    } else {
        line(text, 0, &format!("event {cursor}: tick {}, row {ordinal}", tick.0));
    }
    if found.rows.is_empty() {
        line(text, 1, "no row of the outbox stands there");
    }
    for Row { position, change, told } in &found.rows {
        line(text, 1, &format!("{}, at {}", text::change(change), position.at.to_rfc3339()));
        match text::turn(change) {
            Some(turn) => line(text, 2, turn),
            None if told.is_empty() => {
                line(text, 2, "tells nobody anything as the rows are now: what it speaks of is gone or moved");
            }
            None => {}
        }
        for told in told {
            line(text, 2, &format!("{} to {}", told.event.name(), text::audience(&told.audience)));
        }
    }
    let posts: BTreeSet<PostId> = found.posts().collect();
    for (post, board) in moved.iter().filter(|(post, _)| posts.contains(post)) {
        line(text, 1, &text::stood(*post, *board));
    }
    if found.more > 0 {
        line(text, 1, &format!("and {} more, which are left out", found.more));
    }
}

/// What is known, for whom.
struct View<'a> {
    pool: &'a PgPool,
    user: &'a UserId,
    boards: BTreeSet<BoardId>,
    question: &'a Question,
    /// Of its events.
    names: Vec<&'static str>,
}

impl View<'_> {
    /// Whether he may open the boards, where no socket tells who he is.
    async fn tell_standing(&self, text: &mut String, wanted: &Event, heard: &Heard) -> Result<(), WhyError> {
        let found = text::nodes(&heard.parts).iter().any(|said| !said.sockets.is_empty());
        match &wanted.community {
            Some(community) => {
                let socket = SocketReport {
                    community: CommunityId::from(community.as_str()),
                    roles: wanted.roles.iter().map(|role| role.as_str().into()).collect(),
                    admin: wanted.admin,
                    device: None,
                    expires_at: chrono::DateTime::UNIX_EPOCH,
                    outcomes: Vec::new(),
                    waiting: None,
                };
                line(text, 0, &format!("user {} with what was given of him", self.user));
                self.tell_access(text, 1, &text::actor(self.user, &socket)).await?;
            }
            None if !found => {
                let hint = "no socket of his tells community and roles; whether he may open a board is answered with --community, --role and --admin";
                line(text, 0, &format!("user {}: {hint}", self.user));
            }
            None => {}
        }
        Ok(())
    }

    async fn tell_nodes(&self, text: &mut String, heard: &Heard) -> Result<(), WhyError> {
        let nodes = text::nodes(&heard.parts);
        let listen = if heard.nodes > 0 { heard.nodes.to_string() } else { "unknown to our role".to_owned() };
        line(
            text,
            0,
            &format!(
                "nodes that listen: {listen}; that answered: {} (one of which /readyz calls `listening` degraded can't be asked)",
                nodes.len()
            ),
        );
        if nodes.is_empty() {
            line(
                text,
                1,
                "without an answer nothing is known of his sockets; is the service running on this database, and is our role the one it logs in as?",
            );
        }
        for said in nodes {
            self.tell_node(text, &said).await?;
        }
        Ok(())
    }

    async fn tell_node(&self, text: &mut String, said: &Said<'_>) -> Result<(), WhyError> {
        line(text, 1, &format!("node {} has told its sockets everything up to {}", said.node, said.told));
        if said.sockets.is_empty() && said.missing + said.more == 0 {
            line(text, 2, &format!("no socket of user {}", self.user));
        }
        for socket in &said.sockets {
            line(text, 2, &text::socket(socket, said.told));
            self.tell_access(text, 3, &text::actor(self.user, socket)).await?;
            for ((asked, name), outcome) in self.question.events.iter().zip(&self.names).zip(&socket.outcomes) {
                let outcome = text::outcome(*outcome, self.question.epoch);
                line(text, 3, &format!("{name} to {}: {outcome}", text::audience(&asked.audience)));
            }
        }
        if said.missing > 0 {
            line(text, 2, &format!("what it said of {} of his sockets did not arrive; ask again", said.missing));
        }
        if said.more > 0 {
            line(text, 2, &format!("and {} more sockets of his", said.more));
        }
        Ok(())
    }

    async fn tell_access(&self, text: &mut String, depth: usize, actor: &Actor) -> Result<(), WhyError> {
        let boards: HashMap<BoardId, BoardFacts> = facts::boards(self.pool, &self.boards, &BTreeSet::new()).await?;
        let communities: HashMap<CommunityId, CommunityFacts> =
            facts::communities(self.pool, &BTreeSet::from([actor.community.clone()])).await?;
        for board in &self.boards {
            let answer = text::access(actor, boards.get(board), communities.get(&actor.community));
            line(text, depth, &format!("may open board {board} as the database is now: {answer}"));
        }
        Ok(())
    }
}

fn line(text: &mut String, depth: usize, said: &str) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "{:width$}{}", "", text::printable(said), width = depth * 2);
}
