//! A node that stood still tells what it missed in pages. Who comes meanwhile, as everybody does behind an outage, is let in behind what opens
//! the board to him.

use serde_json::json;
use sqlx::{Postgres, Transaction};

use crate::support::{client::Client, postgres::Forum, program::Serving, service::Service};

/// More posts of the open board 2 than a page holds. What follows, of the closed board 1, is told with the second page.
const BEFORE: &str = "BEGIN;
    INSERT INTO posts (author_user_id, title, content, board_id) SELECT 'bo', 'Old ' || n, '', 2 FROM generate_series(1, 1500) AS n;
    INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'closed', '', 1);
    INSERT INTO comments (post_id, author_user_id, content) SELECT 1, 'cy', 'closed ' || n FROM generate_series(1, 20) AS n;
    COMMIT";
/// Then it opens to members, too.
const OPENING: &str =
    r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew", "member"]}}' WHERE id = 1"#;
const BEHIND: &str = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'open', '', 1);
    INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'open')";
const LATER: &str = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'later', '', 1);
    INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'later');
    INSERT INTO boards (community_id, name) VALUES ('c1', 'End')";

async fn connected(serving: &Serving, user: &str, roles: &[&str]) -> Client {
    Client::connected(&serving.url, &Service::token(user, "c1", roles, false), "websocket").await
}

/// What happens, but for posts of board 2 and counts, which are told when it is time, up to the first that begins so.
async fn until(client: &mut Client, end: &str) -> Vec<String> {
    let mut all = Vec::new();
    while !all.last().is_some_and(|last: &String| last.starts_with(end)) {
        let happened = client.next().await;
        let (what, payload) = (happened[0].as_str().expect("a name"), &happened[1]);
        all.push(match what {
            "board:newPost" if payload["post"]["board_id"] != 1 => continue,
            "post:commentCountChanged" => continue,
            "board:newPost" => format!("{what} {}", payload["post"]["title"].as_str().expect("a title")),
            "post:newComment" => format!("{what} {}", payload["comment"]["content"].as_str().expect("a text")),
            "notification:new" => format!("{what} {}", payload["excerpt"].as_str().expect("a text")),
            "ack" => {
                assert_eq!(happened[2]["ok"], true, "{happened}");
                format!("{what} {}", payload.as_str().expect("a name"))
            }
            _ => what.to_owned(),
        });
    }
    all
}

/// A forum whose board 1 is closed to all but the crew, and a node that follows it.
async fn closed() -> (Forum, Serving) {
    let forum = Forum::captured().await;
    forum
        .run("INSERT INTO users (user_id, name) VALUES ('dee', 'Dee'), ('eve', 'Eve'), ('fay', 'Fay'), ('gus', 'Gus')")
        .await;
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#).await;
    let serving = Serving::start(&forum.url(), &[]).await;
    (forum, serving)
}

/// Brings the node to the middle of a tick: its first page is told, and the second, in which board 1 is opened, can't be read before this ends.
async fn midway(forum: &Forum, serving: &Serving) -> Transaction<'static, Postgres> {
    let mut witness = connected(serving, "bo", &["crew"]).await;
    assert_eq!(witness.ask("board:join", json!(2)).await["ok"], true);
    serving.signal("-STOP");
    for statements in [BEFORE, OPENING, BEHIND] {
        forum.run(statements).await;
    }
    let mut held = forum.pool.begin().await.expect("a transaction");
    // The second page shows comments, the first none.
    sqlx::raw_sql("LOCK TABLE comments IN ACCESS EXCLUSIVE MODE").execute(&mut *held).await.expect("the lock");
    serving.signal("-CONT");
    for number in 1..=1000 {
        let told = witness.next().await;
        assert_eq!((&told[0], &told[1]["post"]["title"]), (&json!("board:newPost"), &json!(format!("Old {number}"))));
    }
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_a_node_catches_up_is_shown_nothing_from_before_the_board_was_opened_to_him() {
    let (forum, serving) = closed().await;
    let mut dee = connected(&serving, "dee", &["member"]).await;
    let mut eve = connected(&serving, "eve", &["member"]).await;
    let mut gus = connected(&serving, "gus", &["member"]).await;
    assert_eq!(gus.ask("post:join", json!(1)).await["error"]["code"], "forbidden");
    let mut fay = connected(&serving, "fay", &[]).await;
    assert_eq!(fay.ask("feed:join", json!({})).await["boardIds"], json!([2]));
    let held = midway(&forum, &serving).await;
    // Post 1 is hers.
    let mut ada = connected(&serving, "ada", &["member"]).await;
    assert_eq!(gus.ask("board:join", json!(2)).await["ok"], true, "what the tick does not change is joined at once");
    fay.emit("session:refresh", json!({"token": Service::token("fay", "c1", &["member"], false)})).await;
    assert_eq!(until(&mut fay, "ack").await, ["ack session:refresh"]);
    ada.emit("board:join", json!(1)).await;
    dee.emit("post:join", json!(1)).await;
    eve.emit("feed:join", json!({})).await;
    serving.until_metric("curia_joins_awaited_total", 3.0).await;
    held.rollback().await.expect("the end of the lock");

    assert_eq!(until(&mut ada, "ack").await, ["notification:new open", "ack board:join"]);
    assert_eq!(until(&mut dee, "ack").await, ["board:accessGranted", "ack post:join"]);
    assert_eq!(until(&mut eve, "ack").await, ["board:accessGranted", "ack feed:join"]);
    assert_eq!(until(&mut fay, "board:newPost").await, ["board:accessGranted", "board:newPost open"]);
    forum.run(LATER).await;
    let (board, post, end) = ("board:newPost later", "post:newComment later", "board:created");
    assert_eq!(until(&mut ada, end).await, [board, "notification:new later", end]);
    assert_eq!(until(&mut dee, end).await, [post, end]);
    assert_eq!(until(&mut eve, end).await, [board, end]);
    assert_eq!(until(&mut fay, end).await, [board, end]);
    drop((ada, dee, eve, fay, gus));
    serving.stop().await;
}

/// However long the node takes, nobody is let in by guessing, and whoever asks again is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_waits_for_too_long_is_told_to_ask_again() {
    let (forum, serving) = closed().await;
    let mut dee = connected(&serving, "dee", &["member"]).await;
    let held = midway(&forum, &serving).await;
    let answer = dee.ask("board:join", json!(1)).await;
    assert_eq!((&answer["ok"], &answer["error"]["code"]), (&json!(false), &json!("unavailable")), "{answer}");
    held.rollback().await.expect("the end of the lock");
    assert_eq!(dee.next().await[0], "board:accessGranted");
    dee.emit("board:join", json!(1)).await;
    assert_eq!(until(&mut dee, "ack").await, ["ack board:join"]);
    forum.run(LATER).await;
    assert_eq!(until(&mut dee, "board:created").await, ["board:newPost later", "board:created"]);
    drop(dee);
    serving.stop().await;
}
