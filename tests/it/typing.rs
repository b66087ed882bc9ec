//! Who writes an answer: told to whoever reads the post or asked for its board, once, and always ended.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    postgres::Forum,
    service::Service,
    store::{Store, on_both_stores},
};

const SHORT: [(&str, &str); 1] = [("typing-silence", "300ms")];
const LONG: [(&str, &str); 1] = [("typing-silence", "1h")];

async fn connected(service: &Service, user: &str) -> Client {
    Client::connected(&service.url, &Service::token(user, "c1", &[], false), "websocket").await
}

async fn does(client: &mut Client, event: &str, argument: Value) {
    let answer = client.ask(event, argument).await;
    assert_eq!(answer["ok"], json!(true), "{answer}");
}

async fn hears(client: &mut Client, event: &str, user: &str) {
    let payload = json!({"userId": user, "userName": user, "postId": 1, "boardId": 1});
    assert_eq!(client.next().await, json!([event, payload]));
}

/// Up to its next answer.
async fn has_heard_nothing(client: &mut Client) {
    does(client, "feed:leave", json!(null)).await;
}

/// One who reads the post, one who asked for typing in its board, one who only sits in the board.
async fn audience(service: &Service) -> (Client, Client, Client) {
    let (mut reader, mut watcher) = (connected(service, "ada").await, connected(service, "cy").await);
    does(&mut reader, "post:join", json!(1)).await;
    does(&mut watcher, "board:join", json!({"boardId": 1, "typing": true})).await;
    let mut sitter = connected(service, "di").await;
    does(&mut sitter, "board:join", json!(1)).await;
    (reader, watcher, sitter)
}

on_both_stores! {
    a_beginning_is_told_once_to_post_and_typing_rooms_and_never_to_the_writer,
    it_ends_by_itself_after_the_silence,
    it_ends_with_the_socket_the_post_the_board_and_the_right_to_it,
    who_has_joined_neither_the_post_nor_its_board_is_refused,
    whom_the_roles_of_a_board_of_his_own_community_shut_out_is_refused,
    who_has_switched_typing_off_neither_tells_nor_hears,
}

async fn a_beginning_is_told_once_to_post_and_typing_rooms_and_never_to_the_writer(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &LONG).await;
    let (mut reader, mut watcher, mut sitter) = audience(&service).await;
    let (mut bo, mut other_tab) = (connected(&service, "bo").await, connected(&service, "bo").await);
    does(&mut bo, "post:join", json!(1)).await;
    does(&mut other_tab, "board:join", json!({"boardId": 1, "typing": true})).await;
    for _ in 0..3 {
        does(&mut bo, "typing:start", json!({"postId": 1})).await;
    }
    // Of a board that is joined the post need not be.
    does(&mut other_tab, "typing:start", json!({"postId": "1"})).await;
    does(&mut other_tab, "typing:stop", json!({"postId": 1})).await;
    for client in [&mut reader, &mut watcher] {
        hears(client, "typing:start", "bo").await;
        has_heard_nothing(client).await;
    }
    does(&mut bo, "typing:stop", json!({"postId": 1})).await;
    does(&mut bo, "typing:stop", json!({"postId": 1})).await;
    for client in [&mut reader, &mut watcher] {
        hears(client, "typing:stop", "bo").await;
        has_heard_nothing(client).await;
    }
    for client in [&mut bo, &mut other_tab, &mut sitter] {
        has_heard_nothing(client).await;
    }
    service.stop().await;
}

async fn it_ends_by_itself_after_the_silence(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &SHORT).await;
    let (mut reader, ..) = audience(&service).await;
    let mut bo = connected(&service, "bo").await;
    does(&mut bo, "post:join", json!(1)).await;
    for _ in 0..2 {
        does(&mut bo, "typing:start", json!({"postId": 1})).await;
        hears(&mut reader, "typing:start", "bo").await;
        hears(&mut reader, "typing:stop", "bo").await;
    }
    service.stop().await;
}

