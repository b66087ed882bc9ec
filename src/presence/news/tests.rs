use proptest::prelude::*;

use super::*;
use crate::{contract::Viewer, ids::BoardId};

const RATE: u32 = 20_000;

fn notice_in(scope: Scope, user: &str, came: bool) -> Notice {
    let who = Viewer { user_id: user.into(), user_name: None, avatar_url: None };
    if came { Notice::Came { scope, who } } else { Notice::Went { scope, who } }
}

fn notice(user: &str, came: bool) -> Notice {
    notice_in(Scope::Community("a".into()), user, came)
}

fn crowd(of: &str, count: usize, came: bool) -> Vec<Notice> {
    (0..count).map(|number| notice_in(Scope::Community(of.into()), &format!("user {number:04}"), came)).collect()
}

impl News {
    fn add_all(&mut self, notices: impl IntoIterator<Item = Notice>) {
        notices.into_iter().for_each(|notice| self.add(notice, Duration::ZERO));
    }

    fn take_notice(&mut self, now: Duration) -> Option<Notice> {
        self.take(now).map(|due| due.notice)
    }

    /// Until nothing waits, each told to so many; with when it was.
    fn tell_all(&mut self, sockets: impl Fn(&Scope) -> usize) -> Vec<(Duration, Notice)> {
        let (mut now, mut told) = (Duration::ZERO, Vec::new());
        while let Some(due) = self.next_due() {
            now = now.max(due);
            while let Some(Due { notice, waited }) = self.take(now) {
                assert_eq!(waited, now);
                self.told(notice.scope(), sockets(notice.scope()), now, Duration::ZERO);
                told.push((now, notice));
            }
        }
        assert!(self.places.is_empty() && self.turns.is_empty() && self.idle.is_empty() && !self.is_behind);
        told
    }
}

#[test]
fn a_crowd_is_told_at_its_pace_and_in_order() {
    let mut news = News::at(RATE);
    news.add_all(crowd("a", 100, true));
    let (times, told): (Vec<_>, Vec<_>) = news.tell_all(|_| 1_000).into_iter().unzip();
    assert_eq!(told, crowd("a", 100, true));
    // 100,000 frames, at 20,000 a second.
    let took = times[99];
    assert!(took > Duration::from_millis(4_800) && took <= Duration::from_secs(5), "{took:?}");
}

#[test]
fn where_telling_takes_as_long_as_it_costs_half_the_time_is_left_for_everything_else() {
    let mut news = News::at(RATE);
    news.add_all(crowd("a", 100, true));
    // As long as a thousand frames cost.
    let took = Duration::from_millis(50);
    let (mut now, mut spent) = (Duration::ZERO, Duration::ZERO);
    while let Some(due) = news.next_due() {
        now = now.max(due);
        let Due { notice, .. } = news.take(now).expect("it is due");
        news.told(notice.scope(), 1_000, now, took);
        (now, spent) = (now + took, spent + took);
    }
    assert_eq!(spent, 100 * took);
    assert!(spent <= now / 2 + CREDIT, "{spent:?} of {now:?}");
}

#[test]
fn who_is_elsewhere_does_not_wait_for_a_crowd() {
    let mut news = News::at(RATE);
    news.add_all(crowd("a", 1_200, true));
    let elsewhere =
        [notice_in(Scope::Community("b".into()), "bo", false), notice_in(Scope::Board(BoardId(1)), "cy", true)];
    news.add_all(elsewhere.clone());
    let sockets = |scope: &Scope| if *scope == Scope::Community("a".into()) { 1_200 } else { 3 };
    let told = news.tell_all(sockets);
    for notice in elsewhere {
        let (when, _) = told.iter().find(|(_, told)| *told == notice).expect("it is told");
        assert!(*when <= Duration::from_millis(200), "{notice:?} after {when:?}");
    }
    // As long as nothing had to wait it was told in order, of the crowd first.
    assert_eq!(told[0].1, crowd("a", 1, true)[0]);
}

#[test]
fn two_crowds_share_the_pace() {
    let mut news = News::at(RATE);
    news.add_all(crowd("a", 1_000, true));
    news.add_all(crowd("b", 1_000, true));
    let sockets = |scope: &Scope| if *scope == Scope::Community("a".into()) { 1_000 } else { 100 };
    let told = news.tell_all(sockets);
    let of_a = told.iter().take(660).filter(|(_, notice)| *notice.scope() == Scope::Community("a".into())).count();
    // Ten of the smaller for each of the larger, by what they cost.
    assert!((50..=70).contains(&of_a), "{of_a}");
}

