//! Tokens that are worth nothing: each is refused with its code, and no line of the log holds anything of it.

use axum::http::{StatusCode, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::keys::{claims, fixture, private};
use crate::support::{
    client::Client,
    postgres::Forum,
    program::Serving,
    service::{SECRET, Service},
    wire::{Frames, Polling},
};

/// What must not be read in any log.
const MARK: &str = "mark-of-a-token-that-nobody-may-read";

/// Letters of a token that nobody writes by chance.
const PIECE: usize = 32;
/// Everything is logged.
const ALL: [&str; 4] =
    ["--rust-log", "trace,socketioxide=trace,engineioxide=trace", "--rate-session-refresh", "1000/1s"];
/// A longer one finds no place in a request's head, which is at most 16 KiB long.
const FITS_A_HEADER: usize = 15_000;
/// So that a token of 100 KB comes as far as being a token.
const LONG_MESSAGES: [&str; 2] = ["--max-message-size", "1MiB"];

/// The claims with others in their place; `null` takes one out.
fn claimed(with: Value) -> Value {
    let mut claims = claims();
    claims["name"] = json!(MARK);
    for (name, value) in with.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    claims
}

fn hs256(with: Value, secret: &str) -> String {
    signed(Algorithm::HS256, with, secret.as_bytes())
}

fn signed(algorithm: Algorithm, with: Value, secret: &[u8]) -> String {
    let key = EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&Header::new(algorithm), &claimed(with), &key).expect("a token")
}

/// Without a signature, whatever the header says.
fn unsigned(header: Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&header), part(&claimed(json!({}))))
}

/// Of a service that takes secrets.
fn refused_by_secret() -> Vec<(&'static str, String, &'static str)> {
    let of = |with| hs256(with, SECRET);
    let mut table = vec![
        ("alg none", unsigned(json!({"alg": "none"})), "auth_invalid"),
        ("alg None", unsigned(json!({"alg": "None", "typ": "JWT"})), "auth_invalid"),
        ("no signature", unsigned(json!({"alg": "HS256"})), "auth_invalid"),
        ("wrong secret", hs256(json!({}), "a secret that was made up by somebody else"), "auth_invalid"),
        ("another algorithm", signed(Algorithm::HS512, json!({}), SECRET.as_bytes()), "auth_invalid"),
        ("expired", of(json!({"exp": Utc::now().timestamp() - 1})), "auth_expired"),
        ("no exp", of(json!({"exp": null})), "auth_invalid"),
        ("not yet", of(json!({"nbf": Utc::now().timestamp() + 60})), "auth_invalid"),
        ("too long", of(json!({"name": MARK.repeat(1_000)})), "auth_invalid"),
        ("too long, but not for a header", of(json!({"name": MARK.repeat(220)})), "auth_invalid"),
        ("100 KB", of(json!({"name": MARK.repeat(2_200)})), "auth_invalid"),
        ("nothing", String::new(), "auth_missing"),
    ];
    for (name, value) in [
        ("exp", json!("tomorrow")),
        ("exp", json!([1])),
        ("sub", json!(7)),
        ("sub", json!(null)),
        ("sub", json!("ada\n")),
        ("cid", json!("c1\u{0}")),
        ("cid", json!({"id": "c1"})),
        ("roles", json!("crew")),
        ("roles", json!([1])),
        ("roles", json!(["crew\u{7}"])),
        ("adm", json!("true")),
        ("name", json!(1)),
        ("picture", json!(false)),
        ("uid", json!("tab\u{1b}[0m")),
    ] {
        table.push(("a claim of another type or with a control character", of(json!({name: value})), "auth_invalid"));
    }
    table
}

