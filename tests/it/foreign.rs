//! What another community has can not be told from what is not there by how long the refusal takes: between the client's own times, of both
//! by turns at random, no difference may be found. How small a one has to be found is measured beside it: of everything so many times are
//! taken that half of what one question more to the database costs would be seen, in either direction. All of this without the steps in which
//! refusals are told, which hide even that question.

mod ranks;

use std::{
    hash::{BuildHasher, RandomState},
    ops::{AsyncFnMut, Range},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use self::ranks::Ranks;
use crate::support::{
    client::Client,
    postgres::Forum,
    service::Service,
    store::{Store, on_both_stores},
    wire::Frames,
};

/// Of boards and of posts, about half of which are there.
const IDS: Range<i32> = 10_000..13_000;
/// So many are asked for in one turn: six turns of such as nobody has asked for before.
const A_TURN: usize = 500;
/// As many where something is changed before each question, or before one of each community.
const CHANGING: usize = 128;
/// Which are changed at once, so that a sample is soon taken.
const COMMUNITIES: usize = 32;
/// So many turns are taken at most: the more else the machine does the larger a sample it takes.
const TURNS: usize = 60;
/// So often the question is weighed before a row, and in each turn.
const WEIGHED: [usize; 2] = [200, 50];
/// Longer than refusals take where nothing hides it.
const STEP: Duration = Duration::from_millis(20);
/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);

/// A member of `c1` who asks for what `c2` may have.
struct Asking {
    forum: Forum,
    client: Client,
    /// One of each community that is changed.
    others: Vec<Frames>,
    random: RandomState,
    /// Reads on for whoever has in use half of what `c2` has.
    owner: JoinSet<()>,
    /// What is not there asked for with one question more to the database, and without, while a row is taken: what else the machine does
    /// makes both slower.
    question: Ranks,
    changes: usize,
}

/// One question and how its id was chosen.
#[derive(Clone, Copy)]
struct Ask {
    is_foreign: bool,
    id: i32,
}

impl Ask {
    fn argument(self, event: &str) -> Value {
        match event {
            "typing:start" => json!({"postId": self.id}),
            "presence:list" => json!({"boardId": self.id}),
            _ => json!(self.id),
        }
    }

    fn is_refused(self, event: &str, answer: &Value) {
        let code = if event == "typing:start" { "forbidden" } else { "not_found" };
        assert_eq!(answer["error"]["code"], code, "{event} {}: {answer}", self.id);
    }
}

/// What is not there.
const NOBODYS: Ask = Ask { is_foreign: false, id: IDS.end };

impl Asking {
    fn is_foreign(&self, id: i32) -> bool {
        self.random.hash_one(id).is_multiple_of(2)
    }

    /// So many of these, each once, in an order of its own for each `what` and `turn`.
    fn some(&self, of: &[i32], count: usize, order: (&str, usize)) -> Vec<Ask> {
        let mut ids = of.to_vec();
        ids.sort_by_key(|id| self.random.hash_one((order, id)));
        ids.into_iter().take(count).map(|id| Ask { is_foreign: self.is_foreign(id), id }).collect()
    }

    /// The same number for each id, of `c2` where it is one of its own. Half of what it has it has in use.
    async fn furnish(&mut self, service: &Service) {
        let foreign: Vec<i32> = IDS.filter(|id| self.is_foreign(*id)).collect();
        let boards =
            "INSERT INTO boards (id, community_id, name) SELECT id, 'c2', 'Board ' || id FROM unnest($1::int[]) AS id";
        let posts = "INSERT INTO posts (id, author_user_id, title, content, board_id)
            SELECT id, 'cy', 'Theirs', '', id FROM unnest($1::int[]) AS id";
        for insert in [boards, posts] {
            sqlx::query(insert).bind(&foreign).execute(&self.forum.pool).await.expect("rows");
        }
        let mut owner = Frames::connected(&service.url, &Service::token("cy", "c2", &[], false)).await;
        let told = async {
            while owner.ask("board:join", json!(foreign[0])).await["ok"] != json!(true) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, told).await.expect("boards that are told of");
        for id in foreign.iter().step_by(2) {
            for event in ["board:join", "post:join"] {
                assert_eq!(owner.ask(event, json!(id)).await["ok"], json!(true), "{id}");
            }
        }
        self.owner.spawn(async move { while owner.next().await.is_some() {} });
    }

