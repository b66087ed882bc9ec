//! One tick as it is handed to the dispatcher: its changes in order, the rows they need, and what it changed of rights.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::{
    change::{Change, ChangeError, OutboxRow},
    event::Rows,
    fence::Fence,
    ids::{Cursor, Epoch, Tick},
};

/// A change at its place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// From 1 within the tick.
    pub ordinal: u32,
    /// When the row was written.
    pub at: DateTime<Utc>,
    pub change: Change,
}

/// What one tick holds.
#[derive(Debug)]
pub struct Batch {
    pub epoch: Epoch,
    pub tick: Tick,
    pub entries: Vec<Entry>,
    /// Rows that could not be understood and were set aside.
    pub poison: Vec<ChangeError>,
    /// Read in the snapshot of this tick.
    pub rows: Arc<Rows>,
}

impl Batch {
    /// The position of an entry.
    pub fn cursor(&self, entry: &Entry) -> Cursor {
        Cursor { epoch: self.epoch, tick: self.tick, ordinal: entry.ordinal, held_from: None }
    }

    /// What the tick changed of anybody's rights.
    pub fn fence(&self) -> Fence {
        let changes = self.entries.iter().filter(|entry| entry.change.touches_access());
        Fence {
            changes: changes.map(|entry| (entry.ordinal, entry.change.clone())).collect(),
            rows: Arc::clone(&self.rows),
        }
    }
}

/// Reads outbox rows in stream order. A poisonous row keeps its ordinal, so that every node counts alike. One that may have
/// been a change of rights becomes a reset: not knowing whom it shut out, every socket has to come back and be asked again.
pub fn read(rows: &[OutboxRow]) -> (Vec<Entry>, Vec<ChangeError>) {
    let mut entries = Vec::with_capacity(rows.len());
    let mut poison = Vec::new();
    for (row, ordinal) in rows.iter().zip(1..) {
        let change = match Change::try_from(row) {
            Ok(change) => Some(change),
            Err(error) => {
                poison.push(error);
                may_touch_access(&row.kind).then(|| Change::Reset { table: String::new() })
            }
        };
        entries.extend(change.map(|change| Entry { ordinal, at: row.at, change }));
    }
    (entries, poison)
}

/// Whatever is not known to leave rights alone may touch them.
fn may_touch_access(kind: &str) -> bool {
    const HARMLESS: &[&str] = &["post_created", "post_updated", "post_counted", "post_deleted"];
    !(HARMLESS.contains(&kind) || kind.starts_with("vote_") || kind.starts_with("comment_"))
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
            read(&[row("vote_added", Some(1)), row("vote_added", None), row("vote_added", Some(2))]);
        assert_eq!(entries.iter().map(|entry| entry.ordinal).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(poison.len(), 1);
    }

    #[test]
    fn a_poisonous_row_that_may_concern_rights_resets() {
        for kind in ["board_updated", "import_changed", "post_moved", "of_tomorrow"] {
            let (entries, poison) = read(&[row(kind, None)]);
            assert!(matches!(entries[0].change, Change::Reset { .. }), "{kind}");
            assert_eq!(poison.len(), 1);
        }
    }
}
