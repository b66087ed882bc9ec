//! Who is here, as it is told and listed: on the first socket and after the last, to whoever may see it and to nobody else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    postgres::Forum,
    service::Service,
    store::{Store, on_both_stores},
    wire::Frames,
};

/// Short, so that a going is told soon.
const GRACE: Duration = Duration::from_millis(500);
const SOON: [(&str, &str); 1] = [("offline-grace", "500ms")];
/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);
/// A list that is not right yet is asked for again behind it; ten may be in ten seconds.
const LISTED_EVERY: Duration = Duration::from_millis(1_100);
/// Longer than any page takes to load.
const NEVER: [(&str, &str); 1] = [("offline-grace", "1h")];

async fn connected(service: &Service, user: &str, community: &str) -> Client {
    Client::connected(&service.url, &Service::token(user, community, &[], false), "websocket").await
}

async fn joins(client: &mut Client, board: i32) -> Value {
    let answer = client.ask("board:join", json!(board)).await;
    assert_eq!(answer["ok"], json!(true), "{answer}");
    answer
}

/// The next thing that it is told, which has to be this.
async fn hears(client: &mut Client, event: &str, payload: Value) {
    assert_eq!(client.next_of_all().await, json!([event, payload]));
}

/// The next things that it is told, in either order: where it is told who went when all nodes have heard of it, that may be later.
async fn hears_that_he_left(client: &mut Client, user: &str, board: i32) {
    let left = json!(["user:leftBoard", in_board(user, board)]);
    let told = [client.next_of_all().await, client.next_of_all().await];
    assert!(told.contains(&left) && told.iter().any(|told| told[0] == "board:settingsChanged"), "{told:?}");
}

/// All that it is told up to the answer of its next command, which has to be nothing.
async fn has_heard_nothing(client: &mut Client) {
    client.emit("feed:leave", json!(null)).await;
    assert_eq!(client.next_of_all().await, json!(["ack", "feed:leave", {"ok": true}]));
}

fn online(user: &str) -> Value {
    json!({"userId": user, "userName": user, "avatarUrl": null})
}

fn in_board(user: &str, board: i32) -> Value {
    json!({"userId": user, "userName": user, "boardId": board})
}

/// Of each that is listed: user, devices, board.
fn listed(answer: &Value) -> Vec<(&str, u64, Option<i64>)> {
    assert_eq!(answer["ok"], json!(true), "{answer}");
    let users = answer["users"].as_array().expect("users");
    let fields = users.iter().map(|user| (&user["userId"], &user["devices"], &user["boardId"]));
    fields.map(|(user, devices, board)| (user.as_str().unwrap(), devices.as_u64().unwrap(), board.as_i64())).collect()
}

on_both_stores! {
    the_first_socket_is_told_and_the_last_and_no_other,
    a_page_that_is_loaded_again_within_the_grace_tells_nothing_and_leaving_has_none,
    a_boards_presence_is_for_who_sits_in_it_and_a_communitys_for_its_members,
    who_is_put_out_has_left_the_board_at_once,
    who_has_switched_presence_off_is_told_of_nobody,
    the_board_in_which_he_sat_down_last_is_named_whichever_tab_it_was,
    every_device_is_counted,
    who_is_elsewhere_is_told_at_once_while_a_crowd_comes,
}

async fn the_board_in_which_he_sat_down_last_is_named_whichever_tab_it_was(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &NEVER).await;
    let (mut first, mut second) = (connected(&service, "ada", "c1").await, connected(&service, "ada", "c1").await);
    for (tab, board) in [(&mut second, 1), (&mut first, 2)] {
        joins(tab, board).await;
    }
    for board in [1, 2] {
        joins(&mut second, board).await;
    }
    // In board 1 again, by the tab that came first.
    assert_eq!(first.ask("board:leave", json!(2)).await["ok"], json!(true));
    joins(&mut first, 1).await;
    let named = |answer: &Value| listed(answer)[0].2;
    assert_eq!(named(&second.ask("presence:list", json!(null)).await), Some(1));
    joins(&mut first, 2).await;
    assert_eq!(named(&second.ask("presence:list", json!(null)).await), Some(2));
    service.stop().await;
}

/// Of one user; more than are told apart by name.
const DEVICES: u32 = 40;

