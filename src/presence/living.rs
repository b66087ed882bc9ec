//! Which other nodes live, by what is heard of them.
//!
//! Invariants:
//! - dead is who was missing twice when it was said who lives, and said nothing himself meanwhile: a node that has just begun may be heard
//!   before it is told that it lives;
//! - that he is, is known of everybody who ever lived, whatever was known meanwhile of where his people were: where it is read only
//!   afterwards, he has not to be missing again;
//! - nobody is remembered for longer than what he said can stand anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use crate::ids::NodeId;

/// So many beats later nothing names a node that has died.
pub const REMEMBERED: u8 = 20;
/// So often he is missing.
const DEAD: u8 = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Living {
    /// When it was last said.
    lived: BTreeSet<NodeId>,
    /// How often each was missing since he lived.
    missing: BTreeMap<NodeId, u8>,
}

impl Living {
    /// These live; who of those that are `named` somewhere has died.
    pub(super) fn beat(&mut self, me: NodeId, living: BTreeSet<NodeId>, named: BTreeSet<NodeId>) -> Vec<NodeId> {
        let before = mem::replace(&mut self.lived, living);
        for node in before.into_iter().chain(named.iter().copied()).filter(|node| *node != me) {
            self.missing.entry(node).or_default();
        }
        self.missing.retain(|node, beats| {
            *beats = beats.saturating_add(1);
            !self.lived.contains(node) && (*beats <= REMEMBERED || named.contains(node))
        });
        let is_dead = |node: &NodeId| self.missing.get(node).is_some_and(|beats| *beats >= DEAD);
        named.into_iter().filter(is_dead).collect()
    }

    /// The node has said something: it lived by then.
    pub(super) fn said(&mut self, node: NodeId) {
        self.missing.remove(&node);
        self.lived.insert(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn beat(living: &mut Living, lives: &[NodeId], named: &[NodeId]) -> Vec<NodeId> {
        living.beat(ME, lives.iter().copied().collect(), named.iter().copied().collect())
    }

    #[test]
    fn whoever_lived_and_was_missing_twice_is_dead_wherever_he_is_named_later() {
        let mut living = Living::default();
        assert_eq!(beat(&mut living, &[ME, OTHER], &[]), []);
        for _ in 0..5 {
            assert_eq!(beat(&mut living, &[ME], &[]), []);
        }
        assert_eq!(beat(&mut living, &[ME], &[OTHER]), [OTHER]);
        assert_eq!(beat(&mut living, &[ME, OTHER], &[OTHER]), [], "he is back");
        assert_eq!(beat(&mut living, &[ME], &[OTHER]), []);
    }

    #[test]
    fn whoever_is_named_and_never_lived_is_dead_at_the_second_beat_and_this_node_never() {
        let mut living = Living::default();
        assert_eq!(beat(&mut living, &[ME], &[ME, OTHER]), []);
        assert_eq!(beat(&mut living, &[], &[ME, OTHER]), [OTHER]);
    }

    #[test]
    fn whoever_says_something_has_to_be_missing_twice_again() {
        let mut living = Living::default();
        for _ in 0..3 {
            beat(&mut living, &[ME], &[OTHER]);
        }
        living.said(OTHER);
        assert_eq!(beat(&mut living, &[ME], &[OTHER]), [], "he may have begun since it was said");
        assert_eq!(beat(&mut living, &[ME], &[OTHER]), [OTHER]);
    }

    #[test]
    fn nobody_is_remembered_for_ever_but_who_is_named() {
        let mut living = Living::default();
        beat(&mut living, &[ME, OTHER, NodeId(3)], &[]);
        for _ in 0..=REMEMBERED {
            beat(&mut living, &[ME], &[OTHER]);
        }
        assert_eq!(living.missing.keys().copied().collect::<Vec<_>>(), [OTHER]);
        beat(&mut living, &[ME], &[]);
        assert!(living.missing.is_empty());
    }
}
