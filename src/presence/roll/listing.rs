//! Who is in a scope, as it is shown: what this node has said and not heard back is in it already.

use std::collections::BTreeSet;

use super::{Roll, viewer};
use crate::{
    contract::{Present, Viewer},
    ids::{BoardId, NodeId, UserId},
    presence::{Scope, Stay},
};

impl Roll {
    /// How many are here.
    pub(in crate::presence) fn count(&self, me: NodeId) -> usize {
        let more = self.unheard.keys().filter(|user| !self.members.has(user) && self.has(me, user)).count();
        let fewer = self.unheard.keys().filter(|user| self.members.has(user) && !self.has(me, user)).count();
        self.members.len() + more - fewer
    }

    /// The first `at_most`, by user id; of a community's members with the first board of each that `shows`.
    pub(in crate::presence) fn list(
        &self,
        me: NodeId,
        scope: &Scope,
        at_most: usize,
        shows: impl Fn(BoardId) -> bool,
    ) -> Vec<Present> {
        let mut members = self.members.users().map(|(user, _)| user).peekable();
        let mut unheard = self.unheard.keys().peekable();
        let mut listed = Vec::new();
        while listed.len() < at_most {
            let user = match (members.peek(), unheard.peek()) {
                (Some(member), Some(other)) if member < other => members.next(),
                (Some(member), Some(other)) if member == other => {
                    unheard.next();
                    members.next()
                }
                (_, Some(_)) => unheard.next(),
                (_, None) => members.next(),
            };
            let Some(user) = user else { break };
            let stays: Vec<&Stay> = self.stays(me, user).collect();
            if !stays.is_empty() {
                listed.push(present(user, &stays, scope, &shows));
            }
        }
        listed
    }
}

/// One user, by his stays on all nodes; at least one.
pub(in crate::presence) fn present(
    user: &UserId,
    stays: &[&Stay],
    scope: &Scope,
    shows: impl Fn(BoardId) -> bool,
) -> Present {
    let devices: BTreeSet<_> = stays.iter().flat_map(|stay| &stay.devices).collect();
    let nameless = stays.iter().map(|stay| stay.nameless).fold(0, u32::saturating_add);
    let Viewer { user_id, user_name, avatar_url } = viewer(user, stays.first().copied());
    let board_id = match scope {
        Scope::Board(board) => Some(*board),
        Scope::Community(_) => stays.iter().flat_map(|stay| &stay.boards).copied().find(|board| shows(*board)),
    };
    let devices = u32::try_from(devices.len()).unwrap_or(u32::MAX).saturating_add(nameless);
    Present { user_id, user_name, avatar_url, devices, board_id }
}
