//! One run: the forum, the nodes, the people, and what each of them has to hear.

use std::collections::{BTreeMap, BTreeSet};

use curia_scratch::Redis;
use serde_json::json;

use super::{
    Layout, Tally,
    forum::{self, COMMUNITIES, ROLES, Standing},
    node::{self, Node},
    passing::{Passage, Sitting, Typed},
    person::{self, Joined, Person},
    step::{self, Step},
    told::{self, Event, Log, Told},
};
use crate::support::postgres::Forum;

pub struct Run {
    forum: Forum,
    nodes: Vec<Node>,
    _redis: Option<Redis>,
    people: Vec<Person>,
    log: Log,
    /// Behind each step, from the first.
    standings: Vec<Standing>,
    tally: Tally,
    typed: Option<Typed>,
}

impl Run {
    pub async fn begin(layout: Layout) -> Self {
        let forum = Forum::captured().await;
        forum.run(forum::ROWS).await;
        let redis = (layout.nodes > 1).then(|| Redis::start().expect("a Redis"));
        let mut nodes = Vec::new();
        for number in 0..layout.nodes {
            nodes.push(Node::start(&forum, redis.as_ref(), number).await);
        }
        let standings = vec![Standing::of(&forum.pool).await];
        let (people, log, tally) = (Vec::new(), Log::default(), Tally::default());
        let mut run = Self { forum, nodes, _redis: redis, people, log, standings, tally, typed: None };
        for number in 0..layout.people {
            let (roles, community) = (ROLES[..number / 3 % 3].to_vec(), COMMUNITIES[number % 3]);
            let mut person = Person::new(number % layout.users, community, roles);
            person.connect(number / layout.users, run.nodes[number / layout.users].url(), 0).await;
            person.look(&run.forum.pool).await;
            run.people.push(person);
            run.join(number, Joined::Feed, None, "at the beginning").await;
        }
        run.standings.push(run.standings[0].clone());
        node::have_met(&mut run.nodes).await;
        for person in &mut run.people {
            person.look(&run.forum.pool).await;
            person.hears_all().await;
            person.passing.clear();
        }
        run
    }

    /// All that is committed has been told when each witness has seen its post.
    async fn told(&mut self) {
        sqlx::query(step::POST).bind("cy").bind(90).fetch_one(&self.forum.pool).await.expect("a post");
        for node in &mut self.nodes {
            node.sees("board:newPost").await;
        }
    }

    pub async fn step(&mut self, step: &Step, at: &str) {
        let before = self.standings.last().expect("a standing").clone();
        let (told_before, sat) = (self.log.len(), self.sitting());
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
        let deleted_user = match step {
            Step::DeleteUser(who) => Some(self.people[*who].user.clone()),
            _ => None,
        };
        node::have_met(&mut self.nodes).await;
        let change = Change { told: told_before..told, deleted, created, step, deleted_user };
        for who in 0..self.people.len() {
            let said = said.remove(&who).unwrap_or_default();
            self.hears(who, said, &change, at).await;
        }
        self.hear_passing(sat, at);
    }

    fn sitting(&self) -> Vec<Option<Sitting>> {
        self.people.iter().map(Person::sitting).collect()
    }

    /// Each is told exactly who came, went and wrote where he sits.
    fn hear_passing(&mut self, before: Vec<Option<Sitting>>, at: &str) {
        let (after, typed, nodes) = (self.sitting(), self.typed.take(), self.nodes.len());
        let passage = Passage { before, after, typed, nodes };
        for (who, person) in self.people.iter_mut().enumerate() {
            let at = format!("{at}, {}", person.name());
            let (heard, named) = (std::mem::take(&mut person.passing), std::mem::take(&mut person.named));
            if person.is_here() {
                let late = named.iter().flat_map(|(board, named)| passage.late(who, *board, named, &at));
                passage.is_heard(who, &heard, &late.collect::<Vec<_>>(), &at);
                self.tally.passing += heard.len();
            }
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
            Step::Write(who, nth) if self.people[*who].is_here() => self.writes(*who, *nth, standing, at).await,
            Step::Away(who) if self.people[*who].is_here() => {
                let person = &mut self.people[*who];
                person.go_away();
                let (user, community, node) = (person.user.clone(), person.community, person.node);
                let others = self.people.iter().filter(|person| person.user == user && person.is_here()).count();
                self.nodes[node].until_here(community, &user, others).await;
            }
            Step::Return(nth) => {
                let away: Vec<usize> = (0..self.people.len()).filter(|who| !self.people[*who].is_here()).collect();
                if let Some(who) = away.get(nth % away.len().max(1)) {
                    // Mostly to another than before.
                    let node = (self.people[*who].node + usize::from(nth % 3 > 0)) % self.nodes.len();
                    self.comes_back(*who, node, at).await;
                }
            }
            _ => {}
        }
        BTreeMap::new()
    }

