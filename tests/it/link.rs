//! What is asked of Redis together is answered each for itself, by one server and by a Cluster.

use std::time::{Duration, Instant};

use curia_realtime::redis::{
    link::Link,
    question::{Question, Script},
    url::RedisUrl,
};
use curia_scratch::{Redis, RedisCluster, RedisOptions};
use redis::cmd;
use tokio::time::sleep;

/// Tells hanging from working.
const WITHIN: Duration = Duration::from_secs(2);
/// Adds to a number and gives it, or fails where the key is no number.
const ADD: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";

async fn connected(url: &str) -> Link {
    let url: RedisUrl = url.parse().expect("a URL");
    Link::connect(&url, WITHIN).await.expect("a link")
}

/// One for each of these keys.
fn questions(keys: u32) -> Vec<Question> {
    let script = Script::new(ADD);
    (0..keys).map(|key| script.on(&format!("key {key}")).arg(key)).collect()
}

async fn each_has_its_own_answer(url: &str) {
    let mut link = connected(url).await;
    link.ask::<()>(cmd("SET").arg("key 7").arg("seven").to_owned()).await.expect("an answer");
    for round in 1..=3 {
        let answers = link.ask_each::<u32>(&questions(40)).await.expect("answers");
        assert_eq!(answers.len(), 40);
        for (key, answer) in (0..).zip(answers) {
            match answer {
                Ok(sum) => assert_eq!(sum, key * round),
                Err(error) => assert!(key == 7 && error.to_string().contains("not an integer"), "{key}: {error}"),
            }
        }
    }
    assert_eq!(link.ask_each::<u32>(&[]).await.expect("no answers"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_together_is_answered_each_for_itself() {
    let redis = Redis::start().expect("a Redis");
    each_has_its_own_answer(&redis.url()).await;
    let cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    each_has_its_own_answer(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_server_of_a_cluster_keeps_only_its_own_from_an_answer() {
    let mut cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    let mut link = connected(&cluster.url()).await;
    let answers = link.ask_each::<u32>(&questions(60)).await.expect("answers");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let lost: usize = cluster.servers()[0].ask("DBSIZE").expect("a number").parse().expect("a number");
    cluster.lose(0).expect("an end");
    // Whose servers are found anew, at once and by and by.
    let until = Instant::now() + Duration::from_secs(7);
    while Instant::now() < until {
        let began = Instant::now();
        let answers = link.ask_each::<u32>(&questions(60)).await.expect("answers");
        assert!(began.elapsed() < WITHIN / 2, "{:?}", began.elapsed());
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(refused.iter().all(|error| link.is_of_one_server(error)), "{refused:?}");
        assert_eq!(refused.len(), lost);
        sleep(Duration::from_millis(20)).await;
    }
    let mut link = connected(&cluster.url()).await;
    for _ in 0..5 {
        let began = Instant::now();
        let answers = link.ask_each::<u32>(&questions(60)).await.expect("answers");
        assert!(began.elapsed() < WITHIN / 2, "{:?}", began.elapsed());
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(refused.iter().all(|error| link.is_of_one_server(error)), "{refused:?}");
        assert_eq!(refused.len(), lost);
    }
    assert!(lost > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_its_way_from_server_to_server_is_asked_where_it_is() {
    let cluster = RedisCluster::start(&RedisOptions::default()).expect("a Redis Cluster");
    let [from, to, _] = cluster.servers() else { panic!("three servers") };
    let mut link = connected(&cluster.url()).await;
    let key = (0..).map(|nth| format!("{{{nth}}}")).find(|key| from.ask(&format!("EXISTS {key}")).is_ok());
    let key = key.expect("a key of the first");
    let slot = from.ask(&format!("CLUSTER KEYSLOT {key}")).expect("a slot");
    let [stays, goes, new] = ["stays", "goes", "new"].map(|name| format!("{key}{name}"));
    for (key, number) in [(&stays, 3), (&goes, 5)] {
        link.ask::<()>(cmd("SET").arg(key).arg(number).to_owned()).await.expect("an answer");
    }
    let id = |server: &Redis| server.ask("CLUSTER MYID").expect("an id");
    to.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from))).expect("an answer");
    from.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to))).expect("an answer");
    from.ask(&format!("MIGRATE 127.0.0.1 {} {goes} 0 5000", to.port())).expect("an answer");

    let add = Script::new(ADD);
    let together = [&stays, &goes, &new].map(|key| add.on(key).arg(10));
    for sums in [[13, 15, 10], [23, 25, 20]] {
        let answers = link.ask_each::<u32>(&together).await.expect("answers");
        assert_eq!(answers.into_iter().map(|answer| answer.expect("an answer")).collect::<Vec<_>>(), sums);
    }
    assert_eq!((from.ask("DBSIZE").expect("a number"), to.ask("DBSIZE").expect("a number")), ("1".into(), "2".into()));
}
