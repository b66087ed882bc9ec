//! What an operator reads.

use std::fmt::Write;

use super::{Node, Outcome, Part, SocketReport};
use crate::{
    access::{BoardFacts, CommunityFacts, Denied, RoleRule, decide},
    actor::Actor,
    audience::Audience,
    change::Change,
    ids::{BoardId, Cursor, Epoch, PostId, RoleId, UserId},
};

/// What happened, in words, without anything that somebody wrote.
pub fn change(change: &Change) -> String {
    match change {
        Change::PostCreated { post, .. } => format!("post {post} was written"),
        Change::PostUpdated { post, .. } => format!("post {post} was edited"),
        Change::PostMoved { post, from, to } => {
            let board =
                |board: &Option<_>| board.map_or_else(|| "no board".to_owned(), |board| format!("board {board}"));
            format!("post {post} was moved from {} to {}", board(from), board(to))
        }
        Change::PostCounted { post, .. } => format!("a count of post {post} was changed"),
        Change::PostDeleted { post, .. } => format!("post {post} was deleted"),
        Change::VoteAdded { post } => format!("post {post} got a vote"),
        Change::VoteRemoved { post } => format!("a vote for post {post} was taken back"),
        Change::CommentCreated { comment, post } => format!("comment {comment} was written under post {post}"),
        Change::CommentUpdated { comment, post } => format!("comment {comment} under post {post} was edited"),
        Change::CommentDeleted { comment, post } => format!("comment {comment} under post {post} was deleted"),
        Change::BoardCreated { board } => format!("board {board} was made"),
        Change::BoardUpdated { board, .. } => {
            format!("board {board} was changed: its name, description, settings or community")
        }
        Change::BoardDeleted { board, .. } => format!("board {board} was deleted"),
        Change::ImportChanged { board, community, .. } => {
            format!("the import of board {board} into community {community} was switched or changed")
        }
        Change::CommunityUpdated { community, .. } => format!("the settings of community {community} were changed"),
        Change::CommunityCreated { community } => format!("community {community} began"),
        Change::CommunityDeleted { community, .. } => format!("community {community} was deleted"),
        Change::UserDeleted { user } => format!("user {user} was deleted"),
        Change::Reset { .. } => {
            "what changed can't be told one by one: every socket was sent away to load afresh".to_owned()
        }
    }
}

/// What the fence tells of a change, beside its events.
pub fn turn(change: &Change) -> Option<&'static str> {
    match change {
        Change::BoardUpdated { .. }
        | Change::ImportChanged { .. }
        | Change::CommunityUpdated { .. }
        | Change::CommunityCreated { .. }
        | Change::CommunityDeleted { .. } => Some(
            "a matter of rights: each socket that it shut out was told board:accessRevoked, each that it let in board:accessGranted; which these were is not kept",
        ),
        Change::PostMoved { .. } => Some(
            "a matter of rights: whoever sat in the post's room and may not open the board was told board:postDeleted",
        ),
        _ => None,
    }
}

/// Where a post stood, which has been moved since.
pub fn stood(post: PostId, board: Option<BoardId>) -> String {
    let board = board.map_or_else(|| "no board".to_owned(), |board| format!("board {board}"));
    format!("post {post} stood in {board} then, and was moved since: the rooms are those of that time")
}

/// To whom an event goes.
pub fn audience(audience: &Audience) -> String {
    match audience {
        Audience::Board(board) => format!("room board:{board}"),
        Audience::Post(post) => format!("room post:{post}"),
        Audience::BoardAndPost(board, post) => format!("rooms board:{board} and post:{post}, each socket once"),
        Audience::WhoMayOpen(board) => format!("every socket that may open board {board}"),
        Audience::Community(community) => format!("room community:{community}"),
        Audience::User(user, board) => format!("room user:{user}, of the sockets that may open board {board}"),
    }
}

/// Whether somebody may open the board, and by which clause of the rule.
pub fn access(actor: &Actor, board: Option<&BoardFacts>, community: Option<&CommunityFacts>) -> String {
    match decide(actor, board, community) {
        Ok(_) if actor.admin => "yes: clause 1 holds, and an admin needs no role".to_owned(),
        Ok(_) => "yes: clauses 1, 2 and 3 hold".to_owned(),
        Err(Denied::NotOfCommunity) => match board {
            None => "no, by clause 1: there is no such board".to_owned(),
            Some(board) => {
                let owner = board.community.as_ref().map_or("no community".to_owned(), |id| format!("community {id}"));
                let of = &actor.community;
                format!("no, by clause 1: the board belongs to {owner} and community {of} has no active import of it")
            }
        },
        Err(Denied::CommunityRoles) => match community {
            None => format!("no, by clause 2: there is no community {}", actor.community),
            Some(community) => {
                format!("no, by clause 2: community {} {}", actor.community, demanded(&community.rule, actor))
            }
        },
        Err(Denied::BoardRoles) => {
            let demanded = board.map(|board| demanded(&board.rule, actor)).unwrap_or_default();
            format!("no, by clause 3: the board {demanded}")
        }
    }
}

