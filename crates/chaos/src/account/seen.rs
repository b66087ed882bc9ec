//! What came: no event twice, each row's in the order of its commits, nothing that its receiver had no right to.
//!
//! What is sent to somebody who was let in before it was sent is told apart from what is sent to somebody who is shut out. A client that went before all its
//! rooms had answered asks again with its old cursor, and is told again what came since. That a board began is told to
//! the community, whose sockets have no cursor.

use std::collections::HashMap;

use super::{
    Account, Finding, Kind,
    walk::{Heard, Walked},
};
use crate::{
    history::{Micros, Row, What},
    log::{Entry, Logged, Told},
};

/// Everything of a client that came wrongly.
pub fn seen(account: &Account, client: usize, walked: &Walked<'_>) -> Vec<Finding> {
    let mut findings = twice(client, walked);
    findings.extend(out_of_order(client, walked));
    findings.extend(cursors(account, client));
    findings.extend(walked.heard.iter().filter_map(|heard| without_right(account, client, heard)));
    findings.extend(walked.heard.iter().filter_map(|heard| stale(account, client, heard)));
    findings.extend(walked.unknown.iter().map(|unknown| {
        let said = format!("{:?}", unknown.told);
        Finding { kind: Kind::Invented, client, seq: None, at: unknown.at, said }
    }));
    findings
}

fn finding(kind: Kind, client: usize, heard: &Heard<'_>, said: String) -> Finding {
    Finding { kind, client, seq: Some(heard.row.seq), at: heard.at, said }
}

fn twice(client: usize, walked: &Walked<'_>) -> Vec<Finding> {
    let mut had: HashMap<(i64, &str), (u32, usize)> = HashMap::new();
    let mut findings = Vec::new();
    for heard in &walked.heard {
        let key = (heard.row.seq, heard.told.name.as_str());
        let Some((connection, entry)) = had.insert(key, (heard.connection, heard.entry)) else { continue };
        let upto = heard.replayed_since.or(heard.taken_up);
        let said = if connection == heard.connection {
            format!("{} of row {} twice on connection {connection}", key.1, key.0)
        } else if heard.told.name == "board:created" {
            continue;
        } else if upto.is_some_and(|upto| (heard.loaded..=upto).contains(&entry)) && !heard.mixed {
            format!(
                "{} of row {} again on connection {}, though its cursor says it was had",
                key.1, key.0, heard.connection
            )
        } else {
            continue;
        };
        findings.push(finding(Kind::Twice, client, heard, said));
    }
    findings
}

fn out_of_order(client: usize, walked: &Walked<'_>) -> Vec<Finding> {
    // Rooms are caught up one after the other, so of a post that moved each board is told in its own time.
    let mut newest: HashMap<(u32, u8, i32, Option<i32>), i64> = HashMap::new();
    let mut findings = Vec::new();
    for heard in &walked.heard {
        let kind = match heard.row.what {
            What::CommentCreated | What::CommentUpdated | What::CommentDeleted => 0,
            What::BoardCreated | What::BoardUpdated | What::BoardDeleted => 1,
            _ => 2,
        };
        let Some(id) = heard.row.id().filter(|_| heard.told.name != "notification:new") else { continue };
        let newest = newest.entry((heard.connection, kind, id, heard.told.board)).or_insert(heard.row.seq);
        if heard.row.seq < *newest && !(heard.mixed && heard.replayed_since.is_some()) {
            let said = format!("{} of row {} came behind row {newest} of the same", heard.told.name, heard.row.seq);
            findings.push(finding(Kind::OutOfOrder, client, heard, said));
        }
        *newest = heard.row.seq.max(*newest);
    }
    findings
}

/// Cursors never go back on a connection, but for what was missed, which starts at the cursor that was given.
fn cursors(account: &Account, client: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut newest, mut resuming) = (None, false);
    for Logged { at, entry, .. } in &account.clients[client].1 {
        match entry {
            Entry::Connected { .. } => (newest, resuming) = (None, false),
            Entry::Joining { since, .. } => resuming = since.is_some(),
            Entry::Joined { .. } | Entry::Refused { .. } => resuming = false,
            Entry::Told(told) if !resuming => {
                let Some(place) = told.cursor.as_deref().and_then(place) else { continue };
                if newest.is_some_and(|newest| place < newest) {
                    let said = format!("the cursor of {} went back: {:?}", told.name, told.cursor);
                    findings.push(Finding { kind: Kind::OutOfOrder, client, seq: None, at: *at, said });
                }
                newest = newest.max(Some(place));
            }
            _ => {}
        }
    }
    findings
}

