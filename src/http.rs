//! HTTP: the pages an operator reads, who may ask, and the loop that serves connections.
//!
//! The layers go around each other in this order, outermost first: [`AllowedOrigins::guard`] (nobody uninvited reaches
//! Engine.IO), the engine sessions' connections, Socket.IO, [`pages`].

mod listen;
pub mod metrics;
pub mod origin;
pub mod readiness;
pub mod serve;
pub mod stream;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

pub use self::{
    listen::{ListenError, listen},
    metrics::Metrics,
    origin::AllowedOrigins,
    readiness::Readiness,
    serve::{ServeError, ServeOptions, serve},
};

/// `/healthz`, `/readyz`, `/metrics` unless that has a port of its own, and a readable 404 for everything else.
pub fn pages(readiness: Readiness, metrics: Option<Metrics>) -> Router {
    let pages = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready).with_state(readiness))
        .fallback(nothing_here);
    match metrics {
        Some(metrics) => pages.merge(metrics_route(metrics)),
        None => pages,
    }
}

/// `/metrics` alone, for `METRICS_PORT`.
pub fn metrics_page(metrics: Metrics) -> Router {
    metrics_route(metrics).fallback(nothing_here)
}

fn metrics_route(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(exposition).with_state(metrics))
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

async fn exposition(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

async fn nothing_here() -> Response {
    refusal(StatusCode::NOT_FOUND, "not_found", "nothing is served at this address; Socket.IO is under /socket.io/")
}

/// An answer that says why the request was not served.
fn refusal(status: StatusCode, code: &'static str, message: impl Into<String>) -> Response {
    #[derive(Serialize)]
    struct Refusal {
        code: &'static str,
        message: String,
    }
    (status, Json(Refusal { code, message: message.into() })).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::{readiness::State, *};

    async fn read(router: &Router, path: &str) -> (StatusCode, String) {
        let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_is_plain() {
        let pages = pages(Readiness::default(), None);
        assert_eq!(read(&pages, "/healthz").await, (StatusCode::OK, "ok".to_owned()));
    }

    #[tokio::test]
    async fn readiness_names_what_is_degraded() {
        let readiness = Readiness::default();
        let pages = pages(readiness.clone(), None);
        let redis = readiness.component("redis", State::Ready);
        let (status, body) = read(&pages, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"ready": true, "degraded": []}));

        redis.set(State::Degraded("connection refused".to_owned()));
        let (status, body) = read(&pages, "/readyz").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["ready"]), (StatusCode::OK, &json!(true)));
        assert_eq!(body["degraded"][0]["what"], "redis");
        assert_eq!(body["degraded"][0]["why"], "connection refused");
        assert!(body["degraded"][0]["since"].as_str().unwrap().ends_with('Z'), "{body}");

        let _stream = readiness.component("stream", State::NotReady("catching up".to_owned()));
        let (status, body) = read(&pages, "/readyz").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
        assert_eq!(body["degraded"].as_array().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn metrics_are_where_they_were_put() {
        let metrics = Metrics::detached();
        let without = pages(Readiness::default(), None);
        assert_eq!(read(&without, "/metrics").await.0, StatusCode::NOT_FOUND);
        let with = pages(Readiness::default(), Some(metrics.clone()));
        assert_eq!(read(&with, "/metrics").await.0, StatusCode::OK);
        let alone = metrics_page(metrics);
        assert_eq!(read(&alone, "/metrics").await.0, StatusCode::OK);
        assert_eq!(read(&alone, "/readyz").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn other_addresses_are_refused_readably() {
        let (status, body) = read(&pages(Readiness::default(), None), "/nowhere").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], "not_found");
        assert!(body["message"].as_str().unwrap().contains("/socket.io/"));
    }
}
