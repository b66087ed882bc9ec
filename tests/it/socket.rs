//! The contract as the real socket.io-client sees it.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{client::Client, postgres::Forum, service::Service, wire::Frames};

const VOTE: &str = "BEGIN; INSERT INTO votes (user_id, post_id) VALUES ('bo', 1);
    UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1 RETURNING upvote_count; COMMIT";

/// What happened, without the cursor and the time.
fn plain(happened: &Value) -> (&str, &Value) {
    let meta = &happened[2];
    assert!(meta["cursor"].is_string() && meta["at"].is_string(), "{happened}");
    (happened[0].as_str().expect("a name"), &happened[1])
}

async fn a_vote_a_post_and_a_comment_arrive(transport: &str) {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), transport).await;
    let joined = ada.ask("board:join", json!({"boardId": "1"})).await;
    assert_eq!((&joined["ok"], &joined["boardId"], &joined["recovered"]), (&json!(true), &json!(1), &json!(false)));
    assert_eq!(ada.ask("post:join", json!(1)).await["ok"], json!(true));

    forum.run(VOTE).await;
    let count = json!({"postId": 1, "boardId": 1, "newCount": 1});
    assert_eq!(plain(&ada.next().await), ("post:voteAdded", &count));
    assert_eq!(plain(&ada.next().await), ("post:voteChanged", &count));

    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'New', 'Text', 1)").await;
    let post = ada.next().await;
    let (name, payload) = plain(&post);
    assert_eq!((name, &payload["post"]["title"]), ("board:newPost", &json!("New")));
    assert_eq!(payload["author"], json!({"user_id": "cy", "name": "Cy", "profile_picture_url": null}));
    assert!(payload["post"].get("settings").is_none() && payload["post"].get("embedding").is_none());

    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'bo', 'At noon.')").await;
    let comment = ada.next().await;
    let (name, payload) = plain(&comment);
    assert_eq!((name, &payload["comment"]["content"]), ("post:newComment", &json!("At noon.")));
    let notification = ada.next().await;
    let (name, payload) = plain(&notification);
    assert_eq!((name, &payload["kind"]), ("notification:new", &json!("comment")));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_a_post_and_a_comment_arrive_by_websocket() {
    a_vote_a_post_and_a_comment_arrive("websocket").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_a_post_and_a_comment_arrive_by_long_polling() {
    a_vote_a_post_and_a_comment_arrive("polling").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_ends_ends_delivery_at_that_commit() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    let mut bo = Client::connected(&service.url, &Service::token("bo", "c1", &["crew"], false), "websocket").await;
    for client in [&mut ada, &mut bo] {
        assert_eq!(client.ask("feed:join", json!({})).await["boardIds"], json!([1, 2]));
    }
    forum.run("UPDATE boards SET settings = '{\"permissions\": {\"allowedRoles\": [\"crew\"]}}' WHERE id = 1").await;
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Secret', '', 1)").await;
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Open', '', 2)").await;
    assert_eq!(plain(&ada.next().await), ("board:accessRevoked", &json!({"boardId": 1, "reason": "board_roles"})));
    let next = ada.next().await;
    assert_eq!(next[1]["post"]["title"], "Open", "nothing of the closed board came between: {next}");
    assert_eq!(ada.ask("board:join", json!(1)).await["error"]["code"], "forbidden");

    assert_eq!(bo.next().await[0], "board:settingsChanged");
    assert_eq!(bo.next().await[1]["post"]["title"], "Secret");
    assert_eq!(bo.next().await[1]["post"]["title"], "Open");

    forum.run("UPDATE boards SET settings = '{}' WHERE id = 1").await;
    assert_eq!(bo.next().await[0], "board:settingsChanged");
    assert_eq!(plain(&ada.next().await), ("board:accessGranted", &json!({"boardId": 1})));
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Again', '', 1)").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Again", "the feed follows by itself");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_name_their_code_and_the_socket_lives_on() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    for (token, code) in [("", "auth_missing: "), ("not.a.token", "auth_invalid: ")] {
        let refused = Client::start(&service.url, token, "websocket").next().await;
        assert_eq!(refused[0], "connect_error");
        assert!(refused[1].as_str().is_some_and(|message| message.starts_with(code)), "{refused}");
    }
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    for (event, argument, code) in [
        ("board:join", json!("one"), "invalid_payload"),
        ("board:join", json!({"boardId": [1]}), "invalid_payload"),
        ("no:such", json!(null), "invalid_payload"),
        ("board:join", json!(3), "not_found"),
        ("board:join", json!(999), "not_found"),
        ("post:join", json!(999), "not_found"),
        ("typing:start", json!({"postId": 1}), "forbidden"),
    ] {
        let answer = ada.ask(event, argument.clone()).await;
        assert_eq!((&answer["ok"], &answer["error"]["code"]), (&json!(false), &json!(code)), "{event} {argument}");
    }
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    assert_eq!(ada.ask("board:leave", json!(1)).await, json!({"ok": true, "boardId": 1}));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sends_with_its_first_breath_is_answered_after_its_greeting() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let token = Service::token("ada", "c1", &[], false);
    for transport in ["websocket", "polling"] {
        let mut clients: Vec<Client> = (0..8).map(|_| Client::start(&service.url, &token, transport)).collect();
        for client in &mut clients {
            client.emit("board:join", json!(1)).await;
        }
        for client in &mut clients {
            assert_eq!(client.next().await, json!(["connect"]));
            assert_eq!(client.next().await[0], "session:ready");
            let answer = client.next().await;
            assert_eq!((&answer[0], &answer[2]["ok"]), (&json!("ack"), &json!(true)), "{answer}");
        }
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_closed_when_its_token_expires() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    for transport in ["websocket", "polling"] {
        let token = Service::token_for("ada", "c1", &[], false, TimeDelta::seconds(3));
        let mut ada = Client::connected(&service.url, &token, transport).await;
        assert_eq!(ada.next().await[0], "session:expiring", "at once, since it is that late");
        assert_eq!(ada.next().await, json!(["session:expired", {}]));
        // Which tells the official client not to come back by itself with the same token.
        assert_eq!(ada.next().await, json!(["disconnect", "io server disconnect"]));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_served_in_the_order_in_which_they_came() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Frames::connected(&service.url, &Service::token("ada", "c1", &[], false)).await;
    // The first has to ask the database, the second nobody.
    for nth in 0..40 {
        let event = if nth % 2 == 0 { "board:join" } else { "board:leave" };
        ada.send(format!("42{nth}{}", json!([event, 1]))).await;
    }
    for nth in 0..40 {
        let answer = ada.next().await.expect("an answer");
        assert!(answer.starts_with(&format!("43{nth}[")) && answer.contains(r#""ok":true"#), "{nth}: {answer}");
    }
    // She has left.
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Unheard', '', 1)").await;
    forum.run("INSERT INTO boards (community_id, name) VALUES ('c1', 'Heard')").await;
    assert!(ada.next().await.expect("an event").contains("board:created"));
    service.stop().await;
}
