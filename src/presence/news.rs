//! What is still to be told of comings and goings, so that a crowd that comes back at once does not drown what was committed: each of
//! them concerns all the others, so what there is to tell grows with the square of their number.
//!
//! Invariants:
//! - of a user and a place at most one thing waits: a coming and a going that were both not told yet are none, unless somebody was
//!   shown a list in between: he has to be told the latter, and so is everybody;
//! - what waits is told as soon as what was told before it has been paid for: by its frames, or by twice the time that telling it took where
//!   that is more, so that half the time is left for everything else. As long as nothing had to wait, in the order in which it
//!   happened; else the places take turns, each paying for its own, so that the crowd of one is waited for in no other; and where somebody is still
//!   shown who went comes before who is not shown yet;
//! - a place is forgotten once nothing waits there and the others have caught up with what it had.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use super::{Notice, Scope};
use crate::ids::UserId;

/// So much is told at once before anything has to wait.
const CREDIT: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct News {
    /// What one frame costs.
    frame: Duration,
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<Scope, Place>,
    /// Where something waits, by how much was told there, and since when something waits.
    turns: BTreeSet<(u64, u64, Scope)>,
    /// Where nothing does.
    idle: BTreeSet<(u64, Scope)>,
    /// How much had been told where it is the turn.
    turn: u64,
    /// Something had to wait, and not all has been told since.
    is_behind: bool,
    next: u64,
    /// When all that was told has been paid for.
    paid: Duration,
}

/// Where something waits, or was told.
#[derive(Debug, Default)]
struct Place {
    numbers: HashMap<UserId, u64>,
    goings: BTreeSet<u64>,
    comings: BTreeSet<u64>,
    /// Up to where what waits was in a list that was shown.
    listed: u64,
    /// Frames that were told, counted from where the others stood when it began.
    told: u64,
    /// Since when it has its turn.
    since: u64,
}

#[derive(Debug)]
struct Waiting {
    notice: Notice,
    /// Whether somebody saw in a list what it undoes.
    stays: bool,
    since: Duration,
}

/// What is to be told now.
#[derive(Debug, PartialEq, Eq)]
pub struct Due {
    pub notice: Notice,
    /// How long it has waited.
    pub waited: Duration,
}

impl News {
    /// Nothing; so many frames are told a second.
    pub fn at(frames_a_second: u32) -> Self {
        let (waiting, places) = (BTreeMap::new(), HashMap::new());
        let (turns, idle) = (BTreeSet::new(), BTreeSet::new());
        let frame = Duration::from_secs(1) / frames_a_second.max(1);
        Self { frame, waiting, places, turns, idle, turn: 0, is_behind: false, next: 0, paid: Duration::ZERO }
    }

    /// Adds what is to be told.
    pub fn add(&mut self, notice: Notice, now: Duration) {
        let scope = notice.scope().clone();
        let place = self.places.entry(scope.clone()).or_default();
        let number = place.numbers.get(notice.user()).copied();
        match number.and_then(|number| Some((number, self.waiting.get_mut(&number)?))) {
            // They alternate: this undoes the one that waits.
            Some((number, waiting)) if waiting.stays || number < place.listed => {
                place.of_kind(&waiting.notice).remove(&number);
                place.of_kind(&notice).insert(number);
                *waiting = Waiting { notice, stays: true, since: waiting.since };
            }
            Some((number, _)) => drop(self.remove(number)),
            None => {
                if place.numbers.is_empty() {
                    self.idle.remove(&(place.told, scope.clone()));
                    (place.told, place.since) = (place.told.max(self.turn), self.next);
                    self.turns.insert((place.told, place.since, scope));
                }
                place.numbers.insert(notice.user().clone(), self.next);
                place.of_kind(&notice).insert(self.next);
                self.waiting.insert(self.next, Waiting { notice, stays: false, since: now });
                self.next += 1;
            }
        }
    }

