//! `curia-realtime why`: one event, explained for one user, whatever node serves him.

use serde_json::{Value, json};

use crate::support::{client::Client, postgres::Forum, program, program::Ran, service::Service};

async fn why(forum: &Forum, arguments: &[&str]) -> Ran {
    let url = forum.url();
    program::run(&[&["why"], arguments].concat(), &[("DATABASE_URL", &url)]).await
}

fn token(user: &str) -> String {
    Service::token(user, "c1", &[], false)
}

async fn post(forum: &Forum) {
    forum
        .run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Secret title', '', 1)")
        .await;
}

fn cursor(told: &Value) -> String {
    told[2]["cursor"].as_str().expect("a cursor").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_sent_an_event_and_who_was_not_is_told_for_every_node() {
    let forum = Forum::captured().await;
    let (one, other) = (Service::start(&forum.url()).await, Service::start(&forum.url()).await);
    let mut ada = Client::connected(&other.url, &token("ada"), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    post(&forum).await;
    let event = cursor(&ada.next().await);
    let mut bo = Client::connected(&one.url, &token("bo"), "websocket").await;
    bo.ask("board:join", json!(1)).await;
    let _idle = Client::connected(&one.url, &token("cy"), "polling").await;

    let told = why(&forum, &["--user", "ada", "--event", &event]).await;
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:?}");
    for part in [
        "was written, written ",
        "board:newPost to room board:1",
        "nodes that listen: 2; that answered: 2",
        "no socket of user ada",
        "may open board 1 as the database is now: yes: clauses 1, 2 and 3 hold",
        "room board:1: sent: it sits in the room, was served from before the event",
    ] {
        assert!(told.stdout.contains(part), "{part} in {}", told.stdout);
    }
    assert!(!told.stdout.contains("Secret title"), "{}", told.stdout);

    let told = why(&forum, &["--user", "bo", "--event", &event]).await.stdout;
    assert!(told.contains("room board:1: not sent: it came into the room later"), "{told}");
    let told = why(&forum, &["--user", "cy", "--event", &event]).await.stdout;
    assert!(told.contains("room board:1: not sent to it where it sits now"), "{told}");
    for service in [one, other] {
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clause_that_closes_a_board_is_named() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    post(&forum).await;
    let event = cursor(&ada.next().await);
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["keeper"]}}' WHERE id = 1"#).await;
    assert_eq!(ada.next().await[0], "board:accessRevoked");

    let told = why(&forum, &["--user", "ada", "--event", &event]).await.stdout;
    assert!(told.contains("no, by clause 3: the board lets in keeper; the token has no role"), "{told}");
    let absent = &["--user", "zoe", "--event", &event];
    let told = why(&forum, absent).await.stdout;
    assert!(told.contains("no socket of his tells community and roles"), "{told}");
    for (more, answer) in [
        (&["--community", "c1"][..], "no, by clause 3"),
        (&["--community", "c1", "--role", "keeper"], "yes: clauses 1, 2 and 3 hold"),
        (&["--community", "c1", "--admin"], "yes: clause 1 holds, and an admin needs no role"),
        (&["--community", "nowhere", "--admin"], "no, by clause 1: the board belongs to community c1"),
    ] {
        let told = why(&forum, &[absent, more].concat()).await.stdout;
        assert!(told.contains(answer), "{answer} in {told}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_can_not_be_had_is_said_to_be_so() {
    let forum = Forum::captured().await;
    let none = why(&forum, &["--user", "ada", "--event", "nonsense"]).await;
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("not a cursor of this server"), "{none:?}");
    let foreign = why(&forum, &["--user", "ada", "--event", "1.1.1.0"]).await;
    assert_eq!(foreign.code, Some(1), "{foreign:?}");
    assert!(foreign.stderr.contains("epoch 1 is not known here"), "{foreign:?}");
    let epoch: i64 =
        sqlx::query_scalar("SELECT id FROM curia_realtime.epoch").fetch_one(&forum.pool).await.expect("an epoch");
    let future = why(&forum, &["--user", "ada", "--event", &format!("{epoch:x}.ffff.1.0")]).await;
    assert!(future.stderr.contains("there is no tick 65535 yet, the newest is 0"), "{future:?}");
    let first = why(&forum, &["--user", "ada", "--event", &format!("{epoch:x}.0.1.0")]).await;
    assert!(first.stderr.contains("no longer kept"), "{first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merged_count_is_explained_by_the_changes_that_it_tells_of() {
    let forum = Forum::captured().await;
    // So long that all but the first wait for its end.
    let service = Service::start_with(&forum.url(), &[("merge-window", "4s")]).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    forum
        .run(
            "BEGIN; INSERT INTO votes (user_id, post_id) VALUES ('ada', 1);
         UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1; COMMIT",
        )
        .await;
    while ada.next().await[0] != "post:voteChanged" {}
    for vote in [
        "BEGIN; INSERT INTO votes (user_id, post_id) VALUES ('bo', 1);
         UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1; COMMIT",
        "BEGIN; INSERT INTO votes (user_id, post_id) VALUES ('cy', 1);
         UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1; COMMIT",
    ] {
        forum.run(vote).await;
    }
    let event = loop {
        let told = ada.next().await;
        if told[0] == "post:voteChanged" && told[1]["newCount"] == json!(3) {
            break cursor(&told);
        }
    };
    let told = why(&forum, &["--user", "ada", "--event", &event]).await.stdout;
    for part in ["as merged counts are", "post 1 got a vote", "post:voteChanged to room board:1", "room board:1: sent"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    service.stop().await;
}
