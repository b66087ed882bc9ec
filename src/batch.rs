//! One tick as it is handed to the dispatcher: its changes in order, the rows they need, and what it changed of rights.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    change::{Change, ChangeError, OutboxRow},
    event::Rows,
    fence::Fence,
    ids::{Cursor, Epoch, Place, Tick},
    snapshot::Snapshot,
};

/// A change at its place in the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1 within the tick.
    pub ordinal: u32,
    /// When the row was written.
    pub at: DateTime<Utc>,
    pub change: Change,
}

/// What one tick holds, or a page of it where it holds much.
#[derive(Debug)]
pub struct Batch {
    pub epoch: Epoch,
    pub tick: Tick,
    pub entries: Vec<Entry>,
    /// Rows that could not be understood and were set aside.
    pub poison: Vec<ChangeError>,
    /// Of the entries, as they stood when the page was read.
    pub rows: Arc<Rows>,
    /// What the whole tick changed of anybody's rights; empty on every page but the first.
    pub fence: Fence,
    /// What changed between the tick and the moment of reading, which the rows already show.
    pub ahead: Option<Ahead>,
    /// Whether the tick ends with this page.
    pub last: bool,
    /// Where this node made the tick and has it whole: what others need to tell it and to go on behind it.
    pub made: Option<Box<Made>>,
}

/// Between which snapshots a tick lies that was read in the later one itself: no row of it is older or newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Of the tick before.
    pub follows: Snapshot,
    /// Its own.
    pub snapshot: Snapshot,
}

/// Changes of rights that belong to later ticks. They shut people out at once; the ticks themselves tell the rest.
#[derive(Debug)]
pub struct Ahead {
    pub fence: Fence,
    /// When each of them was written, by the number it has in the fence.
    pub at: Vec<DateTime<Utc>>,
}

impl Ahead {
    /// The change that has this number in the fence, where they stand in order.
    pub fn change(&self, number: u32) -> Option<&Change> {
        let at = self.fence.changes.binary_search_by_key(&number, |(has, _)| *has).ok()?;
        Some(&self.fence.changes[at].1)
    }

    /// When the change of this number was written.
    pub fn written(&self, number: u32) -> DateTime<Utc> {
        self.at.get(number as usize).or(self.at.last()).copied().unwrap_or_default()
    }
}

impl Batch {
    /// Says that what lies before `tick` can't be told: every socket has to come back and load its state anew.
    pub fn discontinuity(epoch: Epoch, tick: Tick) -> Self {
        let fence = Fence { changes: vec![(0, Change::Reset { table: String::new() })], rows: Arc::default() };
        Self {
            epoch,
            tick,
            entries: Vec::new(),
            poison: Vec::new(),
            rows: Arc::default(),
            fence,
            ahead: None,
            last: true,
            made: None,
        }
    }

    /// The position of an entry.
    pub fn cursor(&self, entry: &Entry) -> Cursor {
        Cursor { epoch: self.epoch, place: Place { tick: self.tick, ordinal: entry.ordinal, part: 0 }, held_from: None }
    }
}

/// The changes among `entries` that touch rights, with the rows that were read for all of them.
pub fn fence_of(entries: &[Entry], rows: &Arc<Rows>) -> Fence {
    let changes = entries.iter().filter(|entry| entry.change.touches_access());
    Fence { changes: changes.map(|entry| (entry.ordinal, entry.change.clone())).collect(), rows: Arc::clone(rows) }
}

/// Kinds that leave rights alone. Whatever is not among them may touch rights.
pub const HARMLESS: &[&str] = &[
    "post_created",
    "post_updated",
    "post_counted",
    "post_deleted",
    "vote_added",
    "vote_removed",
    "comment_created",
    "comment_updated",
    "comment_deleted",
];

/// Reads outbox rows in stream order. A poisonous row keeps its ordinal, so that every node counts alike. One that may have
/// been a change of rights becomes a reset: not knowing whom it shut out, every socket has to come back and be asked again.
///
/// `before` are the rows of the tick on earlier pages.
pub fn read(rows: &[OutboxRow], before: u32) -> (Vec<Entry>, Vec<ChangeError>) {
    let mut entries = Vec::with_capacity(rows.len());
    let mut poison = Vec::new();
    for (row, ordinal) in rows.iter().zip(before + 1..) {
        let change = match Change::try_from(row) {
            Ok(change) => Some(change),
            Err(error) => {
                poison.push(error);
                let harmless = HARMLESS.contains(&row.kind.as_str());
                (!harmless).then(|| Change::Reset { table: String::new() })
            }
        };
        entries.extend(change.map(|change| Entry { ordinal, at: row.at, change }));
    }
    (entries, poison)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, post_id: Option<i32>) -> OutboxRow {
        OutboxRow {
            seq: 1,
            at: DateTime::UNIX_EPOCH,
            kind: kind.into(),
            board_id: None,
            post_id,
            row_id: None,
            data: None,
        }
    }

    #[test]
    fn a_poisonous_row_is_set_aside_and_the_stream_goes_on() {
        let (entries, poison) =
            read(&[row("vote_added", Some(1)), row("vote_added", None), row("vote_added", Some(2))], 0);
        assert_eq!(entries.iter().map(|entry| entry.ordinal).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(poison.len(), 1);
    }

    #[test]
    fn a_poisonous_row_that_may_concern_rights_resets() {
        for kind in ["board_updated", "import_changed", "post_moved", "of_tomorrow"] {
            let (entries, poison) = read(&[row(kind, None)], 0);
            assert!(matches!(entries[0].change, Change::Reset { .. }), "{kind}");
            assert_eq!(poison.len(), 1);
        }
    }
}
