//! Who is in one scope, on any node: what every node keeps of it, from the same words in the same order.
//!
//! Invariants:
//! - a word is taken only behind the one it follows; a node that missed one knows the scope no longer until it is read anew;
//! - words are counted upwards. Where a count that was passed comes again, in a word, a look or a reading, the latest words were lost
//!   there, and what it says from then on are others: it is read anew, and whom it no longer names may only have been forgotten;
//! - of a user a coming is told exactly when no node had him, a going exactly when none has him any longer, whether that shows by a word
//!   or by reading anew;
//! - what this node has said and not heard back yet is in every list already.

mod listing;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

pub(super) use self::listing::present;
use super::{Stay, roster::Roster};
use crate::{
    circle::{Members, Said, Stamp},
    contract::Viewer,
    ids::{NodeId, UserId},
};

/// Somebody came or went.
pub(super) type Passed = (bool, Viewer);

/// A word was missed: the scope has to be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missed;

/// What is heard while the scope is being read, at most.
const EARLY: usize = 1_024;

/// Of a scope that lost its memory so many beats pass before who was not named again has gone.
pub const SAID_AGAIN: u8 = 4;

/// For so many beats it is minded that this node took somebody back: were that word lost, a look would show it by then, and nobody else takes
/// him back.
const MINDED: u8 = 5;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Roll {
    members: Roster,
    /// `None` while it is not known.
    stamp: Option<Stamp>,
    /// Where it stood when it was last known.
    last: Option<Stamp>,
    /// No word up to here can come again, since it was read.
    heard: Option<Stamp>,
    /// No look can find it before this.
    looked: Option<Stamp>,
    /// Found to have lost its latest words, and not read since.
    went_back: bool,
    /// Said by this node and not heard back, with its number.
    unheard: BTreeMap<UserId, (u64, Option<Stay>)>,
    /// Whether there was any of it when it came to be not known, which may stand there.
    may_stand: bool,
    /// Heard while it was not known: what follows what is read then is news.
    early: Vec<(NodeId, Stamp, Vec<Said>)>,
    /// Where others stood when it was last asked, if that was elsewhere; what leads there may be on its way.
    behind: Option<Stamp>,
    /// Whom a place that lost its memory no longer names, by the nodes that had them: these have to say so again, or he has gone.
    forgotten: BTreeSet<(UserId, NodeId)>,
    /// How many beats have passed since.
    beats: u8,
    /// For how many it is still minded that this node took somebody back.
    minded: u8,
    /// Whether it was found that it can't be read; then it is tried again by and by.
    pub(super) is_lost: bool,
    /// Whether anybody was told of its members, or answered while they were not known.
    pub(super) shown: bool,
}

impl Roll {
    pub(super) fn is_known(&self) -> bool {
        self.stamp.is_some()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is_known() && self.unheard.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.len() == 0
    }

    /// Somebody was answered: what he does not know has to be told.
    pub(super) fn show(&mut self) {
        self.shown = true;
    }

    /// Where it is known to have stood; the latest of it may have been lost there.
    pub(super) fn known(&self) -> Option<Stamp> {
        let last = self.stamp.or(self.last)?;
        Some(if self.went_back { last.and_all() } else { last })
    }

    /// It is not known any longer; who was told is remembered.
    pub(super) fn lose(&mut self) {
        self.last = self.stamp.take().or(self.last);
        self.behind = None;
        self.is_lost = false;
        self.may_stand |= !self.unheard.is_empty();
        self.unheard.clear();
        self.early.clear();
    }

    /// Nobody can say anything at the moment: whoever has to say again that somebody is here has the time to from then on.
    pub(super) fn cut_off(&mut self) {
        self.lose();
        self.beats = 0;
    }

