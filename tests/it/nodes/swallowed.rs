//! The link between a node and PostgreSQL carries nothing any more, and nothing is closed: what the node's own clients are told.

use curia_realtime::contract::ErrorCode;

use super::*;
use crate::support::store::degraded;

/// A look is waited for two seconds and a page of a tick five, the listening connection two beside it. Twice the sum, for what
/// else this machine does.
const TOLD_AGAIN_WITHIN: Duration = Duration::from_secs(18);
/// The stream is said not to be read once nothing was answered for three seconds. Twice as much, likewise.
const SAID_WITHIN: Duration = Duration::from_secs(6);

/// The node of a forum whose link to PostgreSQL can fall silent, and holds the lease.
async fn behind(forum: &Forum, flags: &[&str]) -> (Serving, Proxy) {
    let to_postgres = Proxy::before(&forum.url()).await;
    let address = to_postgres.url.replacen("http://", "postgres://postgres@", 1);
    let flags = [&["--drain", "100ms"], flags].concat();
    let node = Serving::start(&format!("{address}/{}", forum.name), &flags).await;
    lease_held(&forum.pool, None).await;
    (node, to_postgres)
}

/// Three times what is on its way is lost, whatever it is then, and its client is told everything in order.
async fn tells_everything(forum: &Forum, node: &Serving, to_postgres: &Proxy) {
    let (mut client, _) = joined(node, None).await;
    let mut writer = Writer::start(forum);
    let mut told = vec![next(&mut client).await];
    for _ in 0..3 {
        writer.writes(100).await;
        to_postgres.swallow();
        let swallowed = Instant::now();
        // What was written before may be on its way to the client.
        let behind = *writer.written.borrow() + 20;
        let reading = async {
            while told.last().is_none_or(|seen| seen.title.parse::<u32>().expect("a number") < behind) {
                told.push(next(&mut client).await);
            }
        };
        timeout(PATIENCE, reading).await.expect("what was written behind the silence");
        println!("what was written behind the silence was told {:?} after it began", swallowed.elapsed());
        assert!(swallowed.elapsed() < TOLD_AGAIN_WITHIN, "silent for {:?}", swallowed.elapsed());
    }
    let written = writer.stop().await;
    told.extend(all(read(client)).await);
    assert_eq!(titles(&told), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_node_whose_connections_are_swallowed_tells_everything_over_others() {
    let forum = Forum::captured().await;
    let (node, to_postgres) = behind(&forum, &[]).await;
    tells_everything(&forum, &node, &to_postgres).await;
    node.until_ready().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leading_node_whose_connections_are_swallowed_tells_everything_over_others() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, to_postgres) = behind(&forum, &["--redis-url", &redis.url()]).await;
    let follower = node(&forum, &redis.url()).await;
    follower.until_ready().await;
    tells_everything(&forum, &leader, &to_postgres).await;
    leader.until_ready().await;
    leader.stop().await;
    follower.stop().await;
}

/// Waits until `/readyz` names the stream, and why.
async fn stream_is_late(node: &Serving) -> String {
    let asking = async {
        loop {
            match degraded(&node.url, "stream").await {
                Some(why) => break why,
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("/readyz to name the stream")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_is_silent_altogether_readyz_says_so_and_behind_it_everything_is_told() {
    let forum = Forum::captured().await;
    let (node, to_postgres) = behind(&forum, &[]).await;
    let (mut client, _) = joined(&node, None).await;
    let mut writer = Writer::start(&forum);
    let mut told = vec![next(&mut client).await];
    writer.writes(50).await;

    to_postgres.fall_silent();
    let silent = Instant::now();
    let why = stream_is_late(&node).await;
    println!("{why:?}, {:?} after the silence began", silent.elapsed());
    assert!(why.contains("no answer"), "{why}");
    assert!(silent.elapsed() < SAID_WITHIN, "said after {:?}", silent.elapsed());
    let ready = http(&node.url, Method::GET, "/readyz", &[], String::new()).await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);

    to_postgres.speak();
    node.until_ready().await;
    let written = writer.stop().await;
    told.extend(all(read(client)).await);
    assert_eq!(titles(&told), written);
    node.stop().await;
}

/// Asks until somebody waits for a lock on the comments.
async fn waited_for(pool: &PgPool) {
    let asking = async {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'comments'::regclass AND NOT granted)";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(pool).await.expect("the locks") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("somebody who reads comments");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_past_that_is_read_over_a_swallowed_connection_keeps_nobody_waiting_for_ever() {
    let forum = Forum::captured().await;
    let before = Serving::start(&forum.url(), &["--drain", "100ms"]).await;
    let (mut client, _) = joined(&before, None).await;
    post(&forum.pool, "seen").await;
    let since = next(&mut client).await.cursor;
    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'missed')").await;
    post(&forum.pool, "missed").await;
    assert_eq!(next(&mut client).await.title, "missed");
    before.stop().await;
    // Its memory begins here.
    let (node, to_postgres) = behind(&forum, &[]).await;

    let mut locked = forum.pool.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK TABLE comments").execute(&mut *locked).await.expect("a lock");
    let others = [Frames::connected(&node.url, &token()).await, Frames::connected(&node.url, &token()).await];
    let [mut first, mut second] = others;
    let argument = json!({"boardId": 1, "since": since});
    let asking = tokio::spawn({
        let argument = argument.clone();
        async move { first.ask("board:join", argument).await }
    });
    waited_for(&forum.pool).await;
    to_postgres.swallow();
    locked.rollback().await.expect("an end");
    let later = second.ask("board:join", argument.clone());
    let answers = timeout(PATIENCE, async { (asking.await.expect("an answer"), later.await) });
    let (first, later) = answers.await.expect("answers to both");
    for answer in [&first, &later] {
        assert_eq!((&answer["ok"], &answer["recovered"]), (&json!(true), &json!(false)), "{answer}");
    }

    // What could not be had is asked for again by and by.
    let recovered = async {
        loop {
            let mut third = Frames::connected(&node.url, &token()).await;
            let answer = third.ask("board:join", argument.clone()).await;
            match answer["recovered"].as_bool() {
                Some(true) => break,
                Some(false) => sleep(Duration::from_millis(200)).await,
                None => assert_eq!(answer["error"]["code"], json!(ErrorCode::RateLimited), "{answer}"),
            }
        }
    };
    timeout(PATIENCE, recovered).await.expect("a past that is had");
    node.stop().await;
}