async fn it_ends_with_the_socket_the_post_the_board_and_the_right_to_it(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &LONG).await;
    let crew = Service::token("ada", "c1", &["crew"], false);
    let mut reader = Client::connected(&service.url, &crew, "websocket").await;
    does(&mut reader, "post:join", json!(1)).await;

    let mut bo = connected(&service, "bo").await;
    for (join, leave) in [("post:join", "post:leave"), ("board:join", "board:leave"), ("feed:join", "feed:leave")] {
        let argument = if join == "feed:join" { json!(null) } else { json!(1) };
        does(&mut bo, join, argument.clone()).await;
        does(&mut bo, "typing:start", json!({"postId": 1})).await;
        hears(&mut reader, "typing:start", "bo").await;
        does(&mut bo, leave, argument).await;
        hears(&mut reader, "typing:stop", "bo").await;
    }
    does(&mut bo, "post:join", json!(1)).await;
    does(&mut bo, "typing:start", json!({"postId": 1})).await;
    hears(&mut reader, "typing:start", "bo").await;
    drop(bo);
    hears(&mut reader, "typing:stop", "bo").await;

    let mut bo = connected(&service, "bo").await;
    does(&mut bo, "post:join", json!(1)).await;
    does(&mut bo, "typing:start", json!({"postId": 1})).await;
    hears(&mut reader, "typing:start", "bo").await;
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#).await;
    hears(&mut reader, "typing:stop", "bo").await;
    assert_eq!(bo.next().await[0], "board:accessRevoked");
    assert_eq!(bo.ask("typing:start", json!({"postId": 1})).await["error"]["code"], "forbidden");

    let mut second = Client::connected(&service.url, &Service::token("cy", "c1", &["crew"], false), "websocket").await;
    does(&mut second, "post:join", json!(1)).await;
    does(&mut second, "typing:start", json!({"postId": 1})).await;
    hears(&mut reader, "typing:start", "cy").await;
    forum.run("DELETE FROM posts WHERE id = 1").await;
    assert_eq!(reader.next().await[0], "board:postDeleted");
    hears(&mut reader, "typing:stop", "cy").await;
    service.stop().await;
}

async fn who_has_joined_neither_the_post_nor_its_board_is_refused(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &[]).await;
    let mut reader = connected(&service, "ada").await;
    does(&mut reader, "post:join", json!(1)).await;
    let mut bo = connected(&service, "bo").await;
    does(&mut bo, "board:join", json!(2)).await;
    for post in [1, 999] {
        let refused = bo.ask("typing:start", json!({"postId": post})).await;
        assert_eq!(refused["error"]["code"], "forbidden", "{refused}");
    }
    for argument in [json!(1), json!(null), json!({}), json!({"postId": "one"})] {
        let refused = bo.ask("typing:start", argument).await;
        assert_eq!(refused["error"]["code"], "invalid_payload", "{refused}");
    }
    has_heard_nothing(&mut reader).await;
    service.stop().await;
}

async fn whom_the_roles_of_a_board_of_his_own_community_shut_out_is_refused(store: &Store) {
    let forum = Forum::captured().await;
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#).await;
    let service = store.service(&forum, &LONG).await;
    let crew = |user| Service::token(user, "c1", &["crew"], false);
    let mut reader = Client::connected(&service.url, &crew("ada"), "websocket").await;
    does(&mut reader, "board:join", json!({"boardId": 1, "typing": true})).await;
    let mut bo = connected(&service, "bo").await;
    for (event, argument) in [("board:join", json!(1)), ("post:join", json!(1)), ("typing:start", json!({"postId": 1}))]
    {
        let refused = bo.ask(event, argument).await;
        assert_eq!(refused["error"]["code"], "forbidden", "{event}: {refused}");
    }
    let mut cy = Client::connected(&service.url, &crew("cy"), "websocket").await;
    does(&mut cy, "post:join", json!(1)).await;
    does(&mut cy, "typing:start", json!({"postId": 1})).await;
    loop {
        let told = reader.next().await;
        // Of nobody else who writes.
        if told[0] == "typing:start" {
            assert_eq!(told[1]["userId"], "cy");
            break;
        }
    }
    service.stop().await;
}

async fn who_has_switched_typing_off_neither_tells_nor_hears(store: &Store) {
    let forum = Forum::captured().await;
    forum.run(r#"UPDATE communities SET settings = '{"realtime": {"typing": false}}' WHERE id = 'c1'"#).await;
    forum
        .run(
            "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
             VALUES (3, 'c2', 'c1', 'ada');
             INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (9, 'cy', 'Dune', '', 3)",
        )
        .await;
    let service = store.service(&forum, &[]).await;
    let token = |user, community| Service::token(user, community, &[], false);
    let mut ada = Client::connected(&service.url, &token("ada", "c1"), "websocket").await;
    let mut cy = Client::connected(&service.url, &token("cy", "c2"), "websocket").await;
    let mut bo = Client::connected(&service.url, &token("bo", "c2"), "websocket").await;
    for client in [&mut ada, &mut cy, &mut bo] {
        does(client, "post:join", json!(9)).await;
    }
    assert_eq!(ada.ask("typing:start", json!({"postId": 9})).await["error"]["code"], "feature_disabled");
    does(&mut cy, "typing:start", json!({"postId": 9})).await;
    let told = bo.next().await;
    assert_eq!((&told[0], &told[1]["userId"]), (&json!("typing:start"), &json!("cy")));
    has_heard_nothing(&mut ada).await;
    service.stop().await;
}
