//! Outbox row -> [`Change`]. What the triggers write is described in `docs/outbox.md`; a row that does not follow it is
//! poison and gives an error that says which row and why, never a panic.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    contract::PostColumn,
    ids::{BoardId, CommentId, CommunityId, PostId, UserId},
};

/// One row of `curia_realtime.outbox` as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    pub seq: i64,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub board_id: Option<i32>,
    pub post_id: Option<i32>,
    pub row_id: Option<i32>,
    /// The column's JSON text, unread: a text no parser takes must not spoil its neighbours.
    pub data: Option<String>,
}

/// What the forum committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    PostCreated {
        post: PostId,
        board: Option<BoardId>,
    },
    PostUpdated {
        post: PostId,
        board: Option<BoardId>,
        columns: Vec<PostColumn>,
    },
    PostMoved {
        post: PostId,
        from: Option<BoardId>,
        to: Option<BoardId>,
    },
    PostCounted {
        post: PostId,
        votes: bool,
        comments: bool,
    },
    PostDeleted {
        post: PostId,
        board: Option<BoardId>,
    },
    VoteAdded {
        post: PostId,
    },
    VoteRemoved {
        post: PostId,
    },
    CommentCreated {
        comment: CommentId,
        post: PostId,
    },
    CommentUpdated {
        comment: CommentId,
        post: PostId,
    },
    CommentDeleted {
        comment: CommentId,
        post: PostId,
    },
    BoardCreated {
        board: BoardId,
    },
    BoardUpdated {
        board: BoardId,
        was: BoardWas,
        told: bool,
    },
    BoardDeleted {
        board: BoardId,
        was: BoardWas,
    },
    CommunityUpdated {
        community: CommunityId,
        settings_was: Value,
    },
    CommunityCreated {
        community: CommunityId,
    },
    CommunityDeleted {
        community: CommunityId,
        settings_was: Value,
    },
    ImportChanged {
        board: BoardId,
        community: CommunityId,
        active_was: bool,
        /// It went along with the board.
        with_board: bool,
    },
    UserDeleted {
        user: UserId,
    },
    /// A table was emptied: nothing that was known of the forum holds any longer.
    Reset {
        table: String,
    },
}

/// What the access rule asks of a board, as it stood before the change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoardWas {
    /// Without one only who imports it may open it.
    pub community: Option<CommunityId>,
    pub settings: Value,
}

impl Change {
    /// Whether the answer of the access rule may differ after it.
    pub fn touches_access(&self) -> bool {
        matches!(
            self,
            Self::BoardCreated { .. }
                | Self::BoardUpdated { .. }
                | Self::BoardDeleted { .. }
                | Self::CommunityUpdated { .. }
                | Self::CommunityCreated { .. }
                | Self::CommunityDeleted { .. }
                | Self::ImportChanged { .. }
                | Self::PostMoved { .. }
                | Self::UserDeleted { .. }
                | Self::Reset { .. }
        )
    }
}

