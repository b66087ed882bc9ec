//! Counts that are held back for a moment, while rights change.

use serde_json::json;

use crate::support::{client::Client, postgres::Forum, service::Service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_while_he_was_shut_out_is_not_told_to_whoever_is_let_in_again() {
    let forum = Forum::captured().await;
    // So long that all of it falls into one window.
    let service = Service::start_with(&forum.url(), &[("merge-window", "1s")]).await;
    let mut feeds = Vec::new();
    for (user, roles) in [("ada", &["crew"][..]), ("bo", &[])] {
        let mut feed = Client::connected(&service.url, &Service::token(user, "c1", roles, false), "websocket").await;
        assert_eq!(feed.ask("feed:join", json!({})).await["ok"], json!(true));
        feeds.push(feed);
    }
    let [crew, other] = feeds.try_into().ok().expect("two");
    let (mut crew, mut other) = (crew, other);
    let changed = |count: i32| json!({"postId": 1, "boardId": 1, "newCount": count});
    forum.run("UPDATE posts SET upvote_count = 1 WHERE id = 1").await;
    for feed in [&mut crew, &mut other] {
        let told = feed.next().await;
        assert_eq!((&told[0], &told[1]), (&json!("post:voteChanged"), &changed(1)), "at once, being the first: {told}");
    }
    forum.run("UPDATE posts SET upvote_count = 2 WHERE id = 1").await;
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#).await;
    assert_eq!(other.next().await[0], "board:accessRevoked");
    forum.run("UPDATE posts SET upvote_count = 102 WHERE id = 1").await;
    forum.run("UPDATE boards SET settings = '{}' WHERE id = 1").await;
    assert_eq!(other.next().await[0], "board:accessGranted");

    // Who stayed is told it all. When he has been, the other was, if anybody was going to tell him.
    let mut counts = Vec::new();
    while counts.last() != Some(&json!(102)) {
        let told = crew.next().await;
        match told[0].as_str() {
            Some("post:voteChanged") => counts.push(told[1]["newCount"].clone()),
            name => assert_eq!(name, Some("board:settingsChanged"), "{told}"),
        }
    }
    assert_eq!(counts, [2, 102]);
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Next', '', 1)").await;
    for feed in [&mut crew, &mut other] {
        let mut told = feed.next().await;
        while told[0] == "board:settingsChanged" {
            told = feed.next().await;
        }
        assert_eq!((&told[0], &told[1]["post"]["title"]), (&json!("board:newPost"), &json!("Next")), "{told}");
    }
    forum.run("UPDATE posts SET upvote_count = 103 WHERE id = 1").await;
    for feed in [&mut crew, &mut other] {
        assert_eq!(feed.next().await[1], changed(103));
    }
    service.stop().await;
}
