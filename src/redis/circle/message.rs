//! How what nodes say is written in Redis.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    circle::{Heard, Members, Said, Stamp},
    contract::TypingEvent,
    ids::{BoardId, NodeId, PostId, UserId},
    presence::{Scope, Stay},
    typing,
};

/// Of a field that is a user's.
const USER: &str = "u:";

/// What is published.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Said { stamp: Stamp, node: NodeId, said: Vec<Said> },
    Typing { node: NodeId, heard: typing::Heard },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    /// As `say.lua` writes it: of each user his id, the number of the word, and his stay, or nothing.
    Said { generation: u64, version: u64, node: String, said: Vec<(String, String, String)> },
    Typing {
        node: String,
        starts: bool,
        user_id: UserId,
        user_name: Option<String>,
        post_id: PostId,
        board_id: BoardId,
    },
}

impl Message {
    /// `None` of what no node of ours says.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match serde_json::from_slice(text).ok()? {
            Written::Said { generation, version, node, said } => {
                let said = said.into_iter().map(|(user, nth, stay)| {
                    let stay = if stay.is_empty() { None } else { Some(serde_json::from_str::<Stay>(&stay).ok()?) };
                    Some(Said { user: user.into(), stay, nth: nth.parse().ok()? })
                });
                let stamp = Stamp { generation, version };
                Some(Self::Said { stamp, node: NodeId::from_str(&node).ok()?, said: said.collect::<Option<_>>()? })
            }
            Written::Typing { node, starts, user_id, user_name, post_id, board_id } => {
                let event = TypingEvent { user_id, user_name, post_id, board_id };
                let heard = if starts { typing::Heard::Started(event) } else { typing::Heard::Stopped(event) };
                Some(Self::Typing { node: NodeId::from_str(&node).ok()?, heard })
            }
        }
    }
}

/// As it stands in the hash and in what is published; nothing of somebody who is not there.
pub(super) fn written(stay: Option<&Stay>) -> String {
    // Nothing in a stay can fail to be written.
    stay.map(|stay| serde_json::to_string(stay).unwrap_or_default()).unwrap_or_default()
}

/// That somebody writes, or has ended.
pub(super) fn of_typing(node: NodeId, heard: &typing::Heard) -> Vec<u8> {
    let (typing::Heard::Started(event) | typing::Heard::Stopped(event)) = heard;
    let TypingEvent { user_id, user_name, post_id, board_id } = event.clone();
    let starts = matches!(heard, typing::Heard::Started(_));
    let written = Written::Typing { node: node.to_string(), starts, user_id, user_name, post_id, board_id };
    // As above.
    serde_json::to_vec(&written).unwrap_or_default()
}

/// A scope as its hash has it, read page by page. Fields that can't be read are nobody.
#[derive(Debug)]
pub struct Reading {
    scope: Scope,
    stamp: Stamp,
    members: Members,
}

impl Reading {
    /// Of what is counted so.
    pub fn new(scope: Scope, stamp: Stamp) -> Self {
        Self { scope, stamp, members: Members::new() }
    }

    /// Takes fields; one that comes again as it is by now.
    pub fn take(&mut self, fields: &[(Vec<u8>, Vec<u8>)]) {
        for (field, stays) in fields {
            let user = std::str::from_utf8(field).ok().and_then(|field| field.strip_prefix(USER));
            let Some(user) = user else { continue };
            let Ok(stays) = serde_json::from_slice::<HashMap<String, String>>(stays) else { continue };
            let stays =
                stays.iter().filter_map(|(node, stay)| Some((node.parse().ok()?, serde_json::from_str(stay).ok()?)));
            let stays: BTreeMap<NodeId, Stay> = stays.collect();
            if !stays.is_empty() {
                self.members.insert(UserId::from(user), stays);
            }
        }
    }

    /// How many were read.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Whom the node has.
    pub fn of(&self, node: NodeId) -> HashSet<UserId> {
        let has = |(user, stays): (&UserId, &BTreeMap<NodeId, Stay>)| stays.contains_key(&node).then(|| user.clone());
        self.members.iter().filter_map(has).collect()
    }

    /// All of it.
    pub fn heard(self) -> Heard {
        Heard::Read { scope: self.scope, stamp: self.stamp, members: self.members }
    }
}

/// How a scope is counted; `None` of what no node wrote.
pub fn stamp(generation: Option<&[u8]>, version: Option<&[u8]>) -> Option<Stamp> {
    let number = |text: Option<&[u8]>| std::str::from_utf8(text?).ok()?.parse().ok();
    Some(Stamp { generation: number(generation)?, version: number(version)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> TypingEvent {
        TypingEvent { user_id: "ada".into(), user_name: Some("Ada".into()), post_id: PostId(5), board_id: BoardId(2) }
    }

    #[test]
    fn who_writes_is_heard_as_it_was_said() {
        for heard in [typing::Heard::Started(event()), typing::Heard::Stopped(event())] {
            let parsed = Message::parse(&of_typing(NodeId(7), &heard));
            assert_eq!(parsed, Some(Message::Typing { node: NodeId(7), heard }));
        }
    }

    #[test]
    fn what_says_something_else_is_left_out() {
        let written = |said: &str| {
            format!(r#"{{"generation": 1, "version": 2, "node": "0000000000000003", "said": {said}}}"#).into_bytes()
        };
        let good = written(r#"[["ada", "4", ""]]"#);
        let said = vec![Said { user: "ada".into(), stay: None, nth: 4 }];
        let stamp = Stamp { generation: 1, version: 2 };
        assert_eq!(Message::parse(&good), Some(Message::Said { stamp, node: NodeId(3), said }));
        for bad in [r#"[["ada", "x", ""]]"#, r#"[["ada", "4", "{"]]"#, r#"[["ada"]]"#, "{}", "[[1, 2, 3]]"] {
            assert_eq!(Message::parse(&written(bad)), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in prop::collection::vec(any::<u8>(), 0..200), field in ".*", value in ".*") {
            let _ = Message::parse(&text);
            let mut reading = Reading::new(Scope::Board(BoardId(1)), Stamp { generation: 1, version: 2 });
            reading.take(&[(field.into_bytes(), value.into_bytes()), (b"u:ada".to_vec(), text)]);
            let _ = reading.heard();
        }
    }
}
