//! Sessions over several nodes: how many a user has, and what Redis holds of them.

use std::collections::BTreeMap;

use super::*;
use crate::support::{store::until_presence, wire::Polling};

pub(super) const TWO: [&str; 2] = ["--connections-per-user", "2"];

pub(super) async fn node(forum: &Forum, redis: &str, more: &[&str]) -> Serving {
    let node = Serving::start(&forum.url(), &[&["--redis-url", redis, "--drain", "100ms"], more].concat()).await;
    node.until_ready().await;
    until_presence(&node.url, true).await;
    node
}

/// A connection of this user, or why it is refused.
pub(super) async fn connects(node: &Serving, user: &str) -> Result<Frames, String> {
    let mut frames = Frames::open(&node.url).await;
    frames.send(format!("40{}", json!({"token": Service::token(user, "c1", &[], false)}))).await;
    loop {
        let frame = frames.next().await.expect("an answer");
        if let Some(refused) = frame.strip_prefix("44") {
            let refused: Value = serde_json::from_str(refused).expect("JSON");
            return Err(refused["message"].as_str().expect("a reason").to_owned());
        }
        if frame.starts_with(r#"42["session:ready""#) {
            return Ok(frames);
        }
    }
}

pub(super) async fn is_full(node: &Serving, user: &str) {
    let refused = connects(node, user).await.err().expect("a refusal");
    assert!(refused.starts_with("rate_limited: this user has 2 connections"), "{refused}");
}

