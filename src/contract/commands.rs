//! What a client may send: each command with its argument and what its acknowledgement carries.
//!
//! The arguments are types only for the generated documents. [`crate::command`] reads them by hand, so that a mistake is answered
//! in words.

use schemars::{JsonSchema, SchemaGenerator};
use ts_rs::TS;

use super::{BoardJoined, BoardLeft, Empty, FeedJoined, Named, PostJoined, PostLeft, PresenceListed, SessionRefreshed};

/// What the table says of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// The name on the wire.
    pub name: &'static str,
    /// The type of its only argument.
    pub argument: &'static str,
    /// The type of what a positive acknowledgement carries beside `ok`.
    pub answer: &'static str,
}

/// Declares the commands once: the name on the wire, the argument, the answer.
macro_rules! client_commands {
    ($($name:literal ($argument:ty) -> $answer:ty),* $(,)?) => {
        /// Every command that is served, in the order of the contract.
        pub const COMMANDS: &[CommandSpec] = &[
            $(CommandSpec {
                name: $name,
                argument: <$argument as Named>::NAME,
                answer: <$answer as Named>::NAME,
            }),*
        ];
    };
}

client_commands! {
    "board:join" (BoardJoin) -> BoardJoined,
    "board:leave" (Id) -> BoardLeft,
    "post:join" (PostJoin) -> PostJoined,
    "post:leave" (Id) -> PostLeft,
    "feed:join" (FeedJoin) -> FeedJoined,
    "feed:leave" (Nothing) -> Empty,
    "typing:start" (TypingPost) -> Empty,
    "typing:stop" (TypingPost) -> Empty,
    "presence:list" (PresenceList) -> PresenceListed,
    "session:refresh" (SessionRefresh) -> SessionRefreshed,
}

named! { Id, BoardJoin, PostJoin, FeedJoin, TypingPost, PresenceList, Nothing, SessionRefresh }

/// A number, or a string of its digits.
#[derive(JsonSchema, TS)]
#[serde(untagged)]
pub enum Id {
    Number(#[schemars(range(min = 1, max = 2_147_483_647))] i32),
    Digits(#[schemars(regex(pattern = "^[0-9]{1,10}$"))] String),
}

/// `board:join`
#[derive(JsonSchema, TS)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum BoardJoin {
    Board(Id),
    With {
        board_id: Id,
        /// The last `cursor` that was seen.
        #[ts(optional)]
        since: Option<String>,
        /// Whether typing is wanted too.
        #[ts(optional)]
        typing: Option<bool>,
    },
}

/// `post:join`
#[derive(JsonSchema, TS)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum PostJoin {
    Post(Id),
    With {
        post_id: Id,
        /// The last `cursor` that was seen.
        #[ts(optional)]
        since: Option<String>,
    },
}

/// `feed:join`
#[derive(JsonSchema, TS)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum FeedJoin {
    Nothing(Nothing),
    With {
        /// The last `cursor` that was seen.
        #[ts(optional)]
        since: Option<String>,
    },
}

/// `typing:start` and `typing:stop`
#[derive(JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct TypingPost {
    /// It was joined, or the board in which it stands was.
    pub post_id: Id,
}

/// `presence:list`: of the community, or of a board.
#[derive(JsonSchema, TS)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum PresenceList {
    Nothing(Nothing),
    Of {
        #[ts(optional)]
        board_id: Option<Id>,
    },
}

/// No argument.
#[derive(JsonSchema, TS)]
pub struct Nothing;

/// `session:refresh`
#[derive(JsonSchema, TS)]
pub struct SessionRefresh {
    /// Of the same user and community.
    pub token: String,
}
