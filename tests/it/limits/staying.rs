//! Whoever has left the namespace and keeps his connection: it counts until it is ended for him.

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::json;
use tokio::time::timeout;

use super::{
    connections::{PATIENCE, is_refused},
    token,
};
use crate::support::{
    client::Client,
    postgres::Forum,
    service::Service,
    store::{Store, on_both_stores},
    wire::{Frames, Polling},
};

/// What the client says to leave the namespace.
const DISCONNECT: &str = "41";

on_both_stores! {
    a_connection_counts_until_it_is_closed_for_whoever_leaves_and_stays,
    whoever_leaves_and_goes_on_polling_is_sent_away,
    a_session_that_has_expired_is_told_so_and_then_closed,
}

async fn node(store: &Store, forum: &Forum) -> Service {
    store.service(forum, &[("connections-per-user", "2"), ("rate-connect", "10000/1s")]).await
}

/// A place is free a moment after its connection has ended.
async fn comes_in(service: &Service, user: &str) -> Frames {
    let entering = async {
        loop {
            let mut frames = Frames::open(&service.url).await;
            frames.send(format!("40{}", json!({"token": token(user)}))).await;
            if frames.next().await.is_some_and(|frame| frame.starts_with("40")) {
                return frames;
            }
        }
    };
    timeout(PATIENCE, entering).await.expect("a place")
}

/// What it is told until its connection ends, though it answers every ping.
async fn told_until_the_end(frames: &mut Frames) -> Vec<String> {
    let mut told = Vec::new();
    let reading = async {
        while let Some(frame) = frames.next().await {
            told.push(frame);
        }
    };
    timeout(PATIENCE, reading).await.expect("an end of the connection");
    told
}

async fn a_connection_counts_until_it_is_closed_for_whoever_leaves_and_stays(store: &Store) {
    let forum = Forum::captured().await;
    let service = node(store, &forum).await;
    for _ in 0..2 {
        let mut stay = Vec::new();
        for _ in 0..2 {
            let mut frames = comes_in(&service, "ada").await;
            frames.send(DISCONNECT).await;
            stay.push(frames);
        }
        for _ in 0..8 {
            let mut frames = Frames::open(&service.url).await;
            frames.send(format!("40{}", json!({"token": token("ada")}))).await;
            let refused = frames.next().await.expect("an answer");
            assert!(refused.contains("rate_limited: this user has 2 connections"), "{refused}");
        }
        for frames in &mut stay {
            let told = told_until_the_end(frames).await;
            assert!(told.iter().all(|frame| frame.starts_with(r#"42["session:ready""#)), "{told:?}");
        }
    }
    // Also when the same connection is used to come again.
    let mut frames = Frames::connected(&service.url, &token("bo")).await;
    frames.send(DISCONNECT).await;
    frames.send(format!("40{}", json!({"token": token("bo")}))).await;
    told_until_the_end(&mut frames).await;
    comes_in(&service, "bo").await;
    service.stop().await;
}

async fn whoever_leaves_and_goes_on_polling_is_sent_away(store: &Store) {
    let forum = Forum::captured().await;
    let service = node(store, &forum).await;
    let stay =
        [Polling::connected(&service.url, &token("ada")).await, Polling::connected(&service.url, &token("ada")).await];
    for polling in &stay {
        assert_eq!(polling.send(DISCONNECT.to_owned()).await, StatusCode::OK);
    }
    is_refused(&service.url, &token("ada"), "polling").await;
    let ending = async {
        for polling in &stay {
            while polling.poll().await.status() == StatusCode::OK {
                let _ = polling.send("3".to_owned()).await;
            }
        }
    };
    timeout(PATIENCE, ending).await.expect("an end of both sessions");
    comes_in(&service, "ada").await;
    service.stop().await;
}

async fn a_session_that_has_expired_is_told_so_and_then_closed(store: &Store) {
    let forum = Forum::captured().await;
    let service = node(store, &forum).await;
    let short = Service::token_for("ada", "c1", &[], false, TimeDelta::seconds(2));
    let mut stay = [Frames::connected(&service.url, &short).await, Frames::connected(&service.url, &short).await];
    for frames in &mut stay {
        let told = told_until_the_end(frames).await;
        let expected = [r#"42["session:expired",{}]"#, DISCONNECT];
        assert_eq!(told.iter().skip(1).map(String::as_str).collect::<Vec<_>>(), expected, "{told:?}");
    }
    comes_in(&service, "ada").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_disconnects_and_connects_as_often_as_it_likes() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    for transport in ["websocket", "polling"] {
        let mut ada = Client::connected(&service.url, &token("ada"), transport).await;
        for _ in 0..5 {
            ada.come_again().await;
            assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true), "{transport}");
        }
    }
    service.stop().await;
}
