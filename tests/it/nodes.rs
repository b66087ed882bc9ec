//! Several nodes on one database: one makes the ticks, Redis carries them, PostgreSQL makes up for whatever is lost.

mod bridge;
mod costs;
mod crowd;
mod facts;
mod forms;
mod meeting;
mod meeting_slow;
mod moves;
mod neighbours;
mod presence;
mod presence_away;
mod presence_dead;
mod presence_forgotten;
mod presence_large;
mod presence_lost;
mod presence_minded;
mod presence_paused;
mod presence_typing;
mod redis_away;
mod rights;
mod sessions;
mod sessions_kept;
mod swallowed;
mod takeover;
mod tokens;
mod user_boards;

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use curia_scratch::Redis;
use futures_util::StreamExt;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::support::{
    postgres::Forum,
    program::Serving,
    proxy::Proxy,
    service::Service,
    wire::{Frames, http},
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);
/// The title of the last post.
const END: &str = "end";
const TAKEN: &str = r#"curia_relay_messages_total{outcome="taken"}"#;
/// Ticks that a node handed to others, having made them.
const MADE: &str = r#"curia_relay_sent_total{outcome="sent"}"#;
const LOOKS: &str = "curia_outbox_looks_total";

/// What a client was told of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    title: String,
    cursor: String,
}

fn token() -> String {
    Service::token("ada", "c1", &[], false)
}

async fn node(forum: &Forum, redis: &str) -> Serving {
    Serving::start(&forum.url(), &["--redis-url", redis, "--drain", "100ms"]).await
}

/// Two nodes, of which the first makes the ticks, and hears the other's way to it.
async fn two_nodes(forum: &Forum, redis: &str) -> (Serving, Serving) {
    let leader = node(forum, redis).await;
    lease_held(&forum.pool, None).await;
    (leader, node(forum, redis).await)
}

/// Who holds the lease, once somebody else than `before` does.
async fn lease_held(pool: &PgPool, before: Option<i32>) -> i32 {
    let asking = async {
        loop {
            let holder: Option<i32> = sqlx::query_scalar(
                "SELECT pid FROM pg_locks
                 WHERE locktype = 'advisory' AND classid = 1129665097 AND objid::int = 2 AND granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .fetch_optional(pool)
            .await
            .expect("the locks");
            match holder {
                Some(holder) if Some(holder) != before => return holder,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("the lease to be taken")
}

/// A client of this node in board 1.
async fn joined(node: &Serving, since: Option<&str>) -> (Frames, Value) {
    let mut frames = Frames::connected(&node.url, &token()).await;
    let argument = since.map_or(json!(1), |since| json!({"boardId": 1, "since": since}));
    frames.send(format!("4277{}", json!(["board:join", argument]))).await;
    let mut missed = Vec::new();
    loop {
        let frame = frames.next().await.expect("an answer");
        if let Some(answer) = frame.strip_prefix("4377") {
            let mut answer: Value = serde_json::from_str::<Value>(answer).expect("JSON")[0].clone();
            assert_eq!(answer["ok"], json!(true), "{answer}");
            answer["missed"] = missed.into();
            return (frames, answer);
        }
        missed.extend(post_in(&frame).map(|seen| seen.title));
    }
}

fn post_in(frame: &str) -> Option<Seen> {
    let told: Value = serde_json::from_str(frame.strip_prefix("42")?).expect("JSON");
    (told[0] == "board:newPost").then(|| Seen {
        title: told[1]["post"]["title"].as_str().expect("a title").to_owned(),
        cursor: told[2]["cursor"].as_str().expect("a cursor").to_owned(),
    })
}

async fn next(frames: &mut Frames) -> Seen {
    loop {
        let frame = frames.next().await.expect("a connection that stays");
        if let Some(seen) = post_in(&frame) {
            return seen;
        }
    }
}

/// Reads as it comes what a client is told, up to the post with which a writer ends.
fn read(mut frames: Frames) -> JoinHandle<Vec<Seen>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        while all.last().is_none_or(|seen: &Seen| seen.title != END) {
            all.push(next(&mut frames).await);
        }
        all
    })
}

async fn all(reading: JoinHandle<Vec<Seen>>) -> Vec<Seen> {
    timeout(PATIENCE, reading).await.expect("the last post").expect("a client that stays")
}

async fn post(pool: &PgPool, title: &str) {
    let insert = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', $1, '', 1)";
    sqlx::query(insert).bind(title).execute(pool).await.expect("a post");
}

/// Somebody who writes posts 1, 2, 3 ... until he is told to stop.
struct Writer {
    written: watch::Receiver<u32>,
    stop: watch::Sender<bool>,
    writing: JoinHandle<u32>,
}

impl Writer {
    fn start(forum: &Forum) -> Self {
        let (count, written) = watch::channel(0);
        let stop = watch::Sender::new(false);
        let (pool, stopped) = (forum.pool.clone(), stop.subscribe());
        let writing = tokio::spawn(async move {
            while !*stopped.borrow() {
                let next = *count.borrow() + 1;
                post(&pool, &next.to_string()).await;
                count.send_replace(next);
                sleep(Duration::from_millis(2)).await;
            }
            post(&pool, END).await;
            *count.borrow()
        });
        Self { written, stop, writing }
    }

    /// Waits for so many more.
    async fn writes(&mut self, more: u32) {
        let count = *self.written.borrow() + more;
        timeout(PATIENCE, self.written.wait_for(|written| *written >= count)).await.expect("posts").expect("a writer");
    }

    /// Writes the last and gives all their titles.
    async fn stop(self) -> Vec<String> {
        self.stop.send_replace(true);
        let count = self.writing.await.expect("a writer");
        (1..=count).map(|number| number.to_string()).chain([END.to_owned()]).collect()
    }
}

fn titles(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| seen.title.clone()).collect()
}

