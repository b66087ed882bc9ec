//! Who is here and who writes, when it is not one node that knows it.

use std::collections::BTreeMap;

use curia_scratch::RedisCluster;

use super::{
    forms::{authority, certified, guarded},
    *,
};
use crate::support::{program::Place, store::until_presence};

/// A node that dies is noticed within this time (contract section 7), and who was on it is told so soon after.
pub(super) const DEAD_WITHIN: Duration = Duration::from_secs(35);

pub(super) async fn knowing(forum: &Forum, redis: &str, more: &[&str]) -> Serving {
    let flags = [&["--redis-url", redis, "--drain", "100ms"], more].concat();
    let node = Serving::start(&forum.url(), &flags).await;
    node.until_ready().await;
    until_presence(&node.url, true).await;
    node
}

/// Three of them, which ask nobody for pings: none are answered while others are looked at.
pub(super) async fn three_knowing(forum: &Forum, redis: &str) -> [Serving; 3] {
    let nodes = [(); 3].map(|()| knowing(forum, redis, &["--ping-interval", "10m"]));
    futures_util::future::join_all(nodes).await.try_into().unwrap_or_else(|_| unreachable!("three"))
}

async fn connected(node: &Serving, user: &str) -> Frames {
    Frames::connected(&node.url, &Service::token(user, "c1", &[], false)).await
}

pub(super) async fn joins(client: &mut Frames, board: i32) -> Value {
    let answer = client.ask("board:join", json!(board)).await;
    assert_eq!(answer["ok"], json!(true), "{answer}");
    answer
}

/// The next event that is of somebody, as it is sent.
pub(super) async fn hears(client: &mut Frames) -> (String, Value) {
    loop {
        let frame = client.next().await.expect("a connection that stays");
        let Some(told) = frame.strip_prefix("42") else { continue };
        let mut told: Vec<Value> = serde_json::from_str(told).expect("JSON");
        let event = told[0].as_str().expect("a name").to_owned();
        if event.starts_with("user:") || event.starts_with("typing:") {
            return (event, told.remove(1));
        }
    }
}

pub(super) async fn hears_of(client: &mut Frames, event: &str, user: &str) {
    let (told, payload) = hears(client).await;
    assert_eq!((told.as_str(), payload["userId"].as_str()), (event, Some(user)), "{payload}");
}

/// Who is here, with the number of devices of each.
pub(super) async fn listed(client: &mut Frames) -> BTreeMap<String, u64> {
    let answer = client.ask("presence:list", json!(null)).await;
    assert_eq!(answer["ok"], json!(true), "{answer}");
    let users = answer["users"].as_array().expect("users").iter();
    let fields = users.map(|user| (user["userId"].as_str().unwrap().to_owned(), user["devices"].as_u64().unwrap()));
    fields.collect()
}