async fn every_device_is_counted(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &NEVER).await;
    let mut tabs = Vec::new();
    for number in 0..DEVICES {
        let token = Service::token_of_device("ada", &format!("tab {number}"));
        tabs.push(Frames::connected(&service.url, &token).await);
    }
    let all = async {
        while listed(&tabs[0].ask("presence:list", json!(null)).await) != [("ada", u64::from(DEVICES), None)] {
            tokio::time::sleep(LISTED_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all of them");
    service.stop().await;
}

/// So many, of whom all the others are to be told.
const CROWD: usize = 120;

/// At this pace it takes 7 s.
async fn who_is_elsewhere_is_told_at_once_while_a_crowd_comes(store: &Store) {
    let forum = Forum::captured().await;
    let node = store.serving(&forum, &["--presence-rate", "1000", "--offline-grace", "1ms", "--drain", "100ms"]).await;
    let connected =
        async |user: &str| Client::connected(&node.url, &Service::token(user, "c2", &[], false), "websocket").await;
    let (mut watcher, one) = (connected("cy").await, connected("dee").await);
    hears(&mut watcher, "user:online", online("dee")).await;
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let token = Service::token(&format!("user {number}"), "c1", &[], false);
        crowd.push(Frames::connected(&node.url, &token).await);
    }
    let waiting = async || node.metric("curia_presence_waiting").await.unwrap_or_default();
    assert!(waiting().await > 20.0, "a crowd that waits");
    drop(one);
    hears(&mut watcher, "user:offline", json!({"userId": "dee"})).await;
    assert!(waiting().await > 5.0, "the crowd waits still");
    drop(crowd);
    node.stop().await;
}

async fn the_first_socket_is_told_and_the_last_and_no_other(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &SOON).await;
    let mut ada = connected(&service, "ada", "c1").await;
    joins(&mut ada, 1).await;

    let token = Service::token_of_device;
    let mut left = Client::connected(&service.url, &token("bo", "left"), "websocket").await;
    hears(&mut ada, "user:online", online("bo")).await;
    let answer = joins(&mut left, 1).await;
    assert_eq!(answer["users"], json!([online("ada"), online("bo")]));
    assert_eq!(answer["userCount"], json!(2));
    hears(&mut ada, "user:joinedBoard", in_board("bo", 1)).await;
    let mut right = Client::connected(&service.url, &token("bo", "right"), "websocket").await;
    joins(&mut right, 1).await;
    assert_eq!(
        listed(&ada.ask("presence:list", json!(null)).await),
        [("ada", 1, Some(1)), ("bo", 2, Some(1))],
        "two tabs are two devices of one user"
    );

    drop(left);
    tokio::time::sleep(2 * GRACE).await;
    has_heard_nothing(&mut ada).await;
    has_heard_nothing(&mut right).await;
    let gone = Instant::now();
    drop(right);
    hears(&mut ada, "user:leftBoard", in_board("bo", 1)).await;
    hears(&mut ada, "user:offline", json!({"userId": "bo"})).await;
    assert!(gone.elapsed() >= GRACE, "{:?}", gone.elapsed());
    assert_eq!(listed(&ada.ask("presence:list", json!({})).await), [("ada", 1, Some(1))]);
    service.stop().await;
}

async fn a_page_that_is_loaded_again_within_the_grace_tells_nothing_and_leaving_has_none(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &NEVER).await;
    let mut ada = connected(&service, "ada", "c1").await;
    joins(&mut ada, 1).await;
    let mut bo = connected(&service, "bo", "c1").await;
    hears(&mut ada, "user:online", online("bo")).await;
    joins(&mut bo, 1).await;
    hears(&mut ada, "user:joinedBoard", in_board("bo", 1)).await;
    for _ in 0..3 {
        drop(bo);
        bo = connected(&service, "bo", "c1").await;
        joins(&mut bo, 1).await;
    }
    has_heard_nothing(&mut ada).await;
    assert_eq!(bo.ask("board:leave", json!(1)).await["ok"], json!(true));
    hears(&mut ada, "user:leftBoard", in_board("bo", 1)).await;
    joins(&mut bo, 1).await;
    hears(&mut ada, "user:joinedBoard", in_board("bo", 1)).await;
    service.stop().await;
}