/// Waits until this node has taken `more` ticks from the relay.
async fn takes(node: &Serving, more: f64) {
    let before = node.metric(TAKEN).await.unwrap_or_default();
    let asking = async {
        while node.metric(TAKEN).await.unwrap_or_default() < before + more {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("ticks by the relay");
}

/// Both are told everything that is written while `meanwhile` waits, in the same order with the same cursors.
async fn told_the_same(forum: &Forum, one: &Serving, other: &Serving, meanwhile: impl AsyncFnOnce(&mut Writer)) {
    let ada = read(joined(one, None).await.0);
    let bo = read(joined(other, None).await.0);
    let mut writer = Writer::start(forum);
    meanwhile(&mut writer).await;
    let written = writer.stop().await;
    let told = all(ada).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(bo).await, told);
}

async fn messages(node: &Serving, outcome: &str) -> f64 {
    node.metric(&format!("curia_relay_messages_total{{outcome=\"{outcome}\"}}")).await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_both_nodes_are_told_the_same_once_and_by_the_relay() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let one = read(joined(&leader, None).await.0);
    let other = read(joined(&follower, None).await.0);
    let writer = Writer::start(&forum);
    takes(&follower, 5.0).await;

    let (looks, taken) = (follower.metric(LOOKS).await.expect("looks"), follower.metric(TAKEN).await.expect("ticks"));
    let began = Instant::now();
    takes(&follower, 50.0).await;
    let seconds = began.elapsed().as_secs_f64();
    let looks = follower.metric(LOOKS).await.expect("looks") - looks;
    let taken = follower.metric(TAKEN).await.expect("ticks") - taken;
    let bytes = leader.metric("curia_relay_sent_bytes_total").await.expect("bytes");
    let sent = leader.metric(MADE).await.expect("ticks");
    let asked = leader.metric(LOOKS).await.expect("looks");
    println!(
        "{taken} ticks by the relay and {looks} looks in {seconds:.1} s; {:.0} bytes a tick; {asked} by the leader",
        bytes / sent
    );
    // Once a second to make sure, twice to ask for the lease; how many ticks a second brings depends on the machine.
    assert!(looks < 5.0 + 3.0 * seconds, "{looks} looks for {taken} ticks in {seconds} s");

    let written = writer.stop().await;
    let told = all(one).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(other).await, told, "the same, with the same cursors");
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_two_nodes_tell_the_same() {
    let forum = Forum::captured().await;
    let one = Serving::start(&forum.url(), &["--drain", "100ms"]).await;
    let other = Serving::start(&forum.url(), &["--drain", "100ms"]).await;
    let ada = read(joined(&one, None).await.0);
    let bo = read(joined(&other, None).await.0);
    let mut writer = Writer::start(&forum);
    writer.writes(200).await;
    let written = writer.stop().await;
    let told = all(ada).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(bo).await, told);
    assert_eq!(other.metric(TAKEN).await, Some(0.0));
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_moves_from_node_to_node_loses_nothing() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let (mut client, _) = joined(&leader, None).await;
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    let mut titles = Vec::new();
    for round in 0..6 {
        writer.writes(30).await;
        let seen = next(&mut client).await;
        titles.push(seen.title);
        drop(client);
        let to = if round % 2 == 0 { &follower } else { &leader };
        let answer;
        (client, answer) = joined(to, Some(&seen.cursor)).await;
        assert_eq!(answer["recovered"], json!(true), "{answer}");
        let missed = answer["missed"].as_array().expect("what was missed");
        titles.extend(missed.iter().map(|title| title.as_str().expect("a title").to_owned()));
    }
    let written = writer.stop().await;
    titles.extend(self::titles(&all(read(client)).await));
    assert_eq!(titles, written);
    leader.stop().await;
    follower.stop().await;
}
