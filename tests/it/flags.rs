//! A community that has switched realtime off: who connects meanwhile is let in, refused every room and told nothing, until it is on.

use serde_json::{Value, json};

use crate::support::{client::Client, postgres::Forum, service::Service};

const OFF: &str = r#"UPDATE communities SET settings = '{"realtime": {"enabled": false}}' WHERE id = 'c1'"#;
const ON: &str = "UPDATE communities SET settings = '{}' WHERE id = 'c1'";
/// Something of every kind in Ada's community, one transaction after the other; the last is told to whoever watches board 3.
const ALL_SORTS: &str = r#"
    INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Unheard', '', 1);
    INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'Of her own post');
    UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1;
    INSERT INTO boards (community_id, name) VALUES ('c1', 'Board ' || gen_random_uuid());
    UPDATE boards SET description = 'Other' WHERE id = 1;
    UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 2;
    UPDATE boards SET settings = '{}' WHERE id = 2;
    INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Elsewhere', '', 3)"#;

async fn all_sorts(forum: &Forum, witness: &mut Client) {
    for statement in ALL_SORTS.split(';') {
        forum.run(statement).await;
    }
    let told = witness.next().await;
    assert_eq!((&told[0], &told[1]["post"]["title"]), (&json!("board:newPost"), &json!("Elsewhere")), "{told}");
}

/// Every way into a room, with a cursor and without.
async fn joins(client: &mut Client, since: &Value) -> Vec<Value> {
    let mut answers = Vec::new();
    for (event, argument) in [
        ("board:join", json!(1)),
        ("board:join", json!({"boardId": 1, "since": since})),
        ("post:join", json!(1)),
        ("feed:join", json!({})),
        ("feed:join", json!({"since": since})),
    ] {
        answers.push(client.ask(event, argument).await);
    }
    answers
}

