//! The stream as an operator reads it: which events, from where, and in which words.
//!
//! Pure. Nobody's rights are asked: whoever may read the database may read what is told of it. Counts are not merged, so that each shows
//! the commit that made it; their cursors are the service's own.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    audience::Audience,
    batch::Batch,
    chronicle::{Chronicle, Position, Sent},
    contract::ServerEvent,
    event::{self, Rows, Told},
    history::Bounds,
    ids::{BoardId, CommunityId, Cursor, Epoch, Place, Room},
    why::text::{self, printable},
};

/// Characters of a payload in a line.
const SHOWN: usize = 160;
/// Nobody comes back.
const NO_HISTORY: Bounds = Bounds { records: 0, size: 0, missed: 0 };

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub board: Option<BoardId>,
    pub community: Option<CommunityId>,
    /// The boards that the community owns or imports, as far as is known.
    shown: BTreeSet<BoardId>,
}

impl Filter {
    /// Of this board alone, or this community, or both.
    pub fn new(board: Option<BoardId>, community: Option<CommunityId>) -> Self {
        Self { board, community, shown: BTreeSet::new() }
    }

    /// Beside what it showed before.
    pub fn also_shows(&mut self, boards: impl IntoIterator<Item = BoardId>) {
        self.shown.extend(boards);
    }

    /// The community shows these boards now, and no others.
    pub fn shows(&mut self, boards: impl IntoIterator<Item = BoardId>) {
        self.shown = boards.into_iter().collect();
    }

    /// What the rows show of the community, beside what it showed before.
    fn learn(&mut self, rows: &Rows) {
        if let Some(community) = &self.community {
            let facts = rows.facts.values().filter(|facts| facts.is_shown_in(community));
            self.shown.extend(facts.map(|facts| facts.board));
        }
    }

    fn wants(&self, told: &Told) -> bool {
        let board = board_of(told);
        let of_board = self.board.is_none_or(|wanted| board == Some(wanted));
        let of_community = self.community.as_ref().is_none_or(|wanted| match (told, board) {
            (Told::Event { audience: Audience::Community(community), .. }, _) => community == wanted,
            (_, board) => board.is_some_and(|board| self.shown.contains(&board)),
        });
        of_board && of_community
    }
}

/// The board that an event is of.
fn board_of(told: &Told) -> Option<BoardId> {
    match told {
        Told::Count(count) => Some(count.board),
        Told::Event { audience, event, .. } => match audience {
            Audience::Board(board)
            | Audience::BoardAndPost(board, _)
            | Audience::WhoMayOpen(board)
            | Audience::User(_, board) => Some(*board),
            Audience::Post(_) => match &**event {
                ServerEvent::PostNewComment(told) | ServerEvent::PostCommentUpdated(told) => Some(told.board_id),
                ServerEvent::PostCommentDeleted(told) => Some(told.board_id),
                _ => None,
            },
            Audience::Community(_) => None,
        },
    }
}

/// What was told of one tick, or a page of it.
#[derive(Debug, Default)]
pub struct Page {
    /// In order.
    pub sent: Vec<Sent>,
    /// Rows that say that something can't be told, or that could not be read.
    pub untold: usize,
}

/// Tells page after page.
#[derive(Debug)]
pub struct Teller {
    pub filter: Filter,
    chronicle: Chronicle,
    /// Whoever is told has seen everything up to here.
    since: Option<Cursor>,
}

impl Teller {
    /// Behind `told`; where there is a cursor, only what its bearer is owed.
    pub fn new(filter: Filter, epoch: Epoch, told: Place, since: Option<Cursor>) -> Self {
        Self { filter, chronicle: Chronicle::new(NO_HISTORY, Duration::ZERO, epoch, told), since }
    }

    /// The events of a page that are wanted.
    pub fn tell(&mut self, batch: &Batch) -> Page {
        let mut page = Page { sent: Vec::new(), untold: batch.poison.len() };
        self.filter.learn(&batch.rows);
        for entry in &batch.entries {
            let position = Position { place: batch.cursor(entry).place, at: entry.at };
            page.untold += usize::from(matches!(entry.change, crate::change::Change::Reset { .. }));
            for told in event::tell(&entry.change, &batch.rows) {
                let (is_wanted, is_count) = (self.filter.wants(&told), matches!(told, Told::Count(_)));
                let sent = self.chronicle.tell(told, position, Duration::ZERO);
                page.sent.extend(sent.into_iter().filter(|sent| is_wanted && self.is_owed(sent, is_count)));
            }
            self.chronicle.after(&entry.change, position.place.end_of_row());
            self.chronicle.reached(position.place.end_of_row());
        }
        page
    }

    /// Up to the cursor's place its bearer was sent all but counts that were held back.
    fn is_owed(&self, sent: &Sent, is_count: bool) -> bool {
        let Some((since, (cursor, _))) = self.since.zip(sent.frame.place()) else { return true };
        let from = if is_count { since.owed_from() } else { since.place };
        cursor.place > from
    }
}

/// Cursor, name, rooms and the beginning of the payload; nothing where it could not be encoded.
pub fn line(sent: &Sent) -> Option<String> {
    let ((cursor, _), told) = sent.frame.place().zip(sent.frame.text())?;
    let payload = told.payload.get();
    let (shown, more) = match payload.char_indices().nth(SHOWN) {
        Some((end, _)) => (&payload[..end], "..."),
        None => (payload, ""),
    };
    let line = format!("{cursor}  {}  {}  {shown}{more}", sent.frame.name(), text::audience(&sent.audience));
    Some(printable(&line) + "\n")
}

/// All of it as one JSON object in a line; nothing where it could not be encoded.
pub fn json(sent: &Sent) -> Option<String> {
    #[derive(Serialize)]
    struct Admins<'a> {
        of: &'a CommunityId,
        payload: &'a RawValue,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line<'a> {
        cursor: String,
        at: chrono::DateTime<chrono::Utc>,
        event: &'a str,
        rooms: Vec<String>,
        to: String,
        payload: &'a RawValue,
        /// What its admins are shown instead.
        #[serde(skip_serializing_if = "Option::is_none")]
        to_admins: Option<Admins<'a>>,
    }
    let ((cursor, at), told) = sent.frame.place().zip(sent.frame.text())?;
    let to_admins = match &sent.to_admins {
        Some(full) => Some(Admins { of: &full.of, payload: &full.shown.text()?.payload }),
        None => None,
    };
    let line = Line {
        cursor: cursor.to_string(),
        at,
        event: sent.frame.name(),
        rooms: rooms(&sent.audience).iter().map(ToString::to_string).collect(),
        to: text::audience(&sent.audience),
        payload: &told.payload,
        to_admins,
    };
    Some(serde_json::to_string(&line).ok()? + "\n")
}

/// Those that it is told in. What goes to all who may open a board, wherever they sit, is in none.
fn rooms(audience: &Audience) -> Vec<Room> {
    match audience {
        Audience::Board(board) => vec![Room::Board(*board)],
        Audience::BoardAndPost(board, post) => vec![Room::Board(*board), Room::Post(*post)],
        Audience::Post(post) => vec![Room::Post(*post)],
        Audience::WhoMayOpen(_) => vec![],
        Audience::Community(community) => vec![Room::Community(community.clone())],
        Audience::User(user, _) => vec![Room::User(user.clone())],
    }
}

#[cfg(test)]
mod tests;