/// Waits until this is the list.
pub(super) async fn until_listed(client: &mut Frames, expected: &[(&str, u64)]) {
    let expected = expected.iter().map(|(user, devices)| ((*user).to_owned(), *devices)).collect();
    let mut last = BTreeMap::new();
    let asking = async {
        while last != expected {
            last = listed(client).await;
            // Ten questions in ten seconds are what a user has.
            sleep(Duration::from_millis(1_100)).await;
        }
    };
    let in_time = timeout(PATIENCE, asking).await;
    assert!(in_time.is_ok(), "{last:?} instead of {expected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_on_two_nodes_comes_once_and_goes_once() {
    let redis = Redis::start().expect("a Redis");
    comes_once_and_goes_once(&redis.url(), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_on_two_nodes_comes_once_and_goes_once_over_a_cluster_with_tls_and_password() {
    let (place, certificate) = (Place::new(), certified());
    let cluster = RedisCluster::start(&guarded(&certificate)).expect("a Redis Cluster that speaks TLS");
    comes_once_and_goes_once(&cluster.url(), &["--redis-ca-file", &authority(&place, &certificate)]).await;
}

async fn comes_once_and_goes_once(redis: &str, more: &[&str]) {
    let forum = Forum::captured().await;
    let flags = [more, &["--offline-grace", "500ms"]].concat();
    let one = knowing(&forum, redis, &flags).await;
    let other = knowing(&forum, redis, &flags).await;
    let mut ada = connected(&one, "ada").await;
    joins(&mut ada, 1).await;
    let mut cy = connected(&other, "cy").await;
    hears_of(&mut ada, "user:online", "cy").await;
    let answer = joins(&mut cy, 1).await;
    let users: Vec<&str> =
        answer["users"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap()).collect();
    assert_eq!((users, &answer["userCount"]), (vec!["ada", "cy"], &json!(2)));
    hears_of(&mut ada, "user:joinedBoard", "cy").await;

    let mut left = connected(&one, "bo").await;
    for client in [&mut ada, &mut cy] {
        hears_of(client, "user:online", "bo").await;
    }
    joins(&mut left, 1).await;
    for client in [&mut ada, &mut cy] {
        hears_of(client, "user:joinedBoard", "bo").await;
    }
    let mut right = connected(&other, "bo").await;
    joins(&mut right, 1).await;
    for client in [&mut ada, &mut cy] {
        until_listed(client, &[("ada", 1), ("bo", 2), ("cy", 1)]).await;
    }

    // The left tab is closed, and its grace passes; the right one is opened again on the other node. Nobody is told anything.
    drop(left);
    until_listed(&mut ada, &[("ada", 1), ("bo", 1), ("cy", 1)]).await;
    let left = connected(&one, "bo").await;
    until_listed(&mut ada, &[("ada", 1), ("bo", 2), ("cy", 1)]).await;
    // But that he has left the board, which he sat in with the right tab alone.
    drop(right);
    for client in [&mut ada, &mut cy] {
        hears_of(client, "user:leftBoard", "bo").await;
    }
    drop(left);
    hears_of(&mut ada, "user:offline", "bo").await;
    hears_of(&mut cy, "user:offline", "bo").await;
    one.stop().await;
    // Who sits on a node that ends in order has the grace to come elsewhere. Board and community have an order each, and in a Cluster
    // none between them.
    let mut told = Vec::new();
    for _ in 0..2 {
        let (event, payload) = hears(&mut cy).await;
        assert_eq!(payload["userId"], json!("ada"), "{event}");
        told.push(event);
    }
    told.sort();
    assert_eq!(told, ["user:leftBoard", "user:offline"]);
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_on_another_node_is_told_once_and_ended() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let one = knowing(&forum, &redis.url(), &["--typing-silence", "2s"]).await;
    let other = knowing(&forum, &redis.url(), &["--typing-silence", "2s"]).await;
    let mut reader = connected(&one, "ada").await;
    assert_eq!(reader.ask("post:join", json!(1)).await["ok"], json!(true));
    let (mut here, mut there) = (connected(&one, "bo").await, connected(&other, "bo").await);
    hears_of(&mut reader, "user:online", "bo").await;
    for client in [&mut here, &mut there] {
        assert_eq!(client.ask("post:join", json!(1)).await["ok"], json!(true));
    }
    for round in 0..3 {
        assert_eq!(there.ask("typing:start", json!({"postId": 1})).await["ok"], json!(true));
        hears_of(&mut reader, "typing:start", "bo").await;
        // On his other node he does as well; that he ends there tells nobody anything.
        assert_eq!(here.ask("typing:start", json!({"postId": 1})).await["ok"], json!(true));
        assert_eq!(here.ask("typing:stop", json!({"postId": 1})).await["ok"], json!(true));
        if round == 0 {
            assert_eq!(there.ask("typing:stop", json!({"postId": 1})).await["ok"], json!(true));
        } else if round == 1 {
            drop(there);
            there = connected(&other, "bo").await;
            assert_eq!(there.ask("post:join", json!(1)).await["ok"], json!(true));
        }
        hears_of(&mut reader, "typing:stop", "bo").await;
    }
    one.stop().await;
    other.stop().await;
}

/// How often each user was told to have left the board, and to have gone, until all of `users` were; the former comes first.
async fn gone(mut client: Frames, users: usize, in_board: usize) -> (Frames, [BTreeMap<String, usize>; 2]) {
    let [mut left, mut gone] = [BTreeMap::new(), BTreeMap::new()];
    while gone.len() < users || left.len() < in_board {
        let (event, payload) = hears(&mut client).await;
        let user = payload["userId"].as_str().expect("a user").to_owned();
        match event.as_str() {
            "user:leftBoard" => {
                assert!(!gone.contains_key(&user), "{user} left a board after he was gone");
                *left.entry(user).or_default() += 1;
            }
            "user:offline" => *gone.entry(user).or_default() += 1,
            _ => {}
        }
    }
    (client, [left, gone])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_node_that_is_killed_all_are_told_gone_once_and_of_the_others_nobody() {
    const USERS: usize = 300;
    const IN_BOARD: usize = 100;
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let url = redis.url();
    let [one, other, mut doomed] = three_knowing(&forum, &url).await;
    let mut watchers = [connected(&one, "ada").await, connected(&other, "bo").await];
    for watcher in &mut watchers {
        joins(watcher, 1).await;
    }
    // One who has a second tab on a node that goes on. Whoever does not read would be cut off.
    let mut stays = connected(&other, "user 7").await;
    tokio::spawn(async move { while stays.next().await.is_some() {} });
    let mut crowd = Vec::new();
    for number in 0..USERS {
        let mut user = connected(&doomed, &format!("user {number}")).await;
        if number < IN_BOARD {
            joins(&mut user, 1).await;
        }
        crowd.push(user);
    }
    let all: Vec<(String, u64)> =
        (0..USERS).map(|number| (format!("user {number}"), 1 + u64::from(number == 7))).collect();
    let mut expected: Vec<(&str, u64)> = all.iter().map(|(user, devices)| (user.as_str(), *devices)).collect();
    expected.extend([("ada", 1), ("bo", 1)]);
    for watcher in &mut watchers {
        until_listed(watcher, &expected).await;
    }

    let killed = Instant::now();
    doomed.kill().await;
    let telling = futures_util::future::join_all(watchers.map(|watcher| gone(watcher, USERS - 1, IN_BOARD)));
    let told = timeout(DEAD_WITHIN, telling).await.expect("all to be told gone in time");
    println!("all {} were told gone after {:.1} s", USERS - 1, killed.elapsed().as_secs_f64());
    let (mut watchers, gone): (Vec<Frames>, Vec<_>) = told.into_iter().unzip();
    for (watcher, [left, gone]) in watchers.iter_mut().zip(gone) {
        assert!(left.values().all(|times| *times == 1), "twice: {left:?}");
        assert!(left.contains_key("user 7"), "who is here by another tab sits in no board any longer");
        assert_eq!(left.len(), IN_BOARD);
        assert!(gone.values().all(|times| *times == 1), "twice: {gone:?}");
        assert!(!gone.contains_key("user 7"), "he is on another node");
        assert_eq!(listed(watcher).await, BTreeMap::from([("ada".into(), 1), ("bo".into(), 1), ("user 7".into(), 1)]));
    }
    // Whoever else speaks for the dead does so within the next beats.
    let quiet = watchers.iter_mut().map(|watcher| timeout(Duration::from_secs(7), hears(watcher)));
    let quiet = futures_util::future::join_all(quiet).await;
    assert!(quiet.iter().all(Result::is_err), "{quiet:?}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_on_a_dead_node_where_nobody_looked_is_gone_within_thirty_seconds() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let one = knowing(&forum, &redis.url(), &["--ping-interval", "10m"]).await;
    let mut doomed = knowing(&forum, &redis.url(), &["--ping-interval", "10m"]).await;
    let mut bo = connected(&doomed, "bo").await;
    joins(&mut bo, 1).await;
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let said = async {
        for key in ["curia:board_users:1", "curia:community_users:c1"] {
            let is_there = || redis::cmd("HEXISTS").arg(key).arg("u:bo").to_owned();
            while !is_there().query_async::<bool>(&mut connection).await.expect("an answer") {
                sleep(Duration::from_millis(10)).await;
            }
        }
    };
    timeout(PATIENCE, said).await.expect("him to be said");
    // Nobody but his own node minds his board, nor his community: who looks there is let in shortly before it is forgotten.
    doomed.kill().await;
    let killed = Instant::now();
    sleep(Duration::from_secs(13)).await;
    let mut ada = connected(&one, "ada").await;
    let answer = joins(&mut ada, 1).await;
    println!("{:.1} s after his node died he is in {answer}", killed.elapsed().as_secs_f64());
    until_listed(&mut ada, &[("ada", 1)]).await;
    let took = killed.elapsed();
    println!("gone after {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    let answer = ada.ask("presence:list", json!({"boardId": 1})).await;
    assert_eq!(answer["users"].as_array().map(Vec::len), Some(1), "{answer}");
    one.stop().await;
}
