//! Public keys: PEM and JWK set, and their change while the service runs.

use std::{path::Path, time::Duration};

use axum::http::{Method, StatusCode};
use chrono::{TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{client::Client, postgres::Forum, program::Place, service::Service, wire::http};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn private(name: &str, algorithm: Algorithm) -> EncodingKey {
    let pem = pem::parse(std::fs::read(fixture(name)).expect("a key")).expect("PEM");
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_der(pem.contents()),
        Algorithm::ES256 => EncodingKey::from_ec_der(pem.contents()),
        _ => EncodingKey::from_ed_der(pem.contents()),
    }
}

/// What the forum claims.
pub(super) fn claims() -> Value {
    let now = Utc::now();
    json!({"sub": "ada", "cid": "c1", "iat": now.timestamp(), "exp": (now + TimeDelta::hours(1)).timestamp()})
}

fn signed(name: &str, algorithm: Algorithm, kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, &claims(), &private(name, algorithm)).expect("a token")
}

fn jwks(keys: &[(&str, Algorithm, &str)]) -> String {
    let key = |(name, algorithm, kid): &(&str, Algorithm, &str)| {
        let mut jwk = Jwk::from_encoding_key(&private(name, *algorithm), *algorithm).expect("a key");
        jwk.common.key_id = Some((*kid).to_owned());
        jwk
    };
    json!({"keys": keys.iter().map(key).collect::<Vec<_>>()}).to_string()
}

/// As an operator's tools replace a file: at once.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).expect("a file");
    std::fs::rename(beside, file).expect("a file in its place");
}

/// How a handshake with the token ends: "connect" or its code.
async fn outcome(url: &str, token: &str) -> String {
    let happened = Client::start(url, token, "websocket").next().await;
    match happened[1].as_str() {
        Some(message) => message.split(':').next().unwrap_or_default().to_owned(),
        None => happened[0].as_str().expect("a name").to_owned(),
    }
}

/// What `/readyz` says of the keys, once it says something or nothing.
async fn until_degraded(url: &str, degraded: bool) -> Option<String> {
    let asking = async {
        loop {
            let answer = http(url, Method::GET, "/readyz", &[], String::new()).await;
            let report: Value = serde_json::from_str(answer.body()).expect("JSON");
            let entries = report["degraded"].as_array().expect("a list").clone();
            let keys = entries.into_iter().find(|entry| entry["what"] == "keys");
            if report["ready"] == json!(true) && keys.is_some() == degraded {
                assert_eq!(answer.status(), StatusCode::OK, "those that are there still count");
                return keys.and_then(|entry| entry["why"].as_str().map(str::to_owned));
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("the keys do not become degraded: {degraded}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_a_private_key_signed_are_believed() {
    let forum = Forum::captured().await;
    let place = Place::new();
    let file = place.path().join("keys.pem");
    let public = ["rsa.pub.pem", "p256.pub.pem", "ed25519.pub.pem"].map(|name| std::fs::read_to_string(fixture(name)));
    std::fs::write(&file, public.map(|text| text.expect("a key")).concat()).expect("a file");
    let service = Service::start_with(&forum.url(), &[("jwt-public-key-file", file.to_str().expect("text"))]).await;
    for (name, algorithm) in
        [("rsa.pem", Algorithm::RS256), ("p256.pem", Algorithm::ES256), ("ed25519.pem", Algorithm::EdDSA)]
    {
        let mut ada = Client::connected(&service.url, &signed(name, algorithm, None), "websocket").await;
        assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true), "{algorithm:?}");
        let refreshed = ada.ask("session:refresh", json!({"token": signed(name, algorithm, Some("any"))})).await;
        assert_eq!(refreshed["ok"], json!(true), "{algorithm:?}");
    }
    assert_eq!(outcome(&service.url, &signed("rsa-other.pem", Algorithm::RS256, None)).await, "auth_invalid");
    assert_eq!(outcome(&service.url, &Service::token("ada", "c1", &[], false)).await, "auth_invalid");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_that_changes_counts_at_once_and_a_broken_one_changes_nothing() {
    let forum = Forum::captured().await;
    let place = Place::new();
    let file = place.path().join("keys.json");
    let (old, new) = (("rsa.pem", Algorithm::RS256, "old"), ("p256.pem", Algorithm::ES256, "new"));
    let (by_old, by_new) = (signed(old.0, old.1, Some(old.2)), signed(new.0, new.1, Some(new.2)));
    std::fs::write(&file, jwks(&[old])).expect("a file");
    let service = Service::start_with(&forum.url(), &[("jwt-jwks-file", file.to_str().expect("text"))]).await;
    let mut ada = Client::connected(&service.url, &by_old, "websocket").await;
    assert_eq!(outcome(&service.url, &by_new).await, "auth_invalid");

    let until = async |token: &str, expected: &str| {
        let asking = async { while outcome(&service.url, token).await != expected {} };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never {expected}"));
    };
    replace(&file, &jwks(&[old, new]));
    until(&by_new, "connect").await;
    assert_eq!(outcome(&service.url, &by_old).await, "connect", "both, while it rotates");
    replace(&file, &jwks(&[new]));
    until(&by_old, "auth_invalid").await;
    assert_eq!(outcome(&service.url, &by_new).await, "connect");

    for (text, why) in [
        ("{\"keys\": ", "not a JWK set"),
        ("{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}", "key 1 is a secret"),
        ("{\"keys\": []}", "no key"),
    ] {
        replace(&file, text);
        let asking =
            async { while !until_degraded(&service.url, true).await.is_some_and(|told| told.contains(why)) {} };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never {why}"));
        assert_eq!(outcome(&service.url, &by_new).await, "connect");
    }
    std::fs::remove_file(&file).expect("a file");
    let asking = async { while !until_degraded(&service.url, true).await.is_some_and(|told| told.contains("read")) {} };
    timeout(PATIENCE, asking).await.expect("a file that is missed");
    assert_eq!(outcome(&service.url, &by_new).await, "connect");
    replace(&file, &jwks(&[old]));
    until_degraded(&service.url, false).await;
    assert_eq!(outcome(&service.url, &by_old).await, "connect");
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true), "a session outlives its key");
    service.stop().await;
}
