//! How often one user may come or ask for something: the classes of commands, and what was taken lately.
//!
//! "60 in 10 s" is meant of any ten seconds: no more are taken however they are spread, and whoever waits until the oldest of
//! them is that old is served. So a refusal can say when.

use std::{collections::VecDeque, time::Duration};

use crate::contract::{ErrorCode, Failure};

/// What is counted together: one event, or a family of them that share one budget, since they cost the same and a client uses them in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Into the namespace, with a token that is good.
    Connect,
    /// Of boards, posts and feeds.
    Join,
    /// Its beginnings and ends.
    Typing,
    PresenceList,
    SessionRefresh,
    /// Whatever else a client sends, be it a command or not.
    Other,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Join, Self::Typing, Self::PresenceList, Self::SessionRefresh, Self::Other];

    /// The class of an event as a client names it.
    pub fn of(event: &str) -> Self {
        match event {
            "board:join" | "post:join" | "feed:join" => Self::Join,
            "typing:start" | "typing:stop" => Self::Typing,
            "presence:list" => Self::PresenceList,
            "session:refresh" => Self::SessionRefresh,
            _ => Self::Other,
        }
    }

    /// Its name in Redis and in metrics: that of the event where it is one, else that of the family, as it stands in the names of its
    /// events (`typing` of `typing:start` and `typing:stop`) or as operators call it (`connect`, `join`, `other`). None ends with a colon
    /// and another: behind a user's id it can't be mistaken.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Join => "join",
            Self::Typing => "typing",
            Self::PresenceList => "presence:list",
            Self::SessionRefresh => "session:refresh",
            Self::Other => "other",
        }
    }
}

/// So many within so long a time, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub within: Duration,
}

/// The rate of each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub connect: Rate,
    pub join: Rate,
    pub typing: Rate,
    pub presence_list: Rate,
    pub session_refresh: Rate,
    pub other: Rate,
}

impl Rates {
    /// That of one class.
    pub fn of(&self, class: Class) -> Rate {
        match class {
            Class::Connect => self.connect,
            Class::Join => self.join,
            Class::Typing => self.typing,
            Class::PresenceList => self.presence_list,
            Class::SessionRefresh => self.session_refresh,
            Class::Other => self.other,
        }
    }

    /// The longest time within which anything is counted.
    pub fn longest(&self) -> Duration {
        Class::ALL.map(|class| self.of(class).within).into_iter().max().unwrap_or_default()
    }
}

/// More than may be was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// After so long the same is taken, unless others of the user are quicker.
    pub retry_after: Duration,
}

impl TooMany {
    /// In whole milliseconds, none too few.
    pub fn retry_after_ms(self) -> u64 {
        u64::try_from(self.retry_after.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
    }
}

impl From<TooMany> for Failure {
    fn from(too_many: TooMany) -> Self {
        let wait = too_many.retry_after_ms();
        let message = format!("more than a user may ask for in so short a time; try again in {wait} ms");
        Self { retry_after_ms: Some(wait), ..Self::new(ErrorCode::RateLimited, message) }
    }
}

/// A moment, since one that all of them are reckoned from.
pub type Moment = Duration;

/// What was taken lately of one user and class. Moments that it is given never go back.
#[derive(Debug, Default)]
pub struct Window {
    /// In order.
    taken: VecDeque<Moment>,
    /// Until then others who know more have refused.
    refused_until: Moment,
}

impl Window {
    /// Takes one, or says how long it would be refused.
    pub fn take(&mut self, now: Moment, rate: Rate) -> Result<(), TooMany> {
        while self.taken.front().is_some_and(|taken| *taken + rate.within <= now) {
            self.taken.pop_front();
        }
        if self.refused_until > now {
            return Err(TooMany { retry_after: self.refused_until - now });
        }
        match self.taken.front() {
            Some(oldest) if self.taken.len() >= rate.count as usize => {
                Err(TooMany { retry_after: *oldest + rate.within - now })
            }
            _ => {
                self.taken.push_back(now);
                Ok(())
            }
        }
    }

