//! The contract as TypeScript: `clients/typescript/src/contract.ts` is this text, and a test fails when it is not.

use std::fmt::Write;

use ts_rs::TS;

use crate::{
    contract::{self, ServerEvent},
    ids::{BoardId, CommentId, CommunityId, PostId, UserId},
};

/// The whole file. `cargo run -- types` writes it.
pub fn contract() -> String {
    let mut text = String::from("// Generated from src/contract.rs by `curia-realtime types`. Do not edit.\n");
    let ids = [BoardId::decl(), PostId::decl(), CommentId::decl(), UserId::decl(), CommunityId::decl()];
    for declaration in ids.into_iter().chain(contract::declarations()) {
        // Writing into a String can't fail.
        let _ = write!(text, "\nexport {declaration}\n");
    }
    text.push_str("\n/** What the server sends. A durable event carries `meta` as its second argument. */\n");
    text.push_str("export interface ServerToClientEvents {\n");
    for event in ServerEvent::TABLE {
        let meta = if event.durable { ", meta: Meta" } else { "" };
        let _ = writeln!(text, "  {:?}: (payload: {}{meta}) => void;", event.name, event.payload);
    }
    text.push_str("}\n");
    text.push_str(CLIENT);
    text
}

/// What a client sends, with its acknowledgements.
const CLIENT: &str = r#"
/** What every callback is given. */
export type Answer<T> = ({ ok: true } & T) | { ok: false; error: Failure };

/** A number, or a string of its digits. */
export type Id = number | string;

/** What a client may send. */
export interface ClientToServerEvents {
  "board:join": (board: Id | { boardId: Id; since?: string; typing?: boolean }, answer?: (answer: Answer<BoardJoined>) => void) => void;
  "board:leave": (board: Id, answer?: (answer: Answer<BoardLeft>) => void) => void;
  "post:join": (post: Id | { postId: Id; since?: string }, answer?: (answer: Answer<PostJoined>) => void) => void;
  "post:leave": (post: Id, answer?: (answer: Answer<PostLeft>) => void) => void;
  "feed:join": (feed: { since?: string } | null, answer?: (answer: Answer<FeedJoined>) => void) => void;
  "feed:leave": (nothing: null, answer?: (answer: Answer<Empty>) => void) => void;
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_types_are_fresh() {
        let committed = include_str!("../clients/typescript/src/contract.ts");
        assert!(
            committed == contract(),
            "stale: run `cargo run --quiet -- types > clients/typescript/src/contract.ts`"
        );
    }
}
