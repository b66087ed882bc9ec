//! What is still to be told of comings and goings, so that a crowd that comes back at once does not drown what was committed: each of
//! them concerns all the others, so what there is to tell grows with the square of their number.
//!
//! Invariants:
//! - of a user and a place at most one thing waits: a coming and a going that were both not told yet are none, unless somebody was
//!   shown a list in between: he has to be told the latter, and so is everybody;
//! - what waits is told in order, as soon as what was told before it has been paid for.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{Notice, Scope};
use crate::ids::UserId;

/// What one frame costs: 20,000 are told a second.
const FRAME: Duration = Duration::from_micros(50);
/// So much is told at once before anything has to wait.
const CREDIT: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub struct News {
    waiting: BTreeMap<u64, Waiting>,
    /// Up to where what waits was in a list that was shown.
    listed: HashMap<Scope, u64>,
    numbers: HashMap<(Scope, UserId), u64>,
    next: u64,
    /// When all that was told has been paid for.
    paid: Duration,
}

#[derive(Debug)]
struct Waiting {
    notice: Notice,
    /// Whether somebody saw in a list what it undoes.
    stays: bool,
}

impl News {
    /// Adds what is to be told.
    pub fn add(&mut self, notice: Notice) {
        let (Notice::Came { scope, who } | Notice::Went { scope, who }) = &notice;
        let of = (scope.clone(), who.user_id.clone());
        let waiting = self.numbers.get(&of).and_then(|number| Some((*number, self.waiting.get_mut(number)?)));
        match waiting {
            // They alternate: this undoes the one that waits.
            Some((number, waiting))
                if waiting.stays || self.listed.get(&of.0).is_some_and(|listed| number < *listed) =>
            {
                *waiting = Waiting { notice, stays: true };
            }
            Some((number, _)) => {
                self.waiting.remove(&number);
                self.numbers.remove(&of);
            }
            None => {
                self.numbers.insert(of, self.next);
                self.waiting.insert(self.next, Waiting { notice, stays: false });
                self.next += 1;
            }
        }
    }

    /// Somebody is shown who is in the scope, what waits included.
    pub fn list(&mut self, scope: &Scope) {
        if !self.waiting.is_empty() {
            self.listed.insert(scope.clone(), self.next);
        }
    }

    /// The next, if its time has come; then [`News::told`] says to how many.
    pub fn take(&mut self, now: Duration) -> Option<Notice> {
        if self.paid > now + CREDIT {
            return None;
        }
        let (_, Waiting { notice, .. }) = self.waiting.pop_first()?;
        if self.waiting.is_empty() {
            self.listed.clear();
        }
        let (Notice::Came { scope, who } | Notice::Went { scope, who }) = &notice;
        self.numbers.remove(&(scope.clone(), who.user_id.clone()));
        Some(notice)
    }

    /// Whether something of this user waits to be told there.
    pub fn waits(&self, scope: &Scope, user: &UserId) -> bool {
        self.numbers.contains_key(&(scope.clone(), user.clone()))
    }

    /// Whether anything waits to be told there.
    pub fn is_waiting(&self, scope: &Scope) -> bool {
        self.numbers.keys().any(|(of, _)| of == scope)
    }

    /// Nobody minds the scope any longer.
    pub fn forget(&mut self, scope: &Scope) {
        let gone: Vec<_> = self.numbers.extract_if(|(of, _), _| of == scope).collect();
        for (_, number) in gone {
            self.waiting.remove(&number);
        }
        self.listed.remove(scope);
    }

    /// What was taken was told to so many sockets.
    pub fn told(&mut self, sockets: usize, now: Duration) {
        let frames = u32::try_from(sockets).unwrap_or(u32::MAX);
        self.paid = self.paid.max(now).saturating_add(FRAME.saturating_mul(frames));
    }

    /// When the next may be taken.
    pub fn next_due(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then(|| self.paid.saturating_sub(CREDIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Viewer;

    fn notice(user: &str, came: bool) -> Notice {
        let who = Viewer { user_id: user.into(), user_name: None, avatar_url: None };
        let scope = Scope::Community("a".into());
        if came { Notice::Came { scope, who } } else { Notice::Went { scope, who } }
    }

    #[test]
    fn a_crowd_is_told_at_its_pace_and_in_order() {
        let mut news = News::default();
        let users: Vec<String> = (0..100).map(|number| format!("user {number:03}")).collect();
        users.iter().for_each(|user| news.add(notice(user, true)));
        let (mut now, mut told) = (Duration::ZERO, Vec::new());
        while let Some(due) = news.next_due() {
            now = now.max(due);
            while let Some(notice) = news.take(now) {
                told.push(notice);
                news.told(1_000, now);
            }
        }
        assert_eq!(told, users.iter().map(|user| notice(user, true)).collect::<Vec<_>>());
        // 100,000 frames, at 20,000 a second.
        assert!(now > Duration::from_millis(4_800) && now <= Duration::from_secs(5), "{now:?}");
    }

    #[test]
    fn whoever_saw_him_in_a_list_is_told_that_he_went() {
        let mut news = News::default();
        news.add(notice("ada", true));
        news.list(&Scope::Community("a".into()));
        news.add(notice("ada", false));
        news.add(notice("ada", true));
        news.add(notice("bo", true));
        news.add(notice("bo", false));
        news.add(notice("ada", false));
        assert_eq!(news.take(Duration::ZERO), Some(notice("ada", false)));
        assert_eq!(news.take(Duration::ZERO), None);
        assert!(news.numbers.is_empty() && news.listed.is_empty());
    }

    #[test]
    fn a_coming_and_a_going_that_nobody_was_told_are_none() {
        let mut news = News::default();
        for came in [true, false, true] {
            news.add(notice("ada", came));
            news.add(notice("bo", came));
        }
        news.add(notice("ada", false));
        assert_eq!(news.take(Duration::ZERO), Some(notice("bo", true)));
        assert_eq!((news.take(Duration::ZERO), news.next_due()), (None, None));
        assert!(news.numbers.is_empty());
    }
}