    /// The service ends; until now everything was in use that has to be.
    async fn end(mut self, service: Service) {
        assert!(self.owner.try_join_next().is_none(), "he stays");
        service.stop().await;
    }

    /// Asks for these, one after the other; all are answered the same.
    async fn times(&mut self, event: &str, asks: &[Ask], ranks: &mut Ranks) {
        let first = self.ask(event, asks[0]).await.0;
        for ask in asks {
            let (answer, time) = self.ask(event, *ask).await;
            assert_eq!(answer, first, "{event} {}", ask.id);
            ranks.add(ask.is_foreign, time);
        }
    }

    /// Takes the times of one turn after the other, until half of what a question to the database costs would be seen in them.
    async fn finds_no_difference(
        &mut self,
        what: &str,
        turns: usize,
        mut turn: impl AsyncFnMut(&mut Self, usize, &mut Ranks),
    ) {
        let mut ranks = Ranks::default();
        self.question = Ranks::default();
        self.weigh_question(WEIGHED[0]).await;
        for number in 0..turns {
            turn(self, number, &mut ranks).await;
            self.weigh_question(WEIGHED[1]).await;
            ranks.are_of_one_kind(what);
            if ranks.would_show(self.question.shift() / 2.0) {
                return;
            }
        }
        panic!(
            "too little is seen: of {what} {}, which is more than half of what one question more to the database costs, {}",
            ranks.report("so many times were taken"),
            self.question.report("a question")
        );
    }

    /// A post costs one question more than a board, where neither is there.
    async fn weigh_question(&mut self, times: usize) {
        for number in 0..times {
            let asks_more = self.random.hash_one(("a question", self.question.len(), number)).is_multiple_of(2);
            let time = self.ask(if asks_more { "post:join" } else { "board:join" }, NOBODYS).await.1;
            self.question.add(asks_more, time);
        }
    }

    /// What is known of the others' own communities counts no longer.
    async fn change_communities(&mut self) {
        self.changes += 1;
        let settings = json!({"realtime": {"votes": self.changes.is_multiple_of(2)}});
        let update = sqlx::query("UPDATE communities SET settings = $1 WHERE id LIKE 'k%'").bind(settings);
        update.execute(&self.forum.pool).await.expect("a change");
        for other in &mut self.others {
            while !other.next().await.expect("a connection that stays").contains("community:settingsChanged") {}
        }
    }

    /// The post moves, and its board's community need not be told: the client is told of something that follows.
    async fn move_post(&mut self, id: i32) {
        let update = "UPDATE posts SET board_id = CASE board_id WHEN 3 THEN id ELSE 3 END WHERE id = $1";
        sqlx::query(update).bind(id).execute(&self.forum.pool).await.expect("a move");
        self.forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', '', '', 1)").await;
        self.hears("board:newPost").await;
    }

    async fn ask(&mut self, event: &str, ask: Ask) -> (Value, f64) {
        let (answer, time) = self.client.time(event, ask.argument(event)).await;
        ask.is_refused(event, &answer);
        (answer, time)
    }

    /// The same of one of the others.
    async fn ask_by(&mut self, other: usize, event: &str, ask: Ask) -> f64 {
        let began = Instant::now();
        let answer = self.others[other].ask(event, ask.argument(event)).await;
        let time = began.elapsed();
        ask.is_refused(event, &answer);
        time.as_secs_f64() * 1e3
    }

    /// The client is told next that this happened.
    async fn hears(&mut self, event: &str) {
        assert_eq!(self.client.next().await[0], event);
    }
}

async fn asking(store: &Store, refusal_step: Duration) -> (Service, Asking) {
    let forum = Forum::captured().await;
    let rates = ["rate-join", "rate-typing", "rate-presence-list", "rate-other"].map(|rate| (rate, "10000/1s"));
    let refusal_step = format!("{}ms", refusal_step.as_millis());
    let more = [("rooms-per-socket", "10000"), ("merge-window", "1ms"), ("refusal-step", refusal_step.as_str())];
    let flags = [&rates[..], &more].concat();
    let service = store.service(&forum, &flags).await;
    let client = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    forum.run("INSERT INTO communities (id, name) SELECT 'k' || n, 'K' || n FROM generate_series(0, 31) AS n").await;
    let mut others = Vec::new();
    for number in 0..COMMUNITIES {
        let token = Service::token("ada", &format!("k{number}"), &[], false);
        others.push(Frames::connected(&service.url, &token).await);
    }
    let (random, owner, question) = (RandomState::new(), JoinSet::new(), Ranks::default());
    let mut asking = Asking { forum, client, others, random, owner, question, changes: 0 };
    asking.furnish(&service).await;
    assert_eq!(asking.client.ask("board:join", json!(1)).await["ok"], json!(true));
    // So that everybody has found his pace.
    for event in ["board:join", "post:join"] {
        asking.times(event, &[NOBODYS; 100], &mut Ranks::default()).await;
    }
    (service, asking)
}