    async fn writes(&mut self, who: usize, nth: usize, standing: &Standing, at: &str) {
        let person = &mut self.people[who];
        let sitting = person.sitting().expect("somebody who is here");
        let is_joined = |(post, (board, _)): &(&i32, &(i32, String))| {
            sitting.posts.contains(post) || sitting.boards.contains(board)
        };
        let joined = || standing.posts.iter().filter(is_joined).map(|(post, _)| *post);
        let all = self.standings.iter().flat_map(|all| all.posts.keys().copied());
        let Some(post) = some(nth, joined(), all) else { return };
        let answer = person.writes(post).await;
        let may = joined().any(|joined| joined == post);
        assert_eq!(answer["error"]["code"].as_str(), (!may).then_some("forbidden"), "{at} {post}: {answer}");
        self.typed = standing.board_of(post).filter(|_| may).map(|board| Typed { user: sitting.user, post, board });
    }

    /// To this node with the last cursor, into everything that he had joined.
    async fn comes_back(&mut self, who: usize, node: usize, at: &str) {
        let (url, told) = (self.nodes[node].url().to_owned(), self.log.len());
        if !self.people[who].exists {
            self.people[who].is_refused(&url, at).await;
            let user = self.people[who].user.clone();
            person::sign_in(&user, &self.forum.pool).await;
            for person in self.people.iter_mut().filter(|person| person.user == user) {
                (person.exists, person.came_anew) = (true, self.standings.len());
            }
        }
        let person = &mut self.people[who];
        let has_moved = person.connect(node, &url, told).await;
        let cursor = person.cursors.last().cloned();
        let recovered = self.tally.recovered;
        for joined in person.had_joined() {
            self.join_since(who, joined, cursor.clone(), at).await;
        }
        if has_moved {
            self.tally.moved += self.tally.recovered - recovered;
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
                self.log.same(&events, &missed, person, &at);
                self.tally.recovered += 1;
                self.tally.replayed += events.len();
            }
            (Some(cursor), false) => {
                assert!(events.is_empty(), "nothing half, {at}: {events:?}");
                let changed = forum::changed_since(what, &boards, cursor.step, &self.standings);
                let of_community = forum::settings_changed_since(person.community, cursor.step, &self.standings);
                let unsure = changed || of_community || person.was_shut_out(&boards, cursor, &self.standings);
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
        if change.deleted_user.as_ref() == Some(&person.user) {
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
        // Two transactions that follow each other at once may be told as one: whom the second shuts out does not hear of the first then.
        let apart = matches!(change.step, Step::MoveAndRoles(.., false));
        let in_between = |told: &Told| {
            let came = |event: &Event| (&event.told.name, event.told.post) == (&told.name, told.post);
            apart && person.is_told(told, &could, &could, standing) && events.iter().any(came)
        };
        let is_for = |told: &&Told| person.is_told(told, &could, &can, standing) || in_between(told);
        let expected: Vec<(usize, &Told)> =
            self.log.range(change.told.clone()).filter(|(_, told)| is_for(told)).collect();
        self.log.same(&events, &expected, person, &at);
        self.tally.delivered += events.len();
        // Of several rows in one transaction the order is the database's.
        if let (false, Some((last, (nth, _)))) =
            (matches!(change.step, Step::DeleteUser(_) | Step::DeleteCommunity(_)), events.last().zip(expected.last()))
        {
            person.cursors.push(last.cursor(nth + 1, self.standings.len() - 1));
        }
        person.stays(&can, &change.created, change.told.clone(), standing);
    }

    pub async fn end(self) -> Tally {
        for node in self.nodes {
            node.stop().await;
        }
        self.tally
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
    deleted_user: Option<String>,
}
