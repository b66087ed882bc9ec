//! Counts that may have been delivered are sent again, and once to whoever resumes several rooms.

use serde_json::{Value, json};

use super::{cursor, post, token};
use crate::support::{client::Client, postgres::Forum, service::Service};

/// The next event that tells a count of this post.
async fn counted(client: &mut Client, of: i32) -> Value {
    loop {
        let told = client.next().await;
        if told[0] == "post:voteChanged" && told[1]["postId"] == of {
            return told;
        }
    }
}

/// Everything up to the answer: which post is told which count.
async fn resumed(client: &mut Client, event: &str, argument: Value) -> Vec<(Value, Value)> {
    client.emit(event, argument).await;
    let mut counts = Vec::new();
    loop {
        let told = client.next().await;
        if told[0] == "ack" {
            assert_eq!(told[2]["recovered"], json!(true), "{told}");
            return counts;
        }
        if told[0] == "post:voteChanged" {
            counts.push((told[1]["postId"].clone(), told[1]["newCount"].clone()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_that_is_sent_again_comes_once_to_who_resumes_board_and_feed() {
    let forum = Forum::captured().await;
    // Long enough for everything that happens while a count waits.
    let service = Service::start_with(&forum.url(), &[("merge-window", "4s")]).await;
    let count = async |post: i32, count: i32| {
        let update = sqlx::query("UPDATE posts SET upvote_count = $1 WHERE id = $2").bind(count).bind(post);
        update.execute(&forum.pool).await.expect("a count");
    };
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    let mut witness = super::witness(&service).await;
    // Post 1 is hot, so that its second count waits; that of post 2 is told at once.
    count(1, 101).await;
    counted(&mut ada, 1).await;
    count(1, 102).await;
    count(2, 201).await;
    counted(&mut ada, 2).await;
    post(&forum.pool, "Last").await;
    let last = ada.next().await;
    let since = cursor(&last);
    assert_eq!(since.as_str().expect("a cursor").split('.').count(), 5, "it says that a count waits: {last}");
    drop(ada);
    while counted(&mut witness, 1).await[1]["newCount"] != 102 {}

    let board = ("board:join", json!({"boardId": 1, "since": since}));
    let feed = ("feed:join", json!({"since": since}));
    for [first, second] in [[board.clone(), feed.clone()], [feed, board]] {
        let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
        let again = resumed(&mut ada, first.0, first.1).await;
        assert_eq!(again, [(json!(2), json!(201)), (json!(1), json!(102))]);
        assert_eq!(resumed(&mut ada, second.0, second.1).await, [], "and not once more");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_that_waited_when_its_board_was_renamed_is_not_taken_for_told_by_who_reads_it_again() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("merge-window", "30s")]).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    forum.run("UPDATE posts SET upvote_count = 101 WHERE id = 1").await;
    counted(&mut ada, 1).await;
    // This one waits, and is told to nobody.
    forum.run("UPDATE posts SET upvote_count = 102 WHERE id = 1").await;
    forum.run("UPDATE boards SET name = 'General 2' WHERE id = 1").await;
    assert_eq!(ada.next().await[0], "board:settingsChanged");
    post(&forum.pool, "Last").await;
    let since = cursor(&ada.next().await);
    drop(ada);
    service.stop().await;

    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let answer = ada.ask("board:join", json!({"boardId": 1, "since": since})).await;
    assert_eq!((&answer["ok"], &answer["recovered"]), (&json!(true), &json!(false)), "{answer}");
    service.stop().await;
}
