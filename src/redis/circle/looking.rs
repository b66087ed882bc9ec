//! What a node has to look at, to keep and to read again with each beat: a part at a time, however much it is, so that no beat waits for it.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
};

use redis::Value;

use super::{Circle, LEASE, PARTS};
use crate::{
    circle::Heard,
    ids::UserId,
    presence::Scope,
    redis::{link::LinkError, question::Question},
};

/// Scopes that are looked at in one round trip: of each the answer is short.
const LOOKED_AT: usize = 64;
/// Users of whom something is kept in the same. Both together are some 30 kB, which a connection may hold on a long way.
const KEPT: usize = 160;
/// Scopes that are read in one.
const READ: usize = 16;

/// What waits, each once, in the order in which it came.
#[derive(Debug)]
struct Once<T> {
    order: VecDeque<T>,
    waiting: HashSet<T>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), waiting: HashSet::new() }
    }
}

impl<T: Clone + Eq + Hash> Once<T> {
    fn extend(&mut self, more: impl IntoIterator<Item = T>) {
        let waiting = &mut self.waiting;
        self.order.extend(more.into_iter().filter(|one| waiting.insert(one.clone())));
    }

    /// It waits no longer.
    fn remove(&mut self, one: &T) {
        self.waiting.remove(one);
    }

    fn take(&mut self, at_most: usize) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < at_most
            && let Some(one) = self.order.pop_front()
        {
            if self.waiting.remove(&one) {
                taken.push(one);
            }
        }
        taken
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// No more than there is: of each at most one.
#[derive(Debug, Default)]
pub(super) struct Looking {
    looks: Once<Scope>,
    keeps: Once<UserId>,
    reads: Once<Scope>,
}

impl Circle {
    /// Another beat, with what is to be looked at and kept of it.
    pub fn begin(&mut self, beats: usize) {
        let (due, users) = (self.due(beats), self.current.of_part(beats % PARTS, PARTS));
        self.looking.looks.extend(due);
        self.begin_keeping(users);
    }

    /// What is lost is to be read anew.
    pub fn begin_reading(&mut self) {
        self.looking.reads.extend(self.lost.keys().cloned());
    }

    /// A scope was read: what was published before may be on its way, as it is not any more behind the next beat, which pings there.
    pub(super) fn was_read(&mut self, scope: &Scope) {
        self.looking.looks.remove(scope);
    }

    /// These users' seats are to be kept, or said where they are not.
    pub(super) fn begin_keeping(&mut self, users: impl IntoIterator<Item = UserId>) {
        self.looking.keeps.extend(users);
    }

    /// Whether there is anything left to look at.
    pub fn has_to_look(&self) -> bool {
        !self.looking.looks.is_empty()
    }

    /// Whether there is anything left to keep.
    pub fn has_to_keep(&self) -> bool {
        !self.looking.keeps.is_empty()
    }

    /// Whether anything is left to read.
    pub fn has_to_read(&self) -> bool {
        !self.looking.reads.is_empty()
    }

    /// The next part of what is to be looked at and kept.
    pub async fn look(&mut self, is_heard: bool) -> Result<Vec<Heard>, LinkError> {
        let mut scopes = self.looking.looks.take(LOOKED_AT);
        // Meanwhile it may be minded no longer, or lost.
        scopes.retain(|scope| self.is_watched(scope) && !self.lost.contains_key(scope));
        let users = self.looking.keeps.take(KEPT);
        let looks = scopes.iter().map(|scope| self.standing(&self.key(scope)));
        // By now one of them may sit nowhere.
        let keeps = users.iter().filter_map(|user| self.current.keep(user));
        let questions: Vec<Question> = looks.chain(keeps).collect();
        let mut answers = self.ask_each::<Value>(&questions).await?.into_iter();
        let stands = self.stand(&scopes, answers.by_ref(), is_heard)?;
        for answer in answers {
            self.passed(answer)?;
        }
        Ok(stands)
    }

    /// Reads the next of what is lost.
    pub async fn read_lost(&mut self) -> Result<Vec<Heard>, LinkError> {
        let mut scopes = self.looking.reads.take(READ);
        scopes.retain(|scope| self.lost.contains_key(scope));
        self.read(scopes).await
    }

    /// However long something takes, this node is not taken for dead meanwhile. Whether it was is told with the next beat.
    pub(super) async fn go_on_living(&mut self) -> Result<(), LinkError> {
        if self.beaten.elapsed() >= LEASE / 5
            && let Ok(beat) = self.beat(LEASE).await?
        {
            self.was_dead |= !beat.lived;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_already_is_not_taken_twice_and_what_came_first_comes_first() {
        let mut once = Once::default();
        once.extend([3, 1, 2]);
        assert_eq!(once.take(1), [3]);
        once.extend([2, 3, 1, 4]);
        assert_eq!((once.take(2), once.take(9)), (vec![1, 2], vec![3, 4]));
        once.extend([5, 6]);
        once.remove(&5);
        assert_eq!(once.take(1), [6]);
        assert!(once.is_empty() && once.waiting.is_empty());
    }
}
