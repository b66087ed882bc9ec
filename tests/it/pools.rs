//! The connections of a service: whoever gives up a question leaves his place to others, and nobody waits for the answer, nor does
//! the server.

use std::time::Duration;

use curia_realtime::postgres::pool::{Lent, Pools};
use serde_json::json;
use sqlx::PgPool;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, interval_at, sleep, timeout},
};

use crate::support::{postgres::Forum, program::Serving, proxy::Proxy, service::Service, wire::Frames};

/// Somebody has no patience.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(100);
/// Two seconds for each time it is asked whether a connection is alive; several times that, for what else this machine does.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// With one connection for whoever asks.
async fn behind_a_proxy(forum: &Forum) -> (Pools, Proxy) {
    let proxy = Proxy::before(&forum.url()).await;
    let url = format!("{}/{}", proxy.url.replacen("http://", "postgres://postgres@", 1), forum.name);
    (Pools::new(&url.parse().expect("a URL"), 4), proxy)
}

async fn is_given_up(pool: &PgPool) {
    let mut lent = timeout(ANSWERED_WITHIN, Lent::of(pool)).await.expect("in time").expect("a connection");
    let question = sqlx::query("SELECT pg_sleep(60)").execute(&mut *lent);
    assert!(timeout(GIVEN_UP_AFTER, question).await.is_err());
}

async fn is_answered(pool: &PgPool) {
    let asking = async {
        let mut lent = Lent::of(pool).await?;
        let answer = sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut *lent).await?;
        lent.give_back();
        Ok::<_, sqlx::Error>(answer)
    };
    assert_eq!(timeout(ANSWERED_WITHIN, asking).await.expect("an answer in time").expect("an answer"), 1);
}

#[tokio::test]
async fn a_question_that_was_given_up_holds_nobodys_place() {
    let forum = Forum::captured().await;
    let (Pools { asking, .. }, proxy) = behind_a_proxy(&forum).await;
    is_answered(&asking).await;
    is_given_up(&asking).await;
    is_answered(&asking).await;
    is_given_up(&asking).await;
    proxy.swallow();
    is_answered(&asking).await;
}

#[tokio::test]
async fn what_the_reader_was_lent_and_did_not_give_back_is_closed() {
    let forum = Forum::captured().await;
    let (Pools { reading, .. }, proxy) = behind_a_proxy(&forum).await;
    for nth in 0..12 {
        let mut lent = timeout(ANSWERED_WITHIN, Lent::of(&reading)).await.expect("in time").expect("a connection");
        if nth == 6 {
            proxy.swallow();
        }
        let question = sqlx::query("SELECT pg_sleep(60)").execute(&mut *lent);
        assert!(timeout(GIVEN_UP_AFTER, question).await.is_err());
    }
    let mut lent = timeout(ANSWERED_WITHIN, Lent::of(&reading)).await.expect("in time").expect("a connection");
    sqlx::query("SELECT 1").execute(&mut *lent).await.expect("an answer");
    lent.give_back();
    assert_eq!(reading.size(), 1, "the others are gone");
}

#[tokio::test]
async fn what_falls_silent_on_its_way_back_holds_nobodys_place() {
    let forum = Forum::captured().await;
    let (Pools { asking, reading }, proxy) = behind_a_proxy(&forum).await;
    for pool in [&asking, &reading] {
        for _ in 0..5 {
            is_answered(pool).await;
            // Before anybody could see that it is back.
            proxy.swallow();
        }
    }
}

/// Who is let in by nobody, since his community's settings can't be read, comes again.
const KNOCKS_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// A question is given up after three seconds.
const ROUND: Duration = Duration::from_millis(3_300);
/// Of ten who knock seven are asked for at a time, so where each left a backend behind there would be 28, beside those of the reader.
const KNOCKS: usize = 4;
/// Of a node: ten, and as many that took the places of those given up lately.
const BACKENDS: i64 = 2 * 10;

async fn knocks(url: String, community: String) {
    let token = Service::token("ada", &community, &[], false);
    for _ in 0..KNOCKS {
        let mut frames = Frames::open(&url).await;
        frames.send(format!("40{}", json!({"token": token}))).await;
        let refused = frames.next().await.expect("an answer");
        assert!(refused.starts_with("44") && refused.contains("unavailable"), "{refused}");
        sleep(KNOCKS_AGAIN_AFTER).await;
    }
}

/// How many backends waited for the communities at most, while ten browsers of ten communities knocked at a node and `meanwhile` was
/// done each time that all of them wait.
async fn most_that_wait(forum: &Forum, database: &str, meanwhile: impl Fn()) -> i64 {
    forum
        .run("INSERT INTO communities (id, name, settings) SELECT 'k' || n, 'K', '{}' FROM generate_series(1, 10) n")
        .await;
    let node = Serving::start(database, &["--drain", "100ms"]).await;
    node.until_ready().await;
    let mut held = forum.pool.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK TABLE communities").execute(&mut *held).await.expect("the table");
    let mut knocking: JoinSet<()> = (1..=10).map(|n| knocks(node.url.clone(), format!("k{n}"))).collect();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut most = 0;
    let mut round = interval_at(Instant::now() + ROUND / 2, ROUND);
    let mut look = interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            knocked = knocking.join_next() => match knocked {
                None => break,
                Some(knocked) => knocked.expect("a browser"),
            },
            _ = round.tick() => meanwhile(),
            _ = look.tick() => most = most.max(sqlx::query_scalar(waiting).fetch_one(&forum.pool).await.expect("a count")),
        }
    }
    held.rollback().await.expect("an end");
    node.stop().await;
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_that_are_given_up_again_and_again_do_not_fill_the_server() {
    let forum = Forum::captured().await;
    let most = most_that_wait(&forum, &forum.url(), || {}).await;
    println!("{most} backends waited at most");
    assert!((1..=BACKENDS).contains(&most), "{most} backends waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_of_which_nobody_tells_the_server_that_they_are_given_up_do_not_fill_it() {
    let forum = Forum::captured().await;
    let proxy = Proxy::before(&forum.url()).await;
    let url = format!("{}/{}", proxy.url.replacen("http://", "postgres://postgres@", 1), forum.name);
    let most = most_that_wait(&forum, &url, || proxy.swallow()).await;
    println!("{most} backends waited at most");
    assert!((1..=BACKENDS).contains(&most), "{most} backends waited");
}
