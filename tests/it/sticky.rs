//! Two nodes behind the proxy of `compose.yaml`: whoever polls finds his session on every request, and another node when his goes.

use std::{pin::pin, time::Duration};

use axum::http::{Method, StatusCode};
use curia_realtime::config::{Config, Sources, duration};
use curia_scratch::Redis;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::timeout;

use crate::support::{
    balancer::{Balancer, CONFIGURATION},
    client::Client,
    postgres::Forum,
    program::Serving,
    service::{SECRET, Service},
    wire::http,
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);
const POLLING: &str = "polling";
/// What opens a session.
const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
/// The title of the last post.
const END: &str = "end";

fn token(user: &str) -> String {
    Service::token(user, "c1", &[], false)
}

/// Two nodes that share a database and a Redis, with these flags beside the usual ones.
async fn two_nodes(forum: &Forum, redis: &Redis, flags: &[&str]) -> [Serving; 2] {
    let url = redis.url();
    let flags = [&["--redis-url", &url], flags].concat();
    let one = Serving::start(&forum.url(), &flags).await;
    let two = Serving::start(&forum.url(), &flags).await;
    one.until_ready().await;
    two.until_ready().await;
    [one, two]
}

async fn sockets(nodes: &[Serving; 2]) -> [usize; 2] {
    let [one, two] = nodes.each_ref().map(|node| node.metric("curia_sockets"));
    [one.await, two.await].map(|count| count.unwrap_or_default() as usize)
}

/// Somebody who writes posts 1, 2, 3 ...
struct Writer<'a> {
    pool: &'a PgPool,
    titles: Vec<String>,
}

impl<'a> Writer<'a> {
    fn new(forum: &'a Forum) -> Self {
        Self { pool: &forum.pool, titles: Vec::new() }
    }

    async fn post(&mut self, title: String) {
        let insert = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', $1, '', 1)";
        sqlx::query(insert).bind(&title).execute(self.pool).await.expect("a post");
        self.titles.push(title);
    }

    async fn writes(&mut self, more: usize) {
        for _ in 0..more {
            self.post((self.titles.len() + 1).to_string()).await;
        }
    }

    /// Writes until this is done.
    async fn writes_until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = pin!(done);
        loop {
            self.writes(1).await;
            if let Ok(done) = timeout(Duration::from_millis(5), &mut done).await {
                return done;
            }
        }
    }

    /// Writes the last and gives all their titles.
    async fn ends(mut self) -> Vec<String> {
        self.post(END.to_owned()).await;
        self.titles
    }
}

async fn stop(nodes: [Serving; 2]) {
    for node in nodes {
        node.stop().await;
    }
}

/// A client in board 1.
async fn joined(url: &str, user: &str, transport: &str) -> Client {
    let mut client = Client::connected(url, &token(user), transport).await;
    assert_eq!(client.ask("board:join", json!(1)).await["ok"], json!(true));
    client
}

/// What a client is told that comes back by itself and resumes where it was, up to the last post.
struct Reader {
    client: Client,
    cursor: String,
    titles: Vec<String>,
    /// How often it has come back.
    returned: u32,
}

impl Reader {
    async fn joined(url: &str, user: &str) -> Self {
        let mut client = Client::start_returning(url, &token(user), POLLING);
        client.has_entered().await;
        let cursor = client.ask("board:join", json!(1)).await["cursor"].as_str().expect("a cursor").to_owned();
        Self { client, cursor, titles: Vec::new(), returned: 0 }
    }

    /// The next thing that happened.
    async fn next(&mut self) -> Value {
        let happened = self.client.next().await;
        match happened[0].as_str().expect("a name") {
            "board:newPost" => {
                self.titles.push(happened[1]["post"]["title"].as_str().expect("a title").to_owned());
                self.cursor = happened[2]["cursor"].as_str().expect("a cursor").to_owned();
            }
            "session:ready" => {
                self.returned += 1;
                self.client.emit("board:join", json!({"boardId": 1, "since": self.cursor})).await;
            }
            "ack" => assert_eq!(happened[2]["recovered"], json!(true), "{happened}"),
            "connect" | "disconnect" | "server:draining" | "connect_error" => {}
            _ => panic!("{happened}"),
        }
        happened
    }

    /// Reads up to this post.
    async fn reads(&mut self, title: &str) {
        let reading = async {
            while self.titles.last().is_none_or(|last| last != title) {
                self.next().await;
            }
        };
        timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{title} is not told"));
    }
}

/// Four readers, and how many of them are on the first node.
async fn four_readers(proxy: &Balancer, nodes: &[Serving; 2]) -> (Vec<Reader>, usize) {
    let mut readers = Vec::new();
    for user in ["ada", "bo", "cy", "ada"] {
        readers.push(Reader::joined(&proxy.url, user).await);
    }
    let [one, two] = sockets(nodes).await;
    assert!(one > 0 && two > 0 && one + two == 4, "spread over both: {one} and {two}");
    (readers, one)
}

