//! Every delivery, every replay and every refusal, against the rule written once more in SQL and asked of the database at that very
//! position.
//!
//! One writer makes random changes of who may see what and random posts, one transaction after the other, each in a tick of its own.
//! After each step everybody's events and answers have to be exactly those that the statement in [`forum::OPEN`] gives for him. What
//! is told is kept, so that whoever comes back with a cursor has to be sent exactly what he missed, or be told to load the state where
//! somebody's rights changed meanwhile.

mod forum;
mod person;
mod step;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;

use self::{
    forum::{COMMUNITIES, ROLES, Standing},
    person::{Joined, Person},
    step::{Step, any_step},
    told::{Event, Log, Told},
};
use crate::support::{postgres::Forum, service::Service, wire::Frames};

const PEOPLE: usize = 9;
const STEPS: usize = 200;

/// What a run came across, so that none of it is missing unseen.
#[derive(Debug, Default)]
struct Tally {
    recovered: usize,
    /// Events that were sent again.
    replayed: usize,
    /// Answered `recovered: false` where rights had changed.
    gaps: usize,
    refused: usize,
    delivered: usize,
}

impl Tally {
    fn add(&mut self, more: &Self) {
        self.recovered += more.recovered;
        self.replayed += more.replayed;
        self.gaps += more.gaps;
        self.refused += more.refused;
        self.delivered += more.delivered;
    }
}

struct Run {
    forum: Forum,
    service: Service,
    witness: Frames,
    people: Vec<Person>,
    log: Log,
    /// Behind each step, from the first.
    standings: Vec<Standing>,
    tally: Tally,
}

impl Run {
    async fn begin() -> Self {
        let forum = Forum::captured().await;
        forum.run(forum::ROWS).await;
        let more = [
            // Counts all but at once: what a step brings is heard before the next.
            ("merge-window", "1ms"),
            ("rate-connect", "10000/1s"),
            ("rate-join", "10000/1s"),
            ("rate-session-refresh", "1000/1s"),
            ("rate-other", "10000/1s"),
        ];
        let service = Service::start_with(&forum.url(), &more).await;
        let mut witness = Frames::connected(&service.url, &Service::token("witness", "cw", &[], false)).await;
        assert_eq!(witness.ask("board:join", json!(90)).await["ok"], json!(true));
        let standings = vec![Standing::of(&forum.pool).await];
        let mut run = Self {
            forum,
            service,
            witness,
            people: Vec::new(),
            log: Log::default(),
            standings,
            tally: Tally::default(),
        };
        for number in 0..PEOPLE {
            let (roles, community) = (ROLES[..number / 3].to_vec(), COMMUNITIES[number % 3]);
            let mut person = Person::new(number, community, roles);
            person.connect(&run.service.url, 0).await;
            person.look(&run.forum.pool).await;
            run.people.push(person);
            run.join(number, Joined::Feed, None, "at the beginning").await;
        }
        run.standings.push(run.standings[0].clone());
        for person in &mut run.people {
            person.look(&run.forum.pool).await;
        }
        run
    }

    /// All that is committed has been told when the witness has seen its post.
    async fn told(&mut self) {
        sqlx::query(step::POST).bind("cy").bind(90).fetch_one(&self.forum.pool).await.expect("a post");
        while !self.witness.next().await.expect("a connection that stays").contains("board:newPost") {}
    }

    async fn step(&mut self, step: &Step, at: &str) {
        let before = self.standings.last().expect("a standing").clone();
        let told_before = self.log.len();
        let written = step.write(&self.forum.pool, &before, &self.people).await;
        let wrote = written.is_some();
        let told = self.log.enter(written.unwrap_or_default());
        let mut said = BTreeMap::new();
        if wrote {
            self.told().await;
        } else {
            said = self.ask(step, &before, at).await;
        }
        let after = if wrote { Standing::of(&self.forum.pool).await } else { before.clone() };
        let deleted = before.boards.keys().filter(|board| !after.boards.contains_key(board)).copied().collect();
        let created = after.boards.keys().filter(|board| !before.boards.contains_key(board)).copied().collect();
        self.standings.push(after);
        let change = Change { told: told_before..told, deleted, created, step };
        for who in 0..self.people.len() {
            let said = said.remove(&who).unwrap_or_default();
            self.hears(who, said, &change, at).await;
        }
    }

