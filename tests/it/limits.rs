//! What one user, one address and one socket may take, and that whoever is refused is told honestly when to come back.

mod connections;
mod staying;
mod stores;
mod waiting;

use std::time::{Duration, Instant};

use curia_scratch::Redis;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{
    client::Client,
    postgres::Forum,
    program::{Serving, run},
    proxy::Proxy,
    service::Service,
    store::{Store, on_both_stores},
};

/// Each class a number of its own, and all of them soon over.
const SMALL: [(&str, &str); 5] = [
    ("rate-join", "4/4s"),
    ("rate-typing", "3/4s"),
    ("rate-presence-list", "2/4s"),
    ("rate-session-refresh", "1/4s"),
    ("rate-other", "5/4s"),
];
const SHARED: &str = "curia_rate_limits_shared";

on_both_stores! {
    each_class_has_a_limit_of_its_own_and_the_time_it_names_is_honest,
    of_a_burst_as_many_are_taken_as_the_contract_says_and_each_other_is_told_when,
    it_is_the_user_who_is_limited_and_not_the_socket,
    a_user_connects_as_often_as_may_be_and_is_told_when_he_may_again,
}

fn token(user: &str) -> String {
    Service::token(user, "c1", &[], false)
}

/// For how long an answer refuses, if it does for being asked too often.
fn refused_for(answer: &Value) -> Option<Duration> {
    let error = (answer["error"]["code"] == "rate_limited").then(|| &answer["error"])?;
    assert_eq!(answer["ok"], json!(false));
    assert!(error["message"].as_str().is_some_and(|message| message.contains(' ')), "{answer}");
    Some(Duration::from_millis(error["retryAfterMs"].as_u64().unwrap_or_else(|| panic!("no time in {answer}"))))
}

async fn ask(client: &mut Client, event: &str) -> Option<Duration> {
    let argument = match event {
        "typing:start" | "typing:stop" | "post:join" => json!({"postId": 1}),
        "presence:list" | "feed:join" => json!(null),
        "session:refresh" => json!({"token": token("ada")}),
        _ => json!(1),
    };
    refused_for(&client.ask(event, argument).await)
}

/// Asks until it is too often, which is after `count`; for how long it is.
async fn used_up(client: &mut Client, events: &[&str], count: usize) -> Duration {
    for nth in 0..count {
        assert_eq!(ask(client, events[nth % events.len()]).await, None, "{events:?} {nth}");
    }
    ask(client, events[count % events.len()]).await.unwrap_or_else(|| panic!("more than {count} of {events:?}"))
}

async fn each_class_has_a_limit_of_its_own_and_the_time_it_names_is_honest(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &SMALL).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let classes: [(&[&str], usize); 5] = [
        (&["board:join", "post:join", "feed:join"], 4),
        (&["typing:start", "typing:stop"], 3),
        (&["presence:list"], 2),
        (&["session:refresh"], 1),
        (&["board:leave", "no:such", "feed:leave"], 5),
    ];
    let mut last = Duration::ZERO;
    for (events, count) in classes {
        let wait = used_up(&mut ada, events, count).await;
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(4), "{events:?} {wait:?}");
        // Refused again, and not longer for that.
        last = ask(&mut ada, events[0]).await.expect("a refusal");
        assert!(last <= wait, "{events:?} {last:?}");
    }
    // The one that was used up last has the longest time.
    sleep(last).await;
    for (events, _) in classes.into_iter().rev() {
        assert_eq!(ask(&mut ada, events[0]).await, None, "{events:?} after {last:?}");
    }
    service.stop().await;
}

async fn of_a_burst_as_many_are_taken_as_the_contract_says_and_each_other_is_told_when(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &[]).await;
    for (transport, user) in [("websocket", "ada"), ("polling", "bo")] {
        let mut client = Client::connected(&service.url, &token(user), transport).await;
        let began = Instant::now();
        for _ in 0..200 {
            client.emit("board:join", json!(1)).await;
        }
        let (mut taken, mut refused) = (0, 0);
        while taken + refused < 200 {
            let happened = client.next().await;
            assert_eq!(happened[0], "ack", "{happened}");
            match refused_for(&happened[2]) {
                None => {
                    assert_eq!(happened[2]["ok"], json!(true), "{happened}");
                    taken += 1;
                }
                Some(wait) => {
                    assert!(wait <= Duration::from_secs(10), "{wait:?}");
                    refused += 1;
                }
            }
        }
        assert!(began.elapsed() < Duration::from_secs(10), "all of it within the ten seconds");
        assert_eq!((taken, refused), (60, 140), "{transport}");
        assert_eq!(ask(&mut client, "board:leave").await, None, "which is another class");
    }
    service.stop().await;
}

