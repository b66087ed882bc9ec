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
    let service = Service::start(&forum.url()).await;
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
        assert_eq!(ada.next().await[1]["post"]["title"], json!("Heard"));

        // Off again while she sits in her rooms: she keeps them, and hears nothing but that it is so.
        forum.run(OFF).await;
        assert_eq!(ada.next().await[1]["features"], features(false));
        all_sorts(&forum, &mut witness).await;
        for answer in joins(&mut ada, &since).await {
            assert_eq!(answer["error"]["code"], json!("feature_disabled"), "{answer}");
        }
    }
    service.stop().await;
}
