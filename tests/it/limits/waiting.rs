//! The queue of one socket's commands: bounded, and whoever is refused is told when to ask again.

use std::time::Duration;

use serde_json::{Value, json};

use super::{refused_for, token};
use crate::support::{postgres::Forum, service::Service, wire::Frames};

/// More than may wait and one that is being served.
const SENT: usize = 170;
const REFUSED: usize = SENT - 161;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_longer_fits_the_queue_is_told_when_to_come_again() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("rate-join", "10000/1s")]).await;
    let mut ada = Frames::connected(&service.url, &token("ada")).await;
    // The first join waits for its facts, and the others for it.
    let mut lock = forum.pool.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK TABLE boards, communities").execute(&mut *lock).await.expect("a lock");
    for _ in 0..SENT {
        ada.send(format!("421{}", json!(["board:join", 1]))).await;
    }
    for _ in 0..REFUSED {
        let answer = ada.next().await.expect("an answer");
        let answer: Value = serde_json::from_str(answer.strip_prefix("431").expect("an answer")).expect("JSON");
        assert_eq!(refused_for(&answer[0]), Some(Duration::from_secs(1)), "{answer}");
    }
    lock.rollback().await.expect("an end of the lock");
    service.stop().await;
}
