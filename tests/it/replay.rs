//! Nothing is lost: whoever comes back with a cursor is sent what he missed, before anything newer, and then his answer.

mod counts;
mod cursors;
mod joins;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::sleep;

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

/// Somebody who sits in board 1 while others are away: what he is told is there for them.
async fn witness(service: &Service) -> Client {
    let mut witness = Client::connected(&service.url, &token("bo"), "websocket").await;
    witness.ask("board:join", json!(1)).await;
    witness
}

async fn what_was_missed_arrives_in_order_and_then_the_answer(transport: &str) {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), transport).await;
    ada.ask("board:join", json!(1)).await;
    post(&forum.pool, "Seen").await;
    let seen = ada.next().await;
    drop(ada);

    let mut witness = witness(&service).await;
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
    let mut witness = witness(&service).await;
    forum.run("UPDATE posts SET title = 'Ebb' WHERE id = 1").await;
    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'At noon.')").await;
    assert_eq!(witness.next().await[0], "board:postUpdated");
    assert_eq!(witness.next().await[0], "post:commentCountChanged");
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
    let mut witness = witness(&service).await;
    forum
        .run("INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (77, 'cy', 'Brief', '', 1)")
        .await;
    forum.run("DELETE FROM posts WHERE id = 77").await;
    post(&forum.pool, "Lasting").await;
    while witness.next().await[1]["post"]["title"] != "Lasting" {}
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.emit("feed:join", json!({"since": since})).await;
    let deleted = ada.next().await;
    assert_eq!((&deleted[0], &deleted[1]["postId"]), (&json!("board:postDeleted"), &json!(77)));
    assert_eq!(ada.next().await[1]["post"]["title"], "Lasting");
    assert_eq!(ada.next().await[2]["recovered"], json!(true));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_while_its_join_waits_is_not_waited_for() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    // Enough to come in and to ask once, whatever else this machine does.
    let token = Service::token_for("ada", "c1", &[], false, TimeDelta::seconds(8));
    let mut ada = Frames::connected(&service.url, &token).await;
    let expiring = ada.next().await.expect("the news of its end");
    let expiring: Value = serde_json::from_str(expiring.strip_prefix("42").expect("an event")).expect("JSON");
    assert_eq!(expiring[0], "session:expiring");
    let ours = ada.ask("board:join", json!(1)).await["cursor"].as_str().expect("a cursor").to_owned();
    let (epoch, _) = ours.split_once('.').expect("a cursor");

    let end: DateTime<Utc> = expiring[1]["expiresAt"].as_str().expect("a time").parse().expect("RFC 3339");
    let until = end - TimeDelta::seconds(1) - Utc::now();
    sleep(until.to_std().expect("a second is left, and more")).await;
    // Waits for two seconds for a place that never comes; the token has one left.
    ada.send(format!("4277{}", json!(["board:join", {"boardId": 1, "since": format!("{epoch}.3e8.1.0")}]))).await;
    assert_eq!(ada.next().await.as_deref(), Some(r#"42["session:expired",{}]"#));
    assert!(Utc::now() >= end, "not before its end");
    assert_eq!(ada.next().await.as_deref(), Some("41"), "and nothing behind it but the farewell");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_wait_for_a_client_is_not_sent_at_once_but_to_be_loaded() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("max-pending", "128KiB")]).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let since = ada.ask("board:join", json!(1)).await["cursor"].clone();
    drop(ada);
    let mut witness = witness(&service).await;
    for _ in 0..8 {
        forum
            .run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Long', repeat('sea ', 4000), 1)")
            .await;
        assert_eq!(witness.next().await[1]["post"]["title"], "Long");
    }
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    assert_eq!(ada.ask("board:join", json!({"boardId": 1, "since": since})).await["recovered"], json!(false));
    post(&forum.pool, "Live").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Live", "the socket stayed");
    service.stop().await;
}
