//! Who is still to be told that a board opened to him, within the tick that is being told: in the order of telling, and by board and
//! socket, since each event for whoever may open a board asks of each socket.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use crate::{
    access::Permit,
    ids::{BoardId, SocketKey},
};

/// See the module. Bounded by sockets times boards that one tick opens.
#[derive(Debug, Default)]
pub(super) struct Grants {
    by_ordinal: BTreeMap<u32, Vec<(Permit, SocketKey)>>,
    /// Where each is told that has not been taken back.
    left: HashMap<(BoardId, SocketKey), Vec<u32>>,
}

impl Grants {
    /// Adds those of a page.
    pub(super) fn append(&mut self, more: BTreeMap<u32, Vec<(Permit, SocketKey)>>) {
        for (ordinal, grants) in more {
            for (permit, key) in &grants {
                self.left.entry((permit.board(), *key)).or_default().push(ordinal);
            }
            self.by_ordinal.entry(ordinal).or_default().extend(grants);
        }
    }

    /// Whether the socket is still to be told of the board.
    pub(super) fn is_left(&self, board: BoardId, key: SocketKey) -> bool {
        self.left.contains_key(&(board, key))
    }

    /// Those that are told at this ordinal.
    pub(super) fn take_at(&mut self, ordinal: u32) -> Vec<(Permit, SocketKey)> {
        let mut taken = self.by_ordinal.remove(&ordinal).unwrap_or_default();
        taken.retain(|(permit, key)| {
            let Entry::Occupied(mut entry) = self.left.entry((permit.board(), *key)) else { return false };
            let Some(at) = entry.get().iter().position(|at| *at == ordinal) else { return false };
            entry.get_mut().swap_remove(at);
            if entry.get().is_empty() {
                entry.remove();
            }
            true
        });
        taken
    }

    /// The socket is not told of the board after all; whether it would have been.
    pub(super) fn take(&mut self, board: BoardId, key: SocketKey) -> bool {
        self.left.remove(&(board, key)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        access::{BoardFacts, CommunityFacts, RoleRule, decide},
        actor::Actor,
        contract::Features,
    };

    fn permit(board: i32) -> Permit {
        let community = || "a".into();
        let actor = Actor {
            user: "ada".into(),
            community: community(),
            roles: BTreeSet::new(),
            admin: false,
            name: None,
            picture: None,
            device: None,
            expires_at: Default::default(),
        };
        let (board, rule) = (BoardId(board), RoleRule::Open);
        let facts = BoardFacts { board, community: Some(community()), rule: rule.clone(), importers: BTreeSet::new() };
        let all = CommunityFacts { community: community(), rule, features: Features::ALL_ON };
        decide(&actor, Some(&facts), Some(&all)).expect("an open board")
    }

    fn grants() -> Grants {
        let mut grants = Grants::default();
        let page =
            [(3, vec![(permit(1), SocketKey(1)), (permit(1), SocketKey(2))]), (5, vec![(permit(2), SocketKey(1))])];
        grants.append(page.into());
        grants
    }

    fn left(grants: &Grants) -> Vec<(i32, u64)> {
        let pairs = (1..3).flat_map(|board| (1..3).map(move |key| (board, key)));
        pairs.filter(|(board, key)| grants.is_left(BoardId(*board), SocketKey(*key))).collect()
    }

    #[test]
    fn each_is_left_until_it_is_told() {
        let mut grants = grants();
        assert_eq!(left(&grants), [(1, 1), (1, 2), (2, 1)]);
        assert_eq!(grants.take_at(3).len(), 2);
        assert_eq!(left(&grants), [(2, 1)]);
        assert_eq!((grants.take_at(3).len(), grants.take_at(4).len()), (0, 0));
        assert_eq!(grants.take_at(5).len(), 1);
        assert!(left(&grants).is_empty());
    }

    #[test]
    fn one_that_is_taken_back_is_not_told() {
        let mut grants = grants();
        assert!(grants.take(BoardId(1), SocketKey(1)));
        assert!(!grants.take(BoardId(1), SocketKey(1)));
        assert_eq!(left(&grants), [(1, 2), (2, 1)]);
        assert_eq!(grants.take_at(3).iter().map(|(_, key)| *key).collect::<Vec<_>>(), [SocketKey(2)]);
    }

    #[test]
    fn one_that_two_pages_hold_is_left_until_the_later_is_told() {
        let mut grants = grants();
        grants.append([(7, vec![(permit(1), SocketKey(1))])].into());
        grants.take_at(3);
        assert_eq!(left(&grants), [(1, 1), (2, 1)]);
        assert!(grants.take(BoardId(1), SocketKey(1)));
        assert!(grants.take_at(7).is_empty());
    }
}
