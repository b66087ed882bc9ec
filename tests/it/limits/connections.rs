//! Connections of one user, of one address and of everybody: refused beyond the limit, given back whichever way one ends.

use std::time::Duration;

use axum::http::HeaderName;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    runtime::Handle,
    time::{sleep, timeout},
};

use super::token;
use crate::support::{
    client::Client,
    postgres::Forum,
    service::Service,
    store::{Store, on_both_stores},
    wire::{Frames, Polling},
};

/// Tells hanging from working.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

on_both_stores! {
    a_user_has_as_many_connections_as_may_be_and_what_ends_is_given_back,
    a_socket_that_dies_on_its_way_in_keeps_no_place,
    who_leaves_as_soon_as_he_is_let_in_keeps_no_place,
}

/// Connects, and expects to be refused for being one too many.
pub(super) async fn is_refused(url: &str, token: &str, transport: &str) {
    let refused = Client::start(url, token, transport).next().await;
    assert_eq!(refused[0], "connect_error", "{refused}");
    assert!(refused[1].as_str().is_some_and(|told| told.starts_with("rate_limited: ") && told.len() > 30), "{refused}");
}

async fn a_user_has_as_many_connections_as_may_be_and_what_ends_is_given_back(store: &Store) {
    let forum = Forum::captured().await;
    let node = store.serving(&forum, &["--connections-per-user", "2", "--drain", "100ms"]).await;
    for transport in ["websocket", "polling"] {
        let first = Client::connected(&node.url, &token("ada"), transport).await;
        let mut second = Client::connected(&node.url, &token("ada"), transport).await;
        is_refused(&node.url, &token("ada"), transport).await;
        let bo = Client::connected(&node.url, &token("bo"), transport).await;
        // Who is there does not notice.
        assert_eq!(second.ask("board:join", json!(1)).await["ok"], json!(true));
        drop(bo);
        drop(first);
        // A client that polls and is gone without a word is one for a ping longer.
        if transport == "websocket" {
            node.until_metric("curia_sockets", 1.0).await;
            let third = Client::connected(&node.url, &token("ada"), transport).await;
            is_refused(&node.url, &token("ada"), transport).await;
            drop((second, third));
            node.until_metric("curia_sockets", 0.0).await;
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_connections_of_a_user_are_the_default_and_addresses_are_not_counted() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut there = Vec::new();
    for _ in 0..50 {
        there.push(Frames::connected(&service.url, &token("ada")).await);
    }
    is_refused(&service.url, &token("ada"), "websocket").await;
    for nth in 0..10 {
        there.push(Frames::connected(&service.url, &token(&format!("user {nth}"))).await);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_fails_keeps_no_place() {
    let port = curia_scratch::Port::free().expect("a port");
    let one = [("connections-per-user", "1"), ("connections-per-address", "1")];
    let service = Service::start_with(&format!("postgres://nobody@127.0.0.1:{}/forum", port.number()), &one).await;
    // At each of its steps: no token, a wrong one, and one that is good while the database is away.
    for token in [String::new(), Service::forged_token(), Service::expired_token(), token("ada"), token("ada")] {
        let refused = Client::start(&service.url, &token, "websocket").next().await;
        assert_eq!(refused[0], "connect_error");
        assert!(!refused[1].as_str().expect("a reason").starts_with("rate_limited"), "{refused}");
    }
    service.stop().await;
}

async fn a_socket_that_dies_on_its_way_in_keeps_no_place(store: &Store) {
    let forum = Forum::captured().await;
    let places = ["--connections-per-user", "1", "--connections-per-address", "1"];
    let flags = [&places[..], &["--rate-connect", "10000/1s", "--drain", "100ms"]].concat();
    let node = store.serving(&forum, &flags).await;
    let connect = format!("40{}", json!({"token": token("ada")}));
    for nth in 0..40 {
        let mut frames = Frames::open(&node.url).await;
        frames.send(connect.clone()).await;
        for _ in 0..nth % 4 {
            tokio::task::yield_now().await;
        }
        // Without a word, at one moment or another of the handshake.
        drop(frames);
        let polling = Polling::open(&node.url).await;
        polling.send(format!("{connect}\u{1e}1")).await;
    }
    let entering = async {
        loop {
            let mut client = Client::start(&node.url, &token("ada"), "websocket");
            match client.next().await[0].as_str() {
                Some("connect") => return client,
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let ada = timeout(PATIENCE, entering).await.expect("a place");
    is_refused(&node.url, &token("ada"), "websocket").await;
    drop(ada);
    node.until_metric("curia_sockets", 0.0).await;
    node.stop().await;
}

async fn who_leaves_as_soon_as_he_is_let_in_keeps_no_place(store: &Store) {
    let forum = Forum::captured().await;
    let node = store.serving(&forum, &["--rate-connect", "10000/1s", "--drain", "100ms"]).await;
    for round in 0..10 {
        let leaving = (0..40).map(async |nth| {
            let mut frames = Frames::open(&node.url).await;
            frames.send(format!("40{}", json!({"token": token(&format!("u{round}-{nth}"))}))).await;
            // The answer may come before the server takes him to be connected.
            assert!(frames.next().await.is_some_and(|frame| frame.starts_with("40")));
            frames.send("41").await;
            frames.close().await;
        });
        join_all(leaving).await;
    }
    node.until_metric("curia_sockets", 0.0).await;
    node.stop().await;
}

/// What a client is told that comes with this header, and its connection.
async fn from(url: &str, user: &str, forwarded: &str) -> (String, Frames) {
    let mut frames = Frames::upgrade(url, Some((FORWARDED, forwarded))).await.expect("an upgrade");
    frames.send(format!("40{}", json!({"token": token(user)}))).await;
    loop {
        let frame = frames.next().await.expect("an answer");
        if frame.starts_with("40") || frame.starts_with("44") {
            let told: Value = serde_json::from_str(&frame[2..]).expect("JSON");
            return (told["message"].as_str().unwrap_or("connected").to_owned(), frames);
        }
    }
}

fn is_too_many(told: &str) -> bool {
    told.starts_with("rate_limited: ") && told.contains("address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_as_many_as_may_be_and_is_not_made_up() {
    let forum = Forum::captured().await;
    let limited = [("connections-per-address", "1"), ("trusted-proxies", "127.0.0.1,10.0.0.0/8")];
    let service = Service::start_with(&forum.url(), &limited).await;
    let (told, _first) = from(&service.url, "ada", "192.0.2.1").await;
    assert_eq!(told, "connected");
    // Another user of the same address, however much he writes before what the proxies add.
    for same in ["192.0.2.1", "198.51.100.7, 192.0.2.1", "198.51.100.7, 192.0.2.1, 10.0.0.1", "[::ffff:192.0.2.1]:80"] {
        let (told, _) = from(&service.url, "bo", same).await;
        assert!(is_too_many(&told), "{same}: {told}");
    }
    let (told, _second) = from(&service.url, "bo", "192.0.2.1, 192.0.2.2").await;
    assert_eq!(told, "connected", "from elsewhere");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_header_of_somebody_who_is_no_proxy_is_not_believed() {
    let forum = Forum::captured().await;
    for proxies in [&[][..], &[("trusted-proxies", "10.0.0.0/8")]] {
        let limited = [&[("connections-per-address", "1")], proxies].concat();
        let service = Service::start_with(&forum.url(), &limited).await;
        let (told, _first) = from(&service.url, "ada", "192.0.2.1").await;
        assert_eq!(told, "connected");
        let (told, _) = from(&service.url, "bo", "192.0.2.2").await;
        assert!(is_too_many(&told), "{told}");
        is_refused(&service.url, &token("bo"), "polling").await;
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_there_may_be_are_closed_unread() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("max-connections", "2")]).await;
    let mut ada = Frames::connected(&service.url, &token("ada")).await;
    let _bo = Frames::connected(&service.url, &token("bo")).await;
    let mut third = TcpStream::connect(service.url.trim_start_matches("http://")).await.expect("the kernel's answer");
    let read = timeout(PATIENCE, third.read(&mut [0; 1])).await.expect("an end");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_serves_a_socket_ends_with_it() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let visit = async || {
        let mut frames = Frames::connected(&service.url, &token("ada")).await;
        assert_eq!(frames.ask("board:join", json!(1)).await["ok"], json!(true));
        frames.close().await;
    };
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..30 {
        visit().await;
    }
    let ending = async {
        // Some begin with the first visit and stay.
        while tasks() > before + 10 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, ending).await.unwrap_or_else(|_| panic!("{} tasks instead of {before}", tasks()));
    service.stop().await;
}
