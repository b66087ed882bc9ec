//! The same promises of limits in memory and of limits in Redis, and what only the latter can promise.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use curia_realtime::{
    contract::commands::COMMANDS,
    ids::UserId,
    limiter::InMemory,
    limits::{Class, Rate, Rates, TooMany},
    ports::Limits,
    redis::limits::{ANSWER_WITHIN, SharedLimits},
};
use curia_scratch::{Redis, RedisCluster, RedisOptions};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::support::{
    proxy::Proxy,
    store::{Store, on_both_stores},
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough for what a test does, and soon over.
const WITHIN: Duration = Duration::from_secs(2);

fn rates(count: u32) -> Rates {
    let rate = Rate { count, within: WITHIN };
    Rates { connect: rate, join: rate, typing: rate, presence_list: rate, session_refresh: rate, other: rate }
}

fn user(name: &str) -> UserId {
    name.into()
}

async fn take(limits: &dyn Limits, name: &str, class: Class) -> Result<(), TooMany> {
    limits.take(&user(name), class)?.await
}

/// Limits of one node, and the task that keeps their connection.
struct Node {
    limits: Arc<SharedLimits>,
    _keeper: AbortOnDropHandle<()>,
}

impl Node {
    fn new(url: &str, count: u32) -> Self {
        let (limits, keeper) =
            SharedLimits::new(InMemory::new(rates(count)), url.parse().expect("a URL"), "curia:".to_owned());
        let keeper = tokio::spawn(keeper.run(CancellationToken::new()));
        Self { limits: Arc::new(limits), _keeper: AbortOnDropHandle::new(keeper) }
    }

    async fn shared(url: &str, count: u32) -> Self {
        let node = Self::new(url, count);
        node.is_shared(true).await;
        node
    }

    async fn is_shared(&self, shared: bool) {
        let asking = async {
            while self.limits.is_shared() != shared {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, asking).await.expect("a connection, or its end");
    }
}

async fn connection(redis: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).expect("an address");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

on_both_stores! {
    limits_are_kept,
    limits_are_exact_however_many_ask_at_once,
}

/// Five in two seconds of each, and what keeps them.
async fn five(store: &Store) -> (Arc<dyn Limits>, Option<Node>) {
    match store {
        Store::Memory => (Arc::new(InMemory::new(rates(5))), None),
        Store::Redis(redis) => {
            let node = Node::shared(&redis.url(), 5).await;
            (node.limits.clone(), Some(node))
        }
    }
}

async fn limits_are_kept(store: &Store) {
    let (limits, _keeper) = five(store).await;
    are_kept(limits.as_ref()).await;
}

async fn are_kept(limits: &dyn Limits) {
    for _ in 0..5 {
        assert_eq!(take(limits, "ada", Class::Join).await, Ok(()));
    }
    let wait = take(limits, "ada", Class::Join).await.expect_err("a refusal").retry_after;
    assert!(wait > Duration::ZERO && wait <= WITHIN, "{wait:?}");
    for (name, class) in
        [("ada", Class::Typing), ("ada", Class::Other), ("bo", Class::Join), ("ada:join", Class::Other)]
    {
        assert_eq!(take(limits, name, class).await, Ok(()), "{name} {class:?}");
    }
    let wait = take(limits, "ada", Class::Join).await.expect_err("a refusal").retry_after;
    sleep(wait).await;
    assert_eq!(take(limits, "ada", Class::Join).await, Ok(()), "after {wait:?}");
}

async fn limits_are_exact_however_many_ask_at_once(store: &Store) {
    let (limits, _keeper) = five(store).await;
    are_exact(limits).await;
}

async fn are_exact(limits: Arc<dyn Limits>) {
    let asking = (0..100).map(|_| {
        let limits = Arc::clone(&limits);
        tokio::spawn(async move { take(limits.as_ref(), "crowd", Class::Join).await })
    });
    let began = Instant::now();
    let taken = join_all(asking).await.into_iter().filter(|taken| matches!(taken, Ok(Ok(())))).count();
    assert!(began.elapsed() < WITHIN, "all of it within the time");
    assert_eq!(taken, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_kept_where_there_is_no_redis_at_its_address() {
    are_kept(Node::new("redis://127.0.0.1:1/", 5).limits.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_nodes_together_let_through_what_one_would() {
    let redis = Redis::start().expect("a Redis");
    let url = redis.url();
    let nodes = join_all((0..10).map(|_| Node::shared(&url, 5))).await;
    let began = Instant::now();
    let asking = nodes.iter().flat_map(|node| std::iter::repeat_n(node, 10)).map(|node| {
        let limits = Arc::clone(&node.limits);
        tokio::spawn(async move { take(limits.as_ref(), "ada", Class::Join).await })
    });
    let verdicts: Vec<_> = join_all(asking).await.into_iter().map(|verdict| verdict.expect("a verdict")).collect();
    assert!(began.elapsed() < WITHIN, "all of it within the time");
    assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_refuses_a_node_does_not_count() {
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (Node::shared(&redis.url(), 5).await, Node::shared(&redis.url(), 5).await);
    for _ in 0..5 {
        assert_eq!(take(one.limits.as_ref(), "ada", Class::Join).await, Ok(()));
    }
    // Later by what would be seen if they counted.
    sleep(Duration::from_millis(300)).await;
    let refused = join_all((0..5).map(|_| take(other.limits.as_ref(), "ada", Class::Join))).await;
    let waits = refused.into_iter().map(|verdict| verdict.expect_err("a refusal").retry_after);
    sleep(waits.max().unwrap_or_default()).await;
    assert_eq!(take(other.limits.as_ref(), "ada", Class::Join).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_redis_has_the_contracts_name_and_an_end() {
    let redis = Redis::start().expect("a Redis");
    let node = Node::shared(&redis.url(), 5).await;
    let mut connection = connection(&redis).await;
    // What is one event is named as it is; what shares a budget shares a key.
    let events = COMMANDS.iter().map(|command| command.name).chain(["no:such"]);
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        assert_eq!(take(node.limits.as_ref(), "ada", Class::of(event)).await, Ok(()));
        let name = match event {
            "board:join" | "post:join" | "feed:join" => "join",
            "typing:start" | "typing:stop" => "typing",
            "presence:list" | "session:refresh" => event,
            _ => "other",
        };
        *expected.entry(name).or_default() += 1;
    }
    assert_eq!(take(node.limits.as_ref(), "ada", Class::Connect).await, Ok(()));
    expected.insert("connect", 1);

    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("keys");
    keys.sort();
    let names: Vec<String> = expected.keys().map(|name| format!("curia:rate_limit:ada:{name}")).collect();
    assert_eq!(keys, names);
    for (key, (name, count)) in keys.iter().zip(&expected) {
        let left: i64 = redis::cmd("PTTL").arg(key).query_async(&mut connection).await.expect("a time");
        assert!((1..=2_000).contains(&left), "{key}: {left}");
        let taken: usize = redis::cmd("LLEN").arg(key).query_async(&mut connection).await.expect("a number");
        assert_eq!(taken, *count, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_limit_than_before_names_an_honest_time_too() {
    let redis = Redis::start().expect("a Redis");
    let (before, after) = (Node::shared(&redis.url(), 5).await, Node::shared(&redis.url(), 2).await);
    for _ in 0..5 {
        assert_eq!(take(before.limits.as_ref(), "ada", Class::Join).await, Ok(()));
        // Each at a time of its own.
        sleep(Duration::from_millis(50)).await;
    }
    let wait = take(after.limits.as_ref(), "ada", Class::Join).await.expect_err("a refusal").retry_after;
    sleep(wait).await;
    assert_eq!(take(after.limits.as_ref(), "ada", Class::Join).await, Ok(()), "after {wait:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_and_a_forgotten_script_refuse_nobody() {
    let redis = Redis::start().expect("a Redis");
    let node = Node::shared(&redis.url(), 5).await;
    let mut connection = connection(&redis).await;
    let set = ["curia:rate_limit:ada:join", "7"];
    redis::cmd("SET").arg(&set).query_async::<()>(&mut connection).await.expect("an answer");
    assert_eq!(take(node.limits.as_ref(), "ada", Class::Join).await, Ok(()));
    assert!(node.limits.is_shared(), "of the others");
    redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut connection).await.expect("an answer");
    assert_eq!(take(node.limits.as_ref(), "bo", Class::Join).await, Ok(()));
    node.is_shared(true).await;
    for _ in 0..4 {
        assert_eq!(take(node.limits.as_ref(), "ada", Class::Join).await, Ok(()));
    }
    assert!(take(node.limits.as_ref(), "ada", Class::Join).await.is_err(), "memory limits her still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_longer_than_a_moment_for_a_redis_that_stalls() {
    let redis = Redis::start().expect("a Redis");
    let proxy = Proxy::before(&format!("http://127.0.0.1:{}", redis.port())).await;
    let node = Node::shared(&proxy.url.replace("http", "redis"), 5).await;
    proxy.fall_silent();
    let began = Instant::now();
    assert_eq!(take(node.limits.as_ref(), "ada", Class::Join).await, Ok(()));
    let waited = began.elapsed();
    assert!(waited < ANSWER_WITHIN * 4, "{waited:?}");
    node.is_shared(false).await;
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(take(node.limits.as_ref(), "ada", Class::Join).await, Ok(()));
    }
    assert!(began.elapsed() < ANSWER_WITHIN, "not at all: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_limits_in_all_its_slots_and_learns_scripts_again() {
    let cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    let (one, other) = (Node::shared(&cluster.url(), 5).await, Node::shared(&cluster.url(), 5).await);
    are_kept(one.limits.as_ref()).await;
    are_exact(other.limits.clone()).await;
    for round in 0..2 {
        let began = Instant::now();
        let users: Vec<_> = (0..40).map(|user| format!("user {user} of {round}")).collect();
        let asking = users.iter().flat_map(|user| {
            let sixfold = (0..6).map(|nth| if nth % 2 == 0 { &one.limits } else { &other.limits });
            sixfold.map(|limits| take(limits.as_ref(), user, Class::Join))
        });
        let verdicts = join_all(asking).await;
        assert!(began.elapsed() < WITHIN, "all of it within the time");
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 40 * 5);
        for server in cluster.servers() {
            let kept = server.ask("DBSIZE").expect("a number");
            assert!(kept.parse::<u32>().expect("a number") > 2, "{kept}");
            server.ask("SCRIPT FLUSH").expect("an answer");
        }
    }
    assert!(one.limits.is_shared() && other.limits.is_shared());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_a_server_goes_on_limiting_the_users_of_the_others() {
    let mut cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    let (one, other) = (Node::shared(&cluster.url(), 5).await, Node::shared(&cluster.url(), 5).await);
    cluster.lose(0).expect("an end");
    for node in [&one, &other] {
        // By whoever has his key there; the others are asked for all the while.
        for number in 0..20 {
            take(node.limits.as_ref(), &format!("somebody {number}"), Class::Other).await.ok();
        }
        node.is_shared(true).await;
    }
    let kept = || cluster.servers().iter().map(|server| server.ask("DBSIZE").expect("a number"));
    let kept = || kept().map(|count| count.parse::<usize>().expect("a number")).sum::<usize>();
    let before = kept();
    let began = Instant::now();
    let users: Vec<_> = (0..40).map(|user| format!("user {user}")).collect();
    let taken = join_all(users.iter().map(|user| take(one.limits.as_ref(), user, Class::Join))).await;
    assert!(taken.iter().all(Result::is_ok));
    let lost = 40 + before - kept();
    let asking = users.iter().flat_map(|user| {
        let sixfold = (0..6).map(|nth| if nth % 2 == 0 { &one.limits } else { &other.limits });
        sixfold.map(|limits| take(limits.as_ref(), user, Class::Join))
    });
    let verdicts = join_all(asking).await;
    assert!(began.elapsed() < WITHIN, "all of it within the time");
    // Of the lost server's users each node counts by itself: four and three.
    assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 4 * (40 - lost) + 6 * lost);
    assert!(lost > 0 && one.limits.is_shared() && other.limits.is_shared());
}