    /// Somebody is shown who is in the scope, what waits included.
    pub fn list(&mut self, scope: &Scope) {
        if let Some(place) = self.places.get_mut(scope) {
            place.listed = self.next;
        }
    }

    /// The next, if its time has come; then [`News::told`] says to how many.
    pub fn take(&mut self, now: Duration) -> Option<Due> {
        if self.paid > now + CREDIT {
            self.is_behind = !self.waiting.is_empty();
            return None;
        }
        let number = if self.is_behind { self.first_of_turn() } else { self.waiting.keys().next().copied() };
        let Waiting { notice, since, .. } = self.remove(number?)?;
        Some(Due { notice, waited: now.saturating_sub(since) })
    }

    fn first_of_turn(&mut self) -> Option<u64> {
        let (told, _, scope) = self.turns.first()?;
        self.turn = *told;
        let place = self.places.get(scope)?;
        place.goings.first().or(place.comings.first()).copied()
    }

    /// It waits no longer.
    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        let scope = waiting.notice.scope();
        if let Some(place) = self.places.get_mut(scope) {
            place.numbers.remove(waiting.notice.user());
            place.of_kind(&waiting.notice).remove(&number);
            if place.numbers.is_empty() {
                self.turns.remove(&(place.told, place.since, scope.clone()));
                self.idle.insert((place.told, scope.clone()));
            }
        }
        if self.waiting.is_empty() {
            (self.is_behind, self.turn) = (false, 0);
            self.places.clear();
            self.turns.clear();
            self.idle.clear();
        }
        Some(waiting)
    }

    /// Places that had no more than the others while these wait.
    fn forget_idle(&mut self) {
        while self.idle.first().is_some_and(|(told, _)| *told <= self.turn) {
            if let Some((_, scope)) = self.idle.pop_first() {
                self.places.remove(&scope);
            }
        }
    }

    /// Whether something of this user waits to be told there.
    pub fn waits(&self, scope: &Scope, user: &UserId) -> bool {
        self.places.get(scope).is_some_and(|place| place.numbers.contains_key(user))
    }

    /// Whether anything waits to be told there.
    pub fn is_waiting(&self, scope: &Scope) -> bool {
        self.places.get(scope).is_some_and(|place| !place.numbers.is_empty())
    }

    /// How much waits.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody minds the scope any longer.
    pub fn forget(&mut self, scope: &Scope) {
        let numbers = self.places.get(scope).into_iter().flat_map(|place| place.numbers.values().copied());
        for number in numbers.collect::<Vec<_>>() {
            self.remove(number);
        }
    }

    /// What was taken of this place when it `began` was told to so many sockets, which took so long.
    pub fn told(&mut self, scope: &Scope, sockets: usize, began: Duration, took: Duration) {
        let frames = u32::try_from(sockets).unwrap_or(u32::MAX);
        let cost = self.frame.saturating_mul(frames).max(took.saturating_mul(2));
        self.paid = self.paid.max(began).saturating_add(cost);
        let Some(place) = self.places.get_mut(scope).filter(|_| self.is_behind) else { return };
        let before = (place.told, place.since);
        place.told = place.told.saturating_add(frames.into());
        if self.turns.remove(&(before.0, before.1, scope.clone())) {
            self.turns.insert((place.told, place.since, scope.clone()));
        } else if self.idle.remove(&(before.0, scope.clone())) {
            self.idle.insert((place.told, scope.clone()));
        }
        self.forget_idle();
    }

    /// When the next may be taken.
    pub fn next_due(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then(|| self.paid.saturating_sub(CREDIT))
    }
}

impl Place {
    fn of_kind(&mut self, notice: &Notice) -> &mut BTreeSet<u64> {
        match notice {
            Notice::Went { .. } => &mut self.goings,
            Notice::Came { .. } => &mut self.comings,
        }
    }
}

#[cfg(test)]
mod tests;
