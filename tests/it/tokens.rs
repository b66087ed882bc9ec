//! Tokens as they come: which are believed, for how long, and what another one changes.

mod arriving;
mod keys;
mod refresh;
mod refused;
mod unnamed;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{client::Client, postgres::Forum, service::Service};

/// A moment of the contract.
fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().expect("a time").parse().expect("RFC 3339")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_told_of_its_end_a_minute_ahead_and_once() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    // Its end is in whole seconds.
    let token = Service::token_for("ada", "c1", &[], false, TimeDelta::seconds(62));
    let mut ada = Client::start(&service.url, &token, "websocket");
    assert_eq!(ada.next().await, json!(["connect"]));
    let ready = ada.next().await;
    let expiring = ada.next().await;
    assert_eq!(expiring, json!(["session:expiring", {"expiresAt": ready[1]["expiresAt"]}]));
    let left = moment(&expiring[1]["expiresAt"]) - Utc::now();
    assert!(left <= TimeDelta::seconds(60) && left > TimeDelta::seconds(50), "{left}");
    assert_eq!(
        ada.ask("board:join", json!(1)).await["ok"],
        json!(true),
        "until then it is served, and told nothing more"
    );
    service.stop().await;
}

async fn is_closed_at_the_end_of_its_last_token(transport: &str) {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    // They begin once the client is there, however long that takes; what has to be done within the first is little.
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), transport).await;
    let mut ends = Vec::new();
    for life in [8, 11] {
        let token = Service::token_for("ada", "c1", &[], false, TimeDelta::seconds(life));
        let end = moment(&ada.ask("session:refresh", json!({"token": token})).await["expiresAt"]);
        // The new one is just as short of its end.
        let expiring = ada.next().await;
        assert_eq!((&expiring[0], moment(&expiring[1]["expiresAt"])), (&json!("session:expiring"), end));
        ends.push(end);
    }
    assert!(ends[1] > ends[0]);
    assert_eq!(ada.next().await, json!(["session:expired", {}]));
    assert!(Utc::now() >= ends[1], "not at the end of the first");
    assert_eq!(ada.next().await, json!(["disconnect", "io server disconnect"]));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_closed_at_the_end_of_its_last_token_by_websocket() {
    is_closed_at_the_end_of_its_last_token("websocket").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_closed_at_the_end_of_its_last_token_by_long_polling() {
    is_closed_at_the_end_of_its_last_token("polling").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_of_a_deleted_user_end_and_his_token_is_worth_nothing() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let (ada, bo) = (Service::token("ada", "c1", &[], false), Service::token("bo", "c1", &[], false));
    let elsewhere = Service::token("ada", "c2", &[], true);
    let mut leaving = Vec::new();
    for (token, transport) in [(&ada, "websocket"), (&ada, "polling"), (&elsewhere, "websocket")] {
        leaving.push(Client::connected(&service.url, token, transport).await);
    }
    assert_eq!(leaving[0].ask("board:join", json!(1)).await["ok"], json!(true));
    let mut witness = Client::connected(&service.url, &bo, "websocket").await;
    assert_eq!(witness.ask("board:join", json!(1)).await["ok"], json!(true));
    // In one commit with what he would have been told.
    forum
        .run(
            "BEGIN; DELETE FROM users WHERE user_id = 'ada';
             INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'After', '', 1); COMMIT",
        )
        .await;
    for client in &mut leaving {
        assert_eq!(client.next().await, json!(["session:expired", {}]));
        assert_eq!(client.next().await, json!(["disconnect", "io server disconnect"]));
    }
    assert_eq!(witness.next().await[0], "board:postDeleted", "his post went with him");
    assert_eq!(witness.next().await[1]["post"]["title"], "After");
    let refused = Client::start(&service.url, &ada, "websocket").next().await;
    assert_eq!(refused, json!(["connect_error", "auth_invalid: the user of this token no longer exists"]));
    let later = Service::start(&forum.url()).await;
    let refused = Client::start(&later.url, &ada, "polling").next().await;
    assert_eq!(refused[0], "connect_error", "nor on a node that was not there");
    later.stop().await;
    // The forum signs him in again.
    forum.run("INSERT INTO users (user_id, name) VALUES ('ada', 'Ada')").await;
    Client::connected(&service.url, &ada, "websocket").await;
    assert_eq!(witness.ask("board:join", json!(2)).await["ok"], json!(true), "others stay");
    service.stop().await;
}
