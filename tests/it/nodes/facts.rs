//! Facts of rights that nodes share in Redis, and what is never taken from there.

use std::collections::HashMap;

use curia_scratch::{RedisCluster, RedisOptions};
use redis::{AsyncCommands, Value as Answer, aio::MultiplexedConnection};

use super::*;
use crate::crowd::Watched;

const BOARD: &str = "curia:board_permissions:1";
const COMMUNITY: &str = "curia:community_permissions:c1";
const SHOWN: &str = "curia:community_boards:c1";
const FLAGS: [&str; 6] = ["--drain", "100ms", "--rate-join", "10000/1s", "--rate-connect", "10000/1s"];

pub(super) type Hash = HashMap<String, String>;

pub(super) async fn sharing(database: &str, redis: &str) -> Serving {
    let node = Serving::start(database, &[&["--redis-url", redis], FLAGS.as_slice()].concat()).await;
    node.until_ready().await;
    node.until_metric("curia_facts_shared", 1.0).await;
    node
}

pub(super) async fn connection(redis: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(redis.url()).expect("an address");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

async fn outcome(node: &Serving, outcome: &str) -> f64 {
    node.metric(&format!("curia_shared_facts_total{{outcome=\"{outcome}\"}}")).await.unwrap_or_default()
}

/// What a node keeps, once it is there.
pub(super) async fn kept(redis: &mut MultiplexedConnection, key: &str) -> Hash {
    kept_instead(redis, key, None).await
}

/// As [`kept`], of what took the place of something else.
async fn kept_instead(redis: &mut MultiplexedConnection, key: &str, of: Option<&Hash>) -> Hash {
    let asking = async {
        loop {
            // Something else than a hash may still be there.
            let hash: Hash = redis.hgetall(key).await.unwrap_or_default();
            if hash.contains_key("seal") && of != Some(&hash) {
                return hash;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{key} is not kept"))
}

async fn visitor(node: &Serving) -> Frames {
    Frames::connected(&node.url, &token()).await
}

async fn joins(frames: &mut Frames) -> Value {
    frames.ask("board:join", json!(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_read_of_rights_the_other_does_not_ask_the_database_for() {
    let watched = Watched::start().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let one = sharing(&watched.url(), &redis.url()).await;
    let other = sharing(&watched.url(), &redis.url()).await;
    let before = watched.asked_of_rights();
    assert_eq!(joins(&mut visitor(&one).await).await["ok"], json!(true));
    assert!(watched.asked_of_rights() >= before + 4, "the count sees what is asked");
    for key in [BOARD, COMMUNITY, SHOWN] {
        kept(&mut there, key).await;
    }
    let before = watched.asked_of_rights();
    assert_eq!(joins(&mut visitor(&other).await).await["ok"], json!(true));
    assert_eq!(watched.asked_of_rights(), before);
    assert_eq!(outcome(&other, "hit").await, 3.0);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_has_of_another_community_can_not_be_told_from_what_is_not_there() {
    let watched = Watched::start().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let one = sharing(&watched.url(), &redis.url()).await;
    let mut cy = Frames::connected(&one.url, &Service::token("cy", "c2", &[], false)).await;
    assert_eq!(cy.ask("board:join", json!(3)).await["ok"], json!(true));
    assert_eq!(joins(&mut visitor(&one).await).await["ok"], json!(true));
    for key in ["curia:board_permissions:3", BOARD, COMMUNITY, SHOWN] {
        kept(&mut there, key).await;
    }
    // Each is asked for where nothing is in memory yet, with what Redis has of the community and without.
    for shown in [true, false] {
        let mut asked = Vec::new();
        for board in [3, 999] {
            let other = sharing(&watched.url(), &redis.url()).await;
            if !shown {
                let _: () = there.del(SHOWN).await.expect("an answer");
            }
            let mut ada = visitor(&other).await;
            let before = watched.asked_of_rights();
            let refused = ada.ask("board:join", json!(board)).await;
            assert_eq!(refused["error"]["code"], json!("not_found"), "{refused}");
            asked.push(watched.asked_of_rights() - before);
            other.stop().await;
        }
        assert_eq!(asked[0], asked[1], "with the community's boards: {shown}");
    }
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_cluster_nodes_share_what_they_read_of_rights_too() {
    let forum = Forum::captured().await;
    let cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    let one = sharing(&forum.url(), &cluster.url()).await;
    let other = sharing(&forum.url(), &cluster.url()).await;
    assert_eq!(joins(&mut visitor(&one).await).await["ok"], json!(true));
    // Whoever has not got the key refuses.
    let kind = |server: &Redis, key: &str| server.ask(&format!("TYPE {key}")).unwrap_or_default();
    let there = |key: &str| cluster.servers().iter().any(|server| kind(server, key).contains("hash"));
    let asking = async {
        while ![BOARD, COMMUNITY, SHOWN].into_iter().all(there) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("all of it to be kept");
    assert_eq!(joins(&mut visitor(&other).await).await["ok"], json!(true));
    assert_eq!(outcome(&other, "hit").await, 3.0);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_what_is_kept_is_taken_and_nothing_else_is_guessed() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let (before, database) =
        forum.url().rsplit_once('@').map(|(user, at)| (user.to_owned(), at.to_owned())).expect("a user");
    let (address, name) = database.split_once('/').expect("a name");
    let proxy = Proxy::before(&format!("http://{address}")).await;
    let behind = format!("{before}@{}/{name}", proxy.url.trim_start_matches("http://"));
    let one = sharing(&forum.url(), &redis.url()).await;
    let other = sharing(&behind, &redis.url()).await;
    assert_eq!(joins(&mut visitor(&one).await).await["ok"], json!(true));
    for key in [BOARD, COMMUNITY, SHOWN] {
        kept(&mut there, key).await;
    }
    proxy.fall_silent();
    let mut ada = visitor(&other).await;
    assert_eq!(joins(&mut ada).await["ok"], json!(true));
    assert_eq!(ada.ask("board:join", json!(2)).await["error"]["code"], json!("unavailable"));
    one.stop().await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_rights_has_the_blueprints_fields_and_an_end() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 2"#).await;
    let node = sharing(&forum.url(), &redis.url()).await;
    let mut admin = Frames::connected(&node.url, &Service::token("bo", "c1", &["a"], true)).await;
    for board in [1, 2] {
        assert_eq!(admin.ask("board:join", json!(board)).await["ok"], json!(true));
    }
    let mut ada = visitor(&node).await;
    assert_eq!(ada.ask("feed:join", json!(null)).await["boardIds"], json!([1]));
    let [open, closed] = [kept(&mut there, BOARD).await, kept(&mut there, "curia:board_permissions:2").await];
    assert_eq!((&*open["allowedRoles"], &*open["isPublic"]), ("[]", "true"));
    assert_eq!((&*closed["allowedRoles"], &*closed["isPublic"]), (r#"["crew"]"#, "false"));
    assert_eq!((&*closed["community"], &*closed["imports"]), ("c1", "[]"));
    let feed = kept(&mut there, "curia:user_boards:ada").await;
    assert_eq!(
        (&*feed["boardIds"], &*feed["community"], &*feed["roles"], &*feed["admin"]),
        ("[1]", "c1", "[]", "false")
    );
    let position: (i64, i64) = sqlx::query_as("SELECT epoch, max(n) FROM curia_realtime.tick GROUP BY epoch")
        .fetch_one(&forum.pool)
        .await
        .expect("a position");
    for hash in [&open, &closed, &feed] {
        assert_eq!((&hash["epoch"], &hash["at"]), (&position.0.to_string(), &position.1.to_string()));
    }
    let keys: Vec<String> = there.keys("*").await.expect("the keys");
    assert!(keys.len() >= 5, "{keys:?}");
    for key in keys {
        let left: i64 = there.ttl(&key).await.expect("an end");
        assert!(key.starts_with("curia:") && (0..=600).contains(&left), "{key} {left}");
    }
    node.stop().await;
}

/// How a stranger, or an old dump, may put it there; gives the hash that stands there now, if it is one.
async fn plant(redis: &mut MultiplexedConnection, round: usize, key: &str, stale: &Hash) -> Hash {
    let now: Hash = redis.hgetall(key).await.unwrap_or_default();
    let _: () = redis.del(key).await.expect("an answer");
    let mut hash = stale.clone();
    match round % 6 {
        // As it was.
        0 | 1 => {}
        // With a position of later, and of now.
        2 => _ = hash.insert("at".to_owned(), i64::MAX.to_string()),
        3 => hash.extend(now.into_iter().filter(|(field, _)| ["since", "at", "epoch"].contains(&field.as_str()))),
        4 => {
            let _: () = redis.set(key, "[\"role1\"]").await.expect("an answer");
            return Hash::new();
        }
        // Only what the blueprint names, as somebody may write who has read it alone.
        _ => hash.retain(|field, _| ["allowedRoles", "isPublic", "boards"].contains(&field.as_str())),
    }
    let fields: Vec<(&String, &String)> = hash.iter().collect();
    let _: () = redis.hset_multiple(key, &fields).await.expect("an answer");
    hash
}

async fn set_roles(pool: &PgPool, table: &str, closed: bool) {
    let settings = if closed { r#"{"permissions": {"allowedRoles": ["crew"]}}"# } else { "{}" };
    let update = match table {
        "boards" => "UPDATE boards SET settings = $1::text::jsonb WHERE id = 1",
        _ => "UPDATE communities SET settings = $1::text::jsonb WHERE id = 'c1'",
    };
    sqlx::query(update).bind(settings).execute(pool).await.expect("an update");
}

/// Reads on to the news that the board is shut, or open.
pub(super) async fn hears(frames: &mut Frames, closed: bool) {
    let expected = if closed { "board:accessRevoked" } else { "board:accessGranted" };
    while !frames.next().await.expect("a connection that stays").contains(expected) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_thousand_rounds_nobody_is_let_in_by_what_redis_still_has_of_rights() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let nodes = [sharing(&forum.url(), &redis.url()).await, sharing(&forum.url(), &redis.url()).await];
    let mut visitors = [visitor(&nodes[0]).await, visitor(&nodes[1]).await];
    for ada in &mut visitors {
        assert_eq!(joins(ada).await["ok"], json!(true));
    }
    let mut planted: HashMap<&str, Hash> = HashMap::new();
    for round in 0..1_000 {
        let (closed, of_board) = (round % 2 == 0, round % 4 < 2);
        // Of the board its own changes alone make nodes ask anew.
        let keys = if of_board { &[BOARD, COMMUNITY, SHOWN][..] } else { &[COMMUNITY, SHOWN] };
        let mut stale = HashMap::new();
        for key in keys {
            stale.insert(*key, kept_instead(&mut there, key, planted.get(key)).await);
        }
        set_roles(&forum.pool, if of_board { "boards" } else { "communities" }, closed).await;
        for node in if round % 3 == 0 { [0, 1] } else { [1, 0] } {
            hears(&mut visitors[node], closed).await;
            for key in keys {
                planted.insert(key, plant(&mut there, round / 2, key, &stale[key]).await);
            }
            let answer = joins(&mut visitors[node]).await;
            if closed {
                assert_eq!(answer["error"]["code"], json!("forbidden"), "round {round}: {answer}");
            } else {
                assert_eq!(answer["ok"], json!(true), "round {round}: {answer}");
            }
        }
    }
    let mut seen = HashMap::new();
    for kind in ["hit", "miss", "old", "odd", "away"] {
        seen.insert(kind, outcome(&nodes[0], kind).await + outcome(&nodes[1], kind).await);
    }
    println!("{seen:?}");
    assert!(seen["old"] > 500.0 && seen["odd"] > 500.0, "{seen:?}");
    for node in nodes {
        node.stop().await;
    }
}

/// Sends a signal to a Redis, by its name.
pub(super) async fn signal(redis: &mut MultiplexedConnection, name: &str, process: Option<String>) -> String {
    let process = match process {
        Some(process) => process,
        None => {
            let info: String = redis::cmd("INFO").arg("server").query_async(redis).await.expect("an answer");
            let process = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("a number");
            process.trim().to_owned()
        }
    };
    let sent = tokio::process::Command::new("kill").args([name, &process]).status().await.expect("kill");
    assert!(sent.success());
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_go_on_while_redis_is_stopped_and_facts_are_shared_again_behind_it() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let nodes = [sharing(&forum.url(), &redis.url()).await, sharing(&forum.url(), &redis.url()).await];
    let mut visitors = [visitor(&nodes[0]).await, visitor(&nodes[1]).await];
    for ada in &mut visitors {
        assert_eq!(joins(ada).await["ok"], json!(true));
    }
    let process = signal(&mut there, "-STOP", None).await;
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        set_roles(&forum.pool, "boards", round % 2 == 0).await;
        for ada in &mut visitors {
            hears(ada, round % 2 == 0).await;
            let began = Instant::now();
            assert_eq!(joins(ada).await["ok"], json!(round % 2 == 1));
            longest = longest.max(began.elapsed());
        }
    }
    println!("the longest join while Redis is stopped: {longest:?}");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    signal(&mut there, "-CONT", Some(process)).await;
    for node in &nodes {
        node.until_metric("curia_facts_shared", 1.0).await;
    }
    // What stands there since before is of a time that has passed.
    let old = [outcome(&nodes[0], "old").await, outcome(&nodes[1], "old").await];
    set_roles(&forum.pool, "boards", true).await;
    for ada in &mut visitors {
        hears(ada, true).await;
        assert_eq!(joins(ada).await["error"]["code"], json!("forbidden"));
    }
    assert!(outcome(&nodes[0], "old").await + outcome(&nodes[1], "old").await >= old[0] + old[1] + 1.0);
    for node in nodes {
        node.stop().await;
    }
}

/// In one step: the node may write meanwhile, too.
async fn puts(there: &mut redis::aio::MultiplexedConnection, steps: &mut redis::Pipeline) {
    let _: redis::Value = steps.atomic().query_async(there).await.expect("an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_write_of_rights_is_left_alone_and_written_over() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let node = sharing(&forum.url(), &redis.url()).await;
    let huge = "x".repeat(3_000_000);
    let planted = [
        vec![("allowedRoles", "[]"), ("isPublic", "true")],
        vec![("allowedRoles", huge.as_str()), ("at", "9223372036854775807"), ("epoch", "1")],
        vec![("at", "-1"), ("epoch", ""), ("seal", "\u{0}"), ("boards", "[[[["), ("features", "{}")],
    ];
    let mut ada = visitor(&node).await;
    for (round, fields) in planted.iter().enumerate() {
        set_roles(&forum.pool, "boards", round % 2 == 0).await;
        // Asked until the change is told here.
        for key in [BOARD, COMMUNITY, SHOWN] {
            puts(&mut there, redis::pipe().del(key).hset_multiple(key, fields)).await;
        }
        let asking = async { while joins(&mut ada).await["ok"] != json!(round % 2 == 1) {} };
        timeout(PATIENCE, asking).await.expect("the change");
    }
    for key in [BOARD, SHOWN] {
        puts(&mut there, redis::pipe().del(key).lpush(key, "x")).await;
    }
    set_roles(&forum.pool, "boards", false).await;
    timeout(PATIENCE, async { while joins(&mut ada).await["ok"] != json!(true) {} }).await.expect("the change");
    // Its own stand there now.
    let asking = async {
        loop {
            let kind: Answer = redis::cmd("TYPE").arg(BOARD).query_async(&mut there).await.expect("an answer");
            if matches!(kind, Answer::SimpleString(kind) if kind == "hash") {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("a hash of the node's");
    assert!(outcome(&node, "odd").await >= 4.0);
    let log = node.stop().await;
    let said = |line: &&serde_json::Value| line.to_string().contains("nobody who knows JWT_SECRET");
    assert_eq!(log.iter().filter(said).count(), 1, "said once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_fact_never_takes_the_place_of_a_newer_one() {
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let script = include_str!("../../../src/redis/facts/keep.lua");
    let seal = "s".repeat(43);
    let mut keep = async |epoch: &str, at: &str, instead_of: &str| -> bool {
        let mut ask = redis::cmd("EVAL");
        ask.arg(script).arg(1).arg("fact").arg(60_000).arg(epoch).arg(at).arg(instead_of);
        ask.arg(&["epoch", epoch, "at", at, "seal", &seal]);
        ask.query_async(&mut there).await.expect("an answer")
    };
    assert!(keep("7", "9", "").await && keep("7", "10", "").await);
    assert!(!keep("7", "9", "").await, "an older one, though its text is the greater");
    assert!(keep("7", "10", "").await && keep("7", "9007199254740993", "").await);
    assert!(!keep("7", "9007199254740992", "").await, "also where numbers of Lua no longer tell them apart");
    assert!(keep("8", "1", "").await, "of another epoch");
    assert!(keep("8", "500", "").await && !keep("8", "2", "").await);
    assert!(keep("8", "2", &seal).await, "instead of what is no node's");
    for odd in ["", "x", "-1", "1e99"] {
        assert!(keep("8", odd, &seal).await && keep("8", "3", "").await, "{odd}");
    }
}
