//! What stands at a place of the stream.

use super::{Asked, EVENTS_ASKED};
use crate::{
    audience::{Audience, Topic},
    change::Change,
    chronicle::{Position, Stretch},
    contract::ServerEvent,
    event::{self, Told as Happened},
    ids::{BoardId, Place, PostId, UserId},
};

/// An event and whom it is for.
#[derive(Clone, Debug)]
pub struct Told {
    /// Of the place; events of one row differ in it.
    pub part: u8,
    pub event: ServerEvent,
    pub audience: Audience,
}

/// A change and the events that tell of it, as its rows are now but for where its post stands.
#[derive(Debug)]
pub struct Row<'a> {
    pub position: &'a Position,
    pub change: &'a Change,
    pub told: Vec<Told>,
}

/// What a cursor names.
#[derive(Debug)]
pub struct Found<'a> {
    place: Place,
    pub rows: Vec<Row<'a>>,
    /// Rows and events that are left out, being too many.
    pub more: usize,
}

/// Whether counts of several changes were told there as one: they stand behind their rows, at no event's own place.
pub fn is_merged(place: Place) -> bool {
    place.part == u8::MAX
}

/// What stands at `place`; of merged counts, the changes up to there that they may tell of, the newest first. What is for `user` alone and
/// what the place names precisely come first.
pub fn at<'a>(stretch: &'a Stretch, place: Place, user: &UserId) -> Found<'a> {
    let mut rows = Vec::new();
    let mut more = 0;
    for (position, change) in stretch.changes.iter().rev() {
        let here = Place { part: 0, ..position.place } == Place { part: 0, ..place };
        let told = events(change, stretch, is_merged(place));
        let meant = if is_merged(place) { position.place <= place && !told.is_empty() } else { here };
        if meant && rows.len() < EVENTS_ASKED {
            rows.push(Row { position, change, told });
        } else {
            more += usize::from(meant);
        }
    }
    for row in &mut rows {
        let own = |told: &Told| matches!(&told.audience, Audience::User(of, _) if of == user);
        row.told.sort_by_key(|told| (!own(told), told.part != place.part));
        more += row.told.len().saturating_sub(EVENTS_ASKED);
        row.told.truncate(EVENTS_ASKED);
    }
    Found { place, rows, more }
}

fn events(change: &Change, stretch: &Stretch, counts_alone: bool) -> Vec<Told> {
    let told = event::tell(change, &stretch.rows).into_iter().flat_map(|told| match told {
        Happened::Event { .. } if counts_alone => Vec::new(),
        Happened::Event { audience, event, part, .. } => vec![Told { part, event: *event, audience }],
        Happened::Count(count) => {
            let told = |(part, event)| Told { part, event, audience: Audience::Board(count.board) };
            count.events().into_iter().map(told).collect()
        }
    });
    told.collect()
}

impl Found<'_> {
    /// What the nodes are asked, each once, and the event of which it is asked.
    pub fn asked(&self) -> Vec<(Asked, &'static str)> {
        let mut asked: Vec<(Asked, &'static str)> = Vec::new();
        for row in &self.rows {
            for told in &row.told {
                // Merged counts were told where the cursor says.
                let own = Place { part: told.part, ..row.position.place };
                let place = if is_merged(self.place) { self.place } else { own };
                let one = Asked { place, audience: told.audience.clone(), topic: Topic::of(&told.event) };
                if asked.len() < EVENTS_ASKED && !asked.iter().any(|(other, _)| *other == one) {
                    asked.push((one, told.event.name()));
                }
            }
        }
        asked
    }

    /// The posts that it speaks of.
    pub fn posts(&self) -> impl Iterator<Item = PostId> {
        self.rows.iter().filter_map(|row| match row.change {
            Change::PostCreated { post, .. }
            | Change::PostUpdated { post, .. }
            | Change::PostMoved { post, .. }
            | Change::PostCounted { post, .. }
            | Change::PostDeleted { post, .. }
            | Change::VoteAdded { post }
            | Change::VoteRemoved { post }
            | Change::CommentCreated { post, .. }
            | Change::CommentUpdated { post, .. }
            | Change::CommentDeleted { post, .. } => Some(*post),
            _ => None,
        })
    }

    /// The boards that have to be open to whoever is told of it, and those which it may have opened or closed.
    pub fn boards(&self) -> impl Iterator<Item = BoardId> {
        let turned = self.rows.iter().filter_map(|row| match row.change {
            Change::BoardUpdated { board, .. } | Change::ImportChanged { board, .. } => Some(*board),
            Change::PostMoved { to, .. } => *to,
            _ => None,
        });
        let told = self.rows.iter().flat_map(|row| &row.told).filter_map(|told| match &told.audience {
            Audience::Board(board)
            | Audience::BoardAndPost(board, _)
            | Audience::WhoMayOpen(board)
            | Audience::User(_, board) => Some(*board),
            Audience::Post(_) => board_named(&told.event),
            Audience::Community(_) => None,
        });
        told.chain(turned)
    }
}

fn board_named(event: &ServerEvent) -> Option<BoardId> {
    match event {
        ServerEvent::PostNewComment(told) | ServerEvent::PostCommentUpdated(told) => Some(told.board_id),
        ServerEvent::PostCommentDeleted(told) => Some(told.board_id),
        _ => None,
    }
}