/// Why an outbox row can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("outbox row {seq} is of the unknown kind {kind:?}")]
    UnknownKind { seq: i64, kind: String },
    #[error("outbox row {seq} ({kind}) has no {column}")]
    Missing { seq: i64, kind: String, column: &'static str },
    #[error("outbox row {seq} ({kind}) has data that can't be read")]
    Data {
        seq: i64,
        kind: String,
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Columns {
    changed: Vec<PostColumn>,
}

#[derive(Deserialize)]
struct Moved {
    from: Option<BoardId>,
}

#[derive(Deserialize)]
struct Counted {
    counts: Vec<CountColumn>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum CountColumn {
    UpvoteCount,
    CommentCount,
}

#[derive(Deserialize)]
struct BoardUpdate {
    changed: Vec<BoardColumn>,
    community_id_was: Option<CommunityId>,
    settings_was: Value,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum BoardColumn {
    Name,
    Description,
    Settings,
    CommunityId,
}

#[derive(Deserialize)]
struct BoardGone {
    community_id: Option<CommunityId>,
    settings_was: Value,
}

#[derive(Deserialize)]
struct OfCommunity {
    community_id: CommunityId,
}

#[derive(Deserialize)]
struct CommunityUpdate {
    community_id: CommunityId,
    settings_was: Value,
}

#[derive(Deserialize)]
struct CommunityGone {
    community_id: CommunityId,
    /// Rows of an older schema do not say it.
    #[serde(default)]
    settings_was: Value,
}

#[derive(Deserialize)]
struct Import {
    community_id: CommunityId,
    active_was: bool,
    #[serde(default)]
    with_board: bool,
}

#[derive(Deserialize)]
struct OfUser {
    user_id: UserId,
}

#[derive(Deserialize)]
struct Emptied {
    table: String,
}

impl TryFrom<&OutboxRow> for Change {
    type Error = ChangeError;

    fn try_from(row: &OutboxRow) -> Result<Self, ChangeError> {
        let board = row.board_id.map(BoardId);
        Ok(match row.kind.as_str() {
            "post_created" => Self::PostCreated { post: row.post()?, board },
            "post_updated" => Self::PostUpdated { post: row.post()?, board, columns: row.data::<Columns>()?.changed },
            "post_moved" => Self::PostMoved { post: row.post()?, from: row.data::<Moved>()?.from, to: board },
            "post_counted" => {
                let counts = row.data::<Counted>()?.counts;
                Self::PostCounted {
                    post: row.post()?,
                    votes: counts.contains(&CountColumn::UpvoteCount),
                    comments: counts.contains(&CountColumn::CommentCount),
                }
            }
            "post_deleted" => Self::PostDeleted { post: row.post()?, board },
            "vote_added" => Self::VoteAdded { post: row.post()? },
            "vote_removed" => Self::VoteRemoved { post: row.post()? },
            "comment_created" => Self::CommentCreated { comment: row.comment()?, post: row.post()? },
            "comment_updated" => Self::CommentUpdated { comment: row.comment()?, post: row.post()? },
            "comment_deleted" => Self::CommentDeleted { comment: row.comment()?, post: row.post()? },
            "board_created" => Self::BoardCreated { board: row.board()? },
            "board_updated" => {
                let data = row.data::<BoardUpdate>()?;
                Self::BoardUpdated {
                    board: row.board()?,
                    told: data.changed.iter().any(|column| *column != BoardColumn::CommunityId),
                    was: BoardWas { community: data.community_id_was, settings: data.settings_was },
                }
            }
            "board_deleted" => {
                let BoardGone { community_id, settings_was } = row.data()?;
                Self::BoardDeleted {
                    board: row.board()?,
                    was: BoardWas { community: community_id, settings: settings_was },
                }
            }
            "community_updated" => {
                let data = row.data::<CommunityUpdate>()?;
                Self::CommunityUpdated { community: data.community_id, settings_was: data.settings_was }
            }
            "community_created" => Self::CommunityCreated { community: row.data::<OfCommunity>()?.community_id },
            "community_deleted" => {
                let data = row.data::<CommunityGone>()?;
                Self::CommunityDeleted { community: data.community_id, settings_was: data.settings_was }
            }
            "import_changed" => {
                let Import { community_id: community, active_was, with_board } = row.data()?;
                Self::ImportChanged { board: row.board()?, community, active_was, with_board }
            }
            "user_deleted" => Self::UserDeleted { user: row.data::<OfUser>()?.user_id },
            "reset" => Self::Reset { table: row.data::<Emptied>()?.table },
            _ => return Err(ChangeError::UnknownKind { seq: row.seq, kind: row.kind.clone() }),
        })
    }
}

impl OutboxRow {
    fn board(&self) -> Result<BoardId, ChangeError> {
        self.board_id.map(BoardId).ok_or_else(|| self.missing("board_id"))
    }

    fn post(&self) -> Result<PostId, ChangeError> {
        self.post_id.map(PostId).ok_or_else(|| self.missing("post_id"))
    }

    fn comment(&self) -> Result<CommentId, ChangeError> {
        self.row_id.map(CommentId).ok_or_else(|| self.missing("row_id"))
    }

    fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ChangeError> {
        let text = self.data.as_deref().ok_or_else(|| self.missing("data"))?;
        serde_json::from_str(text).map_err(|source| ChangeError::Data {
            seq: self.seq,
            kind: self.kind.clone(),
            source,
        })
    }

    fn missing(&self, column: &'static str) -> ChangeError {
        ChangeError::Missing { seq: self.seq, kind: self.kind.clone(), column }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(kind: &str, data: Option<&str>) -> OutboxRow {
        OutboxRow {
            seq: 7,
            at: DateTime::UNIX_EPOCH,
            kind: kind.into(),
            board_id: Some(1),
            post_id: Some(2),
            row_id: Some(3),
            data: data.map(Into::into),
        }
    }

    #[test]
    fn each_documented_kind_is_understood() {
        let text = include_str!("../docs/outbox.md");
        let table = text.lines().skip_while(|line| !line.starts_with("| `kind` | written by")).skip(2);
        let kinds: Vec<&str> = table.map_while(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let data = r#"{"changed": [], "from": 9, "counts": ["upvote_count"], "community_id": "c", "community_id_was": "c",
            "settings_was": {}, "active": true, "active_was": false, "table": "posts", "user_id": "u"}"#;
        for kind in &kinds {
            assert!(Change::try_from(&row(kind, Some(data))).is_ok(), "{kind}");
        }
        assert_eq!(kinds.len(), 19);
    }

    #[test]
    fn a_poisonous_row_says_which_and_why() {
        for (row, why) in [
            (row("vote_exploded", None), "outbox row 7 is of the unknown kind \"vote_exploded\""),
            (row("post_updated", None), "outbox row 7 (post_updated) has no data"),
            (row("post_updated", Some("[")), "outbox row 7 (post_updated) has data that can't be read"),
            (OutboxRow { post_id: None, ..row("vote_added", None) }, "outbox row 7 (vote_added) has no post_id"),
        ] {
            assert_eq!(Change::try_from(&row).map_err(|error| error.to_string()), Err(why.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn no_row_makes_it_panic(
            kind in prop_oneof!["[a-z_]{0,20}", Just("board_updated".to_owned()), Just("post_updated".to_owned())],
            board_id: Option<i32>, post_id: Option<i32>, row_id: Option<i32>, data in proptest::option::of(".{0,100}"),
        ) {
            let row = OutboxRow { board_id, post_id, row_id, data, ..row(&kind, None) };
            let _ = Change::try_from(&row);
        }
    }
}
