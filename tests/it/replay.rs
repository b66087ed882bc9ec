//! Nothing is lost: whoever comes back with a cursor is sent what he missed, before anything newer, and then his answer.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{client::Client, postgres::Forum, service::Service, wire::Frames};

fn token(user: &str) -> String {
    Service::token(user, "c1", &[], false)
}

fn cursor(told: &Value) -> Value {
    told.get(2).unwrap_or(told)["cursor"].clone()
}

async fn post(pool: &PgPool, title: &str) {
    let insert = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', $1, '', 1)";
    sqlx::query(insert).bind(title).execute(pool).await.expect("a post");
}

async fn what_was_missed_arrives_in_order_and_then_the_answer(transport: &str) {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), transport).await;
    ada.ask("board:join", json!(1)).await;
    post(&forum.pool, "Seen").await;
    let seen = ada.next().await;
    drop(ada);

    let mut witness = Client::connected(&service.url, &token("bo"), "websocket").await;
    witness.ask("board:join", json!(1)).await;
    for title in ["One", "Two", "Three"] {
        post(&forum.pool, title).await;
    }
    forum
        .run(
            "BEGIN; INSERT INTO votes (user_id, post_id) VALUES ('bo', 1);
        UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1; COMMIT",
        )
        .await;
    let mut missed = Vec::new();
    for _ in 0..5 {
        missed.push(witness.next().await);
    }

    let mut ada = Client::connected(&service.url, &token("ada"), transport).await;
    ada.emit("board:join", json!({"boardId": 1, "since": cursor(&seen)})).await;
    for expected in &missed {
        assert_eq!(&ada.next().await, expected);
    }
    let answer = ada.next().await;
    assert_eq!((&answer[0], &answer[2]["recovered"]), (&json!("ack"), &json!(true)), "{answer}");
    post(&forum.pool, "Live").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Live");

    let again = ada.ask("board:join", json!({"boardId": 1, "since": answer[2]["cursor"]})).await;
    assert_eq!(again["recovered"], json!(true), "nothing is sent twice to a socket that was there");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_arrives_in_order_and_then_the_answer_by_websocket() {
    what_was_missed_arrives_in_order_and_then_the_answer("websocket").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_arrives_in_order_and_then_the_answer_by_long_polling() {
    what_was_missed_arrives_in_order_and_then_the_answer("polling").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_board_and_post_comes_once_to_who_resumes_both() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let since = ada.ask("board:join", json!(1)).await["cursor"].clone();
    drop(ada);
    forum.run("UPDATE posts SET title = 'Ebb' WHERE id = 1").await;
    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'At noon.')").await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.emit("board:join", json!({"boardId": 1, "since": since})).await;
    assert_eq!(ada.next().await[0], "board:postUpdated");
    assert_eq!(ada.next().await[0], "post:commentCountChanged");
    assert_eq!(ada.next().await[2]["recovered"], json!(true));
    ada.emit("post:join", json!({"postId": 1, "since": since})).await;
    assert_eq!(ada.next().await[0], "post:newComment", "and not the update once more");
    assert_eq!(ada.next().await[2]["recovered"], json!(true));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_died_meanwhile_is_not_shown_as_alive() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let since = ada.ask("feed:join", json!({})).await["cursor"].clone();
    drop(ada);
    forum
        .run("INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (77, 'cy', 'Brief', '', 1)")
        .await;
    forum.run("DELETE FROM posts WHERE id = 77").await;
    post(&forum.pool, "Lasting").await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.emit("feed:join", json!({"since": since})).await;
    let deleted = ada.next().await;
    assert_eq!((&deleted[0], &deleted[1]["postId"]), (&json!("board:postDeleted"), &json!(77)));
    assert_eq!(ada.next().await[1]["post"]["title"], "Lasting");
    assert_eq!(ada.next().await[2]["recovered"], json!(true));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_none_of_ours_is_answered_and_breaks_nothing() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let ours = ada.ask("board:join", json!(1)).await["cursor"].as_str().expect("a cursor").to_owned();
    let (epoch, rest) = ours.split_once('.').expect("a cursor");
    let other_epoch = format!("{:x}.{rest}", u64::from_str_radix(epoch, 16).expect("hex") ^ 1);
    let far = format!("{epoch}.{:x}.1.0", i64::MAX);
    let soon = format!("{epoch}.{:x}.1.0", 1_000);
    let huge = "9".repeat(60_000);
    for since in [
        json!("garbage"),
        json!(""),
        json!(huge),
        json!(-5),
        json!({"a": 1}),
        json!("-1.2.3.4"),
        json!(other_epoch),
        json!(far),
        json!(soon),
        json!(format!("{epoch}.0.0.0.{:x}", i64::MAX)),
    ] {
        let answer = ada.ask("board:join", json!({"boardId": 1, "since": since})).await;
        let since = since.to_string();
        assert_eq!((&answer["ok"], &answer["recovered"]), (&json!(true), &json!(false)), "{since:.80}");
    }
    post(&forum.pool, "Live").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Live");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_started_anew_sends_what_the_outbox_still_holds() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    ada.ask("post:join", json!(1)).await;
    post(&forum.pool, "Seen").await;
    let since = cursor(&ada.next().await);
    let mut missed = Vec::new();
    for title in ["One", "Two"] {
        post(&forum.pool, title).await;
        missed.push(ada.next().await);
    }
    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'At noon.')").await;
    let comment = ada.next().await;
    assert_eq!(ada.next().await[0], "notification:new");
    missed.push(ada.next().await);
    service.stop().await;
    drop(ada);
    // Nobody reads at this time.
    post(&forum.pool, "Three").await;

    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.emit("board:join", json!({"boardId": 1, "since": since})).await;
    for expected in &missed {
        assert_eq!(&ada.next().await, expected);
    }
    let mut last = ada.next().await;
    if last[0] == "board:newPost" {
        assert_eq!(last[1]["post"]["title"], "Three");
        last = ada.next().await;
    }
    assert_eq!((&last[0], &last[2]["recovered"]), (&json!("ack"), &json!(true)), "{last}");
    ada.emit("post:join", json!({"postId": 1, "since": since})).await;
    assert_eq!(ada.next().await, comment);
    assert_eq!(ada.next().await[2]["recovered"], json!(true));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fell_out_of_memory_is_read_from_the_outbox() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("replay-events", "3")]).await;
    let mut witness = Client::connected(&service.url, &token("bo"), "websocket").await;
    let since = witness.ask("board:join", json!(1)).await["cursor"].clone();
    let mut told = Vec::new();
    for n in 0..3 {
        post(&forum.pool, &n.to_string()).await;
        told.push(witness.next().await);
    }
    forum.run("UPDATE boards SET description = 'Talk', settings = '{}' WHERE id = 2").await;
    for n in 3..6 {
        post(&forum.pool, &n.to_string()).await;
        told.push(witness.next().await);
    }
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    // More than may be read at a time: not half of it.
    let answer = ada.ask("board:join", json!({"boardId": 1, "since": since})).await;
    assert_eq!(answer["recovered"], json!(false));
    let middle = cursor(&told[2]);
    ada.ask("board:leave", json!(1)).await;
    ada.emit("board:join", json!({"boardId": 1, "since": middle})).await;
    for expected in &told[3..] {
        assert_eq!(&ada.next().await, expected);
    }
    assert_eq!(ada.next().await[2]["recovered"], json!(true));
    service.stop().await;
}

