//! Somebody who is deleted while he comes in.

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use curia_realtime::{
    actor::Actor,
    contract::ErrorCode,
    dispatch::{Dispatcher, Options, Patience, Reached},
    gateway::Gateway,
    history::Bounds,
    ids::{Place, SocketKey},
    postgres::{
        facts::PostgresFacts,
        outbox::{Found, OutboxReader},
    },
    socket::{Members, Pending, SocketSink},
    versions::Versions,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::support::postgres::Forum;

const CONTENT_LIMIT: usize = 1_000;

fn actor(user: &str) -> Actor {
    Actor {
        user: user.into(),
        community: "c1".into(),
        roles: [].into(),
        admin: false,
        name: None,
        picture: None,
        device: None,
        expires_at: Utc::now() + TimeDelta::hours(1),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_deleted_between_the_door_and_his_seat_is_refused() {
    let forum = Forum::captured().await;
    let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
    let (epoch, tick) = reader.position();
    let versions = Arc::new(Versions::default());
    let (batches, batch) = mpsc::channel(1);
    let (requests, request) = mpsc::channel(1);
    let (recall, _recalled) = mpsc::channel(1);
    let begun = Place::end_of(tick);
    let (reached, mut watched) = watch::channel(Reached { epoch, told: begun, floor: begun });
    let options = Options {
        max_rooms: 10,
        merge_window: Duration::from_millis(50),
        history: Bounds { records: 10, size: 1_000, missed: 10 },
        patience: Patience { offline_grace: Duration::ZERO, typing_silence: Duration::ZERO, told_a_second: 1 },
    };
    let sink = SocketSink(Members::new(Pending { bytes: 1_000, frames: 10 }));
    let dispatcher = Dispatcher::new(sink, Arc::clone(&versions), &options, epoch, tick).reporting(reached);
    let stop = CancellationToken::new();
    let running = tokio::spawn(dispatcher.run(batch, request, stop.clone()));
    let facts = PostgresFacts { pool: forum.pool.clone(), reached: watched.clone() };
    let gateway = Gateway::new(facts, versions, requests, watched.clone(), recall);

    let (ada, bo) = (actor("ada"), actor("bo"));
    let greeted = gateway.greet(&ada).await.expect("she is there");
    let greeted_too = gateway.greet(&bo).await.expect("he is there");
    forum.run("DELETE FROM users WHERE user_id = 'ada'").await;
    let Found::Page(deleted) = reader.next(true).await.expect("a reading") else { panic!("a tick of the deletion") };
    let told = Place::end_of(deleted.tick);
    batches.send(deleted).await.expect("a dispatcher");
    watched.wait_for(|reached| reached.told >= told).await.expect("a dispatcher");
    let refused = gateway.connect(SocketKey(1), &ada, greeted).await.expect_err("she is there no longer");
    assert_eq!(refused.code, ErrorCode::AuthInvalid);
    gateway.connect(SocketKey(2), &bo, greeted_too).await.expect("he still is");
    stop.cancel();
    running.await.expect("an end");
}
