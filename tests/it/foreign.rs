//! What another community has can not be told from what is not there by how long the refusal takes: between the client's own times, of both
//! by turns at random, no difference may be found that a sample of this size shows. Each says how small a one that is.

mod ranks;

use std::{
    hash::{BuildHasher, RandomState},
    ops::Range,
    time::Duration,
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
const IDS: Range<i32> = 10_000..10_500;
/// Where something is changed before each question.
const CHANGING: usize = 200;
/// So often the control asks for everything once more: the more else the machine does the larger a sample it takes.
const TURNS: usize = 20;
/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);

/// A member of `c1` who asks for what `c2` may have.
struct Asking {
    forum: Forum,
    client: Client,
    random: RandomState,
    /// Reads on for whoever has in use half of what `c2` has.
    owner: JoinSet<()>,
}

/// One question and how its id was chosen.
#[derive(Clone, Copy)]
struct Ask {
    is_foreign: bool,
    id: i32,
}

impl Asking {
    fn is_foreign(&self, id: i32) -> bool {
        self.random.hash_one(id).is_multiple_of(2)
    }

    /// Each once, in an order of its own for each `turn`.
    fn ids(&self, turn: &str) -> Vec<Ask> {
        let mut ids: Vec<i32> = IDS.collect();
        ids.sort_by_key(|id| self.random.hash_one((turn, id)));
        ids.into_iter().map(|id| Ask { is_foreign: self.is_foreign(id), id }).collect()
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

    /// How long each of these takes, foreign and absent ones apart; all are answered the same.
    async fn times(&mut self, event: &str, asks: &[Ask]) -> Ranks {
        let mut ranks = Ranks::default();
        let first = self.ask(event, asks[0]).await.0;
        for ask in asks {
            let (answer, time) = self.ask(event, *ask).await;
            assert_eq!(answer, first, "{event} {}", ask.id);
            ranks.add(ask.is_foreign, time);
        }
        ranks
    }

    async fn ask(&mut self, event: &str, ask: Ask) -> (Value, f64) {
        let argument = if event == "typing:start" { json!({"postId": ask.id}) } else { json!(ask.id) };
        let argument = if event == "presence:list" { json!({"boardId": ask.id}) } else { argument };
        let (answer, time) = self.client.time(event, argument).await;
        let code = if event == "typing:start" { "forbidden" } else { "not_found" };
        assert_eq!(answer["error"]["code"], code, "{event} {}: {answer}", ask.id);
        (answer, time)
    }

    /// The client is told next that this happened.
    async fn hears(&mut self, event: &str) {
        assert_eq!(self.client.next().await[0], event);
    }
}

async fn asking(store: &Store) -> (Service, Asking) {
    let forum = Forum::captured().await;
    let rates = ["rate-join", "rate-typing", "rate-presence-list", "rate-other"].map(|rate| (rate, "10000/1s"));
    let flags = [&rates[..], &[("rooms-per-socket", "10000"), ("merge-window", "1ms")]].concat();
    let service = store.service(&forum, &flags).await;
    let client = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    let mut asking = Asking { forum, client, random: RandomState::new(), owner: JoinSet::new() };
    asking.furnish(&service).await;
    assert_eq!(asking.client.ask("board:join", json!(1)).await["ok"], json!(true));
    (service, asking)
}

async fn how_long_a_refusal_takes_does_not_tell_what_another_community_has(store: &Store) {
    let (service, mut asking) = asking(store).await;
    // So that everybody has found his pace.
    for event in ["board:join", "post:join"] {
        asking.times(event, &[Ask { is_foreign: false, id: IDS.end }; 100]).await;
    }
    for (what, event) in [
        ("a board, first", "board:join"),
        ("a board, again", "board:join"),
        ("who is there", "presence:list"),
        ("a post, first", "post:join"),
        ("a post, again", "post:join"),
        ("writing", "typing:start"),
    ] {
        let asks = asking.ids(what);
        asking.times(event, &asks).await.are_of_one_kind(what);
    }
    asking.end(service).await;
}

async fn nor_does_it_tell_after_a_change_of_the_community_or_of_what_is_asked_for(store: &Store) {
    let (service, mut asking) = asking(store).await;
    let (mut boards, mut posts, mut moved) = (Ranks::default(), Ranks::default(), Ranks::default());
    let asks = asking.ids("changing");
    for (number, ask) in asks.iter().take(CHANGING).enumerate() {
        // What is known of the asker's own community counts no longer.
        let settings = json!({"realtime": {"votes": number % 2 == 0}});
        let update = sqlx::query("UPDATE communities SET settings = $1 WHERE id = 'c1'").bind(settings);
        update.execute(&asking.forum.pool).await.expect("a change");
        asking.hears("community:settingsChanged").await;
        let (event, ranks) = if number % 4 < 2 { ("board:join", &mut boards) } else { ("post:join", &mut posts) };
        ranks.add(ask.is_foreign, asking.ask(event, *ask).await.1);
    }
    let foreign: Vec<i32> = IDS.filter(|id| asking.is_foreign(*id)).collect();
    for (number, ask) in asks.iter().take(CHANGING).enumerate() {
        // One of theirs moves each time, and it is that one that is asked for, or one that is not there. Both were asked for before.
        let id = if ask.is_foreign { ask.id } else { foreign[number % foreign.len()] };
        asking.ask("post:join", *ask).await;
        let update = "UPDATE posts SET board_id = CASE board_id WHEN 3 THEN id ELSE 3 END WHERE id = $1";
        sqlx::query(update).bind(id).execute(&asking.forum.pool).await.expect("a move");
        asking.forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', '', '', 1)").await;
        asking.hears("board:newPost").await;
        moved.add(ask.is_foreign, asking.ask("post:join", *ask).await.1);
    }
    boards.are_of_one_kind("a board, behind a change of the community");
    posts.are_of_one_kind("a post, behind a change of the community");
    moved.are_of_one_kind("a post that has moved, or is not there");
    asking.end(service).await;
}

/// What the others would not see they could not refute.
async fn one_question_more_to_the_database_is_seen(store: &Store) {
    let (service, mut asking) = asking(store).await;
    let mut ranks = Ranks::default();
    for turn in 0..TURNS {
        for ask in asking.ids(&format!("control {turn}")) {
            let (event, asks_more) = if ask.is_foreign { ("post:join", true) } else { ("board:join", false) };
            ranks.add(asks_more, asking.ask(event, Ask { is_foreign: false, id: IDS.end }).await.1);
        }
        if ranks.are_told_apart() {
            break;
        }
    }
    ranks.are_of_two_kinds("a question to the database, and none");
    asking.end(service).await;
}

on_both_stores!(
    how_long_a_refusal_takes_does_not_tell_what_another_community_has,
    nor_does_it_tell_after_a_change_of_the_community_or_of_what_is_asked_for,
    one_question_more_to_the_database_is_seen,
);
