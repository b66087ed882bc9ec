//! Where communities changed their settings, flags among them: what was told before may have been kept back from their members, whatever
//! the flags say now.
//!
//! Which flags were set before is not in the outbox, so each change counts as one by which something was switched on.

use std::collections::HashMap;

use crate::ids::{CommunityId, Place};

/// Of so many communities at most each is remembered by itself.
const COMMUNITIES: usize = 10_000;

/// The newest change of each community.
#[derive(Debug, Default)]
pub(super) struct FlagChanges {
    of: HashMap<CommunityId, Place>,
    /// Of communities that are remembered no longer, being too many: taken for a change of every one.
    of_any: Option<Place>,
}

impl FlagChanges {
    /// At `place` a community changed its settings for the last time.
    pub(super) fn note(&mut self, community: &CommunityId, place: Place) {
        let is_full = self.of.len() >= COMMUNITIES;
        match self.of.get_mut(community) {
            Some(known) => *known = place,
            None if is_full => {
                let newest = self.of.drain().map(|(_, place)| place).max();
                self.of_any = self.of_any.max(newest).max(Some(place));
            }
            None => drop(self.of.insert(community.clone(), place)),
        }
    }

    /// Whether the community may have changed them behind `place`.
    pub(super) fn are_behind(&self, place: Place, community: &CommunityId) -> bool {
        self.of.get(community).copied().max(self.of_any) > Some(place)
    }

    /// Takes in what was noted before anything here was.
    pub(super) fn prepend(&mut self, older: Self) {
        self.of_any = self.of_any.max(older.of_any);
        for (community, place) in older.of {
            if !self.of.contains_key(&community) {
                self.note(&community, place);
            }
        }
    }

    /// Nobody asks any longer for what lies up to `floor`.
    pub(super) fn forget(&mut self, floor: Place) {
        self.of.retain(|_, place| *place > floor);
        self.of_any = self.of_any.filter(|place| *place > floor);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Tick;

    fn at(tick: i64) -> Place {
        Place::before(Tick(tick))
    }

    proptest! {
        /// Of a few communities, of which each change is known, in memory or in what is read again later.
        #[test]
        fn a_change_is_behind_every_cursor_before_it(
            all in prop::collection::vec(0..4_u8, 0..12), read_again in 0..12_usize, community in 0..4_u8, cursor in 0..12_i64,
        ) {
            let name = |community: &u8| CommunityId::from(format!("c{community}"));
            let noted = |range: &[u8], from: usize| {
                let mut changes = FlagChanges::default();
                for (tick, community) in (from as i64..).zip(range) {
                    changes.note(&name(community), at(tick));
                }
                changes
            };
            let (older, newer) = all.split_at(read_again.min(all.len()));
            let mut changes = noted(newer, older.len());
            changes.prepend(noted(older, 0));
            let last = all.iter().rposition(|of| *of == community);
            let expected = last.is_some_and(|last| last as i64 > cursor);
            prop_assert_eq!(changes.are_behind(at(cursor), &name(&community)), expected);
            changes.forget(at(cursor));
            prop_assert_eq!(changes.are_behind(at(cursor), &name(&community)), expected);
        }
    }

    #[test]
    fn what_is_too_much_to_remember_is_taken_for_a_change_of_everybody() {
        let mut changes = FlagChanges::default();
        for number in 0..=COMMUNITIES as i64 {
            changes.note(&format!("c{number}").into(), at(number));
            assert!(changes.of.len() <= COMMUNITIES);
        }
        let last = COMMUNITIES as i64;
        for community in ["c0", "c77", "nobody"] {
            assert!(changes.are_behind(at(last - 1), &community.into()), "{community}");
            assert!(!changes.are_behind(at(last), &community.into()), "{community}");
        }
    }
}
