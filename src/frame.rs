//! An event as it is sent: encoded once, when it is first wanted, whoever receives it and however often.

use std::{
    mem::size_of,
    sync::{Arc, OnceLock},
};

use chrono::{DateTime, Utc};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    contract::{Board, Meta, Person, Post, ServerEvent},
    ids::Cursor,
};

/// One event. Most are told where nobody sits and are wanted by nobody who comes back: they are never encoded.
#[derive(Debug)]
pub struct Frame {
    event: Arc<ServerEvent>,
    /// Of a durable event.
    place: Option<(Cursor, DateTime<Utc>)>,
    text: OnceLock<Option<Text>>,
}

/// The arguments of one event, as JSON text.
#[derive(Debug)]
pub struct Text {
    pub payload: Box<RawValue>,
    /// The second argument of a durable event.
    pub meta: Option<Box<RawValue>>,
}

impl Frame {
    /// An event that is never sent again.
    pub fn ephemeral(event: ServerEvent) -> Self {
        Self { event: Arc::new(event), place: None, text: OnceLock::new() }
    }

    /// An event at its place in the stream.
    pub fn durable(event: ServerEvent, cursor: Cursor, at: DateTime<Utc>) -> Self {
        Self { place: Some((cursor, at)), ..Self::ephemeral(event) }
    }

    /// The same event at another place.
    pub fn at(&self, cursor: Cursor, at: DateTime<Utc>) -> Self {
        Self { event: Arc::clone(&self.event), place: Some((cursor, at)), text: OnceLock::new() }
    }

    /// The event's name on the wire.
    pub fn name(&self) -> &'static str {
        self.event.name()
    }

    /// Where a durable event stands, and when it was written.
    pub fn place(&self) -> Option<(Cursor, DateTime<Utc>)> {
        self.place
    }

    /// What is sent beside the name; none where it could not be encoded, which is in the log then.
    pub fn text(&self) -> Option<&Text> {
        self.text.get_or_init(|| self.encode()).as_ref()
    }

    /// Bytes of JSON text.
    pub fn size(&self) -> usize {
        self.text().map_or(0, Text::size)
    }

    /// About what it takes in memory when it is encoded, in bytes. Looks at texts that may be long and encodes nothing.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + size_of::<ServerEvent>() + KEYS_AND_NUMBERS + texts(&self.event)
    }

    fn encode(&self) -> Option<Text> {
        let payload = said(self.name(), self.event.encode())?;
        let meta = self.place.map(|(cursor, at)| to_raw_value(&Meta { cursor: cursor.to_string(), at }));
        let meta = match meta {
            Some(meta) => Some(said(self.name(), meta)?),
            None => None,
        };
        Some(Text { payload, meta })
    }
}

impl Text {
    /// Bytes of it.
    pub fn size(&self) -> usize {
        self.payload.get().len() + self.meta.as_ref().map_or(0, |meta| meta.get().len())
    }
}

/// The types of the contract have no map with keys that are not text, which is all that JSON could refuse.
fn said(event: &'static str, text: Result<Box<RawValue>, serde_json::Error>) -> Option<Box<RawValue>> {
    text.inspect_err(|error| tracing::error!(%error, event, "an event could not be encoded")).ok()
}

/// Of the JSON text of a count, to which most events come close.
const KEYS_AND_NUMBERS: usize = 256;

/// Bytes of the texts in an event that may be of any length, as they are and as JSON.
fn texts(event: &ServerEvent) -> usize {
    use ServerEvent as E;
    match event {
        E::BoardNewPost(told) => of_post(&told.post) + of_person(told.author.as_ref()),
        E::BoardPostUpdated(told) => of_post(&told.post) + of_person(told.author.as_ref()),
        E::PostNewComment(told) | E::PostCommentUpdated(told) => {
            length(&told.comment.content) + of_person(told.author.as_ref())
        }
        E::BoardCreated(told) => of_board(&told.board),
        E::BoardSettingsChanged(told) => of_board(&told.board),
        E::NotificationNew(told) => of_person(Some(&told.actor)) + both(&told.excerpt),
        _ => 0,
    }
}

fn of_post(post: &Post) -> usize {
    let tags = post.tags.iter().flatten().map(|tag| both(tag) + size_of::<String>()).sum::<usize>();
    length(&post.title) + length(&post.content) + tags
}

/// Settings may be of any shape; as text they are about as large.
fn of_board(board: &Board) -> usize {
    let settings = board.settings.as_ref().map_or(0, |settings| 2 * settings.to_string().len());
    length(&board.name) + length(&board.description) + settings
}

fn of_person(person: Option<&Person>) -> usize {
    person.map_or(0, |person| length(&person.name) + length(&person.profile_picture_url))
}

fn length(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, |text| both(text))
}

/// A quotation mark, a backslash and the usual control characters take two bytes in JSON, the other control characters six.
fn both(text: &str) -> usize {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        ..b' ' => 5,
        _ => 0,
    };
    2 * text.len() + text.bytes().map(escape).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::{Comment, CommentEvent, PostCount},
        ids::{BoardId, CommentId, Epoch, Place, PostId, Tick, UserId},
    };

    fn cursor(tick: i64) -> Cursor {
        Cursor { epoch: Epoch(i64::MAX), place: Place::end_of(Tick(tick)), held_from: Some(Tick(tick - 1)) }
    }

    fn comment(content: String) -> ServerEvent {
        let author = Person { user_id: UserId::from("ann"), name: Some("Ann".into()), profile_picture_url: None };
        ServerEvent::PostNewComment(CommentEvent {
            comment: Comment {
                id: CommentId(1),
                post_id: PostId(2),
                author_user_id: Some(author.user_id.clone()),
                parent_comment_id: None,
                content: Some(content),
                content_truncated: false,
                created_at: Some(DateTime::UNIX_EPOCH),
                updated_at: Some(DateTime::UNIX_EPOCH),
            },
            author: Some(author),
            post_id: PostId(2),
            board_id: BoardId(3),
        })
    }

    fn count() -> ServerEvent {
        let count = PostCount { post_id: PostId(i32::MAX), board_id: BoardId(i32::MAX), new_count: i32::MIN };
        ServerEvent::PostCommentCountChanged(count)
    }

    #[test]
    fn an_event_weighs_at_least_what_is_sent_of_it() {
        let texts = ["", "x", "\u{1}", "\"\n", "\u{e9}"];
        let comments = texts.iter().map(|text| comment(text.repeat(16 * 1024)));
        for event in comments.chain([count()]) {
            let frame = Frame::durable(event, cursor(i64::MAX), DateTime::UNIX_EPOCH);
            assert!(frame.weight() >= frame.size(), "{} and {}", frame.weight(), frame.size());
        }
    }

    #[test]
    fn an_event_at_another_place_differs_in_its_cursor_alone() {
        let here = Frame::durable(count(), cursor(7), DateTime::UNIX_EPOCH);
        let there = here.at(cursor(9), DateTime::UNIX_EPOCH);
        let (here, there) = (here.text().unwrap(), there.text().unwrap());
        assert_eq!(here.payload.get(), there.payload.get());
        assert_ne!(here.meta.as_ref().unwrap().get(), there.meta.as_ref().unwrap().get());
    }

    #[test]
    fn an_ephemeral_event_has_no_place() {
        assert!(Frame::ephemeral(count()).text().unwrap().meta.is_none());
    }
}
