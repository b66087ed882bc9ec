//! The accounting: what each client saw against what the database says was committed, and who could open what at the time. Pure.
//!
//! What is promised and what is left open is written down in `docs/reliability.md`; each clause there is one function here:
//! [`lost`] gaps, [`seen`] twice, order and right, [`counts`] merged counts, [`access`] what is told of rights themselves.

mod access;
mod counts;
mod lost;
mod seen;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;

use crate::{
    history::{History, Micros, Row, Snapshot},
    log::{Entry, Logged},
    people::{Persona, Room},
};

/// What a promise was broken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Lost,
    Twice,
    OutOfOrder,
    WithoutRight,
    /// Told of something that was never committed.
    Invented,
    /// Committed while its receiver was shut out, and sent when he had been let in again.
    BeforeLetIn,
}

impl Kind {
    /// All of them, with how they are called in a summary.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Lost, "lost"),
        (Self::Twice, "twice"),
        (Self::OutOfOrder, "out of order"),
        (Self::WithoutRight, "without right"),
        (Self::Invented, "never committed"),
        (Self::BeforeLetIn, "before let in"),
    ];
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: Kind,
    /// The number of the client.
    pub client: usize,
    /// The row of the history that it is about.
    pub seq: Option<i64>,
    /// When it showed.
    pub at: Micros,
    pub said: String,
}

/// What a run left.
#[derive(Debug, Default)]
pub struct Account {
    pub history: History,
    /// The snapshots of the service's batches; see [`seen`].
    pub ticks: Vec<Snapshot>,
    /// What the database showed, each with a time before which it was not taken.
    pub samples: Vec<(Micros, Snapshot)>,
    pub clients: Vec<(Persona, Vec<Logged>)>,
    /// Where each client has to sit in the end.
    pub expected: Vec<BTreeSet<Room>>,
    /// The rows that each has to be told in the end.
    pub markers: Vec<Vec<i64>>,
}

/// Numbers for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub commits: usize,
    pub rights: usize,
    pub delivered: usize,
    /// Of them as missed events.
    pub replayed: usize,
    pub connections: usize,
    pub recovered: usize,
    pub refetched: usize,
    pub refused: usize,
    pub revoked: usize,
}

impl Account {
    /// Everything that is wrong.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for client in 0..self.clients.len() {
            let walked = walk::walk(self, client);
            findings.extend(lost::lost(self, client, &walked));
            findings.extend(seen::seen(self, client, &walked));
            findings.extend(counts::counts(self, client, &walked));
            findings.extend(access::access(self, client, &walked));
        }
        findings
    }

    /// How much there was to be wrong.
    pub fn numbers(&self) -> Numbers {
        let transactions: BTreeSet<u64> = self.history.rows.iter().map(|row| row.xid).collect();
        let rights = self.history.rights_behind(0).count();
        let mut numbers = Numbers { commits: transactions.len(), rights, ..Numbers::default() };
        for (_, log) in &self.clients {
            let mut resuming = false;
            for Logged { entry, .. } in log {
                match entry {
                    Entry::Connected { .. } => numbers.connections += 1,
                    Entry::Disconnected => resuming = false,
                    Entry::Joining { since, .. } => resuming = since.is_some(),
                    Entry::Joined { recovered, .. } => {
                        numbers.recovered += usize::from(*recovered);
                        numbers.refetched += usize::from(resuming && !recovered);
                        resuming = false;
                    }
                    Entry::Refused { .. } => {
                        numbers.refused += 1;
                        resuming = false;
                    }
                    Entry::Left { .. } => {}
                    Entry::Told(told) => {
                        numbers.delivered += 1;
                        numbers.replayed += usize::from(resuming);
                        numbers.revoked += usize::from(told.name == "board:accessRevoked");
                    }
                }
            }
        }
        numbers
    }

    /// What the database showed first after this time.
    fn shown_at(&self, at: Micros) -> Option<&Snapshot> {
        let first = self.samples.partition_point(|(before, _)| *before < at);
        self.samples.get(first).or(self.samples.last()).map(|(_, snapshot)| snapshot)
    }

    /// Whether no batch holds the earlier change without the later one.
    fn in_one_batch(&self, earlier: &Row, later: &Row) -> bool {
        !self.ticks.iter().any(|tick| tick.sees(earlier.xid) && !tick.sees(later.xid))
    }

    fn persona(&self, client: usize) -> &Persona {
        &self.clients[client].0
    }
}
