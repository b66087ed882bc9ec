//! Counts: merged as they may be, on one connection none goes back to an older value nor comes again, and the last is the committed one. None
//! is told of a change that was committed while its receiver was shut out, nor shows what it was then.
//!
//! An event's time is that of the newest vote or comment in it. Where several lie so near to it that they can't be told apart, it is
//! wrong only if it would be of each.

use std::collections::{HashMap, HashSet};

use super::{
    Account, Finding, Kind, seen,
    walk::{Stay, Walked},
};
use crate::{
    history::{History, Micros, Row, What},
    log::{Entry, Logged, Told},
    people::Room,
};

/// An event's time is that of the vote, which two transactions may write at once; so much apart they can't be told.
const AT_ONCE: Micros = 2_000;
/// On a busy machine as much lies between the note of the history and that of the service, which are made one after the other.
const NEAR: Micros = 20_000;

/// Everything of a client that was counted wrongly.
pub fn counts(account: &Account, client: usize, walked: &Walked<'_>) -> Vec<Finding> {
    let mut findings = gone_back(account, client);
    findings.extend(twice(account, client));
    for Logged { at, entry, .. } in &account.clients[client].1 {
        if let Entry::Told(told) = entry {
            findings.extend(without_right(account, client, told, *at));
        }
    }
    for stay in walked.stays.iter().filter(|stay| stay.lasts) {
        if let Room::Board(board) = stay.room {
            findings.extend(not_last(account, client, stay, board));
        }
    }
    findings
}

/// Which count an event tells.
fn counted(told: &Told) -> Option<(What, i32, i64)> {
    let what = match told.name.as_str() {
        "post:voteAdded" | "post:voteRemoved" | "post:voteChanged" => What::Upvotes,
        "post:commentCountChanged" => What::Comments,
        _ => return None,
    };
    Some((what, told.post?, told.count?))
}

fn gone_back(account: &Account, client: usize) -> Vec<Finding> {
    // The number of the committed value that was told last.
    let mut newest: HashMap<(What, i32), usize> = HashMap::new();
    let mut findings = Vec::new();
    for Logged { at, entry, .. } in &account.clients[client].1 {
        let told = match entry {
            // What is loaded, or was told by a node that lagged, may be newer than what is told next.
            Entry::Connected { .. } | Entry::Joined { recovered: false, .. } => {
                newest.clear();
                continue;
            }
            Entry::Told(told) if told.name == "board:accessGranted" => {
                newest.clear();
                continue;
            }
            Entry::Told(told) => told,
            _ => continue,
        };
        let Some((what, post, count)) = counted(told) else { continue };
        let values: Vec<&Row> = account.history.of(what, post).collect();
        let known = newest.get(&(what, post)).copied().unwrap_or_default();
        let least = known.max(least(&account.history, told, what, post, &values));
        let found = (least..values.len()).find(|n| values[*n].count() == Some(count) && values[*n].at < *at);
        match found {
            Some(found) => drop(newest.insert((what, post), found)),
            None => {
                let said = format!(
                    "{} of post {post} tells {count}, which it was not any more behind {:?}, value {least} of {}",
                    told.name,
                    values.get(known).and_then(|row| row.count()),
                    values.len()
                );
                let seq = values.get(least).map(|row| row.seq);
                findings.push(Finding { kind: Kind::OutOfOrder, client, seq, at: *at, said });
            }
        }
    }
    findings
}

/// The number of the oldest value that may be told with a change of this time.
fn least(history: &History, told: &Told, what: What, post: i32, values: &[&Row]) -> usize {
    let Some(written) = told.written else { return 0 };
    let near = |row: &&Row| (written - AT_ONCE..=written).contains(&row.at);
    if what == What::Comments {
        return values.iter().position(near).unwrap_or_default();
    }
    let votes = history.of(What::Vote, post).filter(near);
    votes.filter_map(|vote| values.iter().position(|row| row.xid == vote.xid)).min().unwrap_or_default()
}

