//! Presence where Redis lost what it knew, and whoever would say it again is no more.

use super::{
    presence::{DEAD_WITHIN, hears, hears_of, joins, three_knowing, until_listed},
    presence_away::{command, connected},
    *,
};

/// The next `many` that the client is told to have left a board or gone, by event and user.
async fn gone(client: &mut Frames, many: usize) -> Vec<(String, String)> {
    let mut gone = Vec::new();
    while gone.len() < many {
        let (event, payload) = hears(client).await;
        if event == "user:offline" || event == "user:leftBoard" {
            gone.push((event, payload["userId"].as_str().expect("a user").to_owned()));
        }
    }
    gone.sort();
    gone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_node_that_dies_while_redis_loses_its_memory_all_are_told_gone_once_and_of_the_others_nobody() {
    all_are_told_gone_once(async |redis| {
        let port = redis.stop().expect("an end");
        Redis::start_at(port).expect("a Redis that knows nothing")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_node_that_dies_while_redis_loses_one_board_all_are_told_gone_once_and_of_the_others_nobody() {
    all_are_told_gone_once(async |redis| {
        command(&redis, &["DEL", "curia:board_users:1"]).await;
        redis
    })
    .await;
}

async fn all_are_told_gone_once(loses: impl AsyncFnOnce(Redis) -> Redis) {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let url = redis.url();
    let [one, other, mut doomed] = three_knowing(&forum, &url).await;
    let mut watchers = [connected(&one, "ada").await, connected(&other, "cy").await];
    hears_of(&mut watchers[0], "user:online", "cy").await;
    for watcher in &mut watchers {
        // Who sees the board without sitting in it: there is nobody left once its people are forgotten.
        assert_eq!(watcher.ask("feed:join", json!({})).await["ok"], json!(true));
    }
    let (mut bo, _di) = (connected(&doomed, "bo").await, connected(&doomed, "di").await);
    joins(&mut bo, 1).await;
    let mut ed = connected(&other, "ed").await;
    joins(&mut ed, 2).await;
    for watcher in &mut watchers {
        until_listed(watcher, &[("ada", 1), ("bo", 1), ("cy", 1), ("di", 1), ("ed", 1)]).await;
    }

    doomed.kill().await;
    let killed = Instant::now();
    let redis = loses(redis).await;
    let telling = futures_util::future::join_all(watchers.iter_mut().map(|watcher| gone(watcher, 3)));
    let all = timeout(DEAD_WITHIN, telling).await.expect("all to be told gone in time");
    println!("told gone after {:.1} s", killed.elapsed().as_secs_f64());
    let expected = [("user:leftBoard", "bo"), ("user:offline", "bo"), ("user:offline", "di")];
    for gone in all {
        assert_eq!(gone, expected.map(|(event, user)| (event.to_owned(), user.to_owned())));
    }
    // Whoever is waited for longer is so for some beats.
    let quiet = watchers.iter_mut().map(|watcher| timeout(Duration::from_secs(15), hears(watcher)));
    let quiet = futures_util::future::join_all(quiet).await;
    assert!(quiet.iter().all(Result::is_err), "{quiet:?}");
    for watcher in &mut watchers {
        until_listed(watcher, &[("ada", 1), ("cy", 1), ("ed", 1)]).await;
    }
    drop(redis);
    one.stop().await;
    other.stop().await;
}