fn features(enabled: bool) -> Value {
    json!({
        "enabled": enabled, "votes": true, "comments": true, "posts": true, "presence": true, "typing": true, "notifications": true,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_while_his_community_is_switched_off_is_told_nothing_until_it_is_on() {
    let forum = Forum::captured().await;
    forum.run(OFF).await;
    // A count that is held back is told when it is due, to whoever may hear it by then.
    let service = Service::start_with(&forum.url(), &[("merge-window", "1ms")]).await;
    let mut witness = Client::connected(&service.url, &Service::token("bo", "c2", &[], false), "websocket").await;
    assert_eq!(witness.ask("board:join", json!(3)).await["ok"], json!(true));
    for transport in ["websocket", "polling"] {
        let mut ada = Client::start(&service.url, &Service::token("ada", "c1", &[], false), transport);
        assert_eq!(ada.next().await, json!(["connect"]));
        let ready = ada.next().await;
        assert_eq!((&ready[0], &ready[1]["features"]), (&json!("session:ready"), &features(false)));
        let since = ready[1]["cursor"].clone();
        for answer in joins(&mut ada, &since).await {
            assert_eq!(answer["error"]["code"], json!("feature_disabled"), "{answer}");
        }
        all_sorts(&forum, &mut witness).await;
        // What is asked next is answered next: nothing came before.
        assert_eq!(ada.ask("board:leave", json!(1)).await["ok"], json!(true));

        forum.run(ON).await;
        let changed = ada.next().await;
        let expected = json!({"communityId": "c1", "features": features(true)});
        assert_eq!((&changed[0], &changed[1]), (&json!("community:settingsChanged"), &expected));
        for answer in joins(&mut ada, &Value::Null).await {
            assert_eq!(answer["ok"], json!(true), "{answer}");
        }
        forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Heard', '', 1)").await;
        let told = ada.next().await;
        assert_eq!(told[1]["post"]["title"], json!("Heard"), "{told}");

        // Off again while she sits in her rooms: she keeps them, and hears nothing but that it is so.
        forum.run(OFF).await;
        let told = ada.next().await;
        assert_eq!(told[1]["features"], features(false), "{told}");
        all_sorts(&forum, &mut witness).await;
        for answer in joins(&mut ada, &since).await {
            assert_eq!(answer["error"]["code"], json!("feature_disabled"), "{answer}");
        }
    }
    service.stop().await;
}

/// Reads on until it is told this of this user, whatever else it is told before.
async fn hears(client: &mut Client, event: &str, user: &str) {
    loop {
        let told = client.next_of_all().await;
        if told[0] == event && told[1]["userId"] == user {
            return;
        }
    }
}

/// All that it is told up to the answer of its next command, which has to be nothing.
async fn has_heard_nothing(client: &mut Client) {
    client.emit("feed:leave", json!(null)).await;
    assert_eq!(client.next_of_all().await, json!(["ack", "feed:leave", {"ok": true}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_switched_off_is_not_told_who_comes_or_writes_meanwhile_either() {
    let forum = Forum::captured().await;
    forum
        .run(
            "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
             VALUES (1, 'c1', 'c2', 'ada')",
        )
        .await;
    let service = Service::start_with(&forum.url(), &[("offline-grace", "100ms")]).await;
    let token = |user, community| Service::token(user, community, &[], false);
    let mut ada = Client::connected(&service.url, &token("ada", "c1"), "websocket").await;
    // Shown the same board, where it is on.
    let mut witness = Client::connected(&service.url, &token("di", "c2"), "websocket").await;
    for client in [&mut ada, &mut witness] {
        for (event, argument) in [("board:join", json!({"boardId": 1, "typing": true})), ("post:join", json!(1))] {
            assert_eq!(client.ask(event, argument).await["ok"], json!(true));
        }
    }
    hears(&mut ada, "user:joinedBoard", "di").await;
    forum.run(OFF).await;
    assert_eq!(ada.next_of_all().await[1]["features"], features(false));

    let mut bo = Client::connected(&service.url, &token("bo", "c1"), "websocket").await;
    for answer in joins(&mut bo, &Value::Null).await {
        assert_eq!(answer["error"]["code"], json!("feature_disabled"), "{answer}");
    }
    has_heard_nothing(&mut ada).await;
    for client in [&mut bo, &mut ada] {
        for (event, argument) in [("typing:start", json!({"postId": 1})), ("presence:list", json!({"boardId": 1}))] {
            let answer = client.ask(event, argument).await;
            assert_eq!(answer["error"]["code"], json!("feature_disabled"), "{event}: {answer}");
        }
    }
    let mut cy = Client::connected(&service.url, &token("cy", "c2"), "websocket").await;
    for (event, argument) in [("board:join", json!(1)), ("post:join", json!(1)), ("typing:start", json!({"postId": 1}))]
    {
        assert_eq!(cy.ask(event, argument).await["ok"], json!(true), "{event}");
    }
    for event in ["user:joinedBoard", "typing:start"] {
        hears(&mut witness, event, "cy").await;
    }
    // Bo goes before Cy, whose going is told when the same grace has passed; of hers nobody is told.
    drop(bo);
    drop(cy);
    hears(&mut witness, "user:leftBoard", "cy").await;
    let mut ed = Client::connected(&service.url, &token("ed", "c2"), "websocket").await;
    assert_eq!(ed.ask("board:join", json!(1)).await["ok"], json!(true));
    hears(&mut witness, "user:joinedBoard", "ed").await;
    has_heard_nothing(&mut ada).await;
    service.stop().await;
}

async fn comment(forum: &Forum, content: &str) {
    let insert = "INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', $1)";
    sqlx::query(insert).bind(content).execute(&forum.pool).await.expect("a comment");
}

/// A join with this cursor: what came before the answer, and whether that was all.
async fn resumes(client: &mut Client, event: &str, argument: Value) -> (Vec<Value>, bool) {
    client.emit(event, argument).await;
    let mut came = Vec::new();
    loop {
        let happened = client.next().await;
        if happened[0] == "ack" {
            return (came, happened[2]["recovered"].as_bool().unwrap_or_else(|| panic!("{happened}")));
        }
        came.push(happened[1]["comment"]["content"].clone());
    }
}

/// All that the viewer is told from now on begins with the news that his community's flags are others.
async fn is_told_of_flags(client: &mut Client) {
    let told = client.next().await;
    assert_eq!(told[0], "community:settingsChanged", "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_back_while_a_flag_was_off_is_never_taken_for_recovered() {
    let forum = Forum::captured().await;
    forum
        .run(
            "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
             VALUES (1, 'c1', 'c2', 'ada')",
        )
        .await;
    let service = Service::start_with(&forum.url(), &[("merge-window", "1ms")]).await;
    let token = |user, community| Service::token(user, community, &[], false);
    let mut fay = Client::connected(&service.url, &token("fay", "c1"), "websocket").await;
    let mut other = Client::connected(&service.url, &token("bo", "c2"), "websocket").await;
    let since = fay.ask("post:join", json!(1)).await["cursor"].clone();
    assert_eq!(other.ask("post:join", json!(1)).await["ok"], json!(true));
    for settings in [r#"{"realtime": {"comments": false}}"#, r#"{"realtime": {"enabled": false}}"#] {
        let set = "UPDATE communities SET settings = $1::text::jsonb WHERE id = 'c1'";
        sqlx::query(set).bind(settings).execute(&forum.pool).await.expect("a flag");
        is_told_of_flags(&mut fay).await;
        comment(&forum, "Unheard").await;
        assert_eq!(other.next().await[1]["comment"]["content"], json!("Unheard"));
        forum.run(ON).await;
        is_told_of_flags(&mut fay).await;

        let mut new = Client::connected(&service.url, &token("di", "c1"), "websocket").await;
        for (event, argument) in [
            ("post:join", json!({"postId": 1, "since": since})),
            ("board:join", json!({"boardId": 1, "since": since})),
            ("feed:join", json!({"since": since})),
        ] {
            for client in [&mut fay, &mut new] {
                assert_eq!(resumes(client, event, argument.clone()).await, (vec![], false), "{settings}: {event}");
            }
        }
        assert_eq!(fay.ask("feed:leave", json!(null)).await["ok"], json!(true));
        assert_eq!(fay.ask("board:leave", json!(1)).await["ok"], json!(true));
        // Where nothing was kept back, nothing is missing.
        let mut elsewhere = Client::connected(&service.url, &token("ed", "c2"), "websocket").await;
        let (came, recovered) = resumes(&mut elsewhere, "post:join", json!({"postId": 1, "since": since})).await;
        assert!(recovered && came.contains(&json!("Unheard")), "{came:?}");
    }
    // A cursor from behind it is as good as ever.
    let since_then = fay.ask("post:join", json!(1)).await["cursor"].clone();
    comment(&forum, "Heard").await;
    assert_eq!(fay.next().await[1]["comment"]["content"], json!("Heard"));
    let mut late = Client::connected(&service.url, &token("di", "c1"), "websocket").await;
    let argument = json!({"postId": 1, "since": since_then});
    assert_eq!(resumes(&mut late, "post:join", argument.clone()).await, (vec![json!("Heard")], true));
    service.stop().await;

    // Nor on a node that has to read it again.
    let service = Service::start(&forum.url()).await;
    let mut fay = Client::connected(&service.url, &token("fay", "c1"), "websocket").await;
    let old = json!({"postId": 1, "since": since});
    assert_eq!(resumes(&mut fay, "post:join", old).await, (vec![], false));
    assert_eq!(resumes(&mut fay, "post:join", argument).await, (vec![json!("Heard")], true));
    service.stop().await;
}
