//! Identities: every id is a type of its own, so that a post id can't be used where a board id is meant.

use std::{fmt, str::FromStr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Declares integer ids as PostgreSQL's `integer` holds them.
macro_rules! integer_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, TS)]
        #[serde(transparent)]
        #[ts(type = "number")]
        pub struct $name(pub i32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

/// Declares text ids; cloning one costs a counter, not an allocation.
macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, TS)]
        #[serde(from = "String", into = "String")]
        #[ts(type = "string")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as the database and the token spell it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

integer_ids! {
    /// `boards.id`
    BoardId,
    /// `posts.id`
    PostId,
    /// `comments.id`
    CommentId,
}

text_ids! {
    /// `users.user_id`, the token's `sub`.
    UserId,
    /// `communities.id`, the token's `cid`.
    CommunityId,
    /// One browser tab or frame, the token's `uid`.
    DeviceId,
    /// A role, as the token and `allowedRoles` name it.
    RoleId,
}

/// One connection of one browser, for as long as this process lives. Never shown to a client: the Engine.IO id is not
/// derived from it and it is never reused, so a command that comes late for a closed socket finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey(pub u64);

/// One run of one node, drawn at random as it starts. Never told to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// Contract section 2. Who sits in a room is known to [`crate::rooms::Rooms`] alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// Every socket of the community.
    Community(CommunityId),
    /// Its admins.
    CommunityAdmins(CommunityId),
    /// Every socket of the user.
    User(UserId),
    /// Joined by `board:join` or a feed.
    Board(BoardId),
    /// Joined by `post:join`.
    Post(PostId),
    /// Joined with `board:join` when asked.
    Typing(BoardId),
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Community(id) => write!(f, "community:{id}"),
            Self::CommunityAdmins(id) => write!(f, "community:{id}:admins"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Board(id) => write!(f, "board:{id}"),
            Self::Post(id) => write!(f, "post:{id}"),
            Self::Typing(id) => write!(f, "typing:{id}"),
        }
    }
}

/// A stretch of history whose continuity is proved; a cursor of another epoch says nothing about this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub i64);

/// The number of a snapshot tick within its epoch, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tick(pub i64);

/// A place in the stream of one epoch. Rows of a tick are numbered from 1, ordinal 0 stands before the first; the events of one
/// row are told apart by `part`, so that whoever was sent the first of two can ask for the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The tick.
    pub tick: Tick,
    /// The row within the tick.
    pub ordinal: u32,
    /// The event within the row.
    pub part: u8,
}

impl Place {
    /// Before everything of `tick`.
    pub fn before(tick: Tick) -> Self {
        Self { tick, ordinal: 0, part: 0 }
    }

    /// Behind everything of `tick`.
    pub fn end_of(tick: Tick) -> Self {
        Self { tick, ordinal: u32::MAX, part: u8::MAX }
    }

    /// Behind every event of its row.
    pub fn end_of_row(self) -> Self {
        Self { part: u8::MAX, ..self }
    }
}

/// A place in the stream as it is handed to clients, for whom its text is opaque.
///
/// `held_from` is the earliest tick of which a merged count may not have been sent yet when this cursor was handed out;
/// whoever replays from here sends the counts since then again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The epoch that the place belongs to.
    pub epoch: Epoch,
    /// Everything up to here was delivered, but for counts held back.
    pub place: Place,
    /// The earliest tick with a count held back, if any was.
    pub held_from: Option<Tick>,
}

impl Cursor {
    /// Longer texts are refused unread.
    pub const MAX_TEXT: usize = 64;

    /// The position behind everything of `tick`.
    pub fn end_of(epoch: Epoch, tick: Tick) -> Self {
        Self { epoch, place: Place::end_of(tick), held_from: None }
    }

    /// The first place that may hold something the bearer was not sent.
    pub fn owed_from(&self) -> Place {
        self.held_from.map_or(self.place, |tick| self.place.min(Place::before(tick)))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { tick, ordinal, part } = self.place;
        write!(f, "{:x}.{:x}.{ordinal:x}.{part:x}", self.epoch.0, tick.0)?;
        match self.held_from {
            Some(tick) => write!(f, ".{:x}", tick.0),
            None => Ok(()),
        }
    }
}

/// The text is not one that [`Cursor`]'s `Display` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this server")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() > Self::MAX_TEXT {
            return Err(CursorError);
        }
        let mut parts = text.split('.');
        let mut optional = || parts.next().map(hex).transpose();
        let mut needed = || optional()?.ok_or(CursorError);
        let (epoch, tick, ordinal, part) = (needed()?, needed()?, needed()?, needed()?);
        let held = optional()?;
        if parts.next().is_some() {
            return Err(CursorError);
        }
        let ordinal = u32::try_from(ordinal).map_err(|_| CursorError)?;
        let part = u8::try_from(part).map_err(|_| CursorError)?;
        Ok(Self { epoch: Epoch(epoch), place: Place { tick: Tick(tick), ordinal, part }, held_from: held.map(Tick) })
    }
}

/// Lower-case hexadecimal without sign or leading zero: `from_str_radix` would take `+1` and `01`, and a position has one text.
fn hex(digits: &str) -> Result<i64, CursorError> {
    let canonical =
        digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) && (digits == "0" || !digits.starts_with('0'));
    if !canonical {
        return Err(CursorError);
    }
    i64::from_str_radix(digits, 16).map_err(|_| CursorError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back_what_it_wrote(
            epoch in 0..i64::MAX, tick in 0..i64::MAX, ordinal: u32, part: u8, held in proptest::option::of(0..i64::MAX),
        ) {
            let place = Place { tick: Tick(tick), ordinal, part };
            let cursor = Cursor { epoch: Epoch(epoch), place, held_from: held.map(Tick) };
            // Above 2^53 an epoch is never drawn, and all five numbers at their longest would not fit.
            if cursor.to_string().len() <= Cursor::MAX_TEXT {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }

        #[test]
        fn a_cursor_has_one_text(text in ".{0,80}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn garbage_is_no_cursor() {
        for text in [
            "",
            ".",
            "1.2.3",
            "-1.2.3.4",
            "+1.2.3.4",
            "01.2.3.4",
            "1.2.3.4.5.6",
            "1.2.ffffffffff.0",
            "1.2.3.100",
            "1.2.3.4.",
            "G.1.1.1",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text:?}");
        }
    }

    #[test]
    fn a_cursor_with_a_count_held_back_owes_from_that_ticks_beginning() {
        let cursor: Cursor = "1.9.2.1.7".parse().unwrap();
        assert_eq!(cursor.owed_from(), Place::before(Tick(7)));
        assert_eq!(Cursor { held_from: None, ..cursor }.owed_from(), cursor.place);
    }
}
