//! Counts: merged as they may be, on one connection none goes back to an older value, and the last is the committed one.

use std::collections::HashMap;

use super::{
    Account, Finding, Kind,
    walk::{Stay, Walked},
};
use crate::{
    history::{History, Micros, Row, What},
    log::{Entry, Logged, Told},
    people::Room,
};

/// An event's time is that of the vote, which two transactions may write at once; so much apart they can't be told.
const AT_ONCE: Micros = 2_000;

/// Everything of a client that was counted wrongly.
pub fn counts(account: &Account, client: usize, walked: &Walked<'_>) -> Vec<Finding> {
    let mut findings = gone_back(account, client);
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
