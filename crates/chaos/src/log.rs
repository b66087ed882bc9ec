//! What one client saw, in order, as it is accounted for afterwards.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use chrono::DateTime;
use curia_driver::Event;
use serde_json::Value;

use crate::{history::Micros, people::Room};

/// An event, without what no accounting asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub name: String,
    pub board: Option<i32>,
    pub post: Option<i32>,
    pub comment: Option<i32>,
    pub count: Option<i64>,
    /// The title or content that was shown.
    pub stamp: Option<String>,
    pub moved: bool,
    /// When it says that it was written.
    pub written: Option<Micros>,
    pub cursor: Option<String>,
}

impl Told {
    /// What there is of it in a frame.
    pub fn of(event: &Event) -> Self {
        let payload = &event.payload;
        let id = |value: &Value| value.as_i64().and_then(|id| i32::try_from(id).ok());
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (post, comment, board) = (&payload["post"], &payload["comment"], &payload["board"]);
        let written = event.meta["at"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        Self {
            name: event.name.clone(),
            board: id(&payload["boardId"]).or_else(|| id(&post["board_id"])).or_else(|| id(&board["id"])),
            post: id(&payload["postId"]).or_else(|| id(&post["id"])),
            comment: id(&payload["commentId"]).or_else(|| id(&comment["id"])),
            count: payload["newCount"].as_i64(),
            stamp: text(&post["title"]).or_else(|| text(&comment["content"])),
            moved: payload["moved"] == true,
            written: written.map(|at| at.timestamp_micros()),
            cursor: text(&event.meta["cursor"]),
        }
    }
}

/// What happened to a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Connected {
        node: usize,
    },
    Disconnected,
    /// It asks for a room; with a cursor that stands for everything up to this entry of its log.
    Joining {
        room: Room,
        since: Option<usize>,
    },
    /// It sits there; of a feed with these boards.
    Joined {
        room: Room,
        recovered: bool,
        boards: Vec<i32>,
        cursor: String,
    },
    Refused {
        room: Room,
        code: String,
    },
    /// What it was told means that it does not sit there any longer, or has to look anew.
    Left {
        room: Room,
    },
    Told(Told),
}

/// An entry with its time and the number of the connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    pub at: Micros,
    pub connection: u32,
    pub entry: Entry,
}

/// The log of a client, and what it believes of itself.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<Vec<Logged>>,
    sits_in: Mutex<BTreeSet<Room>>,
}

impl Log {
    /// Writes an entry and gives its number.
    pub fn write(&self, connection: u32, entry: Entry) -> usize {
        let mut entries = self.entries();
        entries.push(Logged { at: now(), connection, entry });
        entries.len() - 1
    }

    /// Everything so far.
    pub fn entries(&self) -> MutexGuard<'_, Vec<Logged>> {
        // A log is whole between two entries.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it sits, as far as it knows; nowhere while it is away.
    pub fn sits_in(&self) -> BTreeSet<Room> {
        self.sits_in.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn sit_in(&self, rooms: BTreeSet<Room>) {
        *self.sits_in.lock().unwrap_or_else(PoisonError::into_inner) = rooms;
    }
}

/// The machine's clock, which is the database's too.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}
