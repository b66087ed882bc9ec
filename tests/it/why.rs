//! `curia-realtime why`: one event, explained for one user, whatever node serves him.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    client::Client, postgres::Forum, program, program::Ran, service::Service, store::Store, wire::Frames,
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is said of a socket for which nothing waits.
const NOTHING_WAITS: &str = "and nothing is known to wait here";

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
        "was written, at ",
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
    let revoked = ada.next().await;
    assert_eq!(revoked[0], "board:accessRevoked");

    let told = why(&forum, &["--user", "ada", "--event", &event]).await.stdout;
    assert!(told.contains("no, by clause 3: the board lets in keeper; the token has no role"), "{told}");
    let of_rights = why(&forum, &["--user", "ada", "--event", &cursor(&revoked)]).await.stdout;
    for part in
        ["each socket that it shut out was told board:accessRevoked", "may open board 1 as the database is now: no"]
    {
        assert!(of_rights.contains(part), "{part} in {of_rights}");
    }
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
async fn what_flags_were_then_is_not_guessed_from_what_they_are() {
    const VOTES: [&str; 2] = [
        r#"UPDATE communities SET settings = '{"realtime": {"votes": true}}' WHERE id = 'c1'"#,
        r#"UPDATE communities SET settings = '{"realtime": {"votes": false}}' WHERE id = 'c1'"#,
    ];
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    post(&forum).await;
    let event = cursor(&ada.next().await);
    for votes in VOTES {
        forum.run(votes).await;
        assert_eq!(ada.next().await[0], "community:settingsChanged");
        let told = why(&forum, &["--user", "ada", "--event", &event]).await.stdout;
        assert!(told.contains("room board:1: sent, if its community had this switched on then"), "{told}");
    }
    post(&forum).await;
    let event = cursor(&ada.next().await);
    let told = why(&forum, &["--user", "ada", "--event", &event]).await.stdout;
    assert!(told.contains("room board:1: sent: it sits in the room"), "{told}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_went_to_the_rooms_of_its_time_wherever_its_post_stands_now() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    let mut bo = Client::connected(&service.url, &token("bo"), "websocket").await;
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    assert_eq!(bo.ask("post:join", json!(2)).await["ok"], json!(true));
    let mut events = Vec::new();
    for (change, event) in [
        ("UPDATE posts SET title = 'Edited' WHERE id = 2", "board:postUpdated"),
        ("UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 2", "post:voteChanged"),
        (
            "INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (77, 'cy', 'New', '', 1)",
            "board:newPost",
        ),
    ] {
        forum.run(change).await;
        let told = ada.next().await;
        assert_eq!(told[0], json!(event), "{told}");
        events.push(cursor(&told));
    }
    assert_eq!(bo.next().await[0], "board:postUpdated");
    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (2, 'cy', 'Text')").await;
    let comment = bo.next().await;
    assert_eq!(comment[0], "post:newComment", "{comment}");
    assert_eq!(ada.next().await[0], "post:commentCountChanged");
    // Once and again: the first move leads out of the board in which all that was told.
    forum.run("UPDATE posts SET board_id = 2 WHERE id IN (2, 77)").await;
    forum.run("UPDATE posts SET board_id = NULL WHERE id = 77").await;

    for (event, post, expected) in [
        (&events[0], 2, "board:postUpdated to rooms board:1 and post:2"),
        (&events[1], 2, "post:voteChanged to room board:1"),
        (&events[2], 77, "board:newPost to room board:1"),
    ] {
        let told = why(&forum, &["--user", "ada", "--event", event]).await.stdout;
        let moved = format!("post {post} stood in board 1 then, and was moved since");
        for part in [expected, &moved, "may open board 1 as the database is now: yes", ": sent: it sits in the room"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("not sent"), "{told}");
    }
    let told = why(&forum, &["--user", "bo", "--event", &cursor(&comment)]).await.stdout;
    for part in ["post:newComment to room post:2", "may open board 1 as", "room post:2: sent: it sits in the room"] {
        assert!(told.contains(part), "{part} in {told}");
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

/// What the answer says in the line of the user's only socket, behind how far it was served.
fn served(told: &str) -> &str {
    let mut sockets = told.lines().filter(|line| line.trim_start().starts_with("socket of community"));
    let socket = sockets.next().unwrap_or_else(|| panic!("no socket in {told}"));
    assert_eq!(sockets.next(), None, "{told}");
    socket.split_once("; served up to ").unwrap_or_else(|| panic!("nothing of that in {socket}")).1
}

/// Waits until that line ends so, and gives the answer: a ping or a word of who is here may be on its way just then, too.
async fn until_served(forum: &Forum, user: &str, event: &str, expected: &str) -> String {
    let asking = async {
        loop {
            let told = why(forum, &["--user", user, "--event", event]).await.stdout;
            if served(&told) == expected {
                return told;
            }
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{user} is not served up to {expected}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_which_cursor_a_socket_has_been_served_is_told_on_every_node() {
    let forum = Forum::captured().await;
    let redis = Store::redis();
    let nodes = [redis.service(&forum, &[]).await, redis.service(&forum, &[]).await];
    let mut ada = Client::connected(&nodes[0].url, &token("ada"), "websocket").await;
    let mut bo = Client::connected(&nodes[1].url, &token("bo"), "polling").await;
    let mut events = Vec::new();
    for round in 0..3 {
        for client in [&mut ada, &mut bo] {
            assert_eq!(client.ask("board:join", json!(1)).await["ok"], json!(true));
        }
        post(&forum).await;
        events.push(cursor(&ada.next().await));
        assert_eq!(cursor(&bo.next().await), events[round]);
        // What a join is answered is how far its socket has been served.
        let upto = ada.ask("board:join", json!(2)).await["cursor"].as_str().expect("a cursor").to_owned();
        assert_eq!(bo.ask("board:join", json!(2)).await["cursor"], upto.as_str());
        for user in ["ada", "bo"] {
            // Whichever event is asked for.
            for event in [&events[0], &events[round]] {
                let told = until_served(&forum, user, event, &format!("{upto}, {NOTHING_WAITS}")).await;
                let each = format!(" has told its sockets everything up to {upto}\n");
                assert_eq!(told.matches(&each).count(), 2, "{told}");
            }
        }
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_socket_has_not_taken_yet_is_told_beside_how_far_it_was_served() {
    let forum = Forum::captured().await;
    let service =
        Service::start_with(&forum.url(), &[("stall-timeout", "1h"), ("ping-timeout", "1h"), ("max-pending", "1GiB")])
            .await;
    let mut deaf = Frames::connected_narrowly(&service.url, &token("ada")).await;
    let mut witness = Frames::connected(&service.url, &token("bo")).await;
    for frames in [&mut deaf, &mut witness] {
        assert_eq!(frames.ask("board:join", json!(1)).await["ok"], json!(true));
    }
    // More than the kernel takes on both sides of a connection.
    forum
        .run(
            "INSERT INTO posts (author_user_id, title, content, board_id)
             SELECT 'cy', n, repeat('x', 16000), 1 FROM generate_series(1, 600) AS n",
        )
        .await;
    let event = loop {
        let frame = witness.next().await.expect("a connection that stays");
        let told: Value = serde_json::from_str(frame.strip_prefix("42").expect("an event")).expect("JSON");
        if told[1]["post"]["title"] == "600" {
            break cursor(&told);
        }
    };
    let upto = witness.ask("board:join", json!(2)).await["cursor"].as_str().expect("a cursor").to_owned();
    let told = why(&forum, &["--user", "ada", "--event", &event]).await.stdout;
    let waits = served(&told).strip_prefix(&format!("{upto}, and at least ")).unwrap_or_else(|| panic!("{told}"));
    let bytes: usize = waits.strip_suffix(" bytes of it wait here").expect("a number").parse().expect("a number");
    assert!((1..600 * 20_000).contains(&bytes), "{told}");
    assert!(told.contains("room board:1: sent"), "{told}");
    until_served(&forum, "bo", &event, &format!("{upto}, {NOTHING_WAITS}")).await;
    drop(deaf);
    service.stop().await;
}