    /// What is asked for by one person; what he is told beside the answer.
    async fn ask(&mut self, step: &Step, standing: &Standing, at: &str) -> BTreeMap<usize, Vec<Event>> {
        match step {
            Step::Refresh(who, roles, admin) if self.people[*who].is_here() => {
                let (events, answer) = self.people[*who].refresh(roles, *admin).await;
                assert_eq!(answer["ok"], json!(true), "{at}: {answer}");
                return BTreeMap::from([(*who, events)]);
            }
            Step::JoinBoard(who, nth, back) if self.people[*who].is_here() => {
                let all = self.standings.iter().flat_map(|all| all.boards.keys().copied());
                let open = self.people[*who].open.last().expect("a look");
                if let Some(board) = some(*nth, open.iter().copied(), all) {
                    self.join(*who, Joined::Board(board), *back, at).await;
                }
            }
            Step::JoinPost(who, nth, back) if self.people[*who].is_here() => {
                let all = self.standings.iter().flat_map(|all| all.posts.keys().copied());
                let open = self.people[*who].open.last().expect("a look");
                let open = standing.posts.iter().filter(|(_, (board, _))| open.contains(board));
                if let Some(post) = some(*nth, open.map(|(post, _)| *post), all) {
                    self.join(*who, Joined::Post(post), *back, at).await;
                }
            }
            Step::JoinFeed(who, back) if self.people[*who].is_here() => self.join(*who, Joined::Feed, *back, at).await,
            Step::Leave(who, nth) if self.people[*who].is_here() => self.people[*who].leave(*nth).await,
            Step::Away(who) => self.people[*who].go_away(),
            Step::Return(nth) => {
                let away: Vec<usize> = (0..PEOPLE).filter(|who| !self.people[*who].is_here()).collect();
                if let Some(who) = away.get(nth % away.len().max(1)) {
                    self.comes_back(*who, at).await;
                }
            }
            _ => {}
        }
        BTreeMap::new()
    }

    /// With the last cursor, into everything that he had joined.
    async fn comes_back(&mut self, who: usize, at: &str) {
        let (url, told) = (self.service.url.clone(), self.log.len());
        let person = &mut self.people[who];
        if !person.exists {
            person.is_refused(&url, at).await;
            person.sign_in(&self.forum.pool, self.standings.len()).await;
        }
        person.connect(&url, told).await;
        let cursor = person.cursors.last().cloned();
        for joined in person.had_joined() {
            self.join_since(who, joined, cursor.clone(), at).await;
        }
    }

    /// With the cursor that he was given so many before the last.
    async fn join(&mut self, who: usize, what: Joined, back: Option<usize>, at: &str) {
        let cursors = &self.people[who].cursors;
        let cursor = back.and_then(|back| cursors.get(cursors.len().checked_sub(1 + back)?)).cloned();
        self.join_since(who, what, cursor, at).await;
    }

    async fn join_since(&mut self, who: usize, what: Joined, cursor: Option<person::Cursor>, at: &str) {
        let standing = self.standings.last().expect("a standing").clone();
        let step = self.standings.len();
        let person = &mut self.people[who];
        let at = format!("{at}, {} {what:?} since {cursor:?}", person.name());
        let (events, answer) = person.ask_to_join(what, cursor.as_ref()).await;
        let expected = person.may_join(what, &standing);
        assert_eq!(answer["error"]["code"].as_str(), expected.as_ref().err().copied(), "{at}: {answer}");
        let Ok(boards) = expected else {
            assert!(events.is_empty(), "{at}: {events:?}");
            self.tally.refused += 1;
            return;
        };
        if what == Joined::Feed {
            assert_eq!(answer["boardIds"], json!(boards), "{at}");
        }
        let recovered = answer["recovered"].as_bool().expect("whether it is recovered");
        match (&cursor, recovered) {
            (None, true) => panic!("{at}: recovered from nothing"),
            (None, false) => assert!(events.is_empty(), "{at}: {events:?}"),
            (Some(cursor), true) => {
                assert!(!person.was_shut_out(&boards, cursor, &self.standings), "across his own exclusion, {at}");
                let missed = self.log.missed(what, cursor.told, &boards, person);
                self.log.same(&events, &missed, &at);
                self.tally.recovered += 1;
                self.tally.replayed += events.len();
            }
            (Some(cursor), false) => {
                assert!(events.is_empty(), "nothing half, {at}: {events:?}");
                let changed = forum::changed_since(what, &boards, cursor.step, &self.standings);
                let unsure = changed || person.was_shut_out(&boards, cursor, &self.standings);
                assert!(unsure || cursor.step < person.came_anew, "nobody's rights have changed, {at}: {answer}");
                self.tally.gaps += 1;
            }
        }
        let since = cursor.filter(|_| recovered).map_or(self.log.len(), |cursor| cursor.told);
        self.people[who].sits(what, &boards, since);
        let cursor = answer["cursor"].as_str().expect("a cursor").to_owned();
        self.people[who].cursors.push(person::Cursor { told: self.log.len(), step, text: cursor });
    }

