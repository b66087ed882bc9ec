//! The public contract, version 1: every name and every payload a browser may rely on stands in this file and nowhere else.
//! `clients/typescript/src/contract.ts` is generated from it by [`crate::typescript`], `docs/asyncapi.json` by [`crate::asyncapi`];
//! a test fails when one of them is stale.
//!
//! Envelope keys are camelCase; rows inside an envelope keep the columns' own names, as the forum's REST API returns them.

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use ts_rs::TS;

use crate::ids::{BoardId, CommentId, CommunityId, PostId, UserId};

/// Declares the server's events once: the variant, the name on the wire, whether it is durable, and its payload.
macro_rules! server_events {
    ($($(#[$doc:meta])* $name:literal $durable:ident $variant:ident($payload:ty)),* $(,)?) => {
        /// One event with its payload. Its place in the stream (`meta`) is added when it is sent.
        #[derive(Clone, Debug)]
        pub enum ServerEvent {
            $($(#[$doc])* $variant($payload),)*
        }

        impl ServerEvent {
            /// Every event, in the order of the contract.
            pub const TABLE: &[EventSpec] = &[
                $(EventSpec { name: $name, payload: <$payload as Named>::NAME, durable: server_events!(@$durable) }),*
            ];

            /// The name on the wire.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The first argument as JSON text, made once for all who receive it.
            pub fn encode(&self) -> Result<Box<RawValue>, serde_json::Error> {
                match self {
                    $(Self::$variant(payload) => serde_json::value::to_raw_value(payload),)*
                }
            }
        }
    };
    (@durable) => { true };
    (@ephemeral) => { false };
}

/// Declares types that stand in the generated documents under their own name.
macro_rules! named {
    ($($name:ident),* $(,)?) => {
        $(impl Named for $name { const NAME: &'static str = stringify!($name); })*

        /// The TypeScript declaration of every type of the contract.
        pub fn declarations() -> Vec<String> {
            vec![$($name::decl()),*]
        }

        /// Leaves the schema of every type of the contract with `generator`.
        pub fn add_schemas(generator: &mut SchemaGenerator) {
            $(generator.subschema_for::<$name>();)*
        }
    };
}

/// A type that the generated documents know by name.
trait Named {
    const NAME: &'static str;
}

pub mod commands;

/// What the table says of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpec {
    /// The name on the wire.
    pub name: &'static str,
    /// The payload's type.
    pub payload: &'static str,
    /// Whether it comes from a committed row: it then carries [`Meta`] as second argument and can be replayed.
    pub durable: bool,
}

server_events! {
    "board:newPost" durable BoardNewPost(NewPost),
    "board:postUpdated" durable BoardPostUpdated(PostUpdated),
    "board:postDeleted" durable BoardPostDeleted(PostDeleted),
    "post:voteAdded" durable PostVoteAdded(PostCount),
    "post:voteRemoved" durable PostVoteRemoved(PostCount),
    "post:voteChanged" durable PostVoteChanged(PostCount),
    "post:newComment" durable PostNewComment(CommentEvent),
    "post:commentUpdated" durable PostCommentUpdated(CommentEvent),
    "post:commentDeleted" durable PostCommentDeleted(CommentDeleted),
    "post:commentCountChanged" durable PostCommentCountChanged(PostCount),
    "board:created" durable BoardCreated(BoardCreated),
    "board:settingsChanged" durable BoardSettingsChanged(BoardChanged),
    "board:deleted" durable BoardDeleted(BoardGone),
    "board:accessRevoked" durable BoardAccessRevoked(AccessRevoked),
    "board:accessGranted" durable BoardAccessGranted(AccessGranted),
    "community:settingsChanged" durable CommunitySettingsChanged(CommunityChanged),
    "notification:new" durable NotificationNew(Notification),
    "user:online" ephemeral UserOnline(UserOnline),
    "user:offline" ephemeral UserOffline(UserOffline),
    "user:joinedBoard" ephemeral UserJoinedBoard(BoardPresence),
    "user:leftBoard" ephemeral UserLeftBoard(BoardPresence),
    "typing:start" ephemeral TypingStart(TypingEvent),
    "typing:stop" ephemeral TypingStop(TypingEvent),
    "session:ready" ephemeral SessionReady(SessionReady),
    "session:expiring" ephemeral SessionExpiring(SessionExpiring),
    "session:expired" ephemeral SessionExpired(Empty),
    "server:draining" ephemeral ServerDraining(Draining),
    "error" ephemeral Error(ErrorEvent),
}

named! {
    Meta, Person, Post, Comment, Board, Features, NewPost, PostUpdated, PostColumn, PostDeleted, PostCount, CommentEvent,
    CommentDeleted, BoardCreated, BoardChanged, BoardGone, AccessRevoked, RevokeReason, AccessGranted, CommunityChanged,
    Notification, NotificationKind, UserOnline, UserOffline, BoardPresence, TypingEvent, SessionReady, SessionExpiring, Empty, Draining, ErrorEvent, ErrorCode, Failure, BoardJoined, Viewer,
    BoardLeft, PostJoined, PostLeft, FeedJoined, PresenceListed, Present, SessionRefreshed,
}

/// The second argument of every durable event.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
pub struct Meta {
    /// Opaque: "everything up to here has been delivered to you". Give the last one seen as `since`.
    pub cursor: String,
    /// When the row was written, in UTC.
    #[ts(type = "string")]
    pub at: DateTime<Utc>,
}

/// An author or actor, as `users` has him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct Person {
    pub user_id: UserId,
    pub name: Option<String>,
    pub profile_picture_url: Option<String>,
}

/// A row of `posts`, without `settings` and `embedding`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct Post {
    pub id: PostId,
    pub author_user_id: Option<UserId>,
    pub title: Option<String>,
    pub content: Option<String>,
    /// Present and true when `content` was cut to the server's limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(as = "Option<bool>", optional)]
    pub content_truncated: bool,
    pub tags: Option<Vec<String>>,
    pub upvote_count: i32,
    pub comment_count: i32,
    pub board_id: Option<BoardId>,
    pub lock_id: Option<i32>,
    #[ts(type = "string | null")]
    pub created_at: Option<DateTime<Utc>>,
    #[ts(type = "string | null")]
    pub updated_at: Option<DateTime<Utc>>,
}

/// A row of `comments`, without `embedding`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct Comment {
    pub id: CommentId,
    pub post_id: PostId,
    pub author_user_id: Option<UserId>,
    pub parent_comment_id: Option<CommentId>,
    pub content: Option<String>,
    /// Present and true when `content` was cut to the server's limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(as = "Option<bool>", optional)]
    pub content_truncated: bool,
    #[ts(type = "string | null")]
    pub created_at: Option<DateTime<Utc>>,
    #[ts(type = "string | null")]
    pub updated_at: Option<DateTime<Utc>>,
}

/// A row of `boards`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct Board {
    pub id: BoardId,
    pub community_id: Option<CommunityId>,
    pub name: Option<String>,
    pub description: Option<String>,
    /// To admins of the community that owns the board only, in every event.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "unknown")]
    pub settings: Option<serde_json::Value>,
    #[ts(type = "string | null")]
    pub created_at: Option<DateTime<Utc>>,
    #[ts(type = "string | null")]
    pub updated_at: Option<DateTime<Utc>>,
}

/// Where a value stands it is one, also where it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// `communities.settings.realtime`; what is absent is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct Features {
    /// Off: joins answer `feature_disabled` and no event comes.
    pub enabled: bool,
    pub votes: bool,
    pub comments: bool,
    pub posts: bool,
    pub presence: bool,
    pub typing: bool,
    pub notifications: bool,
}