/// Waits until somebody lets him in.
async fn until_let_in(node: &Serving, user: &str) -> Frames {
    let trying = async {
        loop {
            match connects(node, user).await {
                Ok(frames) => return frames,
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    };
    timeout(PATIENCE, trying).await.expect("a place")
}

pub(super) async fn connection(redis: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).expect("an address");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_as_many_connections_as_may_be_on_all_nodes_together() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (node(&forum, &redis.url(), &TWO).await, node(&forum, &redis.url(), &TWO).await);
    let first = connects(&one, "ada").await.expect("a place");
    let second = connects(&other, "ada").await.expect("a place");
    for node in [&one, &other] {
        is_full(node, "ada").await;
        connects(node, "bo").await.expect("his own places").close().await;
    }
    first.close().await;
    let third = until_let_in(&other, "ada").await;
    is_full(&one, "ada").await;

    // Without Redis each counts for itself, what it has among it; with it all do again.
    let url = redis.url();
    let port = redis.stop().expect("an end");
    is_full(&other, "ada").await;
    let here = until_let_in(&one, "ada").await;
    let redis = Redis::start_at(port).expect("a Redis where it was");
    assert_eq!(redis.url(), url);
    let counted = async {
        let mut connection = connection(&redis).await;
        while redis::cmd("ZCARD").arg("curia:user_session:ada").query_async::<usize>(&mut connection).await != Ok(3) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("all three to be written again");
    is_full(&one, "ada").await;
    drop((second, third, here));
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_keeps_no_place_for_longer_than_its_lease() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (mut doomed, other) = (node(&forum, &redis.url(), &TWO).await, node(&forum, &redis.url(), &TWO).await);
    let _first = connects(&doomed, "ada").await.expect("a place");
    let _second = connects(&doomed, "ada").await.expect("a place");
    is_full(&other, "ada").await;
    doomed.kill().await;
    let killed = Instant::now();
    // More often than a user may connect in ten seconds.
    while connects(&other, "ada").await.is_err() {
        sleep(Duration::from_secs(1)).await;
        assert!(killed.elapsed() < Duration::from_secs(40), "{:?}", killed.elapsed());
    }
    other.stop().await;
}

/// Of c2.
const OF_C2: i32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_current_board_is_that_of_the_latest_sitting_down_in_whichever_community() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let node = node(&forum, &redis.url(), &["--offline-grace", "200ms"]).await;
    let mut connection = connection(&redis).await;
    let mut until_it_is = async |board: Option<i32>| {
        let asking = async {
            let get = || redis::cmd("GET").arg("curia:user_current_board:sol").to_owned();
            while get().query_async::<Option<i32>>(&mut connection).await.expect("an answer") != board {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{board:?} is not his board"));
    };
    let mut here = connects(&node, "sol").await.expect("a place");
    assert_eq!(here.ask("board:join", json!(1)).await["ok"], json!(true));
    until_it_is(Some(1)).await;
    // One who only looks, and one who sits down there.
    let looks = Frames::connected(&node.url, &Service::token("sol", "c2", &[], false)).await;
    let mut there = Frames::connected(&node.url, &Service::token("sol", "c2", &[], false)).await;
    assert_eq!(there.ask("board:join", json!(OF_C2)).await["ok"], json!(true));
    until_it_is(Some(OF_C2)).await;
    there.close().await;
    until_it_is(Some(1)).await;
    looks.close().await;
    here.close().await;
    until_it_is(None).await;
    node.stop().await;
}

/// Each sits him down elsewhere, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_current_board_that_a_killed_node_said_gives_way_to_that_of_another_where_he_sits() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, mut doomed) = (node(&forum, &redis.url(), &[]).await, node(&forum, &redis.url(), &[]).await);
    let mut connection = connection(&redis).await;
    let mut until_it_is = async |board: i32| {
        let asking = async {
            let get = || redis::cmd("GET").arg("curia:user_current_board:ada").to_owned();
            while get().query_async::<Option<i32>>(&mut connection).await.expect("an answer") != Some(board) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{board} is not her board"));
    };
    let mut stays = connects(&one, "ada").await.expect("a place");
    assert_eq!(stays.ask("board:join", json!(1)).await["ok"], json!(true));
    until_it_is(1).await;
    let mut there = connects(&doomed, "ada").await.expect("a place");
    assert_eq!(there.ask("board:join", json!(2)).await["ok"], json!(true));
    until_it_is(2).await;
    doomed.kill().await;
    until_it_is(1).await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_holds_has_an_end_names_no_engine_session_and_goes_with_the_last_socket() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let node = node(&forum, &redis.url(), &["--offline-grace", "200ms"]).await;
    let mut ada = connects(&node, "ada").await.expect("a place");
    let polling = Polling::open(&node.url).await;
    polling.send(format!("40{}", json!({"token": Service::token("ada", "c1", &[], false)}))).await;
    node.until_metric("curia_sockets", 2.0).await;
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    let mut connection = connection(&redis).await;
    let mut keys = BTreeMap::new();
    let written = async {
        while !["user_session:ada", "user_current_board:ada", "board_users:1", "community_users:c1"]
            .iter()
            .all(|key| keys.contains_key(&format!("curia:{key}")))
        {
            keys = held(&mut connection).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = timeout(PATIENCE, written).await;
    assert!(in_time.is_ok(), "{keys:?}");
    for (key, expires_in) in &keys {
        assert!(key.starts_with("curia:"), "{key}");
        // The longest of all are facts of rights.
        assert!((1..=600_000).contains(expires_in), "{key} expires in {expires_in} ms");
    }
    let of_user = ["curia:user_session:ada", "curia:user_current_board:ada", "curia:board_users:1"];
    assert!(of_user.iter().all(|key| keys[*key] <= 30_000), "{keys:?}");
    let sessions: Vec<String> =
        redis::cmd("ZRANGE").arg(of_user[0]).arg(0).arg(-1).query_async(&mut connection).await.expect("sessions");
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        assert!(!session.contains(polling.id()), "whoever knows that can speak for him: {session}");
        let session: Value = serde_json::from_str(session).expect("JSON");
        assert_eq!(session["communityId"], "c1");
    }
    let current: String = redis::cmd("GET").arg(of_user[1]).query_async(&mut connection).await.expect("a board");
    assert_eq!(current, "1");

    ada.close().await;
    polling.send("1".to_owned()).await;
    let gone = async {
        // But for what he may open, which is of no use to anybody but him.
        let of_user = |keys: &BTreeMap<String, i64>| {
            keys.keys().any(|key| key.contains(":user_") && !key.contains("user_boards"))
        };
        let mut keys = held(&mut connection).await;
        while of_user(&keys) {
            sleep(Duration::from_millis(50)).await;
            keys = held(&mut connection).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("nothing of him to be left");
    node.stop().await;
}

/// Every key, and in how many milliseconds it expires.
async fn held(connection: &mut redis::aio::MultiplexedConnection) -> BTreeMap<String, i64> {
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(connection).await.expect("keys");
    let mut keys = BTreeMap::new();
    for name in names {
        let expires_in: i64 = redis::cmd("PTTL").arg(&name).query_async(connection).await.expect("an expiry");
        // It may have gone meanwhile.
        if expires_in != -2 {
            keys.insert(name, expires_in);
        }
    }
    keys
}