    /// The latest that this node has said of a user.
    pub(super) fn own<'a>(&'a self, me: NodeId, user: &UserId) -> Option<&'a Stay> {
        match self.unheard.get(user) {
            Some((_, stay)) => stay.as_ref(),
            None => self.members.get(user)?.get(&me),
        }
    }

    /// Whether it stands otherwise there, or no longer.
    pub(super) fn is_news(&self, me: NodeId, said: &Said) -> bool {
        let is_forgotten = !self.unheard.contains_key(&said.user) && self.forgotten.contains(&(said.user.clone(), me));
        is_forgotten || self.own(me, &said.user) != said.stay.as_ref()
    }

    /// This node says something.
    pub(super) fn say(&mut self, said: &Said) {
        self.unheard.insert(said.user.clone(), (said.nth, said.stay.clone()));
    }

    /// Takes what the only node says.
    pub(super) fn alone(&mut self, me: NodeId, said: Said) -> Vec<Passed> {
        self.apply(me, me, said).into_iter().collect()
    }

    /// Takes what `node` said, where it follows what was heard before.
    pub(super) fn hear(
        &mut self,
        me: NodeId,
        node: NodeId,
        stamp: Stamp,
        said: Vec<Said>,
    ) -> Result<Vec<Passed>, Missed> {
        self.went_back |= self.heard.is_some_and(|heard| stamp.is_in(heard));
        match self.stamp {
            Some(before) if stamp.follows(before) => {}
            Some(before) if stamp.is_in(before) && !self.went_back => {
                self.heard = Some(stamp);
                return Ok(Vec::new());
            }
            None => {
                if self.early.len() < EARLY {
                    self.early.push((node, stamp, said));
                }
                return Ok(Vec::new());
            }
            Some(_) => return Err(self.miss()),
        }
        Ok(self.take(me, node, stamp, said))
    }

    /// It was read, with all that was said up to `stamp`. What differs from what was told before is told, unless nobody was told
    /// anything yet. What lost words is taken once it is counted anew: so nobody who knows of them takes it for what it was.
    pub(super) fn read(&mut self, me: NodeId, stamp: Stamp, members: Members) -> Result<Vec<Passed>, Missed> {
        let last = self.stamp.or(self.last);
        self.went_back |= last.is_some_and(|last| stamp.is_before(last));
        let has_forgotten = last.is_some_and(|last| stamp.generation != last.generation);
        if self.went_back && !has_forgotten {
            return Err(self.miss());
        }
        self.went_back = false;
        let mut early = mem::take(&mut self.early);
        if has_forgotten {
            // These may be among what it forgot.
            early.clear();
        }
        let mut passed = self.replace(stamp, members, has_forgotten);
        for (node, stamp, said) in early {
            // What does not follow was read already, or is missed by the next that does not either.
            if self.stamp.is_some_and(|before| stamp.follows(before)) {
                passed.extend(self.take(me, node, stamp, said));
            }
        }
        Ok(passed)
    }

    fn miss(&mut self) -> Missed {
        self.lose();
        Missed
    }

    fn replace(&mut self, stamp: Stamp, members: Members, has_forgotten: bool) -> Vec<Passed> {
        let before = mem::replace(&mut self.members, members.into());
        (self.stamp, self.behind, self.is_lost) = (Some(stamp), None, false);
        // Words that are in it already may still be on their way.
        (self.looked, self.heard, self.may_stand) = (Some(stamp), None, false);
        if has_forgotten {
            self.beats = 0;
            self.forgotten.clear();
            for (user, stays) in before.users() {
                for (node, stay) in stays {
                    if !self.members.get(user).is_some_and(|stays| stays.contains_key(node)) {
                        self.forgotten.insert((user.clone(), *node));
                        self.members.insert(user.clone(), *node, stay.clone());
                    }
                }
            }
        } else {
            let members = &mut self.members;
            self.forgotten.retain(|(user, node)| {
                let again = members.get(user).is_some_and(|stays| stays.contains_key(node));
                if let Some(stay) = before.get(user).and_then(|stays| stays.get(node)).filter(|_| !again) {
                    members.insert(user.clone(), *node, stay.clone());
                }
                !again
            });
        }
        if !mem::replace(&mut self.shown, true) {
            return Vec::new();
        }
        let went = before.users().filter(|(user, _)| !self.members.has(user)).map(|of| (false, of));
        let came = self.members.users().filter(|(user, _)| !before.has(user)).map(|of| (true, of));
        went.chain(came).map(|(came, (user, stays))| (came, viewer(user, stays.values().next()))).collect()
    }

    /// That it stands where the others do, or does by now where they did when it was last asked. It does not where they no longer
    /// stand where it did by then.
    pub(super) fn stands_at(&mut self, stamp: Stamp) -> Result<(), Missed> {
        let Some(stands) = self.stamp else { return Ok(()) };
        let was_missed = self.behind.is_some_and(|before| !before.is_in(stands));
        self.went_back |= self.looked.is_some_and(|looked| stamp.is_before(looked));
        self.behind = (!stamp.is_in(stands)).then_some(stamp);
        // Whatever was on its way when it was asked has been heard.
        (self.looked, self.heard) = (Some(stands), Some(stands));
        if was_missed || self.went_back { Err(self.miss()) } else { Ok(()) }
    }

    /// Another beat: whoever was forgotten has gone if his node has not said again that he is here although it had the time to.
    pub(super) fn beat(&mut self, me: NodeId) -> Vec<Passed> {
        self.minded = self.minded.saturating_sub(1);
        if self.forgotten.is_empty() {
            return Vec::new();
        }
        self.beats = self.beats.saturating_add(1);
        // Of what is not known, or not all that was said of it, nobody can tell who has not said again that he is here.
        let knows_all = self.is_known() && self.behind.is_none();
        if self.beats < SAID_AGAIN || !knows_all { Vec::new() } else { self.give_up(me, |_| true) }
    }

    /// Whoever was forgotten and whose node has died: nobody will say again that he is here, nor hear that he is not.
    pub(super) fn bury(&mut self, me: NodeId, dead: NodeId) -> Vec<Passed> {
        self.give_up(me, |node| node == dead)
    }

    fn give_up(&mut self, me: NodeId, is_over: impl Fn(NodeId) -> bool) -> Vec<Passed> {
        // What this node said it says again itself.
        let is_over = |(_, node): &(UserId, NodeId)| *node != me && is_over(*node);
        let gone: Vec<_> = self.forgotten.extract_if(.., is_over).collect();
        gone.into_iter().filter_map(|(user, node)| self.apply(me, node, Said { user, stay: None, nth: 0 })).collect()
    }

    /// Whether nothing of this node stands in it, nor is on its way, whether it is known or not.
    pub(super) fn is_without(&self, me: NodeId) -> bool {
        self.unheard.is_empty() && !self.may_stand && !self.members.has_node(me) && self.minded == 0
    }

    /// The users of each node.
    pub(super) fn of_node(&self, node: NodeId) -> impl Iterator<Item = &UserId> {
        self.members.of_node(node)
    }

    /// Every node that has somebody here.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.members.nodes()
    }

    /// Everybody of whom this node has said that he is here.
    pub(super) fn said_by(&self, me: NodeId) -> Vec<UserId> {
        self.of_node(me).cloned().collect()
    }

    fn take(&mut self, me: NodeId, node: NodeId, stamp: Stamp, said: Vec<Said>) -> Vec<Passed> {
        (self.stamp, self.heard) = (Some(stamp), Some(stamp));
        said.into_iter().filter_map(|said| self.apply(me, node, said)).collect()
    }

    fn apply(&mut self, me: NodeId, node: NodeId, Said { user, stay, nth }: Said) -> Option<Passed> {
        if node == me && self.unheard.get(&user).is_some_and(|(latest, _)| *latest == nth) {
            self.unheard.remove(&user);
        }
        self.forgotten.remove(&(user.clone(), node));
        let was_here = self.members.has(&user);
        let gone = match stay {
            Some(stay) => {
                self.members.insert(user.clone(), node, stay);
                None
            }
            None => {
                if node == me {
                    self.minded = MINDED;
                }
                self.members.remove(&user, node)
            }
        };
        self.shown = true;
        match (was_here, self.members.get(&user)) {
            (false, Some(stays)) => Some((true, viewer(&user, stays.values().next()))),
            (true, None) => Some((false, viewer(&user, gone.as_ref()))),
            _ => None,
        }
    }

    pub(super) fn has(&self, me: NodeId, user: &UserId) -> bool {
        self.stays(me, user).next().is_some()
    }

    /// On each node, this one's as it said last.
    fn stays<'a>(&'a self, me: NodeId, user: &'a UserId) -> impl Iterator<Item = &'a Stay> {
        let others = self.members.get(user).into_iter().flatten().filter(move |(node, _)| **node != me);
        self.own(me, user).into_iter().chain(others.map(|(_, stay)| stay))
    }
}

fn viewer(user: &UserId, stay: Option<&Stay>) -> Viewer {
    Viewer {
        user_id: user.clone(),
        user_name: stay.and_then(|stay| stay.user_name.clone()),
        avatar_url: stay.and_then(|stay| stay.avatar_url.clone()),
    }
}