/// They were told all this, once and in order, and so many of them came back once.
async fn were_told(readers: Vec<Reader>, written: &[String], came_back: usize) {
    let mut returned = Vec::new();
    for mut reader in readers {
        reader.reads(END).await;
        assert_eq!(reader.titles, written);
        returned.push(reader.returned);
    }
    assert!(returned.iter().all(|times| *times <= 1), "{returned:?}");
    assert_eq!(returned.iter().filter(|times| **times == 1).count(), came_back, "{returned:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_polls_through_the_proxy_misses_nothing_on_either_node() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let nodes = two_nodes(&forum, &redis, &["--drain", "100ms"]).await;
    let proxy = Balancer::before(&nodes).await;
    let mut clients = Vec::new();
    for transport in [POLLING, POLLING, POLLING, POLLING, "websocket", "polling,websocket"] {
        clients.push(joined(&proxy.url, "ada", transport).await);
    }
    let [one, two] = sockets(&nodes).await;
    assert!(one > 0 && two > 0 && one + two == 6, "spread over both: {one} and {two}");
    let mut writer = Writer::new(&forum);
    writer.writes(100).await;
    for client in &mut clients {
        for title in &writer.titles {
            // Nothing else happens: a single request that goes astray would end its session.
            let told = client.next().await;
            assert_eq!((&told[0], &told[1]["post"]["title"]), (&json!("board:newPost"), &json!(title)), "{told}");
        }
        // Whoever polls sends as well, over and over.
        for _ in 0..5 {
            assert_eq!(client.ask("board:leave", json!(2)).await["ok"], json!(true));
        }
    }
    for path in ["/readyz", "/metrics", "/", "/socket.io.evil/"] {
        let answer = http(&proxy.url, Method::GET, path, &[], String::new()).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_stickiness_who_polls_loses_his_session() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let nodes = two_nodes(&forum, &redis, &["--drain", "100ms"]).await;
    let proxy = Balancer::without_stickiness(&nodes).await;
    let mut client = Client::start(&proxy.url, &token("ada"), POLLING);
    let lost = async {
        loop {
            let happened = client.next().await;
            if happened[0] == "connect_error" || happened[0] == "disconnect" {
                return happened;
            }
        }
    };
    println!("{}", timeout(PATIENCE, lost).await.expect("a request that goes astray"));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_keeps_who_polls_there_and_is_given_nobody_new() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let nodes = two_nodes(&forum, &redis, &["--drain", "1h"]).await;
    let proxy = Balancer::before(&nodes).await;
    let (mut readers, there) = four_readers(&proxy, &nodes).await;
    nodes[0].terminate();
    let mut noticed = pin!(proxy.until_unfit("one"));
    while timeout(Duration::from_millis(20), &mut noticed).await.is_err() {
        // The first that the proxy hears of it is a refusal.
        let opening = (0..8).map(|_| http(&proxy.url, Method::GET, OPEN, &[], String::new()));
        for answer in join_all(opening).await {
            assert_eq!(answer.status(), StatusCode::OK, "{}", answer.body());
        }
    }
    let newcomers = [joined(&proxy.url, "bo", POLLING).await, joined(&proxy.url, "bo", POLLING).await];
    assert_eq!(sockets(&nodes).await, [there, 6 - there]);
    let mut writer = Writer::new(&forum);
    writer.writes(50).await;
    for reader in &mut readers {
        reader.reads("50").await;
        assert_eq!((&reader.titles, reader.returned), (&writer.titles, 0));
    }
    assert_eq!(sockets(&nodes).await, [there, 6 - there]);
    drop(newcomers);
    for mut node in nodes {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_sent_away_by_a_node_that_drains_comes_back_to_the_other_and_has_every_event() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let nodes = two_nodes(&forum, &redis, &["--drain", "2s"]).await;
    let proxy = Balancer::before(&nodes).await;
    let (readers, there) = four_readers(&proxy, &nodes).await;
    let [one, two] = nodes;
    let mut writer = Writer::new(&forum);
    writer.writes(10).await;
    one.terminate();
    assert_eq!(writer.writes_until(one.ended()).await, Some(0));
    writer.writes(10).await;
    were_told(readers, &writer.ends().await, there).await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_polls_on_a_node_that_dies_comes_back_to_the_other_and_has_every_event() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let nodes = two_nodes(&forum, &redis, &["--drain", "100ms"]).await;
    let proxy = Balancer::before(&nodes).await;
    let (readers, there) = four_readers(&proxy, &nodes).await;
    let [mut one, two] = nodes;
    let mut writer = Writer::new(&forum);
    writer.writes(10).await;
    one.kill().await;
    writer.writes_until(proxy.until_unfit("one")).await;
    writer.writes(10).await;
    were_told(readers, &writer.ends().await, there).await;
    two.stop().await;
}

/// The loopback interface has more than one address there.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_the_proxy_a_client_has_its_own_address() {
    let forum = Forum::captured().await;
    let flags = ["--connections-per-address", "1", "--trusted-proxies", "127.0.0.1", "--drain", "100ms"];
    let node = Serving::start(&forum.url(), &flags).await;
    node.until_ready().await;
    let proxy = Balancer::before_one(&node).await;
    let from = |address| Client::start_from(address, &proxy.url, &token("ada"), POLLING);
    let (mut one, mut other) = (from("127.0.0.2"), from("127.0.0.3"));
    one.has_entered().await;
    other.has_entered().await;
    let refused = from("127.0.0.2").next().await;
    assert_eq!(refused[0], "connect_error");
    assert!(refused[1].as_str().is_some_and(|why| why.starts_with("rate_limited: ")), "{refused}");
    node.stop().await;
}

#[test]
fn the_proxy_outlasts_a_ping() {
    let timeout = |name: &str| {
        let line = CONFIGURATION.lines().find_map(|line| line.trim().strip_prefix("timeout ")?.strip_prefix(name));
        duration(line.expect("a timeout").trim()).expect("a duration")
    };
    let flags = [("database-url", "postgres://db/forum".to_owned()), ("jwt-secret", SECRET.to_owned())];
    let limits = Config::read(&Sources { flags: flags.into(), ..Sources::default() }).expect("defaults").limits;
    for name in ["client ", "server ", "tunnel "] {
        assert!(timeout(name) > limits.ping_interval + limits.ping_timeout, "{name}");
    }
}
