//! The summary of a run, and of what is wrong the least history that shows it.

use std::fmt::Write;

use crate::{
    account::{Account, Finding, Kind},
    history::{Micros, Row},
    log::{Entry, Logged},
    plan::Fault,
    run::{Outcome, Settings},
};

/// So many of what is wrong are told in full.
const TOLD: usize = 5;
/// Rows and entries around each.
const AROUND: usize = 12;

/// The heading of [`line`]s.
pub const HEADING: &str = "| seed | commits | changes of rights | events delivered | of them as missed | connections | recovered | refetched | faults | lost | twice | out of order | without right | never committed | before let in |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// One run in one line.
pub fn line(settings: &Settings, outcome: &Outcome, findings: &[Finding]) -> String {
    let numbers = outcome.account.numbers();
    let faults: usize = outcome.faults.values().sum();
    let mut line = format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {faults} |",
        settings.seed,
        numbers.commits,
        numbers.rights,
        numbers.delivered,
        numbers.replayed,
        numbers.connections,
        numbers.recovered,
        numbers.refetched
    );
    for (kind, _) in Kind::ALL {
        let count = findings.iter().filter(|finding| finding.kind == kind).count();
        let _ = write!(line, " {count} |"); // Text can always be written to.
    }
    line
}

/// Why the run proves nothing, if so.
pub fn proves_nothing(settings: &Settings, outcome: &Outcome) -> Option<String> {
    let numbers = outcome.account.numbers();
    let seconds = usize::try_from(settings.length.as_secs()).unwrap_or(usize::MAX);
    let least = [
        ("commits", numbers.commits, 10 * seconds),
        ("events delivered", numbers.delivered, 50 * seconds),
        ("of them as missed", numbers.replayed, seconds),
        ("joins recovered", numbers.recovered, seconds / 2),
        ("changes of rights", numbers.rights, seconds / 2),
        ("sockets shut out", numbers.revoked, seconds / 10),
        ("kinds of faults", crate::run::kinds(&outcome.faults), if seconds >= 60 { Fault::KINDS.len() } else { 3 }),
    ];
    let few: Vec<String> = least
        .iter()
        .filter(|(_, count, least)| count < least)
        .map(|(what, count, least)| format!("{what}: {count}, of at least {least}"))
        .collect();
    (!few.is_empty()).then(|| few.join("; "))
}

/// What is wrong, each with its history.
pub fn history(outcome: &Outcome, findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings.iter().take(TOLD) {
        tell(&mut text, outcome, finding);
    }
    if findings.len() > TOLD {
        let _ = writeln!(text, "... and {} more", findings.len() - TOLD);
    }
    text
}

fn tell(text: &mut String, outcome: &Outcome, finding: &Finding) {
    let account = &outcome.account;
    let (persona, log) = &account.clients[finding.client];
    let name = Kind::ALL.iter().find(|(kind, _)| *kind == finding.kind).map_or("", |(_, name)| name);
    let _ = writeln!(text, "\n{} by client {} ({persona}; follows {})", name, finding.client, rooms(&persona.rooms));
    let _ = writeln!(text, "  {}", finding.said);
    let row = finding.seq.and_then(|seq| account.history.rows.iter().find(|row| row.seq == seq));
    let begin = row.map_or(finding.at, |row| row.at.min(finding.at));
    let mut lines: Vec<(Micros, String)> = Vec::new();
    if let Some(row) = row {
        lines
            .extend(rows_around(account, row).into_iter().map(|row| (row.at, committed(account, finding.client, row))));
    }
    lines.extend(
        entries_around(log, finding, row)
            .map(|logged| (logged.at, format!("{:>4} {}", logged.connection, entry(&logged.entry)))),
    );
    let near = begin - 5_000_000..finding.at + 3_000_000;
    lines.extend(
        outcome.happened.iter().filter(|(at, _)| near.contains(at)).map(|(at, what)| (*at, format!("     !! {what}"))),
    );
    lines.sort();
    for (at, line) in lines {
        let _ = writeln!(text, "  {:>+10.3} ms {line}", (at - begin) as f64 / 1_000.0);
    }
}

fn rooms(rooms: &[crate::people::Room]) -> String {
    rooms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What was committed to the same post or board, and the changes of rights.
fn rows_around<'a>(account: &'a Account, row: &Row) -> Vec<&'a Row> {
    use crate::history::What as W;
    let of_it = |other: &&Row| {
        let counts = matches!(other.what, W::Upvotes | W::Comments | W::Vote);
        let counted = matches!(row.what, W::Upvotes | W::Comments);
        let same_post = row.post.is_some() && other.post == row.post && counts == counted;
        let rights = matches!(other.what, W::BoardCreated | W::BoardUpdated | W::BoardDeleted | W::Import)
            && (other.board == row.board || other.board == row.from());
        same_post || rights || other.what == W::Community
    };
    let rows: Vec<&Row> = account.history.rows.iter().filter(of_it).collect();
    let at = rows.partition_point(|other| other.seq < row.seq);
    rows[at.saturating_sub(AROUND)..(at + AROUND).min(rows.len())].to_vec()
}

fn committed(account: &Account, client: usize, row: &Row) -> String {
    let may = row.board.map(|board| account.history.may_open(&account.clients[client].0, board, row.seq));
    let may = may.map_or(String::new(), |may| format!(", open to it: {may}"));
    format!(
        "     row {} {:?} board {:?} post {:?} comment {:?} {}{may}",
        row.seq, row.what, row.board, row.post, row.comment, row.data
    )
}

/// Comings and goings, and what it was told of the same.
fn entries_around<'a>(log: &'a [Logged], finding: &Finding, row: Option<&Row>) -> impl Iterator<Item = &'a Logged> {
    let (post, board) = (row.and_then(|row| row.post), row.and_then(|row| row.board));
    let at = log.partition_point(|logged| logged.at < finding.at);
    let of_it = move |logged: &&Logged| match &logged.entry {
        Entry::Told(told) if post.is_some() => told.post == post || told.name.starts_with("board:access"),
        Entry::Told(told) => told.board == board,
        _ => true,
    };
    let before = log[..at].iter().rev().filter(of_it).take(3 * AROUND);
    before.chain(log[at..].iter().filter(of_it).take(AROUND))
}

fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Told(told) => {
            let shown = told.stamp.as_ref().map_or(String::new(), |stamp| format!(" {stamp:?}"));
            format!(
                "told {} board {:?} post {:?} comment {:?} count {:?}{shown}, cursor {}",
                told.name,
                told.board,
                told.post,
                told.comment,
                told.count,
                told.cursor.as_deref().unwrap_or("none")
            )
        }
        other => format!("{other:?}"),
    }
}
