//! `notification:new`: whom a comment calls, and whom it must not call.

use serde_json::{Value, json};

use crate::support::{client::Client, postgres::Forum, service::Service};

async fn connected(service: &Service, user: &str, roles: &[&str]) -> Client {
    Client::connected(&service.url, &Service::token(user, "c1", roles, false), "websocket").await
}

async fn comment(forum: &Forum, author: &str, parent: Option<i32>, content: &str) {
    let insert = "INSERT INTO comments (post_id, author_user_id, parent_comment_id, content) VALUES (1, $1, $2, $3)";
    sqlx::query(insert).bind(author).bind(parent).bind(content).execute(&forum.pool).await.expect("a comment");
}

/// Everybody who is connected hears of it, behind all that was committed before: what somebody was not called for is then known.
async fn board_of_everybody(forum: &Forum, name: &str) {
    let insert = "INSERT INTO boards (community_id, name) VALUES ('c1', $1)";
    sqlx::query(insert).bind(name).execute(&forum.pool).await.expect("a board");
}

/// Kinds and excerpts of the notifications until the board of this name is told.
async fn called_until(client: &mut Client, name: &str) -> Vec<(Value, Value)> {
    let mut called = Vec::new();
    loop {
        let happened = client.next().await;
        if happened[0] == "notification:new" {
            assert!(happened[2]["cursor"].is_string(), "{happened}");
            assert_eq!((&happened[1]["postId"], &happened[1]["boardId"]), (&json!(1), &json!(1)));
            called.push((happened[1]["kind"].clone(), happened[1]["excerpt"].clone()));
        } else if happened[0] == "board:created" && happened[1]["board"]["name"] == json!(name) {
            return called;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_called_once_a_comment_by_reply_before_mention_before_comment() {
    let forum = Forum::captured().await;
    forum.run("INSERT INTO users (user_id, name) VALUES ('dee', 'Dee')").await;
    let service = Service::start(&forum.url()).await;
    let mut people = Vec::new();
    for user in ["ada", "bo", "cy", "dee"] {
        people.push(connected(&service, user, &[]).await);
    }
    // Post 1 is Ada's, comment 1 Bo's. Cy answers Bo and mentions Bo, Ada and himself; then Bo answers himself.
    let everybody = r#"@{"id":"bo","label":"Bo"} @{"id":"ada","label":"Ada"} @{"id":"cy","label":"Cy"} hi"#;
    comment(&forum, "cy", Some(1), everybody).await;
    comment(&forum, "bo", Some(1), "me again").await;
    comment(&forum, "ada", None, r#"@{"id":"dee","label":"Dee"}"#).await;
    board_of_everybody(&forum, "End").await;
    let mut called = Vec::new();
    for client in &mut people {
        called.push(called_until(client, "End").await);
    }
    let of = |kind: &str, excerpt: &str| (json!(kind), json!(excerpt));
    assert_eq!(called[0], [of("mention", "@Bo @Ada @Cy hi"), of("comment", "me again")], "Ada, whose post it is");
    assert_eq!(called[1], [of("reply", "@Bo @Ada @Cy hi")], "Bo, who is not called by himself");
    assert_eq!(called[2], [], "Cy, who mentioned himself");
    assert_eq!(called[3], [of("mention", "@Dee")], "Dee");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_text_calls_whom_its_beginning_mentions_and_is_quoted_as_it_is_read() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut bo = connected(&service, "bo", &[]).await;
    let hello = r#"Hello @{"id":"bo","label":"Bo"} and all of you, "#;
    let mut expected = Vec::new();
    // As much as is shown, more than that, and more than is looked through.
    for length in [1_000, 20_000, 70_000, 300_000] {
        let long = format!("{hello}{}", "\u{e9}\"x\" ".repeat(length / 5));
        let rich = json!({"type": "doc", "content": [
            {"type": "paragraph", "content": [{"type": "text", "text": long}]},
            {"type": "paragraph", "content": [{"type": "text", "text": "The end"}]},
        ]});
        for content in [long, rich.to_string()] {
            comment(&forum, "cy", None, &content).await;
            let words = format!("Hello @Bo and all of you, {}", "\u{e9}\"x\" ".repeat(length));
            let beginning: String = words.chars().take(140).collect();
            expected.push((json!("mention"), json!(format!("{}\u{2026}", beginning.trim_end()))));
        }
    }
    board_of_everybody(&forum, "End").await;
    assert_eq!(called_until(&mut bo, "End").await, expected);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_called_into_a_board_that_is_closed_to_him() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let (mut ada, mut crew) = (connected(&service, "ada", &[]).await, connected(&service, "ada", &["crew"]).await);
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#).await;
    comment(&forum, "cy", None, "closed").await;
    // Closed and opened again within one tick would count as never closed.
    assert_eq!(crew.next().await[0], "notification:new");
    forum.run("UPDATE boards SET settings = '{}' WHERE id = 1").await;
    comment(&forum, "cy", None, "open").await;
    board_of_everybody(&forum, "End").await;
    assert_eq!(called_until(&mut crew, "End").await, [(json!("comment"), json!("open"))]);
    assert_eq!(called_until(&mut ada, "End").await, [(json!("comment"), json!("open"))]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_counts_from_its_commit_on_in_both_directions() {
    let forum = Forum::captured().await;
    // Counts all but at once, so that each is told before what follows it.
    let service = Service::start_with(&forum.url(), &[("merge-window", "1ms")]).await;
    let mut ada = connected(&service, "ada", &[]).await;
    let mut witness = Client::connected(&service.url, &Service::token("bo", "c2", &[], false), "websocket").await;
    assert_eq!(witness.ask("board:join", json!(3)).await["ok"], json!(true));
    for room in ["board:join", "post:join"] {
        assert_eq!(ada.ask(room, json!(1)).await["ok"], json!(true));
    }
    let set = async |flags: &str| {
        let set = format!(r#"UPDATE communities SET settings = '{{"realtime": {flags}}}' WHERE id = 'c1'"#);
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&forum.pool).await.expect("new flags");
    };
    let happen = async |user: &str| {
        let all = format!(
            "INSERT INTO users (user_id, name) VALUES ('{user}', '');
             INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'Text');
             BEGIN; INSERT INTO votes (user_id, post_id) VALUES ('{user}', 2);
             UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 2; COMMIT;
             INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Title', '', 1), ('cy', 'Title', '', 3)"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(all)).execute(&forum.pool).await.expect("all of it");
    };
    for (off, silent) in [
        ("votes", &["post:voteAdded", "post:voteChanged"][..]),
        ("comments", &["post:newComment", "post:commentCountChanged"]),
        ("posts", &["board:newPost"]),
        ("notifications", &["notification:new"]),
    ] {
        set(&format!(r#"{{"{off}": false}}"#)).await;
        let told = ada.next().await;
        assert_eq!(told[0], "community:settingsChanged", "{told}");
        assert_eq!(told[1]["features"][off], json!(false), "{told}");
        happen(off).await;
        // The flags of a tick are those at its end.
        assert_eq!(witness.next().await[0], "board:newPost");
        ada.emit("board:leave", json!(9)).await;
        let mut names = Vec::new();
        loop {
            let happened = ada.next().await;
            if happened[0] == "ack" {
                break;
            }
            names.push(happened[0].as_str().expect("a name").to_owned());
        }
        set("{}").await;
        assert_eq!(ada.next().await[0], "community:settingsChanged");
        for event in ["post:newComment", "notification:new", "post:voteChanged", "board:newPost"] {
            assert_eq!(
                names.iter().any(|name| name == event),
                !silent.contains(&event),
                "{event} with {off} off: {names:?}"
            );
        }
        assert!(!names.iter().any(|name| silent.contains(&name.as_str())), "{off} off: {names:?}");
    }

    set(r#"{"enabled": false}"#).await;
    assert_eq!(ada.next().await[0], "community:settingsChanged");
    assert_eq!(ada.ask("board:join", json!(2)).await["error"]["code"], "feature_disabled");
    happen("late").await;
    assert_eq!(witness.next().await[0], "board:newPost");
    set("{}").await;
    assert_eq!(ada.next().await[0], "community:settingsChanged", "nothing came while all was off");
    service.stop().await;
}