async fn it_is_the_user_who_is_limited_and_not_the_socket(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &SMALL).await;
    let mut first = Client::connected(&service.url, &token("ada"), "websocket").await;
    let mut second = Client::connected(&service.url, &token("ada"), "polling").await;
    let mut bo = Client::connected(&service.url, &token("bo"), "websocket").await;
    for _ in 0..2 {
        for client in [&mut first, &mut second] {
            assert_eq!(ask(client, "board:join").await, None);
        }
    }
    for client in [&mut first, &mut second] {
        assert!(ask(client, "board:join").await.is_some());
    }
    assert_eq!(ask(&mut bo, "board:join").await, None);
    // Coming back makes nobody new.
    drop((first, second));
    let mut third = Client::connected(&service.url, &token("ada"), "websocket").await;
    assert!(ask(&mut third, "board:join").await.is_some());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_without_a_callback_comes_as_an_error() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &SMALL).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    used_up(&mut ada, &["board:join"], 4).await;
    ada.tell("board:join", json!(1)).await;
    let told = ada.next().await;
    assert_eq!(
        (&told[0], &told[1]["code"], &told[1]["event"]),
        (&json!("error"), &json!("rate_limited"), &json!("board:join"))
    );
    service.stop().await;
}

async fn a_user_connects_as_often_as_may_be_and_is_told_when_he_may_again(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &[("rate-connect", "3/10s")]).await;
    for transport in ["websocket", "polling", "websocket"] {
        Client::connected(&service.url, &token("ada"), transport).await;
    }
    let refused = Client::start(&service.url, &token("ada"), "websocket").next().await;
    let told = refused[1].as_str().and_then(|told| told.strip_prefix("rate_limited: ")).expect("a refusal");
    let wait = told.rsplit_once("; try again in ").and_then(|(_, wait)| wait.strip_suffix(" ms"));
    let wait = Duration::from_millis(wait.expect("a time").parse().expect("milliseconds"));
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(10), "{wait:?}");
    // Whoever is refused for his token, or is somebody else, is not counted with him.
    for other in [Service::forged_token(), Service::expired_token()] {
        let refused = Client::start(&service.url, &other, "websocket").next().await;
        assert!(refused[1].as_str().is_some_and(|told| told.starts_with("auth_")), "{refused}");
    }
    Client::connected(&service.url, &token("bo"), "websocket").await;
    sleep(wait).await;
    Client::connected(&service.url, &token("ada"), "websocket").await;
    service.stop().await;
}

