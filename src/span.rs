//! How long something did not change: what lets a fact that was read at one position count at another.

use crate::ids::{Epoch, Tick};

/// From behind tick `since` up to and with tick `upto` nothing changed it, as far as whoever says so has followed the stream.
///
/// Two spans that meet are of the same state: what one found, the other would have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub epoch: Epoch,
    /// As this tick left it. What was before is not known, or was different.
    pub since: Tick,
    /// The last tick that was looked at.
    pub upto: Tick,
}

impl Span {
    /// Whether a fact that held for this long is as a node finds it whose own span is `here`: nothing lies between that either has
    /// not seen. A fact of later ticks counts where whoever read it had followed it since before.
    pub fn meets(&self, here: &Self) -> bool {
        self.epoch == here.epoch && self.since <= here.upto && here.since <= self.upto
    }

    /// For how long a fact held that was asked for when the node's span was `before` and had come when it was `after`. None where it
    /// changed meanwhile: then it may be of either state.
    pub fn of_reading(before: &Self, after: &Self) -> Option<Self> {
        ((before.epoch, before.since) == (after.epoch, after.since)).then_some(*after)
    }
}

#[cfg(test)]
mod tests;
