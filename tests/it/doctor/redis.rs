//! Redis, one server and a Cluster.

use curia_scratch::{Redis, RedisCluster, RedisOptions};

use super::{assert_says, assert_wrong, of_forum};
use crate::support::postgres::Forum;

#[tokio::test]
async fn a_redis_that_is_a_replica_is_named_and_one_that_is_full() {
    let forum = Forum::bare().await;
    let redis = Redis::start().expect("a Redis");
    let url = redis.url();
    let look = async || of_forum(&forum, &[("REDIS_URL", &url)]).await;
    let ask = |words: &str| redis.ask(words).expect("an answer");
    assert_says(&look().await, "redis writes", "ok", &[]);
    ask("CONFIG SET maxmemory 1");
    let full = look().await;
    assert_wrong(&full, "redis writes", &["nothing can be written on", "maxmemory", "give it more memory"]);
    assert_says(&full, "redis memory", "note", &["a higher maxmemory"]);
    ask("CONFIG SET maxmemory 1gb");
    ask("CONFIG SET maxmemory-policy allkeys-lru");
    assert_says(&look().await, "redis memory", "note", &["allkeys-lru", "maxmemory-policy noeviction"]);
    ask("REPLICAOF 127.0.0.1 1");
    assert_wrong(&look().await, "redis", &["a replica", "it has to name the primary"]);
}

#[tokio::test]
async fn nothing_stays_behind_in_redis() {
    let forum = Forum::bare().await;
    let redis = Redis::start().expect("a Redis");
    of_forum(&forum, &[("REDIS_URL", &redis.url()), ("REDIS_PREFIX", "ours:")]).await;
    let left: i64 = redis.ask("PTTL ours:doctor").expect("an answer").parse().expect("a number");
    assert!(left == -2 || (0..=1_000).contains(&left), "{left}");
    assert!(redis.ask("DBSIZE").expect("an answer").parse::<u64>().expect("a number") <= 1);
}

#[tokio::test]
async fn a_redis_that_refuses_the_password_or_the_user_is_named_without_it() {
    let forum = Forum::bare().await;
    let redis = Redis::start_with(&RedisOptions { password: Some("right".to_owned()), tls: None }).expect("a Redis");
    let url = redis.url();
    assert_says(&of_forum(&forum, &[("REDIS_URL", &url)]).await, "redis", "ok", &["Redis "]);
    let ran = of_forum(&forum, &[("REDIS_URL", &url.replace("right", "hunter2"))]).await;
    assert_wrong(&ran, "redis", &["Redis refuses the user or the password of REDIS_URL"]);
    assert!(!ran.stdout.contains("hunter2"), "{ran:?}");
    for (user, what, part) in [
        ("reader on >pw ~* &* +@all -@write", "redis writes", "nothing can be written on"),
        ("stranger on >pw ~other:* &* +@all", "redis writes", "ACL SETUSER"),
        ("mute on >pw ~* resetchannels +@all", "redis writes", "nothing can be published to the other nodes"),
    ] {
        redis.ask(&format!("ACL SETUSER {user}")).expect("a user");
        let name = user.split(' ').next().expect("a name");
        let url = url.replace(":right@", &format!("{name}:pw@"));
        assert_wrong(&of_forum(&forum, &[("REDIS_URL", &url)]).await, what, &[part]);
    }
}

#[tokio::test]
async fn every_server_of_a_cluster_is_looked_at() {
    let forum = Forum::bare().await;
    let mut cluster = RedisCluster::start(&RedisOptions::default()).expect("a Cluster");
    let url = cluster.url();
    let look = async || of_forum(&forum, &[("REDIS_URL", &url)]).await;
    let ran = look().await;
    assert_says(&ran, "redis", "ok", &["3 servers"]);
    assert_says(&ran, "redis writes", "ok", &[]);
    let full = &cluster.servers()[1];
    full.ask("CONFIG SET maxmemory 1").expect("an answer");
    let place = format!("127.0.0.1:{}", full.port());
    assert_wrong(&look().await, "redis writes", &[&place, "give it more memory"]);
    full.ask("CONFIG SET maxmemory 0").expect("an answer");
    cluster.lose(1).expect("an end");
    assert_wrong(&look().await, "redis", &[&place, "does not answer"]);
    let other = Redis::start().expect("a Redis").url().replace("redis://", "redis-cluster://");
    let ran = of_forum(&forum, &[("REDIS_URL", other.trim_end_matches('/'))]).await;
    assert_wrong(&ran, "redis", &[]);
}