/// Of a service that takes public keys: the key of `rsa.pem`.
fn refused_by_key() -> Vec<(&'static str, String, &'static str)> {
    let public = std::fs::read(fixture("rsa.pub.pem")).expect("a key");
    let der = pem::parse(&public).expect("PEM").into_contents();
    let other = jsonwebtoken::encode(
        &Header::new(Algorithm::RS256),
        &claimed(json!({})),
        &private("rsa-other.pem", Algorithm::RS256),
    );
    let expired = jsonwebtoken::encode(
        &Header::new(Algorithm::RS256),
        &claimed(json!({"exp": 1})),
        &private("rsa.pem", Algorithm::RS256),
    );
    vec![
        ("the public key as secret", signed(Algorithm::HS256, json!({}), &public), "auth_invalid"),
        ("its bytes as secret", signed(Algorithm::HS256, json!({}), &der), "auth_invalid"),
        ("a secret where none is", hs256(json!({}), SECRET), "auth_invalid"),
        ("alg none", unsigned(json!({"alg": "none"})), "auth_invalid"),
        ("no signature", unsigned(json!({"alg": "RS256"})), "auth_invalid"),
        ("another key", other.expect("a token"), "auth_invalid"),
        ("expired", expired.expect("a token"), "auth_expired"),
    ]
}

async fn all_are_refused_and_none_is_logged(
    variables: &[(&str, &str)],
    good: &str,
    table: &[(&'static str, String, &'static str)],
) {
    let forum = Forum::captured().await;
    let serving = Serving::start_with(&forum.url(), variables, &[&ALL, &LONG_MESSAGES[..]].concat()).await;
    serving.until_ready().await;
    let mut ada = Client::connected(&serving.url, good, "websocket").await;
    for transport in ["websocket", "polling"] {
        for (what, token, code) in table {
            let refused = Client::start(&serving.url, token, transport).next().await;
            let message = refused[1].as_str().expect("a message");
            assert_eq!((&refused[0], message.split(':').next()), (&json!("connect_error"), Some(*code)), "{what}");
            assert!(!message.contains(MARK), "{message}");
        }
    }
    let mut too_long = 0;
    for (what, token, code) in table.iter().filter(|(_, token, _)| token.len() < FITS_A_HEADER) {
        too_long += usize::from(token.len() > 8 * 1024);
        for refused in refused_by_header(&serving.url, token).await {
            let message = refused["message"].as_str().expect("a message");
            assert_eq!(message.split(':').next(), Some(*code), "{what}, in a header");
            assert!(!message.contains(MARK), "{message}");
        }
    }
    assert_eq!(too_long, table.iter().filter(|(what, ..)| what.contains("not for a header")).count());
    for (what, token, code) in table {
        let refused = ada.ask("session:refresh", json!({"token": token})).await;
        assert_eq!(refused["error"]["code"], *code, "{what}");
    }
    drop(ada);
    let tokens: Vec<_> = table.iter().map(|(what, token, _)| (*what, token.as_str())).collect();
    none_is_in(&serving.stop().await, &tokens);
}

/// What is said, on either transport, to who sends a token in the header of his first request.
async fn refused_by_header(url: &str, token: &str) -> [Value; 2] {
    let bearer = format!("Bearer {token}");
    let mut frames = Frames::upgrade(url, Some((AUTHORIZATION, &bearer))).await.expect("an upgrade");
    frames.send("40").await;
    let polling = Polling::open_with(url, &[(AUTHORIZATION.as_str(), &bearer)]).await;
    assert_eq!(polling.send("40".to_owned()).await, StatusCode::OK);
    assert!(frames.next().await.is_some_and(|opened| opened.starts_with('0')), "a session");
    let by_frame = frames.next().await.expect("an answer");
    let by_poll = loop {
        let answer = polling.poll().await;
        assert_eq!(answer.status(), StatusCode::OK, "a session that goes on until it is refused");
        // A ping may come first.
        if let Some(packet) = answer.body().split('\u{1e}').find(|packet| packet.starts_with("44")) {
            break packet.to_owned();
        }
    };
    [by_frame, by_poll].map(|said| {
        let refused = said.strip_prefix("44").unwrap_or_else(|| panic!("no refusal: {said}"));
        serde_json::from_str(refused).expect("JSON")
    })
}

/// Nothing of any of these tokens is in the log, which holds everything that this service ever says.
fn none_is_in(log: &[Value], tokens: &[(&str, &str)]) {
    assert!(log.iter().any(|line| line["level"] == "TRACE"), "the log says all that it has to say");
    let pieces: Vec<_> =
        tokens.iter().flat_map(|(what, token)| pieces(token).into_iter().map(move |piece| (what, piece))).collect();
    for line in log.iter().map(Value::to_string) {
        assert!(!line.contains(MARK), "{line}");
        for (what, piece) in &pieces {
            assert!(!line.contains(piece), "{what}: {line}");
        }
    }
}