/// `board:newPost`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
pub struct NewPost {
    pub post: Post,
    pub author: Option<Person>,
    /// Present and true when the post came from another board.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[ts(as = "Option<bool>", optional)]
    pub moved: bool,
}

/// `board:postUpdated`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
pub struct PostUpdated {
    pub post: Post,
    pub author: Option<Person>,
    pub changed: Vec<PostColumn>,
}

/// The columns whose change is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum PostColumn {
    Title,
    Content,
    Tags,
    LockId,
}

/// `board:postDeleted`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct PostDeleted {
    pub post_id: PostId,
    pub board_id: BoardId,
    /// Present and true when the post lives on in another board.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[ts(as = "Option<bool>", optional)]
    pub moved: bool,
}

/// The vote and comment-count events. `newCount` is committed and never goes back to an older value.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct PostCount {
    pub post_id: PostId,
    pub board_id: BoardId,
    pub new_count: i32,
}

/// `post:newComment` and `post:commentUpdated`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct CommentEvent {
    pub comment: Comment,
    pub author: Option<Person>,
    pub post_id: PostId,
    pub board_id: BoardId,
}

/// `post:commentDeleted`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct CommentDeleted {
    pub comment_id: CommentId,
    pub post_id: PostId,
    pub board_id: BoardId,
}

/// `board:created`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
pub struct BoardCreated {
    pub board: Board,
}

/// `board:settingsChanged`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct BoardChanged {
    pub board_id: BoardId,
    pub board: Board,
}

/// `board:deleted`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct BoardGone {
    pub board_id: BoardId,
}

/// `board:accessRevoked`, to each socket shut out alone.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct AccessRevoked {
    pub board_id: BoardId,
    pub reason: RevokeReason,
}

/// Which part of the rule no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum RevokeReason {
    /// The community no longer shows the board.
    Import,
    /// The community's allowed roles changed.
    CommunityRoles,
    /// The board's allowed roles changed.
    BoardRoles,
}

