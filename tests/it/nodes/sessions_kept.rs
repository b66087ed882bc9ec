//! What Redis holds of sessions is what is there: while they come and go, when a node ends, and where it can't be asked or is in the way.

use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::{
    sessions::{TWO, connection, connects, is_full, node},
    *,
};
use crate::support::store::Store;

/// An entry that nobody renews is gone after it.
const LEASE: Duration = curia_realtime::redis::sessions::LEASE;
const USERS: [&str; 4] = ["ada", "bo", "cy", "dee"];

/// Of the user, that have not run out.
async fn entries(there: &mut MultiplexedConnection, user: &str) -> usize {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(there).await.expect("a time");
    let mut count = redis::cmd("ZCOUNT");
    count.arg(format!("curia:user_session:{user}")).arg(seconds * 1_000 + micros / 1_000).arg("+inf");
    count.query_async(there).await.expect("a number")
}

/// Waits until there are so many; less long than an entry lasts that nobody takes out.
async fn until_entries(there: &mut MultiplexedConnection, user: &str, expected: usize) {
    let asking = async {
        while entries(there, user).await != expected {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(LEASE / 3, asking).await.is_ok(), "{user} has no {expected} but {}", entries(there, user).await);
}

/// Those of the user, who has no others.
async fn members(there: &mut MultiplexedConnection, user: &str) -> Vec<String> {
    redis::cmd("ZRANGE")
        .arg(format!("curia:user_session:{user}"))
        .arg(0)
        .arg(-1)
        .query_async(there)
        .await
        .expect("some")
}

/// Each of these of the user lasts on at this moment.
async fn last_on(there: &mut MultiplexedConnection, user: &str, members: &[String]) {
    let mut asking = redis::pipe();
    asking.atomic().cmd("TIME").cmd("ZMSCORE").arg(format!("curia:user_session:{user}")).arg(members);
    let answer: ((u64, u64), Vec<Option<f64>>) = asking.query_async(there).await.expect("an answer");
    let ((seconds, micros), until) = answer;
    let now = (seconds * 1_000 + micros / 1_000) as f64;
    assert!(until.iter().all(|until| until.is_some_and(|until| until > now)), "{user} at {now}: {until:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_connections_come_and_go_none_runs_out_that_lives_and_none_stays_that_has_gone() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let often = ["--rate-connect", "1000/1s"];
    let nodes = [node(&forum, &redis.url(), &often).await, node(&forum, &redis.url(), &often).await];
    let mut there = connection(&redis).await;
    // They read on, so that they answer pings.
    let mut staying = JoinSet::new();
    for user in USERS {
        for node in &nodes {
            let mut frames = connects(node, user).await.expect("a place");
            staying.spawn(async move { while frames.next().await.is_some() {} });
        }
    }
    let mut stay = Vec::new();
    for user in USERS {
        until_entries(&mut there, user, 2).await;
        stay.push(members(&mut there, user).await);
        assert_eq!(stay.last().map(Vec::len), Some(2));
    }
    let mut passing: Vec<Vec<Frames>> = USERS.iter().map(|_| Vec::new()).collect();
    let began = Instant::now();
    let mut turn = 0;
    // Behind the lease of the first, which have to have been renewed by then.
    while began.elapsed() < LEASE + Duration::from_secs(3) {
        let user = turn % USERS.len();
        let (node, passing) = (&nodes[turn / 3 % 2], &mut passing[user]);
        if (turn / USERS.len()) % 5 < 3 {
            passing.push(connects(node, USERS[user]).await.expect("a place"));
        } else if !passing.is_empty() {
            passing.remove(0).close().await;
        }
        turn += 1;
        // Of those who stay none is missing for a moment.
        for (user, stay) in USERS.iter().zip(&stay) {
            last_on(&mut there, user, stay).await;
        }
        until_entries(&mut there, USERS[user], 2 + passing.len()).await;
        // The oldest would have to answer pings, too.
        if passing.len() > 4 {
            passing.remove(0).close().await;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(staying.len(), 2 * USERS.len());
    assert!(staying.try_join_next().is_none(), "they stay");
    staying.shutdown().await;
    for (user, passing) in USERS.iter().zip(passing) {
        for frames in passing {
            frames.close().await;
        }
        until_entries(&mut there, user, 0).await;
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_ends_takes_its_entries_back_before_it_has_ended() {
    let forum = Forum::captured().await;
    let store = Store::redis();
    let Store::Redis(redis) = &store else { panic!("another store") };
    let mut there = connection(redis).await;
    // Without a word to its clients, who are all there until then.
    let service = store.service(&forum, &[]).await;
    let mut clients = Vec::new();
    for user in USERS {
        clients.push(Frames::connected(&service.url, &Service::token(user, "c1", &[], false)).await);
        until_entries(&mut there, user, 1).await;
    }
    service.stop().await;
    for user in USERS {
        assert_eq!(entries(&mut there, user).await, 0, "{user}");
    }
    // By SIGTERM.
    let node = node(&forum, &redis.url(), &[]).await;
    for user in USERS {
        clients.push(connects(&node, user).await.expect("a place"));
        until_entries(&mut there, user, 1).await;
    }
    node.stop().await;
    for user in USERS {
        assert_eq!(entries(&mut there, user).await, 0, "{user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_while_redis_stalls_is_counted_by_his_node_alone() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let proxy = Proxy::before(&format!("http://127.0.0.1:{}", redis.port())).await;
    let stalled = node(&forum, &proxy.url.replace("http", "redis"), &TWO).await;
    let other = node(&forum, &redis.url(), &TWO).await;
    let _first = connects(&other, "ada").await.expect("a place");
    let _second = connects(&other, "ada").await.expect("a place");
    is_full(&stalled, "ada").await;
    proxy.fall_silent();
    // The answer that would refuse her never comes.
    let _third = connects(&stalled, "ada").await.expect("a place");
    let _fourth = connects(&stalled, "ada").await.expect("a place");
    is_full(&stalled, "ada").await;
    is_full(&other, "ada").await;
    stalled.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_has_one_user_counted_on_each_node_and_is_said_once() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    for key in ["curia:user_session:ada", "curia:rate_limit:ada:join"] {
        redis::cmd("SET").arg(key).arg("7").query_async::<()>(&mut there).await.expect("an answer");
    }
    let nodes = [node(&forum, &redis.url(), &TWO).await, node(&forum, &redis.url(), &TWO).await];
    let mut hers = Vec::new();
    for node in &nodes {
        for _ in 0..2 {
            let mut ada = connects(node, "ada").await.expect("a place");
            assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
            hers.push(ada);
        }
        is_full(node, "ada").await;
    }
    let _his =
        [connects(&nodes[0], "bo").await, connects(&nodes[1], "bo").await].map(|frames| frames.expect("a place"));
    for node in &nodes {
        is_full(node, "bo").await;
    }
    let left = redis::cmd("GET").arg("curia:user_session:ada").query_async::<String>(&mut there).await;
    assert_eq!(left.as_deref(), Ok("7"), "it is left alone");
    for node in nodes {
        let log = node.stop().await;
        for what in ["counted on each node for itself; does", "limited on each node for itself; does"] {
            let said = log.iter().filter(|line| line["level"] == "WARN" && line.to_string().contains(what));
            assert_eq!(said.count(), 1, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_clock_of_redis_was_set_back_who_is_there_counts_and_no_longer_than_its_lease() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let nodes = [node(&forum, &redis.url(), &TWO).await, node(&forum, &redis.url(), &TWO).await];
    let _first = connects(&nodes[0], "ada").await.expect("a place");
    let mut there = connection(&redis).await;
    let key = "curia:user_session:ada";
    // As an hour's step back leaves them: that of a node that lives, and one that nobody renews.
    let first: Vec<String> = redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).query_async(&mut there).await.expect("one");
    let in_an_hour = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).timestamp_millis();
    let mut set = redis::cmd("ZADD");
    set.arg(key).arg(in_an_hour).arg(&first[0]).arg(in_an_hour).arg("of a node that was killed");
    set.query_async::<()>(&mut there).await.expect("an answer");
    is_full(&nodes[1], "ada").await;
    let latest: Vec<(String, f64)> =
        redis::cmd("ZRANGE").arg(key).arg(-1).arg(-1).arg("WITHSCORES").query_async(&mut there).await.expect("one");
    let lease = chrono::TimeDelta::from_std(LEASE).expect("a time");
    assert!(latest[0].1 <= (chrono::Utc::now() + lease).timestamp_millis() as f64, "{latest:?}");
    for node in nodes {
        node.stop().await;
    }
}
