//! The contract as TypeScript: `clients/typescript/src/contract.ts` is this text, and a test fails when it is not.

use std::fmt::Write;

use ts_rs::TS;

use crate::{
    contract::{
        self, ServerEvent,
        commands::{self, COMMANDS},
    },
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
    text.push_str("\n/** What every callback is given. */\n");
    text.push_str("export type Answer<T> = ({ ok: true } & T) | { ok: false; error: Failure };\n");
    for declaration in commands::declarations() {
        let _ = write!(text, "\nexport {declaration}\n");
    }
    text.push_str("\n/** What a client may send. */\nexport interface ClientToServerEvents {\n");
    for command in COMMANDS {
        let answer = format!("answer?: (answer: Answer<{}>) => void", command.answer);
        let _ = writeln!(text, "  {:?}: (argument: {}, {answer}) => void;", command.name, command.argument);
    }
    text.push_str("}\n");
    text
}

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