/// Of its claims the beginning, the middle and the end, and of its signature the beginning. What the header says is no secret.
fn pieces(token: &str) -> Vec<&str> {
    let mut parts = token.split('.').skip(1);
    let (claims, signature) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let piece = |part: &'_ str, from: usize| from..part.len().min(from + PIECE);
    let from = [0, claims.len() / 2, claims.len().saturating_sub(PIECE)];
    let of_claims = from.map(|from| &claims[piece(claims, from)]);
    of_claims.into_iter().chain([&signature[piece(signature, 0)]]).filter(|piece| !piece.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_token_is_refused_with_its_code_and_none_is_logged() {
    let good = Service::token("ada", "c1", &[], false);
    all_are_refused_and_none_is_logged(&[("JWT_SECRET", SECRET)], &good, &refused_by_secret()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_key_is_no_secret_and_none_of_that_is_logged() {
    let key = private("rsa.pem", Algorithm::RS256);
    let good = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(), &key).expect("a token");
    let file = fixture("rsa.pub.pem");
    all_are_refused_and_none_is_logged(&[("JWT_PUBLIC_KEY_FILE", &file)], &good, &refused_by_key()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_100_kilobytes_is_refused_and_not_read() {
    let forum = Forum::captured().await;
    let token = hs256(json!({"name": MARK.repeat(2_200)}), SECRET);
    assert!(token.len() > 100_000);
    let tokens = [("100 KB", token.as_str())];
    // Longer than any message may be: the connection ends before anybody sees a token in it.
    let service = Serving::start(&forum.url(), &ALL).await;
    service.until_ready().await;
    let mut frames = Frames::open(&service.url).await;
    frames.send(format!("40{}", json!({"token": token}))).await;
    assert_eq!(frames.next().await, None);
    none_is_in(&service.stop().await, &tokens);
    // Where longer messages are taken it is a token that is too long.
    let service = Serving::start(&forum.url(), &[&ALL, &LONG_MESSAGES[..]].concat()).await;
    service.until_ready().await;
    for transport in ["websocket", "polling"] {
        let refused = Client::start(&service.url, &token, transport).next().await;
        assert_eq!(refused, json!(["connect_error", "auth_invalid: the token is refused: it is longer than 8 KiB"]));
    }
    none_is_in(&service.stop().await, &tokens);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuer_audience_and_the_beginning_of_a_token_are_asked_for_where_they_are_set() {
    let forum = Forum::captured().await;
    let service = Service::start_with(
        &forum.url(),
        &[("jwt-issuer", "forum"), ("jwt-audience", "realtime"), ("rate-session-refresh", "1000/1s")],
    )
    .await;
    let later = Utc::now().timestamp() + 60;
    let good = json!({"iss": "forum", "aud": "realtime"});
    let mut ada = Client::connected(&service.url, &hs256(good.clone(), SECRET), "websocket").await;
    for (with, code) in [
        (good, None),
        (json!({"iss": "forum", "aud": ["other", "realtime"], "nbf": Utc::now().timestamp()}), None),
        (json!({}), Some("auth_invalid")),
        (json!({"iss": "forum"}), Some("auth_invalid")),
        (json!({"aud": "realtime"}), Some("auth_invalid")),
        (json!({"iss": "Forum", "aud": "realtime"}), Some("auth_invalid")),
        (json!({"iss": "forum", "aud": "other"}), Some("auth_invalid")),
        (json!({"iss": "forum", "aud": "realtime", "nbf": later}), Some("auth_invalid")),
    ] {
        let token = hs256(with.clone(), SECRET);
        let happened = Client::start(&service.url, &token, "websocket").next().await;
        let refused = happened[1].as_str().and_then(|message| message.split(':').next());
        assert_eq!(refused, code, "{with}: {happened}");
        let answer = ada.ask("session:refresh", json!({"token": token})).await;
        assert_eq!(answer["error"]["code"].as_str(), code, "{with}: {answer}");
    }
    service.stop().await;
}