async fn how_long_a_refusal_takes_does_not_tell_what_another_community_has(store: &Store) {
    let (service, mut asking) = asking(store, Duration::ZERO).await;
    let ids: Vec<i32> = IDS.collect();
    let (one_after_the_other, again): (Vec<&[i32]>, _) = (ids.chunks(A_TURN).collect(), vec![&ids[..A_TURN]; TURNS]);
    for (what, event, turns) in [
        ("a board, first", "board:join", &one_after_the_other),
        ("a board, again", "board:join", &again),
        ("who is there", "presence:list", &again),
        ("a post, first", "post:join", &one_after_the_other),
        ("a post, again", "post:join", &again),
        ("writing", "typing:start", &again),
    ] {
        let turn = async |asking: &mut Asking, turn: usize, ranks: &mut Ranks| {
            let asks = asking.some(turns[turn], A_TURN, (what, turn));
            asking.times(event, &asks, ranks).await;
        };
        asking.finds_no_difference(what, turns.len(), turn).await;
    }
    asking.end(service).await;
}

async fn nor_does_it_tell_after_a_change_of_the_community_or_of_what_is_asked_for(store: &Store) {
    let (service, mut asking) = asking(store, Duration::ZERO).await;
    let ids: Vec<i32> = IDS.collect();
    for (what, event) in [("a board", "board:join"), ("a post", "post:join")] {
        let what = format!("{what}, behind a change of the community");
        let turn = async |asking: &mut Asking, turn: usize, ranks: &mut Ranks| {
            for asks in asking.some(&ids, CHANGING, (&what, turn)).chunks(COMMUNITIES) {
                asking.change_communities().await;
                for (by, ask) in asks.iter().enumerate() {
                    ranks.add(ask.is_foreign, asking.ask_by(by, event, *ask).await);
                }
            }
        };
        asking.finds_no_difference(&what, TURNS, turn).await;
    }
    let what = "a post that has moved, or is not there";
    let foreign: Vec<i32> = ids.iter().copied().filter(|id| asking.is_foreign(*id)).collect();
    let turn = async |asking: &mut Asking, turn: usize, ranks: &mut Ranks| {
        for (number, ask) in asking.some(&ids, CHANGING, (what, turn)).into_iter().enumerate() {
            // One of theirs moves each time, and it is that one that is asked for, or one that is not there. Both were asked for before.
            let id = if ask.is_foreign { ask.id } else { foreign[(turn + number) % foreign.len()] };
            asking.ask("post:join", ask).await;
            asking.move_post(id).await;
            ranks.add(ask.is_foreign, asking.ask("post:join", ask).await.1);
        }
    };
    asking.finds_no_difference(what, TURNS, turn).await;
    asking.end(service).await;
}

/// What the others would not see they could not refute.
async fn one_question_more_to_the_database_is_seen(store: &Store) {
    let (service, mut asking) = asking(store, Duration::ZERO).await;
    for _ in 0..TURNS {
        asking.weigh_question(WEIGHED[0]).await;
        if asking.question.are_told_apart() {
            break;
        }
    }
    asking.question.are_of_two_kinds("a question to the database, and none");
    asking.end(service).await;
}

async fn in_steps_it_is_seen_no_longer(store: &Store) {
    let (service, mut asking) = asking(store, STEP).await;
    asking.weigh_question(WEIGHED[0]).await;
    asking.question.are_of_one_kind("a question to the database, and none, told in steps");
    assert!(asking.question.shortest() >= STEP.as_secs_f64() * 1e3, "{}", asking.question.shortest());
    asking.end(service).await;
}

on_both_stores!(
    in_steps_it_is_seen_no_longer,
    how_long_a_refusal_takes_does_not_tell_what_another_community_has,
    nor_does_it_tell_after_a_change_of_the_community_or_of_what_is_asked_for,
    one_question_more_to_the_database_is_seen,
);