/// A node with small limits that shares them by the Redis at `redis`, if there is one.
async fn node(forum: &Forum, redis: &str) -> Serving {
    let small: Vec<String> =
        SMALL.iter().flat_map(|(flag, value)| [format!("--{flag}"), (*value).to_owned()]).collect();
    let small = small.iter().map(String::as_str);
    let flags: Vec<&str> = small.chain(["--redis-url", redis, "--drain", "100ms"]).collect();
    Serving::start(&forum.url(), &flags).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_a_user_is_limited_over_all_nodes() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let nodes = [node(&forum, &redis.url()).await, node(&forum, &redis.url()).await];
    let mut clients = Vec::new();
    for node in &nodes {
        node.until_metric(SHARED, 1.0).await;
        clients.push(Client::connected(&node.url, &token("ada"), "websocket").await);
    }
    for nth in 0..4 {
        assert_eq!(ask(&mut clients[nth % 2], "board:join").await, None, "{nth}");
    }
    let waits = [ask(&mut clients[0], "board:join").await, ask(&mut clients[1], "board:join").await];
    let wait = waits[1].expect("a refusal");
    assert!(waits[0].is_some_and(|first| first >= wait), "{waits:?}");
    sleep(wait).await;
    assert_eq!(ask(&mut clients[1], "board:join").await, None, "after {wait:?}");
    drop(clients);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_redis_a_node_limits_by_itself_and_refuses_nobody_for_it() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let node = node(&forum, &redis.url()).await;
    node.until_metric(SHARED, 1.0).await;
    let mut ada = Client::connected(&node.url, &token("ada"), "websocket").await;
    for _ in 0..2 {
        assert_eq!(ask(&mut ada, "board:join").await, None);
    }
    let port = redis.stop().expect("an end");
    // What was taken before counts on.
    let wait = used_up(&mut ada, &["board:join"], 2).await;
    assert_eq!(node.metric(SHARED).await, Some(0.0));
    sleep(wait).await;
    assert_eq!(ask(&mut ada, "board:join").await, None, "after {wait:?}");
    let redis = Redis::start_at(port).expect("a Redis where it was");
    node.until_metric(SHARED, 1.0).await;
    let mut bo = Client::connected(&node.url, &token("bo"), "websocket").await;
    used_up(&mut bo, &["board:join"], 4).await;
    drop((ada, bo));
    node.stop().await;
    drop(redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stalls_delays_a_command_once_and_shortly() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let proxy = Proxy::before(&format!("http://127.0.0.1:{}", redis.port())).await;
    let node = node(&forum, &proxy.url.replace("http", "redis")).await;
    node.until_metric(SHARED, 1.0).await;
    let mut ada = Client::connected(&node.url, &token("ada"), "websocket").await;
    assert_eq!(ask(&mut ada, "board:join").await, None);
    proxy.fall_silent();
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(ask(&mut ada, "board:join").await, None);
    }
    // A quarter of a second for the first alone; the rest is this machine's.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(ada);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_in_as_many_rooms_as_it_may_be() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("rooms-per-socket", "2")]).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let code = async |client: &mut Client, event, argument| {
        let answer = client.ask(event, argument).await;
        answer["error"]["code"].as_str().map(str::to_owned)
    };
    assert_eq!(code(&mut ada, "board:join", json!(1)).await, None);
    assert_eq!(code(&mut ada, "feed:join", json!(null)).await, None, "a feed of two boards is one");
    for (event, argument) in [("board:join", json!(2)), ("post:join", json!(1))] {
        assert_eq!(code(&mut ada, event, argument).await.as_deref(), Some("too_many_rooms"), "{event}");
    }
    assert_eq!(code(&mut ada, "board:join", json!(1)).await, None, "where it is already");
    assert_eq!(code(&mut ada, "feed:leave", json!(null)).await, None);
    assert_eq!(code(&mut ada, "post:join", json!(1)).await, None);
    service.stop().await;
}

#[tokio::test]
async fn a_malformed_limit_is_named_with_what_it_takes() {
    let environment = [
        ("DATABASE_URL", "postgres://forum@127.0.0.1:1/forum"),
        ("JWT_SECRET", "a secret of the tests that is long enough for HS256"),
        ("REALTIME_RATE_JOIN", "60"),
        ("REALTIME_TRUSTED_PROXIES", "proxy"),
        ("REALTIME_CONNECTIONS_PER_USER", "0"),
    ];
    let refused = run(&["serve", "--replay-limit", "5000"], &environment).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
    let lines: Vec<&str> = refused.stderr.lines().collect();
    for (line, start) in lines.iter().zip([
        "curia-realtime: REALTIME_CONNECTIONS_PER_USER (or --connections-per-user) is \"0\" (environment); it takes a number",
        "curia-realtime: REALTIME_TRUSTED_PROXIES (or --trusted-proxies) is \"proxy\" (environment); it takes addresses",
        "curia-realtime: REALTIME_RATE_JOIN (or --rate-join) is \"60\" (environment); it takes a number from 1 to 10000, a slash",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(lines.len(), 3, "{refused:?}");
    let refused = run(&["serve", "--replay-limit", "5000"], &environment[..2]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let told = "(flag); it takes at most half of REALTIME_MAX_PENDING_FRAMES, which is 8192";
    assert!(refused.stderr.contains(told), "{refused:?}");
}
