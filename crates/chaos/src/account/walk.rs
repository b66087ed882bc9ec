//! A client's log, gone through once: which row of the history each event tells of, and the stays in rooms.
//!
//! A stay begins with a load (a join without a cursor, or `recovered: false`) and goes on over every join that says `recovered: true`.

use std::collections::BTreeMap;

use super::Account;
use crate::{
    history::{History, Micros, Row, What},
    log::{Entry, Logged, Told},
    people::Room,
};

/// An event that tells of a row.
#[derive(Clone, Debug)]
pub struct Heard<'a> {
    pub told: &'a Told,
    pub row: &'a Row,
    pub at: Micros,
    pub connection: u32,
    /// The number of its entry.
    pub entry: usize,
    /// It came between a request with a cursor and the answer; then the entry up to which the cursor stands for everything.
    pub replayed_since: Option<usize>,
    /// It came live in a room that this connection took up with a cursor; then the entry up to which that stands for everything.
    pub taken_up: Option<usize>,
    /// Another room of this connection was not recovered.
    pub mixed: bool,
    /// The entry of the newest load, from which on its cursors count.
    pub loaded: usize,
}

/// An event that tells of nothing committed.
#[derive(Clone, Debug)]
pub struct Unknown<'a> {
    pub told: &'a Told,
    pub at: Micros,
}

/// A stay in the room of a board or post.
#[derive(Clone, Debug)]
pub struct Stay {
    pub room: Room,
    pub loaded: Micros,
    /// What was heard in it, by place in [`Walked::heard`], in order.
    pub heard: Vec<usize>,
    /// It lasted to the end.
    pub lasts: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Walked<'a> {
    pub heard: Vec<Heard<'a>>,
    pub unknown: Vec<Unknown<'a>>,
    pub stays: Vec<Stay>,
}

/// Where a stay belongs: a board joined by name, or as one of the feed's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seat {
    Named(Room),
    InFeed(i32),
}

struct Joining {
    room: Room,
    since: Option<usize>,
    /// What was heard meanwhile belongs to the stay if it goes on.
    heard: Vec<usize>,
}

#[derive(Default)]
struct Walk<'a> {
    walked: Walked<'a>,
    open: BTreeMap<Seat, Stay>,
    /// Those that this connection has taken up.
    seated: Vec<Seat>,
    /// Of these, the ones that were recovered: up to which entry the cursor stands for everything.
    since: BTreeMap<Seat, usize>,
    joining: Option<Joining>,
    /// Whether the feed is joined on this connection.
    feed: bool,
    mixed: bool,
    loaded: usize,
}

/// Goes through the log of a client.
pub fn walk<'a>(account: &'a Account, client: usize) -> Walked<'a> {
    let mut walk = Walk::default();
    for (number, Logged { at, connection, entry }) in account.clients[client].1.iter().enumerate() {
        match entry {
            Entry::Connected { .. } => walk.mixed = false,
            Entry::Disconnected => {
                walk.seated.clear();
                walk.since.clear();
                walk.feed = false;
                walk.joining = None;
            }
            Entry::Joining { room, since } => {
                walk.joining = Some(Joining { room: *room, since: *since, heard: Vec::new() });
            }
            Entry::Joined { room, recovered, boards, .. } => {
                if !recovered {
                    walk.loaded = number;
                }
                walk.joined(*room, *recovered, boards, *at);
            }
            Entry::Refused { room, code } => {
                walk.joining = None;
                if !matches!(code.as_str(), "unavailable" | "rate_limited") {
                    walk.left(*room);
                }
            }
            Entry::Left { room } => walk.left(*room),
            Entry::Told(told) => walk.told(&account.history, told, *at, *connection, number),
        }
    }
    let Walk { mut walked, open, .. } = walk;
    walked.stays.extend(open.into_values().map(|stay| Stay { lasts: true, ..stay }));
    walked
}

impl<'a> Walk<'a> {
    fn joined(&mut self, room: Room, recovered: bool, boards: &[i32], at: Micros) {
        let Some(joining) = self.joining.take() else { return };
        self.feed |= room == Room::Feed;
        let goes_on = recovered && joining.since.is_some();
        self.mixed |= joining.since.is_some() && !recovered;
        let seats: Vec<Seat> = match room {
            Room::Feed => boards.iter().map(|board| Seat::InFeed(*board)).collect(),
            room => vec![Seat::Named(room)],
        };
        let of_room = |seat: &Seat| match seat {
            Seat::Named(named) => *named == room,
            Seat::InFeed(_) => room == Room::Feed,
        };
        let before: Vec<Seat> = self.open.keys().filter(|seat| of_room(seat)).copied().collect();
        for seat in before {
            if !goes_on || !seats.contains(&seat) {
                self.end(seat);
            }
        }
        for seat in seats {
            self.begin(seat, at);
            match joining.since.filter(|_| goes_on) {
                Some(since) => drop(self.since.insert(seat, since)),
                None => drop(self.since.remove(&seat)),
            }
            if goes_on && let Some(stay) = self.open.get_mut(&seat) {
                let fits = |heard: &&usize| fits(stay.room, &self.walked.heard[**heard]);
                let more: Vec<usize> = joining.heard.iter().filter(fits).copied().collect();
                stay.heard.extend(more);
            }
        }
    }

