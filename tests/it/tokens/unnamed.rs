//! Users who were deleted while nobody could name them.

use serde_json::{Value, json};
use sqlx::{Executor, PgPool};

use crate::support::{client::Client, postgres::Forum, service::Service};

fn token(user: &str) -> String {
    Service::token(user, "c1", &[], false)
}

fn refused() -> Value {
    json!(["connect_error", "auth_invalid: the user of this token no longer exists"])
}

async fn run(pool: &PgPool, statement: &'static str) {
    pool.execute(sqlx::raw_sql(statement)).await.expect("a statement that runs");
}

/// Those of `users` whom the service lets in.
async fn let_in(service: &Service, users: &[&'static str]) -> Vec<&'static str> {
    let mut let_in = Vec::new();
    for user in users {
        let mut client = Client::start(&service.url, &token(user), "websocket");
        let entered = client.next().await;
        if entered == json!(["connect"]) {
            let_in.push(*user);
        } else {
            assert_eq!(entered, refused(), "{user}");
        }
    }
    let_in
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_users_were_emptied_away_no_token_lets_anybody_in_who_is_not_there_again() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    // A token of somebody who never was there is good as long as nothing is known to be lost.
    assert_eq!(let_in(&service, &["ada", "bo", "never"]).await, ["ada", "bo", "never"]);
    run(&forum.pool, "TRUNCATE users CASCADE").await;
    while ada.next().await[0] != "disconnect" {}
    run(&forum.pool, "INSERT INTO users (user_id, name) VALUES ('bo', 'Bo')").await;
    assert_eq!(let_in(&service, &["ada", "bo", "cy", "bo"]).await, ["bo", "bo"]);
    let later = Service::start(&forum.url()).await;
    assert_eq!(let_in(&later, &["ada", "bo"]).await, ["bo"], "nor on a node that was not there");
    later.stop().await;
    // The forum signs her in again, and then she is deleted once more.
    run(&forum.pool, "INSERT INTO users (user_id, name) VALUES ('ada', 'Ada')").await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    run(&forum.pool, "DELETE FROM users WHERE user_id = 'ada'").await;
    assert_eq!(ada.next().await, json!(["session:expired", {}]));
    assert_eq!(let_in(&service, &["ada", "bo"]).await, ["bo"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_row_of_a_deletion_lets_nobody_in_unasked() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut bo = Client::connected(&service.url, &token("bo"), "websocket").await;
    run(
        &forum.pool,
        "BEGIN; DELETE FROM users WHERE user_id = 'ada'; DELETE FROM curia_realtime.outbox WHERE kind = 'user_deleted';
         INSERT INTO curia_realtime.outbox (kind, data) VALUES ('user_deleted', '{\"user_id\": 7}');
         SELECT pg_notify('curia_realtime', ''); COMMIT",
    )
    .await;
    while bo.next().await[0] != "disconnect" {}
    assert_eq!(let_in(&service, &["ada", "bo"]).await, ["bo"]);
    let later = Service::start(&forum.url()).await;
    assert_eq!(let_in(&later, &["ada", "bo"]).await, ["bo"], "nor on a node that was not there");
    later.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_new_epoch_nobody_is_let_in_unasked() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut bo = Client::connected(&service.url, &token("bo"), "websocket").await;
    // As where a server went back: the deletion is in nobody's outbox.
    run(
        &forum.pool,
        "BEGIN; DELETE FROM users WHERE user_id = 'ada'; DELETE FROM curia_realtime.outbox WHERE kind = 'user_deleted';
         WITH begun AS (INSERT INTO curia_realtime.epoch (reason) VALUES ('a test') RETURNING id)
         INSERT INTO curia_realtime.tick (epoch, n, snapshot) SELECT id, 0, pg_current_snapshot() FROM begun;
         SELECT pg_notify('curia_realtime', ''); COMMIT",
    )
    .await;
    while bo.next().await[0] != "disconnect" {}
    assert_eq!(let_in(&service, &["ada", "bo"]).await, ["bo"]);
    let later = Service::start(&forum.url()).await;
    assert_eq!(let_in(&later, &["ada", "bo"]).await, ["bo"], "nor on a node that began in it");
    later.stop().await;
    service.stop().await;
}