/// Writes posts on board 1 as fast as it takes, numbered in their titles, until it is told to stop; gives how many.
fn write_on(pool: PgPool, stop: CancellationToken) -> JoinHandle<u32> {
    tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(2));
        let mut written = 0;
        while stop.run_until_cancelled(pace.tick()).await.is_some() {
            written += 1;
            post(&pool, &written.to_string()).await;
        }
        written
    })
}

/// The number in the title of a new post, of a frame of the protocol.
fn number(frame: &str) -> Option<u32> {
    let event: Value = serde_json::from_str(frame.strip_prefix("42")?).expect("JSON");
    event[1]["post"]["title"].as_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_joins_under_500_writes_a_second_have_no_hole_and_nothing_twice() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("rate-join", "1000/1s"), ("rate-connect", "1000/1s")]).await;
    let stop = CancellationToken::new();
    let mut frames = Frames::connected(&service.url, &token("ada")).await;
    let mut since = frames.ask("board:join", json!(1)).await["cursor"].clone();
    let writer = write_on(forum.pool.clone(), stop.clone());
    let mut seen = Vec::new();
    for round in 0..200 {
        // Reads on for a little, breaks off in the middle of whatever comes, and comes back with the last cursor.
        for _ in 0..round % 4 {
            let frame = frames.next().await.expect("an event");
            seen.extend(number(&frame));
            let event: Value = serde_json::from_str(&frame[2..]).expect("JSON");
            since = cursor(&event);
        }
        drop(frames);
        frames = Frames::connected(&service.url, &token("ada")).await;
        frames.send(format!("4277{}", json!(["board:join", {"boardId": 1, "since": since}]))).await;
        loop {
            let frame = frames.next().await.expect("an answer");
            if let Some(answer) = frame.strip_prefix("4377") {
                let answer = serde_json::from_str::<Value>(answer).expect("JSON")[0].clone();
                assert_eq!(answer["recovered"], json!(true), "round {round}");
                since = answer["cursor"].clone();
                break;
            }
            seen.extend(number(&frame));
        }
    }
    stop.cancel();
    let written = writer.await.expect("a writer");
    while seen.last() != Some(&written) {
        seen.extend(number(&frames.next().await.expect("an event")));
    }
    assert!(written > 200, "only {written} posts were written");
    assert_eq!(seen, (1..=written).collect::<Vec<_>>());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_while_its_join_waits_is_not_waited_for() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let token = Service::token_for("ada", "c1", &[], false, chrono::TimeDelta::seconds(2));
    let mut ada = Client::connected(&service.url, &token, "websocket").await;
    assert_eq!(ada.next().await[0], "session:expiring");
    let ours = ada.ask("board:join", json!(1)).await["cursor"].as_str().expect("a cursor").to_owned();
    let (epoch, _) = ours.split_once('.').expect("a cursor");
    // Waits for two seconds for a place that never comes; the token, whose end is in whole seconds, is gone before.
    ada.emit("board:join", json!({"boardId": 1, "since": format!("{epoch}.3e8.1.0")})).await;
    assert_eq!(ada.next().await[0], "session:expired");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_wait_for_a_client_is_not_sent_at_once_but_to_be_loaded() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("max-pending", "128KiB")]).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let since = ada.ask("board:join", json!(1)).await["cursor"].clone();
    drop(ada);
    for _ in 0..8 {
        forum
            .run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Long', repeat('sea ', 4000), 1)")
            .await;
    }
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    assert_eq!(ada.ask("board:join", json!({"boardId": 1, "since": since})).await["recovered"], json!(false));
    post(&forum.pool, "Live").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Live", "the socket stayed");
    service.stop().await;
}
