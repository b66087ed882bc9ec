//! What strangers, mistaken clients and hostile ones get, and that everybody else does not notice.

use axum::http::{
    Method, StatusCode,
    header::{AUTHORIZATION, ORIGIN},
};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    postgres::Forum,
    service::{ALLOWED_ORIGIN, Service},
    wire::{Frames, Polling, http},
};

const POLL: &str = "/socket.io/?EIO=4&transport=polling";
const STRANGER: &str = "https://stranger.example";
/// The contract's longest message from a client.
const LONGEST: usize = 64 * 1024;

fn ada() -> String {
    Service::token("ada", "c1", &[], false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_pages_of_an_allowed_origin_connect() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    for stranger in [STRANGER, "null", "https://forum.example.stranger.example"] {
        assert_eq!(Frames::upgrade(&service.url, Some((ORIGIN, stranger))).await.err(), Some(StatusCode::FORBIDDEN));
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let answer = http(&service.url, method, POLL, &[("origin", stranger)], String::new()).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{stranger}");
            assert!(!answer.headers().contains_key("access-control-allow-origin"), "{stranger}");
            let told: Value = serde_json::from_str(answer.body()).expect("JSON");
            assert_eq!(told["code"], "origin_not_allowed");
        }
    }

    for friend in [ALLOWED_ORIGIN, &service.url] {
        let mut frames = Frames::upgrade(&service.url, Some((ORIGIN, friend))).await.expect("an upgrade");
        assert!(frames.next().await.is_some_and(|frame| frame.starts_with("0{")));
        let answer = http(&service.url, Method::GET, POLL, &[("origin", friend)], String::new()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["access-control-allow-origin"], friend);
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
        let preflight = [
            ("origin", friend),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        let answer = http(&service.url, Method::OPTIONS, POLL, &preflight, String::new()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["access-control-allow-methods"], "GET,POST");
        assert_eq!(answer.headers()["access-control-allow-headers"], "authorization,content-type");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_origin_it_is_no_browser_and_passes() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    Frames::connected(&service.url, &ada()).await;
    let answer = http(&service.url, Method::GET, POLL, &[], String::new()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    // The header in which a program may send its token.
    let bearer = format!("Bearer {}", ada());
    let mut frames = Frames::upgrade(&service.url, Some((AUTHORIZATION, &bearer))).await.expect("an upgrade");
    frames.send("40").await;
    while !frames.next().await.expect("a frame").contains("session:ready") {}
    service.stop().await;
}

/// `board:join` with an argument that makes the whole Engine.IO message `length` bytes long.
fn message_of(length: usize) -> String {
    let (before, after) = (r#"4277["board:join",""#, r#""]"#);
    format!("{before}{}{after}", "x".repeat(length - before.len() - after.len()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_may_be_64_kib_long_and_a_longer_one_closes_its_socket() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut other = Client::connected(&service.url, &ada(), "websocket").await;

    let mut frames = Frames::connected(&service.url, &ada()).await;
    frames.send(message_of(LONGEST)).await;
    assert!(frames.next().await.is_some_and(|frame| frame.contains("invalid_payload")));
    frames.send(message_of(LONGEST + 1)).await;
    assert_eq!(frames.next().await, None);

    let polling = Polling::connected(&service.url, &ada()).await;
    assert_eq!(polling.send(message_of(LONGEST)).await, StatusCode::OK);
    assert!(polling.poll().await.body().contains("invalid_payload"));
    assert_eq!(polling.send(message_of(LONGEST + 1)).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(polling.poll().await.status(), StatusCode::BAD_REQUEST, "the session is gone");

    let mut long = Client::connected(&service.url, &ada(), "websocket").await;
    long.tell("board:join", json!("x".repeat(LONGEST))).await;
    assert_eq!(long.next().await[0], "disconnect");
    assert_eq!(other.ask("board:join", json!(1)).await["ok"], json!(true));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_enters_is_sent_away() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("connect-timeout", "300ms")]).await;
    let mut entered = Frames::connected(&service.url, &ada()).await;
    let mut lingers = Frames::open(&service.url).await;
    assert_eq!(lingers.next().await, None);
    let polling = Polling::open(&service.url).await;
    while polling.poll().await.status() == StatusCode::OK {}
    assert_eq!(entered.ask("board:join", json!(1)).await["ok"], json!(true), "who has entered stays");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_told_its_code_and_a_reason() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    for (token, code) in [
        (String::new(), "auth_missing"),
        ("not.a.token".to_owned(), "auth_invalid"),
        (Service::forged_token(), "auth_invalid"),
        (ada().replace('.', ".."), "auth_invalid"),
        (Service::expired_token(), "auth_expired"),
    ] {
        for transport in ["websocket", "polling"] {
            refused(&service.url, &token, transport, code).await;
        }
    }
    for auth in ["", "{}", r#"{"token":7}"#, r#"{"token":null}"#, "[]", "7"] {
        let mut frames = Frames::open(&service.url).await;
        frames.send(format!("40{auth}")).await;
        let refused = frames.next().await;
        assert!(refused.is_some_and(|told| told.starts_with(r#"44{"message":"auth_missing: "#)), "{auth}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_service_refuses_to_guess() {
    let port = curia_scratch::Port::free().expect("a port");
    let service = Service::start(&format!("postgres://nobody@127.0.0.1:{}/forum", port.number())).await;
    refused(&service.url, &ada(), "websocket", "unavailable").await;
    refused(&service.url, &Service::expired_token(), "websocket", "auth_expired").await;
    service.stop().await;
}

/// Connects, and expects to be refused with `<code>: <readable text>`.
async fn refused(url: &str, token: &str, transport: &str, code: &str) {
    let refused = Client::start(url, token, transport).next().await;
    assert_eq!(refused[0], "connect_error");
    let (told, reason) = refused[1].as_str().and_then(|text| text.split_once(": ")).expect("a code and a reason");
    assert_eq!(told, code, "{reason}");
    assert!(reason.contains(' '), "words: {reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_arguments_are_refused_and_the_socket_lives_on() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("rate-join", "1000/1s"), ("rate-other", "1000/1s")]).await;
    let odd_ids =
        [json!(null), json!("one"), json!(1.5), json!(-1), json!([1]), json!({}), json!({"id": 1}), json!(true)];
    let mut cases: Vec<(&str, Value)> = Vec::new();
    for event in ["board:join", "board:leave", "post:join", "post:leave"] {
        cases.extend(odd_ids.iter().map(|argument| (event, argument.clone())));
    }
    cases.extend([
        ("board:join", json!({"boardId": 1, "typing": "yes"})),
        ("feed:join", json!(7)),
        ("feed:join", json!([])),
        // The names that the contract does not have.
        ("board:joined", json!(1)),
        ("no:such", json!(null)),
        ("", json!({})),
        ("session:ready", json!({"userId": "bo"})),
        ("__proto__", json!(1)),
    ]);
    for transport in ["websocket", "polling"] {
        let mut ada = Client::connected(&service.url, &ada(), transport).await;
        for (event, argument) in &cases {
            let answer = ada.ask(event, argument.clone()).await;
            assert_eq!(answer["ok"], json!(false), "{event} {argument}");
            assert_eq!(answer["error"]["code"], "invalid_payload", "{event} {argument}");
            let message = answer["error"]["message"].as_str().expect("a message");
            assert!(message.contains(' '), "{event} {argument}: {message}");

            ada.tell(event, argument.clone()).await;
            let told = ada.next().await;
            let error = json!({"code": "invalid_payload", "message": message, "event": event});
            assert_eq!(told, json!(["error", error]), "{event} {argument}");
        }
        assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_frames_do_no_harm() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut frames = Frames::connected(&service.url, &ada()).await;
    // An event with an attachment, as the protocol knows it.
    frames.send(r#"451-8["board:join",{"_placeholder":true,"num":0}]"#).await;
    frames.send_bytes(b"\x00\xff").await;
    let answer = frames.next().await.expect("a socket that lives on");
    assert!(answer.starts_with(r#"438[{"#) && answer.contains("invalid_payload"), "{answer}");
    assert_eq!(frames.ask("board:join", json!(1)).await["ok"], json!(true));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_packet_harms_nobody_but_its_sender() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut other = Client::connected(&service.url, &ada(), "websocket").await;
    for frame in [
        "",
        "9",
        "4",
        "4x",
        "42",
        "42[",
        "42[]",
        "42{}",
        "42[1]",
        "42null",
        "4299999999999999999999[\"board:join\",1]",
        "4377[1]",
        "43",
        "44{}",
        "42/other,[\"board:join\",1]",
        "45",
        "45999999-[\"board:join\"]",
        "6",
        "2probe",
        "0{}",
        "42[\"board:join\",\"\\ud800\"]",
        "\u{0}",
        "4\u{1e}42[\"board:join\",1]",
    ] {
        let mut frames = Frames::connected(&service.url, &ada()).await;
        frames.send(frame).await;
        // Whether the server has closed it by now is the library's choice.
        frames.close().await;
        assert_eq!(other.ask("board:join", json!(1)).await["ok"], json!(true), "after {frame:?}");
    }
    let mut frames = Frames::connected(&service.url, &ada()).await;
    // A binary frame that nothing announced.
    frames.send_bytes(b"\x00").await;
    frames.close().await;
    assert_eq!(other.ask("board:leave", json!(1)).await["ok"], json!(true));
    service.stop().await;
}
