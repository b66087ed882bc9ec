//! Client arguments -> [`Command`]. Whatever a client may send gives a command or a [`Failure`], never a panic.

use std::fmt;

use serde_json::Value;

use crate::{
    contract::{ErrorCode, Failure},
    ids::{BoardId, Cursor, PostId},
};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    JoinBoard { board: BoardId, typing: bool, since: Since },
    LeaveBoard { board: BoardId },
    JoinPost { post: PostId, since: Since },
    LeavePost { post: PostId },
    JoinFeed { since: Since },
    LeaveFeed,
    StartTyping { post: PostId },
    StopTyping { post: PostId },
    ListPresent { board: Option<BoardId> },
    Refresh { token: Token },
}

/// A token as it came, believed by nobody yet. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

/// From where on a client wants what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// It loads the state itself.
    Now,
    /// Everything behind this cursor.
    Cursor(Cursor),
    /// Behind something that is no cursor of ours: it is told to load the state, and not refused.
    Unknown,
}

impl Command {
    /// Reads an event of a client with its first argument; none is `null`.
    pub fn read(event: &str, argument: &Value) -> Result<Self, Failure> {
        Ok(match event {
            "board:join" => {
                let board = BoardId(id(argument, "boardId")?);
                let typing = option(argument, "typing", Value::as_bool)?.unwrap_or(false);
                Self::JoinBoard { board, typing, since: since(argument) }
            }
            "board:leave" => Self::LeaveBoard { board: BoardId(id(argument, "boardId")?) },
            "post:join" => Self::JoinPost { post: PostId(id(argument, "postId")?), since: since(argument) },
            "post:leave" => Self::LeavePost { post: PostId(id(argument, "postId")?) },
            "feed:join" if argument.is_null() || argument.is_object() => Self::JoinFeed { since: since(argument) },
            "feed:leave" => Self::LeaveFeed,
            "feed:join" => return Err(invalid("feed:join takes nothing or an object {since?}")),
            "session:refresh" => match argument.get("token").and_then(Value::as_str) {
                Some(token) => Self::Refresh { token: Token(token.to_owned()) },
                None => return Err(invalid("session:refresh takes {token}, the text of a new token")),
            },
            "typing:start" | "typing:stop" if !argument.is_object() => {
                return Err(invalid(&format!("{event} takes {{postId}}")));
            }
            "typing:start" => Self::StartTyping { post: PostId(id(argument, "postId")?) },
            "typing:stop" => Self::StopTyping { post: PostId(id(argument, "postId")?) },
            "presence:list" if argument.is_null() => Self::ListPresent { board: None },
            "presence:list" if argument.is_object() => {
                let named = argument.get("boardId").is_some_and(|board| !board.is_null());
                let board = if named { Some(BoardId(id(argument, "boardId")?)) } else { None };
                Self::ListPresent { board }
            }
            "presence:list" => return Err(invalid("presence:list takes nothing or an object {boardId?}")),
            _ => return Err(invalid("there is no such event; the contract lists those that this server takes")),
        })
    }
}

/// An id, bare or under `key` of an object; a number or a numeric string.
fn id(argument: &Value, key: &str) -> Result<i32, Failure> {
    let value = argument.as_object().map_or(Some(argument), |object| object.get(key));
    let number = match value {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) if text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    let id = number.and_then(|number| i32::try_from(number).ok()).filter(|id| *id > 0);
    id.ok_or_else(|| invalid(&format!("expected {key}, a positive whole number or a string of its digits")))
}

/// The last cursor a client saw.
fn since(argument: &Value) -> Since {
    match argument.get("since") {
        None | Some(Value::Null) => Since::Now,
        Some(since) => since.as_str().and_then(|text| text.parse().ok()).map_or(Since::Unknown, Since::Cursor),
    }
}

fn option<T>(argument: &Value, key: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, Failure> {
    match argument.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).ok_or_else(|| invalid(&format!("{key} is not of the expected type"))),
    }
}

fn invalid(message: &str) -> Failure {
    Failure::new(ErrorCode::InvalidPayload, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_taken_as_numbers_and_as_their_digits() {
        for argument in [json!(42), json!("42"), json!({"boardId": 42}), json!({"boardId": "42", "typing": false})] {
            let command = Command::JoinBoard { board: BoardId(42), typing: false, since: Since::Now };
            assert_eq!(Command::read("board:join", &argument), Ok(command), "{argument}");
        }
    }

    #[test]
    fn anything_else_is_invalid_payload() {
        let odd = [
            json!(null),
            json!(-1),
            json!(0),
            json!(1.5),
            json!("4x"),
            json!(""),
            json!([1]),
            json!({}),
            json!({"boardId": null}),
            json!(9_999_999_999_i64),
            json!("99999999999"),
            json!({"boardId": 1, "typing": "yes"}),
        ];
        for argument in odd {
            let failure = Command::read("board:join", &argument).expect_err("refused");
            assert_eq!(failure.code, ErrorCode::InvalidPayload, "{argument}");
        }
    }

    #[test]
    fn a_token_is_a_text_and_is_not_shown() {
        let command = Command::read("session:refresh", &json!({"token": "a.b.c"}));
        assert_eq!(command, Ok(Command::Refresh { token: Token("a.b.c".to_owned()) }));
        assert!(!format!("{command:?}").contains("a.b.c"));
        for argument in [json!(null), json!("a.b.c"), json!({}), json!({"token": null}), json!({"token": ["a.b.c"]})] {
            let failure = Command::read("session:refresh", &argument).expect_err("refused");
            assert_eq!(failure.code, ErrorCode::InvalidPayload, "{argument}");
            assert!(!failure.message.contains("a.b.c"));
        }
    }

    #[test]
    fn what_is_no_cursor_does_not_break_a_join() {
        let cursor = "1f.2.3.0".parse().expect("a cursor");
        for (since, read) in [
            (json!("1f.2.3.0"), Since::Cursor(cursor)),
            (json!(null), Since::Now),
            (json!(""), Since::Unknown),
            (json!("-1.2.3.0"), Since::Unknown),
            (json!("f".repeat(100_000)), Since::Unknown),
            (json!(-1), Since::Unknown),
            (json!({"epoch": 1}), Since::Unknown),
        ] {
            let command = Command::read("post:join", &json!({"postId": 1, "since": since}));
            assert_eq!(command, Ok(Command::JoinPost { post: PostId(1), since: read }));
        }
    }

    proptest! {
        #[test]
        fn no_argument_makes_it_panic(event in "[a-z]{0,8}:?[a-z]{0,8}|board:join|post:leave", text in r#"[\[\]{}",:0-9a-zI]{0,60}"#) {
            let argument = serde_json::from_str(&text).unwrap_or(Value::String(text));
            let _ = Command::read(&event, &argument);
        }
    }
}