    /// What was taken at `at` counts from `now` on: somebody else took it as late as that.
    pub fn taken_at(&mut self, at: Moment, now: Moment) {
        if self.forget(at) {
            self.taken.push_back(now);
        }
    }

    /// What was taken at `at` is not taken after all, and nothing will be for so long.
    pub fn refused(&mut self, at: Moment, now: Moment, TooMany { retry_after }: TooMany) {
        self.forget(at);
        self.refused_until = self.refused_until.max(now + retry_after);
    }

    fn forget(&mut self, at: Moment) -> bool {
        let found = self.taken.binary_search(&at);
        found.is_ok_and(|index| self.taken.remove(index).is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::commands::COMMANDS;

    const RATE: Rate = Rate { count: 3, within: Duration::from_secs(10) };

    fn at(milliseconds: u64) -> Moment {
        Moment::from_millis(milliseconds)
    }

    #[test]
    fn joins_are_counted_together_and_every_name_is_one_of_its_own() {
        let joins: Vec<_> = COMMANDS.iter().filter(|command| Class::of(command.name) == Class::Join).collect();
        assert_eq!(joins.len(), 3);
        for one in Class::ALL {
            for other in Class::ALL {
                assert!(one == other || !format!(":{}", one.name()).ends_with(&format!(":{}", other.name())));
            }
        }
    }

    #[test]
    fn who_waits_as_long_as_he_is_told_is_served_and_not_a_moment_earlier() {
        let mut window = Window::default();
        for taken in [0, 2_000, 2_500] {
            assert_eq!(window.take(at(taken), RATE), Ok(()));
        }
        assert_eq!(window.take(at(3_000), RATE), Err(TooMany { retry_after: at(7_000) }));
        assert_eq!(window.take(at(9_999), RATE), Err(TooMany { retry_after: at(1) }));
        assert_eq!(window.take(at(10_000), RATE), Ok(()));
        assert_eq!(window.take(at(10_000), RATE), Err(TooMany { retry_after: at(2_000) }));
    }

    #[test]
    fn what_others_refused_is_not_counted_and_refused_until_they_said() {
        let mut window = Window::default();
        assert_eq!(window.take(at(0), RATE), Ok(()));
        window.refused(at(0), at(1), TooMany { retry_after: at(4_000) });
        assert_eq!(window.take(at(2_001), RATE), Err(TooMany { retry_after: at(2_000) }));
        for _ in 0..3 {
            assert_eq!(window.take(at(4_001), RATE), Ok(()));
        }
    }

    #[test]
    fn what_others_took_later_counts_from_then_on() {
        let mut window = Window::default();
        for taken in [0, 1, 2] {
            assert_eq!(window.take(at(taken), RATE), Ok(()));
        }
        window.taken_at(at(0), at(500));
        assert_eq!(window.take(at(10_000), RATE), Err(TooMany { retry_after: at(1) }));
        assert_eq!(window.take(at(10_002), RATE), Ok(()));
        assert_eq!(window.take(at(10_002), RATE), Ok(()));
        assert_eq!(window.take(at(10_002), RATE), Err(TooMany { retry_after: at(498) }));
    }

    #[test]
    fn the_time_is_told_in_whole_milliseconds_none_too_few() {
        let told = |micros| TooMany { retry_after: Duration::from_micros(micros) }.retry_after_ms();
        assert_eq!([told(1), told(1_000), told(1_001)], [1, 1, 2]);
    }

    proptest! {
        #[test]
        fn in_no_ten_seconds_more_are_taken(steps in prop::collection::vec(0_u64..4_000, 1..200)) {
            let (mut window, mut now, mut taken) = (Window::default(), 0, Vec::new());
            for step in steps {
                now += step;
                match window.take(at(now), RATE) {
                    Ok(()) => taken.push(now),
                    Err(too_many) => {
                        prop_assert!(too_many.retry_after <= RATE.within && !too_many.retry_after.is_zero());
                    }
                }
            }
            for some in taken.windows(4) {
                prop_assert!(some[3] - some[0] >= 10_000, "{some:?}");
            }
        }
    }
}
