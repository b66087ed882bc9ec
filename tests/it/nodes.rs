//! Several nodes on one database: one makes the ticks, Redis carries them, PostgreSQL makes up for whatever is lost.

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_both_nodes_are_told_the_same_once_and_by_the_relay() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let one = read(joined(&leader, None).await.0);
    let other = read(joined(&follower, None).await.0);
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;

    let (looks, taken) = (follower.metric(LOOKS).await.expect("looks"), follower.metric(TAKEN).await.expect("ticks"));
    let began = Instant::now();
    writer.writes(500).await;
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
    assert!(taken > 50.0, "{taken} ticks by the relay");
    assert!(looks < 5.0 + 2.0 * seconds && looks < taken / 10.0, "{looks} looks for {taken} ticks in {seconds} s");

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
    assert_eq!(other.metric(TAKEN).await, None);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_dies_under_load_and_comes_back_and_nothing_is_lost() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (url, port) = (redis.url(), redis.port());
    let (leader, follower) = two_nodes(&forum, &url).await;
    let one = read(joined(&leader, None).await.0);
    let other = read(joined(&follower, None).await.0);
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    redis.stop().expect("an end");
    writer.writes(200).await;
    let without = follower.metric(TAKEN).await;
    writer.writes(200).await;
    assert_eq!(follower.metric(TAKEN).await, without, "nothing carries");
    let redis = Redis::start_at(port).expect("a Redis where it was");
    takes(&follower, 20.0).await;
    let written = writer.stop().await;
    let told = all(one).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(other).await, told);
    leader.stop().await;
    follower.stop().await;
    drop(redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stalls_without_closing_anything_is_left_alone() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let proxy = Proxy::before(&format!("http://127.0.0.1:{}", redis.port())).await;
    let (leader, follower) = two_nodes(&forum, &proxy.url.replace("http", "redis")).await;
    let one = read(joined(&leader, None).await.0);
    let other = read(joined(&follower, None).await.0);
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    proxy.fall_silent();
    writer.writes(500).await;
    let written = writer.stop().await;
    let told = all(one).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(other).await, told);
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_ticking_node_is_killed_another_goes_on_within_two_seconds() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (mut leader, follower) = two_nodes(&forum, &redis.url()).await;
    let before = lease_held(&forum.pool, None).await;
    let (mut client, _) = joined(&follower, None).await;
    let reading = tokio::spawn(async move {
        let (mut all, mut gap, mut last) = (Vec::new(), Duration::ZERO, None);
        while all.last().is_none_or(|seen: &Seen| seen.title != END) {
            all.push(next(&mut client).await);
            let now = Instant::now();
            gap = last.replace(now).map_or(gap, |last| gap.max(now - last));
        }
        (all, gap)
    });
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    let killed = Instant::now();
    leader.kill().await;
    lease_held(&forum.pool, Some(before)).await;
    let taken_over = killed.elapsed();
    writer.writes(100).await;
    let written = writer.stop().await;
    let (told, gap) = timeout(PATIENCE, reading).await.expect("the last post").expect("a reader");
    println!("the lease was taken over within {taken_over:?}; the longest time without an event was {gap:?}");
    assert_eq!(titles(&told), written);
    assert!(taken_over < Duration::from_secs(2), "taken over after {taken_over:?}");
    assert!(gap < Duration::from_secs(5), "silent for {gap:?}");
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticking_node_that_is_stuck_is_stood_in_for_and_catches_up() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let one = read(joined(&leader, None).await.0);
    let other = read(joined(&follower, None).await.0);
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    leader.signal("-STOP");
    let stopped = Instant::now();
    let before = follower.metric(MADE).await.unwrap_or_default();
    let asking = async {
        while follower.metric(MADE).await.unwrap_or_default() < before + 20.0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("ticks of the other");
    println!("20 ticks were made by the other {:?} after the first was stuck", stopped.elapsed());
    leader.signal("-CONT");
    writer.writes(100).await;
    let written = writer.stop().await;
    let told = all(one).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(other).await, told);
    assert!(stopped.elapsed() < PATIENCE);
    leader.stop().await;
    follower.stop().await;
}

/// Carries messages from one prefix to another through `change`, which is told their number and gives what is sent instead.
struct Bridge(JoinHandle<()>);

