//! The forms that Redis comes in: over TLS, with a password, as a Cluster.

use curia_scratch::{Certificate, RedisCluster, RedisOptions};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::support::program::Place;

const PASSWORD: &str = "hunter2";
const SHARED: &str = "curia_rate_limits_shared";

pub(super) fn certified() -> Certificate {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
    Certificate { certificate: cert.pem(), key: signing_key.serialize_pem() }
}

pub(super) fn guarded(certificate: &Certificate) -> RedisOptions {
    RedisOptions { password: Some(PASSWORD.to_owned()), tls: Some(certificate.clone()) }
}

/// The certificate as a file that `REDIS_CA_FILE` may name.
pub(super) fn authority(place: &Place, certificate: &Certificate) -> String {
    let path = place.path().join("authority.pem");
    std::fs::write(&path, &certificate.certificate).expect("a file");
    path.to_str().expect("a name").to_owned()
}

/// Two nodes with these flags, of which the first makes the ticks.
async fn two_nodes_with(forum: &Forum, flags: &[&str]) -> (Serving, Serving) {
    two_nodes_each_with(forum, flags, flags).await
}

async fn two_nodes_each_with(forum: &Forum, leads: &[&str], follows: &[&str]) -> (Serving, Serving) {
    let all = ["--drain", "100ms", "--rate-join", "6/1h"];
    let leader = Serving::start(&forum.url(), &[leads, &all].concat()).await;
    lease_held(&forum.pool, None).await;
    (leader, Serving::start(&forum.url(), &[follows, &all].concat()).await)
}

