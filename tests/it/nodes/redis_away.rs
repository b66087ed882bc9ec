//! Redis that is away, stalls, or carries what nobody should believe.

use curia_scratch::Port;

use super::{
    bridge::{bridged, publish},
    *,
};
use crate::support::{program::count, store::until_presence};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_dies_under_load_and_comes_back_and_nothing_is_lost() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let one = read(joined(&leader, None).await.0);
    let other = read(joined(&follower, None).await.0);
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    let port = redis.stop().expect("an end");
    writer.writes(200).await;
    let without = follower.metric(TAKEN).await;
    writer.writes(200).await;
    assert_eq!(follower.metric(TAKEN).await, without, "nothing carries");
    let redis = Redis::start_at(port).expect("a Redis where it was");
    takes(&follower, 20.0).await;
    let written = writer.stop().await;
    let told = all(one).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(other).await, told);
    leader.stop().await;
    follower.stop().await;
    drop(redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stalls_without_closing_anything_is_left_alone() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let proxy = Proxy::before(&format!("http://127.0.0.1:{}", redis.port())).await;
    let (leader, follower) = two_nodes(&forum, &proxy.url.replace("http", "redis")).await;
    let one = read(joined(&leader, None).await.0);
    let other = read(joined(&follower, None).await.0);
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    proxy.fall_silent();
    writer.writes(500).await;
    let written = writer.stop().await;
    let told = all(one).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(other).await, told);
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_format_is_not_believed_and_misses_nothing() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower, _bridge) = bridged(&forum, &redis, |_, message| {
        let of_tomorrow = message.strip_prefix(b"curia-relay 3 ").expect("a heading");
        vec![[b"curia-relay 4 ".as_slice(), of_tomorrow].concat()]
    })
    .await;
    // How many ticks so many writes are depends on the machine.
    told_the_same(&forum, &leader, &follower, async |writer| {
        while messages(&follower, "foreign").await < 20.0 {
            writer.writes(20).await;
        }
    })
    .await;
    assert_eq!(messages(&follower, "taken").await, 0.0);
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_lost_twice_late_or_cut_cost_nothing_but_a_look() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let kept = std::sync::Mutex::new(None);
    let (leader, follower, _bridge) = bridged(&forum, &redis, move |number, message| match number % 10 {
        // Lost, twice, cut, changed, and one after the next.
        2 => Vec::new(),
        4 => vec![message.clone(), message],
        6 => vec![message[..message.len() / 2].to_vec()],
        7 => vec![message.iter().map(|byte| if *byte == b'[' { b'{' } else { *byte }).collect()],
        8 => {
            *kept.lock().expect("a message") = Some(message);
            Vec::new()
        }
        9 => std::iter::once(message).chain(kept.lock().expect("a message").take()).collect(),
        _ => vec![message],
    })
    .await;
    told_the_same(&forum, &leader, &follower, async |writer| {
        takes(&follower, 20.0).await;
        writer.writes(200).await;
    })
    .await;
    for outcome in ["taken", "missed", "odd", "overtaken", "astray", "foreign", "left_out"] {
        println!("{outcome}: {}", messages(&follower, outcome).await);
    }
    for outcome in ["missed", "odd"] {
        assert!(messages(&follower, outcome).await > 2.0, "{outcome}");
    }
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_publish_changes_nothing() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let (epoch, tick): (i64, i64) = sqlx::query_as("SELECT epoch, max(n) FROM curia_realtime.tick GROUP BY epoch")
        .fetch_one(&forum.pool)
        .await
        .expect("a position");
    let mut garbage: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"hello\n".to_vec(),
        b"\xff\xfe\n\0".to_vec(),
        vec![b'['; 900_000],
        vec![b'x'; 3_000_000],
        b"curia-relay 3 7 8\n".to_vec(),
        format!("curia-relay 3 {epoch} {}\n", i64::MAX).into_bytes(),
    ];
    for next in tick..tick + 200 {
        let body = if next % 2 == 0 { "{\"entries\":[],\"rows\":{}}" } else { "" };
        garbage.push(format!("curia-relay 3 {epoch} {next} 3:3: 999999999:999999999:\n{body}").into_bytes());
    }
    told_the_same(&forum, &leader, &follower, async |writer| {
        takes(&follower, 5.0).await;
        for message in &garbage {
            publish(&mut connection, "curia:ticks", message).await;
        }
        writer.writes(100).await;
        takes(&follower, 5.0).await;
    })
    .await;
    assert!(messages(&follower, "odd").await > 0.0);
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_redis_a_service_starts_and_says_so_and_finds_it_later() {
    let forum = Forum::captured().await;
    let port = Port::free().expect("a port");
    let (leader, follower) = two_nodes(&forum, &format!("redis://:hunter2@127.0.0.1:{}/", port.number())).await;
    let ready = async |node: &Serving| http(&node.url, Method::GET, "/readyz", &[], String::new()).await;
    timeout(PATIENCE, async {
        while ready(&follower).await.status() != StatusCode::OK {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("to be ready");
    let report: Value = serde_json::from_str(ready(&follower).await.body()).expect("JSON");
    let parts: Vec<&Value> = report["degraded"].as_array().expect("a list").iter().map(|part| &part["what"]).collect();
    assert_eq!((&report["ready"], parts), (&json!(true), vec![&json!("presence"), &json!("redis")]), "{report}");
    assert!(!report.to_string().contains("hunter2"), "{report}");
    told_the_same(&forum, &leader, &follower, async |writer| writer.writes(50).await).await;

    let client = redis_with_password(port).await;
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    writer.writes(1).await;
    writer.stop().await;
    until_presence(&follower.url, true).await;
    let report: Value = serde_json::from_str(ready(&follower).await.body()).expect("JSON");
    assert_eq!(report["degraded"], json!([]), "{report}");
    leader.stop().await;
    follower.stop().await;
    drop(client);
}

/// A Redis at this port that takes the password of the test's URL.
async fn redis_with_password(port: Port) -> Redis {
    let redis = Redis::start_at(port).expect("a Redis where it is looked for");
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let set = ["SET", "requirepass", "hunter2"];
    redis::cmd("CONFIG").arg(&set).query_async::<()>(&mut connection).await.expect("an answer");
    redis
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_too_large_for_the_relay_are_read_by_each_node() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let missed = messages(&follower, "missed").await;
    told_the_same(&forum, &leader, &follower, async |writer| {
        takes(&follower, 5.0).await;
        // One by its bytes, one by its rows; in other boards, since the clients here count.
        forum
            .run(
                "INSERT INTO posts (author_user_id, title, content, board_id)
                 SELECT 'cy', 'Long', repeat('x', 16000), 2 FROM generate_series(1, 100)",
            )
            .await;
        writer.writes(20).await;
        forum
            .run(
                "INSERT INTO posts (author_user_id, title, content, board_id)
                 SELECT 'cy', 'Many', '', 2 FROM generate_series(1, 2500)",
            )
            .await;
        writer.writes(20).await;
        takes(&follower, 5.0).await;
    })
    .await;
    assert!(messages(&follower, "missed").await >= missed + 2.0);
    leader.stop().await;
    follower.stop().await;
}

/// What is said of a Redis that is away, and what of one that is back.
const AWAY: [(&str, &str); 3] = [
    (
        "users are limited on each node for itself until Redis is back",
        "Redis is back: users are limited over all nodes",
    ),
    (
        "connections of a user are counted on each node for itself until Redis is back",
        "Redis is back: connections of a user are counted over all nodes",
    ),
    (
        "each node asks the database for what others know of rights until Redis is back",
        "Redis is back: what one node reads",
    ),
];
const FACTS: &str = "curia_facts_shared";

/// Somebody comes and asks for what nobody has read yet, so that Redis is asked for everything.
async fn asks(node: &Serving, forum: &Forum) {
    forum.run("UPDATE boards SET settings = coalesce(settings, '{}') || jsonb_build_object('at', clock_timestamp()::text) WHERE id = 1").await;
    drop(joined(node, None).await);
    // He may come sixty times in ten seconds.
    sleep(Duration::from_millis(250)).await;
}

async fn asks_until(node: &Serving, forum: &Forum, reached: impl AsyncFn() -> bool) {
    let asking = async {
        while !reached().await {
            asks(node, forum).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("what was waited for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_a_redis_that_is_away_is_taken_back_once() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let node = node(&forum, &redis.url()).await;
    node.until_metric(FACTS, 1.0).await;
    asks(&node, &forum).await;
    let port = redis.stop().expect("an end");
    asks_until(&node, &forum, async || AWAY.iter().all(|(away, _)| node.said(away) > 0)).await;
    assert!(AWAY.iter().all(|(_, back)| node.said(back) == 0), "it is not back");
    let redis = Redis::start_at(port).expect("a Redis where it was");
    asks_until(&node, &forum, async || AWAY.iter().all(|(_, back)| node.said(back) > 0)).await;
    let log = node.stop().await;
    for (away, back) in AWAY {
        assert_eq!((count(&log, away), count(&log, back)), (1, 1), "{log:?}");
        let line = log.iter().find(|line| line["fields"]["message"].as_str().is_some_and(|said| said.contains(away)));
        let error = line.expect("a line")["fields"]["error"].as_str().expect("a reason").to_owned();
        let parts: Vec<&str> = error.split(": ").collect();
        assert!(parts.iter().all(|part| error.matches(part).count() == 1), "{error}");
    }
    drop(redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_is_not_taken_for_a_redis_that_is_away() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let node = node(&forum, &redis.url()).await;
    node.until_metric(FACTS, 1.0).await;
    asks(&node, &forum).await;
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let kill = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).query_async::<i64>(&mut connection).await;
    assert!(kill.expect("the connections to be closed") > 2);
    let outcome = async |outcome: &str| {
        node.metric(&format!("curia_shared_facts_total{{outcome=\"{outcome}\"}}")).await.unwrap_or_default()
    };
    let answered = async || outcome("miss").await + outcome("old").await + outcome("hit").await;
    asks_until(&node, &forum, async || outcome("away").await > 0.0).await;
    let before = answered().await;
    asks_until(&node, &forum, async || answered().await > before).await;
    for (away, back) in AWAY {
        assert_eq!((node.said(away), node.said(back)), (0, 0));
    }
    node.stop().await;
}
