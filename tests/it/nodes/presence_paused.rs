//! Presence where somebody stands still without being gone: a node, or Redis; or where a clock is wrong.

use super::{
    presence::{DEAD_WITHIN, hears, hears_of, joins, knowing, listed, until_listed},
    presence_away::{command, connected, until_here, users},
    *,
};
use crate::support::store::{SHARED, degraded, until_presence};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_node_that_stands_still_and_goes_on_each_is_told_gone_once_and_come_once() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (knowing(&forum, &redis.url(), &[]).await, knowing(&forum, &redis.url(), &[]).await);
    let mut ada = connected(&one, "ada").await;
    joins(&mut ada, 1).await;
    let mut bo = connected(&other, "bo").await;
    hears_of(&mut ada, "user:online", "bo").await;
    joins(&mut bo, 1).await;
    hears_of(&mut ada, "user:joinedBoard", "bo").await;

    // For less than a lease nobody is told anything.
    other.signal("-STOP");
    sleep(Duration::from_secs(6)).await;
    other.signal("-CONT");
    until_listed(&mut ada, &[("ada", 1), ("bo", 1)]).await;

    other.signal("-STOP");
    let stopped = Instant::now();
    hears_of(&mut ada, "user:leftBoard", "bo").await;
    hears_of(&mut ada, "user:offline", "bo").await;
    assert!(stopped.elapsed() < DEAD_WITHIN, "{:?}", stopped.elapsed());
    other.signal("-CONT");
    // His connection is the same. In which order of the two depends on what is read first.
    let mut came = [hears(&mut ada).await, hears(&mut ada).await];
    came.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(came.each_ref().map(|(event, _)| event.as_str()), ["user:joinedBoard", "user:online"]);
    assert!(came.iter().all(|(_, payload)| payload["userId"] == "bo"), "{came:?}");
    for client in [&mut ada, &mut bo] {
        assert_eq!(listed(client).await.len(), 2);
    }
    // Whatever else there is to be said is said with the next beats.
    let quiet = timeout(Duration::from_secs(10), hears(&mut ada)).await;
    assert!(quiet.is_err(), "{quiet:?}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stalls_is_noticed_and_presence_is_right_again_once_it_answers() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let stalling = Proxy::before(&redis.url()).await;
    let by_proxy = stalling.url.replace("http://", "redis://");
    let (one, other) = (knowing(&forum, &by_proxy, &[]).await, knowing(&forum, &redis.url(), &[]).await);
    let (mut ada, mut bo) = (connected(&one, "ada").await, connected(&other, "bo").await);
    until_here(&mut ada, &["ada", "bo"]).await;
    told_the_same(&forum, &one, &other, async |writer| {
        writer.writes(20).await;
        let silent = Instant::now();
        stalling.fall_silent();
        until_presence(&one.url, false).await;
        println!("noticed after {:?}", silent.elapsed());
        let why = degraded(&one.url, "presence").await.expect("a reason");
        assert!(why.contains("no answer") || why.contains("Redis"), "{why}");
        assert_eq!(users(&mut ada, json!(null)).await, Err("unavailable".to_owned()));
        assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true), "joins go on");
        writer.writes(50).await;
        let mut cy = connected(&other, "cy").await;
        assert_eq!(users(&mut bo, json!(null)).await.map(|users| users.len()), Ok(3), "the other node knows all");
        stalling.speak();
        let back = Instant::now();
        until_presence(&one.url, true).await;
        for client in [&mut ada, &mut cy] {
            until_here(client, &["ada", "bo", "cy"]).await;
        }
        assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
        writer.writes(20).await;
    })
    .await;
    one.stop().await;
    other.stop().await;
}

/// No node goes by its own clock, and a Redis whose clock was set back keeps nobody alive for longer than a lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_died_before_the_clock_of_redis_was_set_back_keeps_nobody_online() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let one = knowing(&forum, &redis.url(), &[]).await;
    let mut doomed = knowing(&forum, &redis.url(), &[]).await;
    let mut ada = connected(&one, "ada").await;
    let _bo = connected(&doomed, "bo").await;
    hears_of(&mut ada, "user:online", "bo").await;
    doomed.kill().await;
    let killed = Instant::now();
    // As if every lease had been given by a clock that was an hour ahead.
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let nodes: Vec<String> =
        redis::cmd("ZRANGE").arg("curia:nodes").arg(0).arg(-1).query_async(&mut connection).await.expect("nodes");
    assert_eq!(nodes.len(), 2);
    for node in &nodes {
        command(&redis, &["ZINCRBY", "curia:nodes", "3600000", node]).await;
    }
    timeout(DEAD_WITHIN, hears_of(&mut ada, "user:offline", "bo")).await.expect("him to be told gone");
    println!("told gone after {:?}", killed.elapsed());
    until_listed(&mut ada, &[("ada", 1)]).await;
    one.stop().await;
}

/// Its beats would stop once nobody takes what is heard, and it would be taken for dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_read_the_database_yet_says_nothing_and_is_not_in_order() {
    let redis = Redis::start().expect("a Redis");
    let nowhere = "postgres://nobody@127.0.0.1:1/forum";
    let node = Serving::start(nowhere, &["--redis-url", &redis.url(), "--drain", "100ms"]).await;
    node.until_metric(SHARED, 1.0).await;
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let nodes: usize = redis::cmd("ZCARD").arg("curia:nodes").query_async(&mut connection).await.expect("a number");
    assert_eq!(nodes, 0);
    let why = degraded(&node.url, "presence").await.expect("a reason");
    assert!(why.contains("it waits for the stream"), "{why}");
    node.stop().await;
}