fn demanded(rule: &RoleRule, actor: &Actor) -> String {
    match rule {
        RoleRule::Open => "lets everybody in".to_owned(),
        RoleRule::Malformed => {
            "has permissions that can't be read, and is closed to all but admins until settings.permissions.allowedRoles is a list of texts"
                .to_owned()
        }
        RoleRule::AnyOf(allowed) => format!("lets in {}; the token has {}", list(allowed), list(&actor.roles)),
    }
}

fn list<'a>(roles: impl IntoIterator<Item = &'a RoleId>) -> String {
    let roles: Vec<&str> = roles.into_iter().map(RoleId::as_str).collect();
    if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") }
}

/// What the token of a socket said.
pub fn actor(user: &UserId, socket: &SocketReport) -> Actor {
    Actor {
        user: user.clone(),
        community: socket.community.clone(),
        roles: socket.roles.iter().cloned().collect(),
        admin: socket.admin,
        name: None,
        picture: None,
        device: socket.device.clone(),
        expires_at: socket.expires_at,
    }
}

/// One socket: its token, and up to where it was served by its node, which has told everything up to `told`.
pub fn socket(socket: &SocketReport, told: &str) -> String {
    let mut text = format!("socket of community {}, ", socket.community);
    let _ = write!(text, "{}, {}", if socket.admin { "admin" } else { "no admin" }, list(&socket.roles));
    if let Some(device) = &socket.device {
        let _ = write!(text, ", device {}", device.as_str());
    }
    let _ = write!(text, ", until {}; served up to {told}", socket.expires_at.to_rfc3339());
    match socket.waiting {
        // What the kernel was handed is known, not what the client has read; frames on their way there are not counted.
        Some(0) => text.push_str(", and nothing is known to wait here"),
        Some(bytes) => drop(write!(text, ", and at least {bytes} bytes of it wait here")),
        None => {}
    }
    text
}

/// What became of an event for a socket.
pub fn outcome(outcome: Outcome, epoch: Epoch) -> String {
    match outcome {
        Outcome::Sent => {
            "sent: it sits in the room, was served from before the event, and its community has not switched this off"
                .to_owned()
        }
        Outcome::SentIfOpen => "sent, if the board was open to it when the event was told".to_owned(),
        Outcome::JoinedLater(since) => {
            let since = Cursor { epoch, place: since, held_from: None };
            format!(
                "not sent: it came into the room later and is served from {since} on (whether it was there before is not kept)"
            )
        }
        Outcome::NotInRoom => {
            "not sent to it where it sits now: it is in none of these rooms (whether it was in one earlier is not kept)"
                .to_owned()
        }
        Outcome::SwitchedOff => "not sent: its community has switched this off in settings.realtime".to_owned(),
        Outcome::FlagsChanged => {
            "sent, if its community had this switched on then (and if it might open the board, where that is asked): its settings have changed since, or that is too long ago to know"
                .to_owned()
        }
        Outcome::NotToldYet => "not sent yet: this node has not come so far".to_owned(),
        Outcome::OtherEpoch => "not sent: this node is in another epoch".to_owned(),
    }
}

/// What one node said.
#[derive(Debug)]
pub struct Said<'a> {
    pub node: &'a Node,
    /// Everything up to this cursor has been told by it.
    pub told: &'a str,
    pub sockets: Vec<&'a SocketReport>,
    /// How many it has beside those that it tells of.
    pub more: usize,
    /// How many of those that it tells of did not arrive.
    pub missing: usize,
}

/// The nodes that answered, in the order of their names.
pub fn nodes(parts: &[Part]) -> Vec<Said<'_>> {
    let mut nodes: Vec<Said<'_>> = Vec::new();
    for part in parts {
        if let Part::Node { node, told, sockets, more } = part {
            let here = parts.iter().filter_map(|part| match part {
                Part::Socket { node: of, socket } if of == node => Some(socket),
                _ => None,
            });
            let here: Vec<_> = here.collect();
            let missing = sockets.saturating_sub(here.len());
            nodes.push(Said { node, told, sockets: here, more: *more, missing });
        }
    }
    nodes.sort_by_key(|said| said.node);
    nodes
}

/// One line: what an operator reads comes in part from those whom he looks at.
pub fn printable(text: &str) -> String {
    let printed = |one: char| if one.is_control() { one.escape_default().to_string() } else { one.to_string() };
    text.chars().map(printed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> SocketReport {
        SocketReport {
            community: "reef".into(),
            roles: vec![],
            admin: false,
            device: None,
            expires_at: chrono::DateTime::UNIX_EPOCH,
            outcomes: vec![],
            waiting: None,
        }
    }

    #[test]
    fn nodes_of_the_same_name_are_told_apart_and_what_did_not_arrive_is_counted() {
        let node = |id| Node { name: "0.0.0.0:4000, process 1".to_owned(), id };
        let said = |id, sockets| Part::Node { node: node(id), told: format!("{id}"), sockets, more: 0 };
        let parts = [said(2, 2), Part::Socket { node: node(2), socket: socket() }, said(1, 0)];
        let nodes = nodes(&parts);
        let counts: Vec<_> = nodes.iter().map(|said| (said.told, said.sockets.len(), said.missing)).collect();
        assert_eq!(counts, [("1", 0, 0), ("2", 1, 1)]);
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
    }
}
