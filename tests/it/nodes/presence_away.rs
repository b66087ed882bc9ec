//! Presence where Redis is away, starts anew, takes nothing or says what nobody can understand.

use super::*;
use crate::support::store::{degraded, until_presence};

pub(super) async fn command(redis: &Redis, words: &[&str]) {
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async::<redis::Value>(&mut connection).await.expect("an answer");
}

pub(super) async fn node(forum: &Forum, redis: &str) -> Serving {
    let node = Serving::start(&forum.url(), &["--redis-url", redis, "--drain", "100ms"]).await;
    node.until_ready().await;
    until_presence(&node.url, true).await;
    node
}

pub(super) async fn connected(node: &Serving, user: &str) -> Frames {
    Frames::connected(&node.url, &Service::token(user, "c1", &[], false)).await
}

pub(super) async fn users(client: &mut Frames, argument: Value) -> Result<Vec<String>, String> {
    let answer = client.ask("presence:list", argument).await;
    let Some(users) = answer["users"].as_array() else {
        return Err(answer["error"]["code"].as_str().expect("a code").to_owned());
    };
    Ok(users.iter().map(|user| user["userId"].as_str().expect("a user").to_owned()).collect())
}

/// Waits until all of these are here, and nobody else.
pub(super) async fn until_here(client: &mut Frames, expected: &[&str]) {
    let asking = async {
        while users(client, json!(null)).await.as_deref()
            != Ok(&expected.iter().map(|user| (*user).to_owned()).collect::<Vec<_>>())
        {
            sleep(Duration::from_millis(1_100)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("the truth");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_starts_anew_under_load_and_presence_is_right_again_soon_and_nothing_is_lost() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let url = redis.url();
    let (one, other) = (node(&forum, &url).await, node(&forum, &url).await);
    let (mut ada, mut bo) = (connected(&one, "ada").await, connected(&other, "bo").await);
    until_here(&mut ada, &["ada", "bo"]).await;
    told_the_same(&forum, &one, &other, async |writer| {
        writer.writes(50).await;
        let port = redis.stop().expect("an end");
        for node in [&one, &other] {
            until_presence(&node.url, false).await;
        }
        // Nobody is taken to have gone, and nobody is made up.
        assert_eq!(users(&mut ada, json!(null)).await, Err("unavailable".to_owned()));
        let why = degraded(&one.url, "presence").await.expect("a reason");
        assert!(why.contains("Redis") && why.contains("who is here is not known"), "{why}");
        let answer = bo.ask("board:join", json!(1)).await;
        assert_eq!(answer["ok"], json!(true), "joins go on: {answer}");
        let mut cy = connected(&other, "cy").await;
        writer.writes(50).await;
        let redis = Redis::start_at(port).expect("a Redis where it was");
        let back = Instant::now();
        for client in [&mut ada, &mut bo] {
            until_here(client, &["ada", "bo", "cy"]).await;
        }
        let took = back.elapsed();
        assert_eq!(users(&mut cy, json!({"boardId": 1})).await, Ok(vec!["ada".to_owned(), "bo".to_owned()]));
        assert!(took < Duration::from_secs(10), "{took:?}");
        // He sat down there while it was away.
        let client = redis::Client::open(redis.url()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let sits = async {
            let sits = || redis::cmd("GET").arg("curia:user_current_board:bo").to_owned();
            while sits().query_async::<Option<String>>(&mut connection).await.expect("an answer").as_deref()
                != Some("1")
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, sits).await.expect("his board");
        writer.writes(50).await;
        drop(redis);
    })
    .await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_forgets_without_a_word_is_said_again() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (node(&forum, &redis.url()).await, node(&forum, &redis.url()).await);
    let (mut ada, _bo) = (connected(&one, "ada").await, connected(&other, "bo").await);
    until_here(&mut ada, &["ada", "bo"]).await;
    command(&redis, &["FLUSHALL"]).await;
    let mut late = connected(&one, "di").await;
    // Nodes notice it at the second look.
    let forgotten = Instant::now();
    until_here(&mut late, &["ada", "bo", "di"]).await;
    println!("right again after {:.1} s", forgotten.elapsed().as_secs_f64());
    let key = "curia:community_users:c1";
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let said = async {
        loop {
            let fields: Vec<String> = redis::cmd("HKEYS").arg(key).query_async(&mut connection).await.expect("fields");
            if ["u:ada", "u:bo", "u:di"].iter().all(|user| fields.iter().any(|field| field == user)) {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, said).await.expect("all to be said again");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_takes_nothing_is_named_and_events_go_on() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (node(&forum, &redis.url()).await, node(&forum, &redis.url()).await);
    let mut ada = connected(&one, "ada").await;
    told_the_same(&forum, &one, &other, async |writer| {
        writer.writes(20).await;
        // A replica, of nobody who answers.
        command(&redis, &["REPLICAOF", "127.0.0.1", "1"]).await;
        until_presence(&one.url, false).await;
        let why = degraded(&one.url, "presence").await.expect("a reason");
        assert!(why.contains("replica"), "{why}");
        assert_eq!(users(&mut ada, json!(null)).await, Err("unavailable".to_owned()));
        writer.writes(50).await;
        command(&redis, &["REPLICAOF", "NO", "ONE"]).await;
        until_presence(&one.url, true).await;
        writer.writes(50).await;
    })
    .await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_in_redis_is_nobody_and_ends_nothing() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (node(&forum, &redis.url()).await, node(&forum, &redis.url()).await);
    let (mut ada, _bo) = (connected(&one, "ada").await, connected(&other, "bo").await);
    until_here(&mut ada, &["ada", "bo"]).await;
    let key = "curia:community_users:c1";
    for message in ["", "{", r#"{"generation": -1}"#, r#"{"generation":1,"version":1,"node":"x","said":[]}"#] {
        command(&redis, &["PUBLISH", key, message]).await;
    }
    for (field, value) in [("u:ghost", "{"), ("u:ghoul", r#"{"0000000000000001": "{}"}"#), ("other", "1")] {
        command(&redis, &["HSET", key, field, value]).await;
    }
    command(&redis, &["PUBLISH", key, &"x".repeat(2 << 20)]).await;
    let mut cy = connected(&one, "cy").await;
    until_here(&mut cy, &["ada", "bo", "cy"]).await;
    one.stop().await;
    other.stop().await;
}

/// Who is in board 1 by now; `told` grows by what the client was told of it until then.
async fn told_of_board(client: &mut Frames, told: &mut Vec<(String, String)>) -> Value {
    client.send(r#"4299["presence:list",{"boardId":1}]"#).await;
    loop {
        let frame = client.next().await.expect("a connection that stays");
        if let Some(answer) = frame.strip_prefix("4399") {
            return serde_json::from_str(answer).expect("JSON");
        }
        let Some(event) = frame.strip_prefix("42") else { continue };
        let event: Value = serde_json::from_str(event).expect("JSON");
        if event[0].as_str().is_some_and(|name| name.ends_with("Board")) {
            told.push((event[0].as_str().unwrap().to_owned(), event[1]["userId"].as_str().expect("a user").to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_while_redis_is_away_is_told_once_of_those_on_other_nodes_when_it_is_back() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let url = redis.url();
    let (one, other) = (node(&forum, &url).await, node(&forum, &url).await);
    let (mut ada, mut bo, mut di) =
        (connected(&one, "ada").await, connected(&other, "bo").await, connected(&one, "di").await);
    for client in [&mut ada, &mut bo, &mut di] {
        assert_eq!(client.ask("board:join", json!(1)).await["ok"], json!(true));
    }
    until_here(&mut bo, &["ada", "bo", "di"]).await;
    let port = redis.stop().expect("an end");
    for node in [&one, &other] {
        until_presence(&node.url, false).await;
    }
    let mut cy = connected(&other, "cy").await;
    let answer = cy.ask("board:join", json!(1)).await;
    let named: Vec<&str> =
        answer["users"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap()).collect();
    assert_eq!((named, &answer["userCount"]), (vec!["bo", "cy"], &json!(2)), "who is on his node");
    // Of the two that he was not named one goes meanwhile, and so does one that he was.
    assert_eq!(di.ask("board:leave", json!(1)).await["ok"], json!(true));
    assert_eq!(bo.ask("board:leave", json!(1)).await["ok"], json!(true));
    let redis = Redis::start_at(port).expect("a Redis where it was");
    let [mut of_ada, mut of_cy] = [Vec::new(), Vec::new()];
    for (client, told) in [(&mut ada, &mut of_ada), (&mut cy, &mut of_cy)] {
        let right = async {
            loop {
                let answer = told_of_board(client, told).await;
                let users = answer[0]["users"].as_array().into_iter().flatten();
                if users.map(|user| user["userId"].as_str().expect("a user")).eq(["ada", "cy"]) {
                    break;
                }
                sleep(Duration::from_millis(1_100)).await;
            }
        };
        timeout(PATIENCE, right).await.expect("the truth");
    }
    let event = |name: &str, user: &str| (name.to_owned(), user.to_owned());
    let told = of_cy;
    assert!(
        told.contains(&event("user:joinedBoard", "ada")) && told.contains(&event("user:leftBoard", "bo")),
        "{told:?}"
    );
    // Whoever is taken to be there until his node has said something else is taken to have come, too.
    let of_di: Vec<_> = told.iter().filter(|(_, user)| user == "di").map(|(name, _)| name.as_str()).collect();
    assert!(of_di.is_empty() || of_di == ["user:joinedBoard", "user:leftBoard"], "{told:?}");
    assert_eq!(told.len(), 2 + of_di.len(), "each once: {told:?}");
    of_ada.sort();
    let joined = ["bo", "cy", "di"].map(|user| event("user:joinedBoard", user));
    let expected = [&joined[..], &[event("user:leftBoard", "bo"), event("user:leftBoard", "di")]].concat();
    assert_eq!(of_ada, expected, "each once");
    drop(redis);
    one.stop().await;
    other.stop().await;
}