impl Bridge {
    async fn between(
        redis: &Redis,
        from: &str,
        to: &str,
        change: impl Fn(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let client = redis::Client::open(redis.url()).expect("an address");
        let mut pubsub = client.get_async_pubsub().await.expect("a connection");
        let mut publishing = client.get_multiplexed_async_connection().await.expect("a connection");
        pubsub.subscribe(format!("{from}ticks")).await.expect("a subscription");
        let channel = format!("{to}ticks");
        Self(tokio::spawn(async move {
            let mut messages = pubsub.into_on_message();
            let mut number = 0;
            while let Some(message) = messages.next().await {
                number += 1;
                for sent in change(number, message.get_payload_bytes().to_vec()) {
                    publish(&mut publishing, &channel, &sent).await;
                }
            }
        }))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn publish(connection: &mut redis::aio::MultiplexedConnection, channel: &str, message: &[u8]) {
    redis::cmd("PUBLISH").arg(channel).arg(message).query_async::<i64>(connection).await.expect("an answer");
}

/// Two nodes that hear each other through a bridge alone, from the one that makes the ticks to the other.
async fn bridged(
    forum: &Forum,
    redis: &Redis,
    change: impl Fn(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
) -> (Serving, Serving, Bridge) {
    let bridge = Bridge::between(redis, "one:", "other:", change).await;
    let start = async |prefix: &str| {
        let flags = ["--redis-url", &redis.url(), "--redis-prefix", prefix, "--drain", "100ms"];
        Serving::start(&forum.url(), &flags).await
    };
    let leader = start("one:").await;
    lease_held(&forum.pool, None).await;
    (leader, start("other:").await, bridge)
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
async fn a_node_of_another_format_is_not_believed_and_misses_nothing() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower, _bridge) = bridged(&forum, &redis, |_, message| {
        let of_tomorrow = message.strip_prefix(b"curia-relay 1 ").expect("a heading");
        vec![[b"curia-relay 2 ".as_slice(), of_tomorrow].concat()]
    })
    .await;
    told_the_same(&forum, &leader, &follower, async |writer| writer.writes(200).await).await;
    assert_eq!(messages(&follower, "taken").await, 0.0);
    assert!(messages(&follower, "foreign").await > 20.0);
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_lost_twice_late_or_cut_cost_nothing_but_a_look() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let kept = std::sync::Mutex::new(None);
    let (leader, follower, _bridge) = bridged(&forum, &redis, move |number, message| match number % 10 {
        // Lost, twice, cut, changed, and one after the next.
        2 => Vec::new(),
        4 => vec![message.clone(), message],
        6 => vec![message[..message.len() / 2].to_vec()],
        7 => vec![message.iter().map(|byte| if *byte == b'[' { b'{' } else { *byte }).collect()],
        8 => {
            *kept.lock().expect("a message") = Some(message);
            Vec::new()
        }
        9 => std::iter::once(message).chain(kept.lock().expect("a message").take()).collect(),
        _ => vec![message],
    })
    .await;
    told_the_same(&forum, &leader, &follower, async |writer| {
        takes(&follower, 20.0).await;
        writer.writes(200).await;
    })
    .await;
    for outcome in ["taken", "missed", "odd", "overtaken", "astray", "foreign", "left_out"] {
        println!("{outcome}: {}", messages(&follower, outcome).await);
    }
    for outcome in ["missed", "odd"] {
        assert!(messages(&follower, outcome).await > 2.0, "{outcome}");
    }
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_publish_changes_nothing() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let (epoch, tick): (i64, i64) = sqlx::query_as("SELECT epoch, max(n) FROM curia_realtime.tick GROUP BY epoch")
        .fetch_one(&forum.pool)
        .await
        .expect("a position");
    let mut garbage: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"hello\n".to_vec(),
        b"\xff\xfe\n\0".to_vec(),
        vec![b'['; 900_000],
        vec![b'x'; 3_000_000],
        b"curia-relay 1 7 8\n".to_vec(),
        format!("curia-relay 1 {epoch} {}\n", i64::MAX).into_bytes(),
    ];
    for next in tick..tick + 200 {
        let body = if next % 2 == 0 { "{\"entries\":[],\"rows\":{}}" } else { "" };
        garbage.push(format!("curia-relay 1 {epoch} {next} 3:3: 999999999:999999999:\n{body}").into_bytes());
    }
    told_the_same(&forum, &leader, &follower, async |writer| {
        takes(&follower, 5.0).await;
        for message in &garbage {
            publish(&mut connection, "curia:ticks", message).await;
        }
        writer.writes(100).await;
        takes(&follower, 5.0).await;
    })
    .await;
    assert!(messages(&follower, "odd").await > 0.0);
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_redis_a_service_starts_and_says_so_and_finds_it_later() {
    let forum = Forum::captured().await;
    let port = curia_scratch::free_port().expect("a port");
    let (leader, follower) = two_nodes(&forum, &format!("redis://:hunter2@127.0.0.1:{port}/")).await;
    let ready = async |node: &Serving| http(&node.url, Method::GET, "/readyz", &[], String::new()).await;
    timeout(PATIENCE, async {
        while ready(&follower).await.status() != StatusCode::OK {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("to be ready");
    let report: Value = serde_json::from_str(ready(&follower).await.body()).expect("JSON");
    assert_eq!((&report["ready"], &report["degraded"][0]["what"]), (&json!(true), &json!("redis")), "{report}");
    assert!(!report.to_string().contains("hunter2"), "{report}");
    told_the_same(&forum, &leader, &follower, async |writer| writer.writes(50).await).await;

    let client = redis_with_password(port).await;
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    writer.writes(1).await;
    writer.stop().await;
    let report: Value = serde_json::from_str(ready(&follower).await.body()).expect("JSON");
    assert_eq!(report["degraded"], json!([]), "{report}");
    leader.stop().await;
    follower.stop().await;
    drop(client);
}

/// A Redis at this port that takes the password of the test's URL.
async fn redis_with_password(port: u16) -> Redis {
    let redis = Redis::start_at(port).expect("a Redis where it is looked for");
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let set = ["SET", "requirepass", "hunter2"];
    redis::cmd("CONFIG").arg(&set).query_async::<()>(&mut connection).await.expect("an answer");
    redis
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_too_large_for_the_relay_are_read_by_each_node() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let missed = messages(&follower, "missed").await;
    told_the_same(&forum, &leader, &follower, async |writer| {
        takes(&follower, 5.0).await;
        // One by its bytes, one by its rows; in other boards, since the clients here count.
        forum
            .run(
                "INSERT INTO posts (author_user_id, title, content, board_id)
                 SELECT 'cy', 'Long', repeat('x', 16000), 2 FROM generate_series(1, 100)",
            )
            .await;
        writer.writes(20).await;
        forum
            .run(
                "INSERT INTO posts (author_user_id, title, content, board_id)
                 SELECT 'cy', 'Many', '', 2 FROM generate_series(1, 2500)",
            )
            .await;
        writer.writes(20).await;
        takes(&follower, 5.0).await;
    })
    .await;
    assert!(messages(&follower, "missed").await >= missed + 2.0);
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_node_that_lags_nobody_is_told_what_was_committed_while_he_was_shut_out() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let first = std::sync::Mutex::new(None);
    // The other hears that all is well and never anything new: it is as far behind as it can be.
    let (leader, follower, _bridge) = bridged(&forum, &redis, move |_, message| {
        vec![first.lock().expect("a message").get_or_insert(message).clone()]
    })
    .await;
    let mut ahead = Frames::connected(&leader.url, &Service::token("bo", "c1", &[], true)).await;
    assert_eq!(ahead.ask("board:join", json!(1)).await["ok"], json!(true));
    let (mut shut_out, _) = joined(&follower, None).await;
    for round in 0..5 {
        set_of_board(&forum.pool, r#"{"permissions": {"allowedRoles": ["crew"]}}"#).await;
        hears_but_nothing_closed(&mut shut_out, "board:accessRevoked").await;
        let closed = format!("closed {round}");
        post(&forum.pool, &closed).await;
        while next(&mut ahead).await.title != closed {}
        set_of_board(&forum.pool, "{}").await;
        shut_out.send(format!("4277{}", json!(["board:join", 1]))).await;
        hears_but_nothing_closed(&mut shut_out, r#"4377[{"boardId":1,"#).await;
        let open = format!("open {round}");
        post(&forum.pool, &open).await;
        hears_but_nothing_closed(&mut shut_out, &open).await;
    }
    leader.stop().await;
    follower.stop().await;
}

async fn set_of_board(pool: &PgPool, settings: &str) {
    let update = "UPDATE boards SET settings = $1::text::jsonb WHERE id = 1";
    sqlx::query(update).bind(settings).execute(pool).await.expect("an update");
}

/// Reads on to what holds `expected`.
async fn hears_but_nothing_closed(frames: &mut Frames, expected: &str) {
    loop {
        let frame = frames.next().await.expect("a connection that stays");
        assert!(!frame.contains("closed"), "{frame}");
        if frame.contains(expected) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_shut_out_is_told_nothing_of_later_on_any_node() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let (mut shut_out, _) = joined(&follower, None).await;
    let mut admin = Frames::connected(&follower.url, &Service::token("bo", "c1", &[], true)).await;
    assert_eq!(admin.ask("board:join", json!(1)).await["ok"], json!(true));
    for round in 0..10 {
        set_of_board(&forum.pool, r#"{"permissions": {"allowedRoles": ["crew"]}}"#).await;
        let closed = format!("closed {round}");
        post(&forum.pool, &closed).await;
        while next(&mut admin).await.title != closed {}
        set_of_board(&forum.pool, "{}").await;
        hears_but_nothing_closed(&mut shut_out, "board:accessRevoked").await;
        hears_but_nothing_closed(&mut shut_out, "board:accessGranted").await;
        shut_out.send(format!("4277{}", json!(["board:join", 1]))).await;
        hears_but_nothing_closed(&mut shut_out, r#"4377[{"boardId":1,"#).await;
        let open = format!("open {round}");
        post(&forum.pool, &open).await;
        hears_but_nothing_closed(&mut shut_out, &open).await;
    }
    assert!(messages(&follower, "taken").await > 10.0);
    leader.stop().await;
    follower.stop().await;
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