/// Tick, ordinal and part. Opaque to clients; a checker may look inside.
fn place(cursor: &str) -> Option<[u64; 3]> {
    let mut parts = cursor.split('.').skip(1).map(|part| u64::from_str_radix(part, 16).ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// A row is never shown as it was before the change that is told.
fn stale(account: &Account, client: usize, heard: &Heard<'_>) -> Option<Finding> {
    heard.row.stamp().filter(|_| heard.told.name != "notification:new")?;
    let shown = account.history.by_stamp(heard.told.stamp.as_deref()?);
    let said = match shown {
        None => format!("{} shows {:?}, which was never committed", heard.told.name, heard.told.stamp),
        Some(shown) if shown.seq < heard.row.seq => {
            format!("{} of row {} shows the older row {}", heard.told.name, heard.row.seq, shown.seq)
        }
        Some(_) => return None,
    };
    let kind = if shown.is_none() { Kind::Invented } else { Kind::OutOfOrder };
    Some(finding(kind, client, heard, said))
}

/// The event was not committed while its receiver was shut out, nor was a newer state of the row that it shows.
fn without_right(account: &Account, client: usize, heard: &Heard<'_>) -> Option<Finding> {
    let shown = heard.told.stamp.as_deref().and_then(|stamp| account.history.by_stamp(stamp));
    for row in std::iter::once(heard.row).chain(shown.filter(|shown| shown.seq > heard.row.seq)) {
        if let Some(kind) = wrongly_shown(account, client, (heard.told, heard.at), row) {
            let said = format!("{} of row {} shows row {}", heard.told.name, heard.row.seq, row.seq);
            return Some(finding(kind, client, heard, said));
        }
    }
    None
}

/// What is wrong with showing the row to the client in an event that came at this time.
pub fn wrongly_shown(account: &Account, client: usize, (told, at): (&Told, Micros), row: &Row) -> Option<Kind> {
    let (history, persona) = (&account.history, account.persona(client));
    let board = told.board?;
    // The post may have come into the board later, and then that counts.
    let arrived = match (row.what, row.post) {
        (What::BoardDeleted, _) => None,
        (What::PostMoved, _) if row.from() == Some(board) => None,
        (_, Some(post)) if row.board != Some(board) => {
            history.of(What::PostMoved, post).find(|moved| moved.seq > row.seq && moved.board == Some(board))
        }
        _ => None,
    };
    let told_from = match row.what {
        What::BoardDeleted => row.seq - 1,
        _ => arrived.map_or(row.seq, |moved| moved.seq),
    };
    if history.may_open(persona, board, told_from) {
        return None;
    }
    let opened = history.rights_behind(told_from).find(|change| history.may_open(persona, board, change.seq));
    let Some(opened) = opened.filter(|opened| opened.at < at) else { return Some(Kind::WithoutRight) };
    // Who changes a post that is being moved has locked the board that it leaves: where the two ran beside each other, nothing says that the
    // change was committed before the other board was opened.
    if !opened.snapshot.sees(row.xid) {
        return None;
    }
    // Came into the board and opened within one batch: what is told of it earlier in that batch shows where it ends.
    if let (Some(arrived), Some(before)) = (arrived, row.board)
        && account.in_one_batch(arrived, opened)
        && history.may_open(persona, before, row.seq)
    {
        return None;
    }
    // Closed and opened again within one batch counts as never closed, and so does begun and opened.
    let closed = history.rights_before(told_from).find(|change| history.may_open(persona, board, change.seq - 1));
    let closed = closed.or_else(|| history.of(What::BoardCreated, board).next());
    (!closed.is_some_and(|closed| account.in_one_batch(closed, opened))).then_some(Kind::BeforeLetIn)
}
