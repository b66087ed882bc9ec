//! Presence of which a part is lost: what goes wrong with one key or one server concerns the boards and communities there alone.

use curia_scratch::{RedisCluster, RedisOptions};

use super::{
    presence::hears,
    presence_away::{command, connected, node, until_here, users},
    *,
};
use crate::support::store::{degraded, until_presence};

/// Waits until these are in the board.
async fn until_in_board(client: &mut Frames, board: i32, expected: &[&str]) {
    let asking = async {
        while users(client, json!({"boardId": board})).await.as_deref().ok() != Some(&owned(expected)) {
            sleep(Duration::from_millis(1_100)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("the truth of the board");
}

/// As a replica has it that did not hear of bo, who came last.
const LOSES_BO: [&str; 4] = [
    "EVAL",
    "redis.call('HINCRBY', KEYS[1], 'version', -1) return redis.call('HDEL', KEYS[1], 'u:bo')",
    "1",
    "curia:board_users:1",
];

/// Waits until Redis says that he is in board 1.
async fn until_named(redis: &Redis, user: &str) {
    let named = async {
        while redis.ask(&format!("HEXISTS curia:board_users:1 u:{user}")).expect("an answer") != "1" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, named).await.unwrap_or_else(|_| panic!("{user} to be named"));
}

/// Redis lost what was said of bo, and cy has come since, who asks on one node as bo does on the other, until both know of everybody: then
/// each client is told that cy has left the board, and of nobody else that he did.
async fn is_told_of_cy_alone(clients: [&mut Frames; 2], cy: &mut Frames, bo: &mut Frames) {
    for client in [&mut *cy, bo] {
        until_in_board(client, 1, &["ada", "bo", "cy", "di"]).await;
    }
    assert_eq!(cy.ask("board:leave", json!(1)).await["ok"], json!(true));
    for client in clients {
        let mut told = Vec::new();
        while told.last() != Some(&("user:leftBoard".to_owned(), "cy".to_owned())) {
            let (event, payload) = hears(client).await;
            told.push((event, payload["userId"].as_str().expect("a user").to_owned()));
        }
        let gone: Vec<_> = told.iter().filter(|(event, _)| event == "user:leftBoard").collect();
        assert_eq!(gone.len(), 1, "{told:?}");
    }
}

/// Three in board 1, the last of them bo, and the first two know it.
async fn three(one: &Serving, other: &Serving) -> [Frames; 3] {
    let mut three = [connected(one, "ada").await, connected(other, "di").await, connected(other, "bo").await];
    for client in &mut three {
        joins(client, 1).await;
    }
    for client in &mut three[..2] {
        until_in_board(client, 1, &["ada", "bo", "di"]).await;
    }
    three
}

fn owned(users: &[&str]) -> Vec<String> {
    users.iter().map(|user| (*user).to_owned()).collect()
}

async fn joins(client: &mut Frames, board: i32) -> Value {
    let answer = client.ask("board:join", json!(board)).await;
    assert_eq!(answer["ok"], json!(true), "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_at_one_board_leaves_all_others_right_and_heals_when_it_goes() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (node(&forum, &redis.url()).await, node(&forum, &redis.url()).await);
    let (mut ada, mut bo) = (connected(&one, "ada").await, connected(&other, "bo").await);
    for client in [&mut ada, &mut bo] {
        joins(client, 1).await;
        joins(client, 2).await;
    }
    until_in_board(&mut ada, 1, &["ada", "bo"]).await;
    command(&redis, &["DEL", "curia:board_users:1"]).await;
    command(&redis, &["SET", "curia:board_users:1", "nonsense"]).await;
    for node in [&one, &other] {
        until_presence(&node.url, false).await;
        let why = degraded(&node.url, "presence").await.expect("a reason");
        assert!(why.contains("1 boards or communities") && why.contains("board_users:1"), "{why}");
        assert!(why.contains("wrong kind of value"), "{why}");
    }
    // There nobody is made up; everywhere else people come, and go, and are listed.
    assert_eq!(users(&mut ada, json!({"boardId": 1})).await, Err("unavailable".to_owned()));
    let mut cy = connected(&other, "cy").await;
    joins(&mut cy, 1).await;
    joins(&mut cy, 2).await;
    until_here(&mut ada, &["ada", "bo", "cy"]).await;
    until_in_board(&mut bo, 2, &["ada", "bo", "cy"]).await;
    assert_eq!(bo.ask("board:leave", json!(2)).await["ok"], json!(true));
    until_in_board(&mut ada, 2, &["ada", "cy"]).await;

    command(&redis, &["DEL", "curia:board_users:1"]).await;
    for node in [&one, &other] {
        until_presence(&node.url, true).await;
    }
    for client in [&mut ada, &mut bo] {
        until_in_board(client, 1, &["ada", "bo", "cy"]).await;
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_the_latest_words_hears_them_again_and_nobody_is_told_of_it() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (node(&forum, &redis.url()).await, node(&forum, &redis.url()).await);
    let [mut ada, mut di, mut bo] = three(&one, &other).await;
    // Another comes by a word of the number that bo's had.
    command(&redis, &LOSES_BO).await;
    let mut cy = connected(&one, "cy").await;
    joins(&mut cy, 1).await;
    until_named(&redis, "bo").await;
    is_told_of_cy_alone([&mut ada, &mut di], &mut cy, &mut bo).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_lost_is_nobodys_news_though_as_many_words_were_said_again_before_a_node_came_back() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let stalling = Proxy::before(&redis.url()).await;
    let by_proxy = stalling.url.replace("http://", "redis://");
    let (one, other) = (node(&forum, &redis.url()).await, node(&forum, &by_proxy).await);
    let [mut ada, mut di, mut bo] = three(&one, &other).await;
    stalling.fall_silent();
    until_presence(&other.url, false).await;
    command(&redis, &LOSES_BO).await;
    let mut cy = connected(&one, "cy").await;
    joins(&mut cy, 1).await;
    until_named(&redis, "cy").await;
    stalling.speak();
    until_presence(&other.url, true).await;
    until_named(&redis, "bo").await;
    is_told_of_cy_alone([&mut ada, &mut di], &mut cy, &mut bo).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_whose_memory_is_full_is_named_steadily_while_events_go_on_and_heals() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (node(&forum, &redis.url()).await, node(&forum, &redis.url()).await);
    let mut ada = connected(&one, "ada").await;
    until_here(&mut ada, &["ada"]).await;
    told_the_same(&forum, &one, &other, async |writer| {
        command(&redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
        command(&redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
        let mut bo = connected(&other, "bo").await;
        joins(&mut ada, 1).await;
        joins(&mut bo, 1).await;
        for node in [&one, &other] {
            until_presence(&node.url, false).await;
        }
        // Behind three beats.
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            for node in [&one, &other] {
                let why = degraded(&node.url, "presence").await.expect("it is not known who is here");
                assert!(why.contains("boards or communities") && why.contains("maxmemory"), "{why}");
            }
            writer.writes(1).await;
            sleep(Duration::from_millis(20)).await;
        }
        command(&redis, &["CONFIG", "SET", "maxmemory", "0"]).await;
        for node in [&one, &other] {
            until_presence(&node.url, true).await;
        }
        until_in_board(&mut ada, 1, &["ada", "bo"]).await;
        until_here(&mut bo, &["ada", "bo"]).await;
    })
    .await;
    for node in [one, other] {
        let log = node.stop().await;
        let in_order = log.iter().map(Value::to_string);
        let in_order = in_order.filter(|line| line.contains("in order") && line.contains("presence")).count();
        assert_eq!(in_order, 2, "when it began and when it healed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_by_nonsense_is_counted_anew_and_nobody_is_lost() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (one, other) = (node(&forum, &redis.url()).await, node(&forum, &redis.url()).await);
    let (mut ada, mut bo) = (connected(&one, "ada").await, connected(&other, "bo").await);
    joins(&mut ada, 1).await;
    joins(&mut bo, 1).await;
    let key = "curia:board_users:1";
    let mut there = vec!["ada".to_owned(), "bo".to_owned()];
    for (nth, (field, nonsense)) in
        [("generation", "x"), ("version", "1.5"), ("generation", "1e400"), ("version", "99999999999999999999")]
            .into_iter()
            .enumerate()
    {
        command(&redis, &["HSET", key, field, nonsense, "u:ada", r#"{"x":1e999}"#]).await;
        let name = format!("guest {nth}");
        let mut guest = connected(&other, &name).await;
        joins(&mut guest, 1).await;
        there.push(name);
        let expected: Vec<&str> = there.iter().map(String::as_str).collect();
        until_in_board(&mut ada, 1, &expected).await;
        until_in_board(&mut guest, 1, &expected).await;
        guest.close().await;
        assert_eq!(bo.ask("board:leave", json!(1)).await["ok"], json!(true));
        there.retain(|user| user != "bo");
        let gone = there.pop();
        let expected: Vec<&str> = there.iter().map(String::as_str).collect();
        // With the grace of the guest.
        until_in_board(&mut ada, 1, &expected).await;
        assert!(gone.is_some());
        joins(&mut bo, 1).await;
        there.push("bo".to_owned());
    }
    for node in [one, other] {
        assert_eq!(degraded(&node.url, "presence").await, None);
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_server_of_a_cluster_takes_away_who_is_in_its_own_boards_alone() {
    let forum = Forum::captured().await;
    let mut cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    for server in cluster.servers() {
        server.ask("CONFIG SET cluster-require-full-coverage no").expect("an answer");
    }
    let has = |key: &str| cluster.servers().iter().position(|server| server.ask(&format!("EXISTS {key}")).is_ok());
    let (nodes, community) = (has("curia:nodes"), has("curia:community_users:c1"));
    let on = |board: &i32| has(&format!("curia:board_users:{board}"));
    let boards: Vec<i32> = (1..=4).collect();
    let doomed = boards.iter().find(|board| on(board) != nodes && on(board) != community).expect("a board elsewhere");
    let stays = boards.iter().find(|board| on(board) != on(doomed)).expect("another board");
    let lost = on(doomed).expect("its server");

    // Who hears over the lost server has to begin anew, so each is named another.
    let urls: Vec<String> = cluster.servers().iter().map(Redis::url).collect();
    let others: Vec<&String> = urls.iter().enumerate().filter(|(nth, _)| *nth != lost).map(|(_, url)| url).collect();
    let (one, other) = (node(&forum, others[0]).await, node(&forum, others[1]).await);
    let (mut ada, mut bo) = (connected(&one, "ada").await, connected(&other, "bo").await);
    for client in [&mut ada, &mut bo] {
        joins(client, *doomed).await;
        joins(client, *stays).await;
    }
    until_in_board(&mut ada, *doomed, &["ada", "bo"]).await;
    until_in_board(&mut ada, *stays, &["ada", "bo"]).await;
    let doomed = *doomed;
    let stays = *stays;
    cluster.lose(lost).expect("an end");
    for node in [&one, &other] {
        until_presence(&node.url, false).await;
        let why = degraded(&node.url, "presence").await.expect("a reason");
        assert!(why.contains(&format!("board_users:{doomed}")), "{why}");
    }
    assert_eq!(users(&mut ada, json!({"boardId": doomed})).await, Err("unavailable".to_owned()));
    let mut cy = connected(&other, "cy").await;
    joins(&mut cy, stays).await;
    joins(&mut cy, doomed).await;
    until_here(&mut ada, &["ada", "bo", "cy"]).await;
    until_in_board(&mut ada, stays, &["ada", "bo", "cy"]).await;
    drop(cy);
    until_in_board(&mut ada, stays, &["ada", "bo"]).await;
    for node in [&one, &other] {
        let why = degraded(&node.url, "presence").await.expect("a reason");
        assert!(why.contains("of all others it is"), "{why}");
    }
    for node in [one, other] {
        let log = node.stop().await;
        // Sessions, limits and facts, of which one server has a part.
        let left: Vec<_> = log.iter().filter(|line| line.to_string().contains("until Redis is back")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
