//! A server that is told to go: its clients hear when, lose nothing until then, and find another.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use futures_util::{FutureExt, future::join_all};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    client::Client,
    postgres::Forum,
    program::{Serving, count},
    proxy::Proxy,
    service::Service,
    wire::{Frames, Polling, http},
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any test waits.
const ENDLESS: (&str, &str) = ("drain", "1h");
const POLL: &str = "/socket.io/?EIO=4&transport=polling";

fn ada() -> String {
    Service::token("ada", "c1", &[], false)
}

async fn post(forum: &Forum, title: &str) {
    sqlx::query("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', $1, '', 1)")
        .bind(title)
        .execute(&forum.pool)
        .await
        .expect("a post");
}

/// The time in `server:draining`, which has to be what happened.
fn time_in(happened: &Value) -> Duration {
    assert_eq!(happened[0], "server:draining", "{happened}");
    Duration::from_millis(happened[1]["reconnectInMs"].as_u64().expect("milliseconds"))
}

/// When it was told to go, and when it was sent away, reckoned from `began`.
struct SentAway {
    told: Duration,
    gone: Duration,
}

async fn official(mut client: Client, began: Instant, reason: &str) -> SentAway {
    let told = time_in(&client.next().await);
    assert_eq!(client.next().await, json!(["disconnect", reason]));
    SentAway { told, gone: began.elapsed() }
}