fn twice(account: &Account, client: usize) -> Vec<Finding> {
    let mut had = HashSet::new();
    let mut findings = Vec::new();
    for Logged { at, connection, entry } in &account.clients[client].1 {
        let Entry::Told(told) = entry else { continue };
        if counted(told).is_some() && !had.insert((*connection, told.name.as_str(), told.post, told.written)) {
            let Told { name, post, count, .. } = told;
            let said = format!("{name} of post {post:?}, {count:?}, twice on connection {connection}");
            findings.push(Finding { kind: Kind::Twice, client, seq: None, at: *at, said });
        }
    }
    findings
}

/// The count was not changed last while its receiver was shut out, nor shows a value of that time.
fn without_right(account: &Account, client: usize, told: &Told, at: Micros) -> Option<Finding> {
    let (what, post, count) = counted(told)?;
    let (history, written) = (&account.history, told.written?);
    let values: Vec<&Row> = history.of(what, post).collect();
    let near = |row: &&Row| (written - NEAR..=written).contains(&row.at);
    // A vote knows no board; what it makes of the count does.
    let in_board = |row: &&Row| row.board.is_some();
    let by = |change: &Row| values.iter().copied().find(|value| value.xid == change.xid && value.seq > change.seq);
    let changed = history.counted(what, post).filter(near).map(|change| by(change).unwrap_or(change)).filter(in_board);
    let least = least(history, told, what, post, &values);
    let shown = values[least..].iter().copied().filter(|row| row.count() == Some(count) && row.at < at);
    for (rows, says) in [(changed.collect::<Vec<_>>(), "is of"), (shown.collect(), "shows")] {
        let wrong: Vec<_> = rows.iter().map(|row| seen::wrongly_shown(account, client, (told, at), row)).collect();
        if let (Some(row), Some(kind)) = (rows.last(), wrong.last().copied().flatten())
            && wrong.iter().all(Option::is_some)
        {
            let said = format!("{} of post {post}, {count}, {says} row {}", told.name, row.seq);
            return Some(Finding { kind, client, seq: Some(row.seq), at, said });
        }
    }
    None
}

/// In a stay that lasts, the last count of each post that changed is what the database holds.
fn not_last(account: &Account, client: usize, stay: &Stay, board: i32) -> Vec<Finding> {
    let (history, persona) = (&account.history, account.persona(client));
    let Some(loaded) = account.shown_at(stay.loaded) else { return Vec::new() };
    let mut last: HashMap<(What, i32), (i64, Micros)> = HashMap::new();
    for Logged { at, entry, .. } in &account.clients[client].1 {
        if let Entry::Told(told) = entry
            && told.board == Some(board)
            && matches!(told.name.as_str(), "post:voteChanged" | "post:commentCountChanged")
            && let Some((what, post, count)) = counted(told)
        {
            last.insert((what, post), (count, *at));
        }
    }
    let mut newest: HashMap<(What, i32), &Row> = HashMap::new();
    for row in history.rows.iter().filter(|row| matches!(row.what, What::Upvotes | What::Comments)) {
        if let Some(post) = row.post {
            newest.insert((row.what, post), row);
        }
    }
    let mut findings = Vec::new();
    for ((what, post), row) in newest {
        let ended = history.stay_ended(post, board, row.seq).is_some();
        let shut_out = !history.may_open(persona, board, i64::MAX);
        if shut_out
            || row.board != Some(board)
            || ended
            || loaded.sees(row.xid)
            || !history.may_open(persona, board, row.seq)
        {
            continue;
        }
        let told = last.get(&(what, post)).map(|(count, _)| *count);
        if told != row.count() {
            let at = account.clients[client].1.last().map_or(0, |logged| logged.at);
            let said = format!("the last {what:?} of post {post} is {:?}, and it was told {told:?}", row.count());
            findings.push(Finding { kind: Kind::Lost, client, seq: Some(row.seq), at, said });
        }
    }
    findings
}
