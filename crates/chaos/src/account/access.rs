//! `board:accessRevoked` and `board:accessGranted`: told to whom they are true of, once, and what is told between them fits.
//!
//! A node that reads late tells at once who is shut out later; when it tells who is let in, he may open the board at that commit. Who
//! asks for a room and is answered is let in, too.

use std::collections::{BTreeSet, HashMap};

use super::{
    Account, Finding, Kind,
    walk::{Stay, Walked},
};
use crate::{
    history::{Micros, Row, What},
    log::{Entry, Logged, Told},
    people::Room,
};

/// Everything of a client that was told wrongly of its rights.
pub fn access(account: &Account, client: usize, walked: &Walked<'_>) -> Vec<Finding> {
    let mut findings = told(account, client);
    let mut closings: HashMap<i32, Vec<&Row>> = HashMap::new();
    for stay in &walked.stays {
        if let Room::Board(board) = stay.room {
            let closings = closings.entry(board).or_insert_with(|| closings_of(account, client, board));
            findings.extend(stayed(account, client, walked, (stay, board), closings));
        }
    }
    findings
}

/// What this connection was told last of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Believed {
    Open,
    Shut,
}

fn told(account: &Account, client: usize) -> Vec<Finding> {
    let mut believed: HashMap<i32, Believed> = HashMap::new();
    let mut findings = Vec::new();
    for Logged { at, entry, .. } in &account.clients[client].1 {
        match entry {
            Entry::Connected { .. } => believed.clear(),
            Entry::Joined { room, boards, .. } => {
                for board in boards.iter().copied().chain(boards_of(account, *room)) {
                    believed.remove(&board);
                }
            }
            Entry::Told(told) => {
                let Some(board) = told.board else { continue };
                let before = believed.get(&board).copied();
                if let Some((kind, why)) = wrong(account, client, told, board, before) {
                    let said = format!("{} of board {board}: {why}", told.name);
                    findings.push(Finding { kind, client, seq: last_right(account, told), at: *at, said });
                }
                match told.name.as_str() {
                    "board:accessGranted" => drop(believed.insert(board, Believed::Open)),
                    "board:accessRevoked" => drop(believed.insert(board, Believed::Shut)),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    findings
}

fn wrong(
    account: &Account,
    client: usize,
    told: &Told,
    board: i32,
    before: Option<Believed>,
) -> Option<(Kind, &'static str)> {
    let (history, persona) = (&account.history, account.persona(client));
    let may_open = |seq| history.may_open(persona, board, seq);
    match (told.name.as_str(), before) {
        ("board:accessGranted", Some(Believed::Open)) => Some((Kind::Twice, "it was told so before")),
        ("board:accessGranted", _) if !last_right(account, told).is_some_and(may_open) => {
            Some((Kind::WithoutRight, "it may not be opened then"))
        }
        ("board:accessRevoked", Some(Believed::Shut)) => Some((Kind::Twice, "it was told so before")),
        ("board:accessRevoked", _) => {
            let began = history.of(What::BoardCreated, board).next().map_or(0, |row| row.seq);
            let until = history.rights_before(last_right(account, told).unwrap_or_default());
            let shut = until.take_while(|change| change.seq >= began).any(|change| !may_open(change.seq));
            (!shut).then_some((Kind::Invented, "nothing shut it out"))
        }
        ("board:accessGranted", _) => None,
        (_, Some(Believed::Shut)) => Some((Kind::WithoutRight, "it was told that the board is shut to it")),
        _ => None,
    }
}

/// The last change of rights that was written before the event says it was.
fn last_right(account: &Account, told: &Told) -> Option<i64> {
    let written = told.written?;
    account.history.rights_before(i64::MAX).find(|change| change.at <= written).map(|change| change.seq)
}

/// The boards that a room may be of.
fn boards_of(account: &Account, room: Room) -> BTreeSet<i32> {
    match room {
        Room::Board(board) => BTreeSet::from([board]),
        Room::Feed => BTreeSet::new(),
        Room::Post(post) => {
            let placed =
                [What::PostCreated, What::PostMoved].into_iter().flat_map(|what| account.history.of(what, post));
            placed.filter_map(|row| row.board).collect()
        }
    }
}

/// The changes that shut the client out of the board.
fn closings_of(account: &Account, client: usize, board: i32) -> Vec<&Row> {
    let (history, persona) = (&account.history, account.persona(client));
    let (mut could, mut closings) = (false, Vec::new());
    for change in history.rights_behind(0) {
        let can = history.may_open(persona, board, change.seq);
        if could && !can && change.what != What::BoardDeleted {
            closings.push(change);
        }
        could = can;
    }
    closings
}

/// A stay ends where somebody is shut out, for which he has to be told: nothing comes in it from behind.
fn stayed(
    account: &Account,
    client: usize,
    walked: &Walked<'_>,
    (stay, board): (&Stay, i32),
    closings: &[&Row],
) -> Option<Finding> {
    let (history, persona) = (&account.history, account.persona(client));
    let loaded = account.shown_at(stay.loaded)?;
    let closed = |change: &&&Row| {
        let reopened = history.rights_behind(change.seq).find(|later| history.may_open(persona, board, later.seq));
        !loaded.sees(change.xid) && !reopened.is_some_and(|later| account.in_one_batch(change, later))
    };
    for change in closings.iter().filter(closed) {
        let mut heard = stay.heard.iter().map(|heard| &walked.heard[*heard]);
        // What came without right is found as such.
        let behind =
            heard.find(|heard| heard.row.snapshot.sees(change.xid) && history.may_open(persona, board, heard.row.seq));
        if let Some(behind) = behind {
            let said = format!(
                "row {} shut it out of board {board}; it was not told, and {} of row {} came in the same stay",
                change.seq, behind.told.name, behind.row.seq
            );
            let at: Micros = behind.at;
            return Some(Finding { kind: Kind::Lost, client, seq: Some(change.seq), at, said });
        }
    }
    None
}