async fn a_boards_presence_is_for_who_sits_in_it_and_a_communitys_for_its_members(store: &Store) {
    let forum = Forum::captured().await;
    forum
        .run(
            "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
             VALUES (3, 'c2', 'c1', 'ada');
             UPDATE boards SET settings = '{\"permissions\": {\"allowedRoles\": [\"crew\"]}}' WHERE id = 2",
        )
        .await;
    let service = store.service(&forum, &NEVER).await;
    let mut ada = connected(&service, "ada", "c1").await;
    let mut outside = connected(&service, "bo", "c1").await;
    hears(&mut ada, "user:online", online("bo")).await;
    joins(&mut ada, 3).await;
    // On the imported board both communities meet; who comes is told in his own alone.
    let mut owner = connected(&service, "cy", "c2").await;
    let answer = joins(&mut owner, 3).await;
    assert_eq!(answer["users"], json!([online("ada"), online("cy")]));
    hears(&mut ada, "user:joinedBoard", in_board("cy", 3)).await;
    assert_eq!(listed(&ada.ask("presence:list", json!(null)).await), [("ada", 1, Some(3)), ("bo", 1, None)]);
    assert_eq!(listed(&owner.ask("presence:list", json!(null)).await), [("cy", 1, Some(3))]);
    let on_board = owner.ask("presence:list", json!({"boardId": "3"})).await;
    assert_eq!(listed(&on_board), [("ada", 1, Some(3)), ("cy", 1, Some(3))]);

    let token = Service::token("di", "c1", &["crew"], false);
    let mut crew = Client::connected(&service.url, &token, "websocket").await;
    joins(&mut crew, 2).await;
    for client in [&mut ada, &mut outside] {
        hears(client, "user:online", online("di")).await;
        has_heard_nothing(client).await;
    }
    has_heard_nothing(&mut owner).await;
    let members = outside.ask("presence:list", json!(null)).await;
    assert_eq!(
        listed(&members),
        [("ada", 1, None), ("bo", 1, None), ("di", 1, None)],
        "where they sit is not told to whoever sits elsewhere"
    );
    for (board, code) in [(2, "forbidden"), (999, "not_found")] {
        let refused = outside.ask("presence:list", json!({"boardId": board})).await;
        assert_eq!(refused["error"]["code"], code, "{refused}");
    }
    let refused = owner.ask("presence:list", json!({"boardId": 1})).await;
    assert_eq!(refused["error"]["code"], "not_found", "{refused}");
    service.stop().await;
}

async fn who_is_put_out_has_left_the_board_at_once(store: &Store) {
    let forum = Forum::captured().await;
    let service = store.service(&forum, &NEVER).await;
    let crew = Service::token("ada", "c1", &["crew"], false);
    let mut ada = Client::connected(&service.url, &crew, "websocket").await;
    for board in [1, 2] {
        joins(&mut ada, board).await;
    }
    let mut bo = connected(&service, "bo", "c1").await;
    hears(&mut ada, "user:online", online("bo")).await;
    for board in [1, 2] {
        joins(&mut bo, board).await;
        hears(&mut ada, "user:joinedBoard", in_board("bo", board)).await;
    }

    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#).await;
    hears_that_he_left(&mut ada, "bo", 1).await;
    assert_eq!(bo.next().await[0], "board:accessRevoked");
    assert_eq!(listed(&ada.ask("presence:list", json!({"boardId": 1})).await), [("ada", 1, Some(1))]);

    // By another token, too.
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 2"#).await;
    hears_that_he_left(&mut ada, "bo", 2).await;
    bo.emit("session:refresh", json!({"token": Service::token("bo", "c1", &["crew"], false)})).await;
    while bo.next().await[0] != "ack" {}
    joins(&mut bo, 2).await;
    hears(&mut ada, "user:joinedBoard", in_board("bo", 2)).await;
    bo.emit("session:refresh", json!({"token": Service::token("bo", "c1", &[], false)})).await;
    hears(&mut ada, "user:leftBoard", in_board("bo", 2)).await;

    // A user who is deleted does not load his page again.
    forum.run("DELETE FROM users WHERE user_id = 'bo'").await;
    // His posts go with him.
    while ada.next_of_all().await != json!(["user:offline", {"userId": "bo"}]) {}
    service.stop().await;
}

async fn who_has_switched_presence_off_is_told_of_nobody(store: &Store) {
    let forum = Forum::captured().await;
    forum.run(r#"UPDATE communities SET settings = '{"realtime": {"presence": false}}' WHERE id = 'c1'"#).await;
    let service = store.service(&forum, &SOON).await;
    let mut ada = connected(&service, "ada", "c1").await;
    let mut bo = connected(&service, "bo", "c1").await;
    joins(&mut ada, 1).await;
    let answer = joins(&mut bo, 1).await;
    assert_eq!((&answer["users"], &answer["userCount"]), (&json!([]), &json!(0)));
    assert_eq!(ada.ask("presence:list", json!(null)).await["error"]["code"], "feature_disabled");
    assert_eq!(bo.ask("board:leave", json!(1)).await["ok"], json!(true));
    has_heard_nothing(&mut ada).await;

    forum.run(r#"UPDATE communities SET settings = '{}' WHERE id = 'c1'"#).await;
    for client in [&mut ada, &mut bo] {
        assert_eq!(client.next_of_all().await[0], "community:settingsChanged");
    }
    joins(&mut bo, 1).await;
    hears(&mut ada, "user:joinedBoard", in_board("bo", 1)).await;
    service.stop().await;
}