/// What `/readyz` says of Redis once it says anything.
async fn degraded(node: &Serving) -> String {
    node.until_ready().await;
    let asking = async {
        loop {
            let report = http(&node.url, Method::GET, "/readyz", &[], String::new()).await.into_body();
            assert!(!report.contains(PASSWORD), "{report}");
            let report: Value = serde_json::from_str(&report).expect("JSON");
            let parts = report["degraded"].as_array().expect("a list");
            let redis = parts.iter().find(|part| part["what"] == "redis").expect("the part that is not in order");
            let why = redis["why"].as_str().expect("a reason");
            if !why.contains("not been reached yet") {
                return why.to_owned();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("a reason")
}

/// Ticks go from node to node, and of a user's six joins those on one count on the other.
async fn relay_and_limit_together(forum: &Forum, leader: &Serving, follower: &Serving) {
    for node in [leader, follower] {
        node.until_metric(SHARED, 1.0).await;
    }
    // Each joins once.
    told_the_same(forum, leader, follower, async |_| takes(follower, 20.0).await).await;
    let mut one = Frames::connected(&leader.url, &token()).await;
    let mut other = Frames::connected(&follower.url, &token()).await;
    for client in [&mut one, &mut other] {
        for _ in 0..2 {
            assert_eq!(client.ask("board:join", json!(1)).await["ok"], json!(true));
        }
    }
    for client in [&mut one, &mut other] {
        assert_eq!(client.ask("board:join", json!(1)).await["error"]["code"], json!("rate_limited"));
    }
    for node in [leader, follower] {
        assert_eq!(node.metric(SHARED).await, Some(1.0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_relay_and_limit_together_over_tls_with_a_password() {
    let forum = Forum::captured().await;
    let certificate = certified();
    let redis = Redis::start_with(&guarded(&certificate)).expect("a Redis that speaks TLS");
    let place = Place::new();
    let flags = ["--redis-url", &redis.url(), "--redis-ca-file", &authority(&place, &certificate)];
    let (leader, follower) = two_nodes_with(&forum, &flags).await;
    relay_and_limit_together(&forum, &leader, &follower).await;
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_relay_and_limit_together_over_a_cluster() {
    let forum = Forum::captured().await;
    let cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    // Each knows another of its servers.
    let (one, two) = (cluster.servers()[0].url(), cluster.servers()[2].url());
    let (leader, follower) = two_nodes_each_with(&forum, &["--redis-url", &one], &["--redis-url", &two]).await;
    relay_and_limit_together(&forum, &leader, &follower).await;
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_relay_and_limit_together_over_a_cluster_with_tls_and_a_password() {
    let forum = Forum::captured().await;
    let certificate = certified();
    let cluster = RedisCluster::start(&guarded(&certificate)).expect("a Redis Cluster that speaks TLS");
    let place = Place::new();
    let flags = ["--redis-url", &cluster.url(), "--redis-ca-file", &authority(&place, &certificate)];
    let (leader, follower) = two_nodes_with(&forum, &flags).await;
    relay_and_limit_together(&forum, &leader, &follower).await;
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_a_server_carries_ticks_over_the_others() {
    let forum = Forum::captured().await;
    let mut cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    let (leader, follower) = two_nodes(&forum, &cluster.url()).await;
    told_the_same(&forum, &leader, &follower, async |writer| {
        takes(&follower, 5.0).await;
        // The one over which the follower hears.
        let hears = |server: &Redis| !server.ask("CLIENT LIST TYPE pubsub").expect("clients").is_empty();
        let number = cluster.servers().iter().position(hears).expect("a server that is listened to");
        cluster.lose(number).expect("an end");
        writer.writes(100).await;
        takes(&follower, 20.0).await;
    })
    .await;
    leader.stop().await;
    follower.stop().await;
}

/// Everything that is written is told, and Redis, which carries nothing, is said to be degraded by `why`.
async fn goes_on_without(forum: &Forum, flags: &[&str], why: &str) {
    let (leader, follower) = two_nodes_with(forum, flags).await;
    for node in [&leader, &follower] {
        let told = degraded(node).await;
        assert!(told.contains(why), "{told}");
    }
    told_the_same(forum, &leader, &follower, async |writer| writer.writes(50).await).await;
    assert_eq!(follower.metric(TAKEN).await, Some(0.0));
    for node in [leader, follower] {
        let log = node.stop().await;
        assert!(!log.iter().any(|line| line.to_string().contains(PASSWORD)), "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_refuses_the_password_is_named_and_durable_delivery_goes_on() {
    let forum = Forum::captured().await;
    let options = RedisOptions { password: Some("another".to_owned()), tls: None };
    let redis = Redis::start_with(&options).expect("a Redis");
    let wrong = redis.url().replace("another", PASSWORD);
    let refused = "Redis refuses the user or the password of REDIS_URL";
    goes_on_without(&forum, &["--redis-url", &wrong], refused).await;
    let cluster = RedisCluster::start(&options).expect("a Redis Cluster");
    let wrong = cluster.url().replace("another", PASSWORD);
    goes_on_without(&forum, &["--redis-url", &wrong], refused).await;
    let none = redis.url().replace(":another@", "");
    goes_on_without(&forum, &["--redis-url", &none], "Redis asks for a password, and REDIS_URL has none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_url_for_good_is_told_with_what_to_change() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let beyond = format!("redis://127.0.0.1:{}/99", redis.port());
    goes_on_without(&forum, &["--redis-url", &beyond], "REDIS_URL names a database that this Redis does not have")
        .await;
    let encrypted = format!("rediss://127.0.0.1:{}", redis.port());
    goes_on_without(&forum, &["--redis-url", &encrypted], "does the port in REDIS_URL speak it?").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_whose_certificate_nobody_signed_is_not_spoken_to() {
    let forum = Forum::captured().await;
    let certificate = certified();
    let redis = Redis::start_with(&guarded(&certificate)).expect("a Redis that speaks TLS");
    goes_on_without(&forum, &["--redis-url", &redis.url()], "UnknownIssuer").await;
    let place = Place::new();
    let other = authority(&place, &certified());
    goes_on_without(&forum, &["--redis-url", &redis.url(), "--redis-ca-file", &other], "certificate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_of_another_kind_than_its_url_says_is_named() {
    let forum = Forum::captured().await;
    let (primary, replica) = (Redis::start().expect("a Redis"), Redis::start().expect("a Redis"));
    replica.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port())).expect("an answer");
    goes_on_without(&forum, &["--redis-url", &replica.url()], "REDIS_URL names a replica").await;
    let no_cluster = primary.url().replace("redis://", "redis-cluster://");
    goes_on_without(&forum, &["--redis-url", &no_cluster], "REDIS_URL names no Cluster").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_a_cluster_that_is_taken_for_all_of_it_is_named_in_the_log() {
    let forum = Forum::captured().await;
    let cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    let key = "EXISTS curia:rate_limit:ada:join";
    let other = cluster.servers().iter().find(|server| server.ask(key).is_err()).expect("one without her key");
    let url = other.url().replace("redis-cluster://", "redis://");
    let (leader, follower) = two_nodes_with(&forum, &["--redis-url", &url]).await;
    leader.until_metric(SHARED, 1.0).await;
    told_the_same(&forum, &leader, &follower, async |_| takes(&follower, 5.0).await).await;
    follower.stop().await;
    let log = leader.stop().await;
    let named = |line: &Value| line.to_string().contains("REDIS_URL names one server of a Cluster");
    assert!(log.iter().any(named), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_answers_with_nonsense_is_left_alone() {
    let forum = Forum::captured().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}/", listener.local_addr().expect("an address"));
    let talking = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Whoever has heard enough is gone.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    goes_on_without(&forum, &["--redis-url", &url], "Redis can't be reached").await;
    talking.abort();
}