async fn raw(mut frames: Frames, began: Instant) -> SentAway {
    let frame = frames.next().await.expect("the news");
    let told = time_in(&serde_json::from_str(frame.trim_start_matches("42")).expect("JSON"));
    assert_eq!(frames.next().await, None);
    SentAway { told, gone: began.elapsed() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_socket_is_told_a_time_of_its_own_and_sent_away_then() {
    let forum = Forum::captured().await;
    let window = Duration::from_secs(4);
    let service = Service::start_with(&forum.url(), &[("drain", "4s")]).await;
    let (mut clients, mut strangers) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        // The reasons after which the official client comes back by itself.
        for (transport, reason) in [("websocket", "transport close"), ("polling", "transport error")] {
            clients.push((Client::connected(&service.url, &ada(), transport).await, reason));
        }
        for _ in 0..8 {
            strangers.push(Frames::connected(&service.url, &ada()).await);
        }
    }

    let began = Instant::now();
    service.leave();
    let official = clients.into_iter().map(|(client, reason)| official(client, began, reason).boxed());
    let raw = strangers.into_iter().map(|frames| raw(frames, began).boxed());
    let all = join_all(official.chain(raw)).await;
    timeout(PATIENCE, service.ended()).await.expect("an end");

    let mut fifths = [0; 5];
    for SentAway { told, gone } in &all {
        assert!(*told <= window, "{told:?} is behind the window");
        assert!(gone >= told, "sent away after {gone:?}, before its time of {told:?}");
        assert!(*gone < *told + PATIENCE, "its time of {told:?} was long over after {gone:?}");
        fifths[usize::try_from(told.as_millis() * 5 / (window.as_millis() + 1)).expect("a fifth")] += 1;
    }
    assert_eq!(all.len(), 20);
    assert!(fifths.iter().all(|count| (2..=6).contains(count)), "not spread over the window: {fifths:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_its_time_a_socket_is_served_and_told_everything() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[ENDLESS]).await;
    let mut clients = Vec::new();
    for transport in ["websocket", "polling"] {
        clients.push(Client::connected(&service.url, &ada(), transport).await);
    }
    service.leave();
    for client in &mut clients {
        time_in(&client.next().await);
        assert_eq!(client.ask("board:join", json!(1)).await["ok"], json!(true));
    }
    for title in ["one", "two", "three"] {
        post(&forum, title).await;
        for client in &mut clients {
            assert_eq!(client.next().await[1]["post"]["title"], title);
        }
    }
    timeout(PATIENCE, service.stop()).await.expect("told to stop it does not wait for the window");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_alive_and_not_ready_and_opens_no_session() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[ENDLESS]).await;
    let mut frames = Frames::connected(&service.url, &ada()).await;
    let polling = Polling::open(&service.url).await;
    service.leave();
    assert!(frames.next().await.is_some_and(|frame| frame.contains("server:draining")));

    let get = async |path: &str| http(&service.url, Method::GET, path, &[], String::new()).await;
    assert_eq!(get("/healthz").await.status(), StatusCode::OK);
    let ready = get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.body().contains("draining"), "{}", ready.body());

    assert_eq!(Frames::upgrade(&service.url, None).await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(get(POLL).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    for transport in ["websocket", "polling"] {
        assert_eq!(Client::start(&service.url, &ada(), transport).next().await[0], "connect_error");
    }
    // Who was on his way in gets no further.
    assert_eq!(polling.send(format!("40{}", json!({"token": ada()}))).await, StatusCode::OK);
    loop {
        let answer = polling.poll().await;
        if answer.status() != StatusCode::OK {
            break;
        }
        assert!(!answer.body().contains("session:ready"), "{}", answer.body());
    }
    assert_eq!(frames.ask("board:join", json!(1)).await["ok"], json!(true), "who is here stays");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_as_soon_as_nobody_is_left() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[ENDLESS]).await;
    service.leave();
    timeout(PATIENCE, service.ended()).await.expect("there is nobody to wait for");

    let service = Service::start_with(&forum.url(), &[ENDLESS]).await;
    let mut frames = Frames::connected(&service.url, &ada()).await;
    service.leave();
    assert!(frames.next().await.is_some_and(|frame| frame.contains("server:draining")));
    frames.close().await;
    timeout(PATIENCE, service.ended()).await.expect("the last has gone before his time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_takes_its_leave_quickly() {
    let forum = Forum::empty().await;
    let service = Service::demo(&forum.url()).await;
    let mut visitor = Client::connected(&service.url, &ada(), "websocket").await;
    service.leave();
    assert!(time_in(&visitor.next().await) < Duration::from_millis(500));
    timeout(PATIENCE, service.ended()).await.expect("an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sigterm_it_exits_within_the_window_though_a_client_never_reads() {
    let forum = Forum::captured().await;
    let program = Serving::start(&forum.url(), &["--drain", "1s", "--stall-timeout", "1h"]).await;
    let mut deaf = Frames::connected_narrowly(&program.url, &ada()).await;
    assert_eq!(deaf.ask("board:join", json!(1)).await["ok"], json!(true));
    let mut other = Frames::connected(&program.url, &ada()).await;
    assert_eq!(other.ask("board:join", json!(1)).await["ok"], json!(true));
    forum
        .run(
            "INSERT INTO posts (author_user_id, title, content, board_id)
             SELECT 'cy', 'Flood', repeat('x', 16000), 1 FROM generate_series(1, 100)",
        )
        .await;
    for _ in 0..100 {
        other.next().await.expect("a post");
    }
    assert_eq!(program.metric("curia_sockets").await, Some(2.0), "it waits for what it does not read");
    program.terminate();
    assert_eq!(program.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_ends_it_at_once() {
    let forum = Forum::captured().await;
    let program = Serving::start(&forum.url(), &["--drain", "1h"]).await;
    let mut ada = Client::connected(&program.url, &ada(), "websocket").await;
    program.terminate();
    time_in(&ada.next().await);
    program.terminate();
    assert_eq!(ada.next().await, json!(["disconnect", "transport close"]));
    assert_eq!(program.ended().await, Some(0));
}

/// A client that comes back by itself, in board 1, through a proxy.
async fn joined(proxy: &Proxy, transport: &str) -> Client {
    let mut client = Client::start_returning(&proxy.url, &ada(), transport);
    client.has_entered().await;
    assert_eq!(client.ask("board:join", json!(1)).await["ok"], json!(true));
    client
}

async fn moves_over_on_a_rolling_restart(transport: &str) {
    let forum = Forum::captured().await;
    let old = Service::start_with(&forum.url(), &[("drain", "4s")]).await;
    let new = Service::start(&forum.url()).await;
    let proxy = Proxy::before(&old.url).await;
    let mut client = joined(&proxy, transport).await;
    post(&forum, "before").await;
    assert_eq!(client.next().await[1]["post"]["title"], "before");

    old.leave();
    post(&forum, "meanwhile").await;
    // The two are told by different tasks.
    let mut heard = [client.next().await, client.next().await];
    heard.sort_by_key(|happened| happened[0] == "server:draining");
    assert_eq!(heard[0][1]["post"]["title"], "meanwhile");
    let since = &heard[0][2]["cursor"];
    time_in(&heard[1]);
    assert_eq!(client.next().await[0], "disconnect");
    post(&forum, "on the way").await;
    // Not before: who polls has to come to the server of his session.
    proxy.lead_to(&new.url);
    timeout(PATIENCE, old.ended()).await.expect("an end");
    loop {
        let happened = client.next().await;
        if happened[0] == "connect" {
            break;
        }
        assert_eq!(happened[0], "connect_error", "the old one may have turned it away before: {happened}");
    }
    assert_eq!(client.next().await[0], "session:ready");
    client.emit("board:join", json!({"boardId": 1, "since": since})).await;
    // Missed, or live where the new one tells it only then.
    let mut heard = [client.next().await, client.next().await];
    heard.sort_by_key(|happened| happened[0] == "ack");
    assert_eq!(heard[0][1]["post"]["title"], "on the way", "{heard:?}");
    assert_eq!((&heard[1][0], &heard[1][2]["recovered"]), (&json!("ack"), &json!(true)), "{heard:?}");
    for title in ["after", "and after"] {
        post(&forum, title).await;
        assert_eq!(client.next().await[1]["post"]["title"], title);
    }
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_rolling_restart_a_websocket_moves_over_by_itself() {
    moves_over_on_a_rolling_restart("websocket").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_rolling_restart_who_polls_moves_over_by_itself() {
    moves_over_on_a_rolling_restart("polling").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_the_end_of_leaving_and_why_everybody_was_sent_away_before() {
    let forum = Forum::captured().await;
    let program = Serving::start(&forum.url(), &["--drain", "200ms"]).await;
    program.until_ready().await;
    let ada = Frames::connected(&program.url, &ada()).await;
    forum.run("TRUNCATE votes").await;
    program.until_said("the table votes was emptied (TRUNCATE)").await;
    forum.run("INSERT INTO curia_realtime.epoch (reason) VALUES ('a test'); INSERT INTO curia_realtime.tick (epoch, n, snapshot) SELECT id, 0, pg_current_snapshot() FROM curia_realtime.epoch ORDER BY started_at DESC LIMIT 1").await;
    program.until_said("every socket has to come back").await;
    program.until_said("a new epoch of the stream has begun").await;
    program.until_said("\"reason\":\"a test\"").await;
    drop(ada);
    program.until_metric("curia_sockets", 0.0).await;
    let _bo = Frames::connected(&program.url, &self::ada()).await;
    let log = program.stop().await;
    assert_eq!(count(&log, "everybody is away"), 1, "{log:?}");
}
