//! Rows that the forum's tables allow and its application never writes.

use serde_json::json;

use crate::support::{client::Client, postgres::Forum, program::Serving, service::Service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_no_calendar_has_is_shown_as_none_and_the_stream_goes_on() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    for time in ["infinity", "-infinity", "294276-01-01"] {
        sqlx::query("UPDATE posts SET created_at = $1::text::timestamptz, title = $1 WHERE id = 1")
            .bind(time)
            .execute(&forum.pool)
            .await
            .expect("an update");
        let event = ada.next().await;
        assert_eq!((&event[0], &event[1]["post"]["title"]), (&json!("board:postUpdated"), &json!(time)));
        assert_eq!(event[1]["post"]["created_at"], json!(null), "{time}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_without_a_community_is_nobodys_and_sends_nobody_away() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    forum.run("INSERT INTO boards (id, community_id, name) VALUES (50, NULL, 'Adrift')").await;
    forum.run("UPDATE boards SET name = 'Afloat' WHERE id = 50").await;
    let answer = ada.ask("board:join", json!(50)).await;
    assert_eq!(answer["error"]["code"], "not_found");
    // Read together with what follows, it would be told as a board that began in the community.
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'At sea', '', 1)").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "At sea");
    forum.run("UPDATE boards SET community_id = 'c1' WHERE id = 50").await;
    let granted = ada.next().await;
    assert_eq!((&granted[0], &granted[1]), (&json!("board:accessGranted"), &json!({"boardId": 50})), "{granted}");
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Ashore', '', 1)").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Ashore", "the socket stayed");
    let answer = ada.ask("board:join", json!(50)).await;
    assert_eq!(answer["ok"], json!(true), "{answer}");

    forum.run("UPDATE boards SET community_id = NULL WHERE id = 50").await;
    assert_eq!(ada.next().await[0], "board:accessRevoked");
    forum.run("DELETE FROM boards WHERE id = 50").await;
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Still here', '', 1)").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Still here", "the socket stayed");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_that_cannot_be_read_close_the_board_and_are_reported_to_the_operator() {
    let forum = Forum::captured().await;
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": "everybody"}}' WHERE id = 1"#).await;
    let service = Serving::start(&forum.url(), &["--drain", "100ms"]).await;
    let mut ada =
        Client::connected(&service.url, &Service::token("ada", "c1", &["everybody"], false), "websocket").await;
    assert_eq!(ada.ask("board:join", json!(1)).await["error"]["code"], "forbidden");
    assert_eq!(service.metric("curia_malformed_permissions_total").await, Some(1.0));
    drop(ada);
    let log = service.stop().await;
    let told = |line: &&serde_json::Value| line["fields"]["what"] == "board" && line["fields"]["id"] == "1";
    let line = log.iter().find(told).expect("a line that names the board");
    assert!(line["fields"]["message"].as_str().expect("a text").contains("allowedRoles"), "{line}");
}
