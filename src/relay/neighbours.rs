//! Whether another database is followed below the same prefix: its people would be taken for ours.
//!
//! Each node that leads says now and then which epoch it does, and all hear it. Where two epochs go on being led side by side they are of two
//! databases; when one database begins an epoch its old one is led no longer.

use std::time::Duration;

use tokio::time::Instant;

use crate::ids::Epoch;

/// How often a leading node says its epoch.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// The change of all nodes to a new epoch takes less.
const SURE_AFTER: Duration = Duration::from_secs(10);
/// Whoever says nothing for so long is there no longer.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    ours: Option<Instant>,
    /// Since when, and when last.
    others: Option<(Instant, Instant)>,
}

impl Neighbours {
    /// An epoch is led, and we follow `own`.
    pub(super) fn hear(&mut self, led: Epoch, own: Epoch) {
        let now = Instant::now();
        if led == own {
            self.ours = Some(now);
        } else {
            let since = self.others.filter(|(_, last)| is_recent(*last)).map_or(now, |(since, _)| since);
            self.others = Some((since, now));
        }
    }

    /// Whether they are there beside us.
    pub(super) fn are_there(&self) -> bool {
        let others = self.others.is_some_and(|(since, last)| last - since >= SURE_AFTER && is_recent(last));
        others && self.ours.is_some_and(is_recent)
    }
}

fn is_recent(heard: Instant) -> bool {
    heard.elapsed() < GONE_AFTER
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const OURS: Epoch = Epoch(1);
    const NEXT: Epoch = Epoch(2);

    #[tokio::test(start_paused = true)]
    async fn two_epochs_that_are_led_side_by_side_are_of_two_databases() {
        let mut neighbours = Neighbours::default();
        for second in 0..=20 {
            neighbours.hear(OURS, OURS);
            neighbours.hear(NEXT, OURS);
            assert_eq!(neighbours.are_there(), second >= SURE_AFTER.as_secs(), "{second}");
            advance(EVERY).await;
        }
        for _ in 0..=GONE_AFTER.as_secs() {
            neighbours.hear(OURS, OURS);
            advance(EVERY).await;
        }
        assert!(!neighbours.are_there(), "they are gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_epoch_is_no_other_database_also_where_this_node_stays_behind() {
        let mut neighbours = Neighbours::default();
        neighbours.hear(OURS, OURS);
        for _ in 0..30 {
            neighbours.hear(NEXT, OURS);
            assert!(!neighbours.are_there());
            advance(EVERY).await;
        }
    }
}
