//! The users of one scope, each with his stay on every node that has him, and how many each node has.
//!
//! Invariant: nobody is in it whom no node has, and the counts are those of the stays.

use std::collections::{BTreeMap, btree_map::Entry};

use super::Stay;
use crate::{
    circle::Members,
    ids::{NodeId, UserId},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: Members,
    /// Users of each node that has any.
    nodes: BTreeMap<NodeId, usize>,
}

impl Roster {
    /// The stay, if it is the first of its user on this node.
    pub(super) fn insert(&mut self, user: UserId, node: NodeId, stay: Stay) {
        if self.members.entry(user).or_default().insert(node, stay).is_none() {
            *self.nodes.entry(node).or_default() += 1;
        }
    }

    /// Takes away how the user was on the node, if he was.
    pub(super) fn remove(&mut self, user: &UserId, node: NodeId) -> Option<Stay> {
        let stays = self.members.get_mut(user)?;
        let stay = stays.remove(&node)?;
        if stays.is_empty() {
            self.members.remove(user);
        }
        if let Entry::Occupied(mut count) = self.nodes.entry(node) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(stay)
    }

    /// The user's stays; at least one.
    pub(super) fn get(&self, user: &UserId) -> Option<&BTreeMap<NodeId, Stay>> {
        self.members.get(user)
    }

    /// Whether any node has him.
    pub(super) fn has(&self, user: &UserId) -> bool {
        self.members.contains_key(user)
    }

    /// Everybody, by user id.
    pub(super) fn users(&self) -> impl Iterator<Item = (&UserId, &BTreeMap<NodeId, Stay>)> {
        self.members.iter()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Every node that has somebody here.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// Whom the node has, by user id; who has nobody is not looked for.
    pub(super) fn of_node(&self, node: NodeId) -> impl Iterator<Item = &UserId> {
        let members = self.nodes.contains_key(&node).then_some(&self.members);
        members.into_iter().flatten().filter(move |(_, stays)| stays.contains_key(&node)).map(|(user, _)| user)
    }

    /// Whether the node has anybody.
    pub(super) fn has_node(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }
}

impl From<Members> for Roster {
    fn from(mut members: Members) -> Self {
        members.retain(|_, stays| !stays.is_empty());
        let mut nodes = BTreeMap::new();
        for node in members.values().flat_map(BTreeMap::keys) {
            *nodes.entry(*node).or_default() += 1;
        }
        Self { members, nodes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_node_is_counted_by_its_stays(
            steps in prop::collection::vec((0u64..3, 0usize..4, any::<bool>()), 0..60),
            again in 0usize..60,
        ) {
            let mut roster = Roster::default();
            for (nth, (node, user, comes)) in steps.into_iter().enumerate() {
                let (node, user) = (NodeId(node), UserId::from(format!("user {user}")));
                if comes {
                    roster.insert(user, node, Stay::default());
                } else {
                    let was = roster.get(&user).is_some_and(|stays| stays.contains_key(&node));
                    prop_assert_eq!(roster.remove(&user, node).is_some(), was);
                }
                if nth == again {
                    roster = Roster::from(std::mem::take(&mut roster.members));
                }
                let counted: BTreeMap<NodeId, usize> =
                    (0..3).map(NodeId).map(|node| (node, roster.of_node(node).count())).filter(|(_, n)| *n > 0).collect();
                prop_assert_eq!(&roster.nodes, &counted);
                prop_assert!(roster.members.values().all(|stays| !stays.is_empty()));
            }
        }
    }
}
