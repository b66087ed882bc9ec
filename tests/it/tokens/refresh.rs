//! `session:refresh`: what another token changes, at once and both ways.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{client::Client, postgres::Forum, service::Service};

const CREW_ONLY: &str = r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 2"#;

fn token(roles: &[&str], admin: bool) -> Value {
    json!({"token": Service::token("ada", "c1", roles, admin)})
}

/// Writes a post and gives the title of what the client is told next, which has to be a post.
async fn told_of(forum: &Forum, client: &mut Client, statement: &'static str) -> Value {
    forum.run(statement).await;
    let told = client.next().await;
    assert_eq!(told[0], "board:newPost", "{told}");
    told[1]["post"]["title"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_roles_take_effect_at_once_and_both_ways() {
    let forum = Forum::captured().await;
    forum.run(CREW_ONLY).await;
    let service = Service::start(&forum.url()).await;
    for transport in ["websocket", "polling"] {
        let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), transport).await;
        assert_eq!(ada.ask("feed:join", json!({})).await["boardIds"], json!([1]));

        ada.emit("session:refresh", token(&["crew"], false)).await;
        let granted = ada.next().await;
        assert_eq!((&granted[0], &granted[1]), (&json!("board:accessGranted"), &json!({"boardId": 2})));
        assert_eq!(ada.next().await[2]["ok"], json!(true));
        let title = told_of(
            &forum,
            &mut ada,
            "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Crew', '', 2)",
        );
        assert_eq!(title.await, "Crew", "the feed follows by itself");
        let since = ada.ask("board:join", json!(2)).await["cursor"].clone();

        ada.emit("session:refresh", token(&[], false)).await;
        let revoked = ada.next().await;
        let expected = json!({"boardId": 2, "reason": "board_roles"});
        assert_eq!((&revoked[0], &revoked[1]), (&json!("board:accessRevoked"), &expected));
        assert_eq!(ada.next().await[2]["ok"], json!(true));
        forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Secret', '', 2)").await;
        let title = told_of(
            &forum,
            &mut ada,
            "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Open', '', 1)",
        );
        assert_eq!(title.await, "Open", "nothing of the closed board came between");
        for event in ["board:join", "board:join"] {
            let refused = ada.ask(event, json!({"boardId": 2, "since": since})).await;
            assert_eq!(refused["error"]["code"], "forbidden", "nor by a replay");
        }
        let resumed = ada.ask("feed:join", json!({"since": since})).await;
        assert_eq!(resumed["boardIds"], json!([1]), "nor by that of a feed: {resumed}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_replayed_what_was_committed_while_his_token_shut_him_out() {
    let forum = Forum::captured().await;
    forum.run(CREW_ONLY).await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &["crew"], false), "websocket").await;
    let mut cy = Client::connected(&service.url, &Service::token("cy", "c1", &["crew"], false), "websocket").await;
    assert_eq!(cy.ask("board:join", json!(2)).await["ok"], json!(true));
    forum
        .run("INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (900, 'cy', 'First', '', 2)")
        .await;
    assert_eq!(cy.next().await[1]["post"]["title"], "First");
    let since = ada.ask("board:join", json!(2)).await["cursor"].clone();

    ada.emit("session:refresh", token(&[], false)).await;
    assert_eq!(ada.next().await[0], "board:accessRevoked");
    assert_eq!(ada.next().await[2]["ok"], json!(true));
    forum
        .run(
            "BEGIN; INSERT INTO comments (post_id, author_user_id, content) VALUES (900, 'cy', 'Secret');
             INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Secret', '', 2); COMMIT",
        )
        .await;
    let told: HashSet<String> = [cy.next().await, cy.next().await].map(|told| told[0].to_string()).into();
    assert_eq!(told, [r#""board:newPost""#, r#""post:commentCountChanged""#].map(str::to_owned).into());
    ada.emit("session:refresh", token(&["crew"], false)).await;
    assert_eq!(ada.next().await[0], "board:accessGranted");
    assert_eq!(ada.next().await[2]["ok"], json!(true));

    for (event, argument) in [
        ("board:join", json!({"boardId": 2, "since": since})),
        ("post:join", json!({"postId": 900, "since": since})),
        ("feed:join", json!({"since": since})),
    ] {
        let joined = ada.ask(event, argument).await;
        assert_eq!((&joined["ok"], &joined["recovered"]), (&json!(true), &json!(false)), "{event}: {joined}");
    }
    let title = told_of(
        &forum,
        &mut ada,
        "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Since', '', 2)",
    );
    assert_eq!(title.await, "Since", "what comes now is his");
    let cursor = ada.ask("board:join", json!(2)).await["cursor"].clone();
    assert_eq!(ada.ask("board:leave", json!(2)).await["ok"], json!(true));
    let joined = ada.ask("board:join", json!({"boardId": 2, "since": cursor})).await;
    assert_eq!(joined["recovered"], json!(true));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_becomes_an_admin_is_shown_more_and_who_is_none_any_longer_less() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    for (admin, statement) in [
        (false, "UPDATE boards SET name = 'One' WHERE id = 1"),
        (true, "UPDATE boards SET name = 'Two' WHERE id = 1"),
        (false, "UPDATE boards SET name = 'Three' WHERE id = 1"),
    ] {
        assert_eq!(ada.ask("session:refresh", token(&[], admin)).await["ok"], json!(true));
        forum.run(statement).await;
        let changed = ada.next().await;
        assert_eq!(changed[0], "board:settingsChanged");
        assert_eq!(changed[1]["board"].get("settings").is_some(), admin, "{changed}");
    }
    forum.run("UPDATE boards SET settings = '{\"permissions\": {\"allowedRoles\": [\"crew\"]}}' WHERE id = 1").await;
    assert_eq!(ada.next().await[0], "board:accessRevoked");
    ada.emit("session:refresh", token(&[], true)).await;
    assert_eq!(ada.next().await[0], "board:accessGranted", "an admin needs no role");
    assert_eq!(ada.next().await[2]["ok"], json!(true));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_does_not_fit_is_refused_and_the_session_goes_on_as_it_was() {
    let forum = Forum::captured().await;
    forum.run(CREW_ONLY).await;
    let service = Service::start_with(&forum.url(), &[("rate-session-refresh", "1000/1s")]).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &["crew"], false), "websocket").await;
    assert_eq!(ada.ask("board:join", json!(2)).await["ok"], json!(true));
    for (argument, code) in [
        (json!({"token": Service::token("bo", "c1", &["crew"], false)}), "forbidden"),
        (json!({"token": Service::token("ada", "c2", &["crew"], true)}), "forbidden"),
        (json!({"token": Service::forged_token()}), "auth_invalid"),
        (json!({"token": "not.a.token"}), "auth_invalid"),
        (json!({"token": Service::expired_token()}), "auth_expired"),
        (json!({"token": ""}), "auth_missing"),
        (json!({"token": 7}), "invalid_payload"),
        (json!(Service::token("ada", "c1", &[], false)), "invalid_payload"),
        (json!(null), "invalid_payload"),
    ] {
        let refused = ada.ask("session:refresh", argument).await;
        assert_eq!((&refused["ok"], &refused["error"]["code"]), (&json!(false), &json!(code)), "{refused}");
    }
    let title = told_of(
        &forum,
        &mut ada,
        "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Still', '', 2)",
    );
    assert_eq!(title.await, "Still");
    service.stop().await;
}