    /// Unless it is there.
    fn begin(&mut self, seat: Seat, at: Micros) {
        let room = match seat {
            Seat::Named(room) => room,
            Seat::InFeed(board) => Room::Board(board),
        };
        self.open.entry(seat).or_insert_with(|| Stay { room, loaded: at, heard: Vec::new(), lasts: false });
        if !self.seated.contains(&seat) {
            self.seated.push(seat);
        }
    }

    fn end(&mut self, seat: Seat) {
        self.seated.retain(|seated| *seated != seat);
        self.since.remove(&seat);
        self.walked.stays.extend(self.open.remove(&seat));
    }

    fn left(&mut self, room: Room) {
        if room == Room::Feed {
            self.feed = false;
            let boards: Vec<Seat> = self.open.keys().filter(|seat| matches!(seat, Seat::InFeed(_))).copied().collect();
            boards.into_iter().for_each(|seat| self.end(seat));
        }
        self.end(Seat::Named(room));
    }

    fn told(&mut self, history: &'a History, told: &'a Told, at: Micros, connection: u32, entry: usize) {
        match row_of(history, told) {
            Teller::Nothing => {}
            Teller::Unknown => self.walked.unknown.push(Unknown { told, at }),
            Teller::Row(row) => {
                let asked = self.joining.as_ref().filter(|joining| may_be_missed(joining.room, told));
                let replayed_since = asked.and_then(|joining| joining.since);
                let place = self.walked.heard.len();
                let (mixed, loaded) = (self.mixed, self.loaded);
                let mut heard =
                    Heard { told, row, at, connection, entry, replayed_since, taken_up: None, mixed, loaded };
                for seat in &self.seated {
                    if let Some(stay) = self.open.get_mut(seat).filter(|stay| fits(stay.room, &heard)) {
                        stay.heard.push(place);
                        heard.taken_up = heard.taken_up.max(self.since.get(seat).copied());
                    }
                }
                if let Some(joining) = &mut self.joining {
                    joining.heard.push(place);
                }
                self.walked.heard.push(heard);
            }
        }
        match (told.name.as_str(), told.board) {
            ("board:accessRevoked" | "board:deleted", Some(board)) => self.end(Seat::InFeed(board)),
            ("board:accessGranted", Some(board)) if self.feed => {
                self.end(Seat::InFeed(board));
                self.begin(Seat::InFeed(board), at);
            }
            ("board:created", Some(board)) if self.feed => self.begin(Seat::InFeed(board), at),
            _ => {}
        }
    }
}

/// Whether it was told in this room.
fn fits(room: Room, heard: &Heard<'_>) -> bool {
    // Whoever sat in the post's room is told ahead of the stream that it moved out of his reach.
    let moved_away = heard.told.name == "board:postDeleted" && heard.told.moved;
    match room {
        Room::Board(board) => {
            heard.told.board == Some(board)
                && heard.told.name.starts_with("board:")
                && heard.told.name != "board:created"
                && !moved_away
        }
        Room::Post(post) => {
            let elsewhere = matches!(heard.told.name.as_str(), "board:newPost" | "notification:new");
            heard.told.post == Some(post) && !elsewhere && !moved_away
        }
        Room::Feed => false,
    }
}

/// Whether it may have come as one that was missed in this room.
fn may_be_missed(room: Room, told: &Told) -> bool {
    match room {
        Room::Board(board) => told.board == Some(board),
        Room::Post(post) => told.post == Some(post),
        Room::Feed => true,
    }
}

/// What an event tells of.
pub enum Teller<'a> {
    Row(&'a Row),
    /// Something that should be there and is not.
    Unknown,
    /// Counts, which have an accounting of their own, and what tells of no row.
    Nothing,
}

/// The row of which an event tells: of several changes of one row, that which was written last before the event says it was.
pub fn row_of<'a>(history: &'a History, told: &Told) -> Teller<'a> {
    let at = told.written.unwrap_or_default();
    let newest = |what, id: Option<i32>| id.and_then(|id| history.told_at(what, id, at));
    let only = |what, id: Option<i32>| id.and_then(|id| history.of(what, id).next());
    let row = match told.name.as_str() {
        "board:newPost" if told.moved => newest(What::PostMoved, told.post),
        "board:newPost" => only(What::PostCreated, told.post),
        "board:postUpdated" => newest(What::PostUpdated, told.post),
        // One that lies ahead is told with the time of the newest change of rights.
        "board:postDeleted" if told.moved => told
            .post
            .and_then(|post| history.of(What::PostMoved, post).rfind(|row| row.at <= at && row.from() == told.board)),
        "board:postDeleted" => only(What::PostDeleted, told.post),
        "post:newComment" | "notification:new" => only(What::CommentCreated, told.comment),
        "post:commentUpdated" => newest(What::CommentUpdated, told.comment),
        "post:commentDeleted" => only(What::CommentDeleted, told.comment),
        "board:created" => only(What::BoardCreated, told.board),
        "board:settingsChanged" => newest(What::BoardUpdated, told.board),
        "board:deleted" => only(What::BoardDeleted, told.board),
        _ => return Teller::Nothing,
    };
    row.map_or(Teller::Unknown, Teller::Row)
}
