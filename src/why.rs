//! Why somebody was told something, or was not: the question as it goes to every node, and what a node knows of it.
//!
//! Pure. A node knows its sockets and where they sit now; what it sent to one that has gone is kept nowhere.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    audience::{Audience, Topic},
    ids::{CommunityId, Cursor, DeviceId, Epoch, Place, RoleId, UserId},
};

pub mod found;
pub mod text;

/// Sockets of one user that a node tells of.
pub const SOCKETS_TOLD: usize = 20;
/// Events that are asked for at a time.
pub const EVENTS_ASKED: usize = 16;

/// One event: where it was told and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub place: Place,
    pub audience: Audience,
    pub topic: Topic,
}

/// What every node is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Names the question, and where the answers are awaited.
    pub id: QuestionId,
    pub user: UserId,
    pub epoch: Epoch,
    pub events: Vec<Asked>,
}

/// Of a question: hexadecimal digits, 16 at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuestionId(String);

impl QuestionId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for QuestionId {
    fn from(number: u64) -> Self {
        Self(format!("{number:x}"))
    }
}

/// It names a channel, and is sent by whoever may speak to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a question is named by at most 16 hexadecimal digits")]
pub struct NoQuestionId;

impl TryFrom<String> for QuestionId {
    type Error = NoQuestionId;

    fn try_from(text: String) -> Result<Self, NoQuestionId> {
        let fits = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(Self(text)) } else { Err(NoQuestionId) }
    }
}

impl From<QuestionId> for String {
    fn from(id: QuestionId) -> Self {
        id.0
    }
}

/// What a node says of one event and one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It sits where the event was told, and everything told there behind an earlier place was sent to it.
    Sent,
    /// The event is for those who may open the board, in its room or not: sent, if this user might when it was told.
    SentIfOpen,
    /// It sits there, but what was told before this place was not sent to it.
    JoinedLater(Place),
    /// It sits in none of the event's rooms.
    NotInRoom,
    /// Its community has switched the topic off.
    SwitchedOff,
    /// It sits there, but its community has changed its settings since, or may have: whether the topic was on then is not kept.
    FlagsChanged,
    /// This node has not come so far.
    NotToldYet,
    /// The node is in another epoch than the event.
    OtherEpoch,
}

/// One socket of the user, as the node that serves it knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketReport {
    pub community: CommunityId,
    pub roles: Vec<RoleId>,
    pub admin: bool,
    pub device: Option<DeviceId>,
    pub expires_at: DateTime<Utc>,
    /// In the order of the question.
    pub outcomes: Vec<Outcome>,
    /// Bytes that were sent and not taken yet, where that is known.
    pub waiting: Option<u64>,
}

impl SocketReport {
    /// What its token said.
    pub fn of(actor: &Actor, outcomes: Vec<Outcome>, waiting: Option<u64>) -> Self {
        Self {
            community: actor.community.clone(),
            roles: actor.roles.iter().cloned().collect(),
            admin: actor.admin,
            device: actor.device.clone(),
            expires_at: actor.expires_at,
            outcomes,
            waiting,
        }
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Everything up to here has been told by this node, to each of its sockets.
    pub told: Cursor,
    /// Of the user.
    pub sockets: Vec<SocketReport>,
    /// How many there are, beside those reported.
    pub more: usize,
}

/// A part of a node's answer as it is sent: the first says how many others follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    Node { node: Node, told: String, sockets: usize, more: usize },
    Socket { node: Node, socket: SocketReport },
}

/// Which node answers. In containers all may have the same address and process id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Node {
    /// As its log says it at the start.
    pub name: String,
    /// Drawn at its start.
    pub id: u64,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} ({})", self.id, self.name)
    }
}

impl Report {
    /// The answer of `node`, in parts.
    pub fn parts(self, node: &Node) -> Vec<Part> {
        let first = Part::Node {
            node: node.clone(),
            told: self.told.to_string(),
            sockets: self.sockets.len(),
            more: self.more,
        };
        let sockets = self.sockets.into_iter().map(|socket| Part::Socket { node: node.clone(), socket });
        std::iter::once(first).chain(sockets).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_can_name_no_other_channel() {
        for text in ["", "12345678901234567", "ab;", "g", "a b", "\"x"] {
            assert_eq!(QuestionId::try_from(text.to_owned()), Err(NoQuestionId), "{text:?}");
        }
        assert_eq!(QuestionId::try_from("00ff".to_owned()).unwrap().as_str(), "00ff");
        assert_eq!(QuestionId::from(u64::MAX).as_str().len(), 16);
    }
}
