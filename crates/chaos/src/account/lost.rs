//! Gaps: within a stay, whatever was committed before something that was heard has been heard, too.
//!
//! Not owed: what the load showed; what the client had no right to; what tells of a post, comment or board that had ended when the
//! later event came, since what is dead is not shown as alive. In the end the markers stand behind everything.

use std::collections::HashSet;

use super::{
    Account, Finding, Kind,
    walk::{Stay, Walked},
};
use crate::{
    history::{History, Micros, Row, What},
    people::Room,
};

/// Every gap of a client.
pub fn lost(account: &Account, client: usize, walked: &Walked<'_>) -> Vec<Finding> {
    let had: HashSet<(i64, &str)> =
        walked.heard.iter().map(|heard| (heard.row.seq, heard.told.name.as_str())).collect();
    let mut findings = Vec::new();
    for stay in &walked.stays {
        findings.extend(gaps(account, client, walked, stay, &had));
    }
    let end = account.clients[client].1.last().map_or(0, |logged| logged.at);
    for seq in &account.markers[client] {
        let told = had.contains(&(*seq, "board:newPost")) || had.contains(&(*seq, "post:newComment"));
        if !told && !was_loaded(account, walked, *seq) {
            let said = "the last of a room, written when everything was mended, never came".to_owned();
            findings.push(Finding { kind: Kind::Lost, client, seq: Some(*seq), at: end, said });
        }
    }
    for room in &account.expected[client] {
        let stays = walked.stays.iter().any(|stay| stay.lasts && stay.room == *room);
        if *room != Room::Feed && !stays {
            let said = format!("{room} is open to it in the end, and it was not let in");
            findings.push(Finding { kind: Kind::Lost, client, seq: None, at: end, said });
        }
    }
    findings
}

/// Whether the stay that lasts began with a load that showed the row: it had to look anew at the very end.
fn was_loaded(account: &Account, walked: &Walked<'_>, seq: i64) -> bool {
    let Some(row) = account.history.rows.iter().find(|row| row.seq == seq) else { return false };
    let shows = |stay: &Stay| {
        owed(stay.room, row).is_some() && account.shown_at(stay.loaded).is_some_and(|shown| shown.sees(row.xid))
    };
    walked.stays.iter().any(|stay| stay.lasts && shows(stay))
}

fn gaps(
    account: &Account,
    client: usize,
    walked: &Walked<'_>,
    stay: &Stay,
    had: &HashSet<(i64, &str)>,
) -> Vec<Finding> {
    let (history, persona) = (&account.history, account.persona(client));
    let Some(loaded) = account.shown_at(stay.loaded) else { return Vec::new() };
    let mut findings = Vec::new();
    for row in &history.rows {
        let (Some(name), Some(board)) = (owed(stay.room, row), place(stay.room, row)) else { continue };
        if had.contains(&(row.seq, name)) || loaded.sees(row.xid) || !history.may_open(persona, board, row.seq) {
            continue;
        }
        let later = |heard: &&usize| {
            let heard = &walked.heard[**heard];
            heard.row.xid != row.xid && heard.row.snapshot.sees(row.xid)
        };
        let Some(later) = stay.heard.iter().find(later).map(|heard| &walked.heard[*heard]) else { continue };
        if ended(history, row, board).is_some_and(|at| at < later.at) {
            continue;
        }
        let said = format!(
            "{name} of {} was committed before {} of row {}, which it was told in {}",
            row.seq, later.told.name, later.row.seq, stay.room
        );
        findings.push(Finding { kind: Kind::Lost, client, seq: Some(row.seq), at: later.at, said });
    }
    findings
}

/// The event that a row is owed in a room.
fn owed(room: Room, row: &Row) -> Option<&'static str> {
    match (room, row.what) {
        (Room::Board(board), What::PostCreated) if row.board == Some(board) => Some("board:newPost"),
        (Room::Board(board), What::PostUpdated) if row.board == Some(board) => Some("board:postUpdated"),
        (Room::Board(board), What::PostMoved) if row.board == Some(board) => Some("board:newPost"),
        (Room::Board(board), What::PostMoved) if row.from() == Some(board) => Some("board:postDeleted"),
        (Room::Board(board), What::PostDeleted) if row.board == Some(board) && !row.went_along() => {
            Some("board:postDeleted")
        }
        (Room::Board(board), What::BoardUpdated) if row.board == Some(board) => Some("board:settingsChanged"),
        (Room::Post(post), What::PostUpdated) if row.post == Some(post) => Some("board:postUpdated"),
        (Room::Post(post), What::CommentCreated) if row.post == Some(post) => Some("post:newComment"),
        (Room::Post(post), What::CommentUpdated) if row.post == Some(post) => Some("post:commentUpdated"),
        (Room::Post(post), What::CommentDeleted) if row.post == Some(post) && !row.went_along() => {
            Some("post:commentDeleted")
        }
        _ => None,
    }
}

/// The board whose rights decide.
fn place(room: Room, row: &Row) -> Option<i32> {
    match room {
        Room::Board(board) => Some(board),
        _ => row.board,
    }
}

/// When what the row tells of ended: the post's stay in the board, the comment, the board.
fn ended(history: &History, row: &Row, board: i32) -> Option<Micros> {
    let deleted = |what, id: Option<i32>| id.and_then(|id| history.of(what, id).find(|end| end.seq > row.seq));
    let end = match row.what {
        // That it left is told in any case.
        What::PostMoved if row.from() == Some(board) => None,
        What::PostCreated | What::PostUpdated | What::PostMoved => {
            row.post.and_then(|post| history.stay_ended(post, board, row.seq))
        }
        What::CommentCreated | What::CommentUpdated => {
            deleted(What::CommentDeleted, row.comment).or_else(|| deleted(What::PostDeleted, row.post))
        }
        What::CommentDeleted => deleted(What::PostDeleted, row.post),
        What::BoardUpdated => deleted(What::BoardDeleted, row.board),
        _ => None,
    };
    end.map(|end| end.at)
}