    /// One person hears exactly what a step has for him.
    async fn hears(&mut self, who: usize, mut events: Vec<Event>, change: &Change<'_>, at: &str) {
        let person = &mut self.people[who];
        let could = person.open.last().expect("a look").clone();
        let can = person.look(&self.forum.pool).await;
        let at = format!("{at}, {}", person.name());
        if matches!(change.step, Step::DeleteUser(deleted) if *deleted == who) {
            person.is_deleted(&at).await;
        }
        if !person.is_here() {
            return;
        }
        events.extend(person.hears_all().await);
        let at = format!("{at}: {events:?}");
        let gone = &change.deleted;
        assert_eq!(told::boards(&events, "board:accessRevoked", &at), &(&could - &can) - gone, "{at}");
        assert_eq!(told::boards(&events, "board:accessGranted", &at), &(&can - &could) - &change.created, "{at}");
        let is_access = |event: &&Event| event.told.name.starts_with("board:access");
        if let (Step::Refresh(..), Some(last)) = (change.step, events.iter().rfind(is_access)) {
            person.cursors.push(last.cursor(self.log.len(), self.standings.len() - 1));
        }
        events.retain(|event| !is_access(&event));
        let standing = self.standings.last().expect("a standing");
        let is_for = |told: &&Told| person.is_told(told, &could, &can, standing);
        let expected: Vec<(usize, &Told)> =
            self.log.range(change.told.clone()).filter(|(_, told)| is_for(told)).collect();
        self.log.same(&events, &expected, &at);
        self.tally.delivered += events.len();
        // Of several rows in one transaction the order is the database's.
        if let (false, Some((last, (nth, _)))) =
            (matches!(change.step, Step::DeleteUser(_)), events.last().zip(expected.last()))
        {
            person.cursors.push(last.cursor(nth + 1, self.standings.len() - 1));
        }
        person.stays(&can, &change.created, change.told.clone(), standing);
    }
}

/// Mostly one of those that are open, else one of all that there ever were.
fn some(nth: usize, open: impl Iterator<Item = i32>, all: impl Iterator<Item = i32>) -> Option<i32> {
    let among: BTreeSet<i32> = if nth.is_multiple_of(4) { all.collect() } else { open.collect() };
    among.iter().nth(nth % among.len().max(1)).copied()
}

/// What a step did.
struct Change<'a> {
    told: std::ops::Range<usize>,
    deleted: BTreeSet<i32>,
    created: BTreeSet<i32>,
    step: &'a Step,
}

async fn run(seed: u64) -> Tally {
    let mut run = Run::begin().await;
    let random =
        TestRng::from_seed(RngAlgorithm::ChaCha, &std::array::from_fn::<u8, 32, _>(|at| seed.to_le_bytes()[at % 8]));
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let steps = proptest::collection::vec(any_step(PEOPLE), STEPS).new_tree(&mut runner).expect("steps").current();
    for (number, step) in steps.iter().enumerate() {
        run.step(step, &format!("seed {seed}, step {number}, {step:?}")).await;
    }
    run.service.stop().await;
    run.tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_and_every_refusal_is_what_the_rule_says_of_the_database_at_that_position() {
    let mut all = Tally::default();
    for seed in 1..=6 {
        let tally = run(seed).await;
        println!("seed {seed}: {tally:?}");
        all.add(&tally);
    }
    let Tally { recovered, replayed, gaps, refused, delivered } = all;
    assert!(recovered > 60 && replayed > 30 && gaps > 30 && refused > 20 && delivered > 800, "{all:?}");
}