/// `board:accessGranted`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct AccessGranted {
    pub board_id: BoardId,
}

/// `community:settingsChanged`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct CommunityChanged {
    pub community_id: CommunityId,
    pub features: Features,
}

/// `notification:new`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    pub kind: NotificationKind,
    pub post_id: PostId,
    pub board_id: BoardId,
    pub comment_id: CommentId,
    pub actor: Person,
    /// The beginning of the comment, as plain text.
    pub excerpt: String,
}

/// Why somebody is notified; the first that fits wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    Reply,
    Mention,
    Comment,
}

/// `user:online`, when the first socket of a user comes. A page that is loaded again tells nothing.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct UserOnline {
    pub user_id: UserId,
    pub user_name: Option<String>,
    pub avatar_url: Option<String>,
    /// Where he is, if that is known and open to whoever is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BoardId")]
    #[ts(optional)]
    pub board_id: Option<BoardId>,
}

/// `user:offline`, a short grace after the last socket has gone.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct UserOffline {
    pub user_id: UserId,
}

/// `user:joinedBoard` and `user:leftBoard`, with the first and the last socket likewise.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct BoardPresence {
    pub user_id: UserId,
    pub user_name: Option<String>,
    pub board_id: BoardId,
}

/// `typing:start` and `typing:stop`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct TypingEvent {
    pub user_id: UserId,
    pub user_name: Option<String>,
    pub post_id: PostId,
    pub board_id: BoardId,
}

/// `session:ready`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct SessionReady {
    pub user_id: UserId,
    pub community_id: CommunityId,
    pub cursor: String,
    #[ts(type = "string")]
    pub expires_at: DateTime<Utc>,
    pub features: Features,
}

/// `session:expiring`: the token is about to expire, and the socket is closed then unless `session:refresh` brings another.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct SessionExpiring {
    #[ts(type = "string")]
    pub expires_at: DateTime<Utc>,
}

/// An object without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema, TS)]
pub struct Empty {}

/// `server:draining`
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    #[ts(type = "number")]
    pub reconnect_in_ms: u64,
}

/// `error`, for a failed command that was sent without a callback.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
pub struct ErrorEvent {
    pub code: ErrorCode,
    pub message: String,
    /// The command it answers.
    pub event: String,
}

/// What went wrong, for a program to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    AuthMissing,
    AuthInvalid,
    AuthExpired,
    Forbidden,
    NotFound,
    InvalidPayload,
    RateLimited,
    FeatureDisabled,
    TooManyRooms,
    Unavailable,
}

impl ErrorCode {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthMissing => "auth_missing",
            Self::AuthInvalid => "auth_invalid",
            Self::AuthExpired => "auth_expired",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::InvalidPayload => "invalid_payload",
            Self::RateLimited => "rate_limited",
            Self::FeatureDisabled => "feature_disabled",
            Self::TooManyRooms => "too_many_rooms",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The `error` of a refused command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub code: ErrorCode,
    /// For a person to read.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    #[ts(optional, type = "number")]
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A refusal without a time to come back.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }
}

/// What `board:join` answers.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct BoardJoined {
    pub board_id: BoardId,
    pub cursor: String,
    pub recovered: bool,
    /// Who looks at the board, whoever joins among them; at most 50, by user id.
    pub users: Vec<Viewer>,
    /// How many do.
    pub user_count: u32,
}

/// Somebody who looks at a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Viewer {
    pub user_id: UserId,
    pub user_name: Option<String>,
    pub avatar_url: Option<String>,
}

/// What `board:leave` answers.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct BoardLeft {
    pub board_id: BoardId,
}

/// What `post:join` answers.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct PostJoined {
    pub post_id: PostId,
    pub board_id: BoardId,
    pub cursor: String,
    pub recovered: bool,
}

/// What `post:leave` answers.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct PostLeft {
    pub post_id: PostId,
}

/// What `feed:join` answers.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct FeedJoined {
    pub board_ids: Vec<BoardId>,
    pub cursor: String,
    pub recovered: bool,
}

/// What `presence:list` answers.
#[derive(Clone, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct PresenceListed {
    /// At most 500, by user id.
    pub users: Vec<Present>,
}

/// Somebody who is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Present {
    pub user_id: UserId,
    pub user_name: Option<String>,
    pub avatar_url: Option<String>,
    /// Within the grace after his last connection has broken 1.
    pub devices: u32,
    /// The board that was asked for; else the latest that he looks at and whoever asks sits in, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BoardId")]
    #[ts(optional)]
    pub board_id: Option<BoardId>,
}

/// What `session:refresh` answers.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct SessionRefreshed {
    #[ts(type = "string")]
    pub expires_at: DateTime<Utc>,
}
