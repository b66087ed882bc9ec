//! Rows in the outbox that no trigger of ours writes: set aside, counted and logged, while the stream goes on.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{client::Client, postgres::Forum, program::Serving, service::Service, wire};

/// Six rows that leave rights alone, between two posts.
const HARMLESS: &str = r#"BEGIN;
    INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'One', '', 1);
    INSERT INTO curia_realtime.outbox (kind, board_id, post_id, row_id, data) VALUES
        ('vote_added', 1, NULL, NULL, NULL),
        ('comment_created', 1, 1, NULL, NULL),
        ('post_updated', 1, 1, NULL, NULL),
        ('post_updated', 1, 1, NULL, 'null'),
        ('post_updated', 1, 1, NULL, '{"changed": "title"}'),
        ('post_counted', 1, 1, NULL, '[["upvote_count"], 1e999]');
    INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Two', '', 1);
    COMMIT"#;

/// Four more that may have been changes of rights.
const OF_RIGHTS: &str = r#"BEGIN;
    INSERT INTO curia_realtime.outbox (kind, board_id, post_id, row_id, data) VALUES
        ('no_such_kind', 1, 1, 1, '{}'),
        ('', NULL, NULL, NULL, NULL),
        ('board_updated', 1, NULL, NULL, 'null'),
        ('import_changed', NULL, NULL, NULL, '{"community_id": "c1", "active": true, "active_was": false}');
    COMMIT"#;

const POISON: usize = 10;

async fn a_post_arrives(client: &mut Client, title: &str) {
    let happened = client.next().await;
    assert_eq!((&happened[0], &happened[1]["post"]["title"]), (&json!("board:newPost"), &json!(title)), "{happened}");
}

async fn page(url: &str, path: &str) -> (StatusCode, String) {
    let answer = wire::http(url, Method::GET, path, &[], String::new()).await;
    (answer.status(), answer.into_body())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_counted_and_logged_once_and_the_good_changes_around_it_arrive_in_order() {
    let forum = Forum::captured().await;
    let database = forum.url();
    let serving = Serving::start(&database, &[]).await;
    let token = Service::token("ada", "c1", &[], false);
    let mut ada = Client::connected(&serving.url, &token, "websocket").await;
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));

    forum.run(HARMLESS).await;
    a_post_arrives(&mut ada, "One").await;
    a_post_arrives(&mut ada, "Two").await;

    forum.run(OF_RIGHTS).await;
    let farewell = ada.next().await;
    assert_eq!(farewell[0], "disconnect", "nobody stays on rights that can't be read: {farewell}");
    let mut ada = Client::connected(&serving.url, &token, "websocket").await;
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Three', '', 1)").await;
    a_post_arrives(&mut ada, "Three").await;

    let (status, ready) = page(&serving.url, "/readyz").await;
    assert_eq!((status, ready.as_str()), (StatusCode::OK, r#"{"ready":true,"degraded":[]}"#));
    let (_, metrics) = page(&serving.url, "/metrics").await;
    let counted = metrics.lines().find_map(|line| line.strip_prefix("curia_outbox_poison_total "));
    assert_eq!(counted, Some(POISON.to_string().as_str()), "{metrics}");

    let log = serving.stop().await;
    let told = |line: &&Value| line["fields"]["message"] == "an outbox row could not be understood and was set aside";
    let why: Vec<&str> = log.iter().filter(told).filter_map(|line| line["fields"]["error"].as_str()).collect();
    assert_eq!(why.len(), POISON, "{log:#?}");
    assert_eq!(why.iter().collect::<BTreeSet<_>>().len(), POISON, "each names its row: {why:?}");
    for part in
        ["(vote_added) has no post_id", "unknown kind \"no_such_kind\"", "(board_updated) has data that can't be read"]
    {
        assert_eq!(why.iter().filter(|why| why.contains(part)).count(), 1, "{part} in {why:?}");
    }
}