#[test]
fn a_place_that_is_told_without_end_does_not_keep_the_others_waiting() {
    let mut news = News::at(RATE);
    let (busy, other) = (Scope::Board(BoardId(1)), Scope::Community("a".into()));
    news.add_all(crowd("a", 20, true));
    let (mut now, mut told) = (Duration::ZERO, 0);
    for round in 0..2_000 {
        let user = format!("passer-by {round}");
        if !news.is_waiting(&busy) {
            news.add(notice_in(busy.clone(), &user, true), now);
        }
        now = now.max(news.next_due().expect("something waits"));
        if let Some(due) = news.take(now) {
            told += usize::from(*due.notice.scope() == other);
            news.told(due.notice.scope(), 1_000, now, Duration::ZERO);
        }
    }
    assert_eq!(told, 20);
}

#[test]
fn who_is_shown_and_gone_is_told_before_who_is_not_shown_yet() {
    let mut news = News::at(RATE);
    news.add_all(crowd("a", 500, true));
    // The first are told, then it is behind.
    while let Some(due) = news.take(Duration::ZERO) {
        news.told(due.notice.scope(), 500, Duration::ZERO, Duration::ZERO);
    }
    news.add(notice("zoe", false), Duration::ZERO);
    let now = news.next_due().expect("more waits");
    assert_eq!(news.take_notice(now), Some(notice("zoe", false)));
}

#[test]
fn whoever_saw_him_in_a_list_is_told_that_he_went() {
    let mut news = News::at(RATE);
    news.add_all([notice("ada", true)]);
    news.list(&Scope::Community("a".into()));
    news.add_all(
        [("ada", false), ("ada", true), ("bo", true), ("bo", false), ("ada", false)]
            .map(|(user, came)| notice(user, came)),
    );
    assert_eq!(news.take_notice(Duration::ZERO), Some(notice("ada", false)));
    assert_eq!(news.take_notice(Duration::ZERO), None);
    assert!(news.places.is_empty());
}

#[test]
fn a_coming_and_a_going_that_nobody_was_told_are_none() {
    let mut news = News::at(RATE);
    for came in [true, false, true] {
        news.add_all([notice("ada", came), notice("bo", came)]);
    }
    news.add_all([notice("ada", false)]);
    assert_eq!(news.take_notice(Duration::ZERO), Some(notice("bo", true)));
    assert_eq!((news.take_notice(Duration::ZERO), news.next_due()), (None, None));
    assert!(news.places.is_empty());
}

proptest! {
    /// A naive second formulation: who was told to be there, and who is.
    #[test]
    fn in_the_end_everybody_was_told_who_is_there(
        steps in prop::collection::vec((0..4, 0_usize..6, any::<bool>(), 0_usize..3_000), 0..200),
    ) {
        let mut news = News::at(RATE);
        let (mut here, mut known, mut now) = (BTreeSet::new(), BTreeSet::new(), Duration::ZERO);
        let tell = |known: &mut BTreeSet<_>, notice: &Notice| match notice {
            Notice::Came { scope, who } => known.insert((scope.clone(), who.user_id.clone())),
            Notice::Went { scope, who } => known.remove(&(scope.clone(), who.user_id.clone())),
        };
        for (board, user, takes, sockets) in steps {
            now += Duration::from_millis(3);
            let scope = Scope::Board(BoardId(board));
            if takes {
                if let Some(due) = news.take(now) {
                    prop_assert!(tell(&mut known, &due.notice), "told twice: {:?}", due.notice);
                    news.told(due.notice.scope(), sockets, now, Duration::ZERO);
                }
            } else {
                let user = format!("user {user}");
                let came = here.insert((scope.clone(), UserId::from(user.as_str())));
                if !came {
                    here.remove(&(scope.clone(), UserId::from(user.as_str())));
                }
                news.add(notice_in(scope, &user, came), now);
            }
            prop_assert_eq!(news.count(), news.places.values().map(|place| place.numbers.len()).sum::<usize>());
            prop_assert_eq!(news.turns.len() + news.idle.len(), news.places.len());
        }
        while let Some(due) = news.next_due() {
            now = now.max(due);
            let due = news.take(now).expect("it is due");
            prop_assert!(tell(&mut known, &due.notice));
            news.told(due.notice.scope(), 1, now, Duration::ZERO);
        }
        prop_assert_eq!(known, here);
    }
}
