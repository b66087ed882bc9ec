//! The files the browser loads. All are compiled in: the page works without a network.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::error::DemoError;
use super::portrait;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const FONT: &str = "font/woff2";

/// Nothing but our own files may load, and nobody may frame the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! file {
    ($path:literal, $kind:expr) => {
        ($path, $kind, include_bytes!(concat!("page/", $path)).as_slice())
    };
}

/// Path under `/demo/`, media type, content.
const FILES: &[(&str, &str, &[u8])] = &[
    file!("style.css", CSS),
    file!("tape.css", CSS),
    file!("app.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("board.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("live.js", SCRIPT),
    file!("mentions.js", SCRIPT),
    file!("posts.js", SCRIPT),
    file!("session.js", SCRIPT),
    file!("sidebar.js", SCRIPT),
    file!("tape.js", SCRIPT),
    file!("thread.js", SCRIPT),
    file!("toasts.js", SCRIPT),
    file!("welcome.js", SCRIPT),
    file!("socket.io.min.js", SCRIPT),
    file!("socket.io.LICENSE.txt", PLAIN),
    file!("fonts/schibsted-grotesk.woff2", FONT),
    file!("fonts/jetbrains-mono.woff2", FONT),
    file!("fonts/LICENSE.txt", PLAIN),
];

pub(super) fn router() -> Router {
    let mut router = Router::new()
        .route("/", get(async || Redirect::temporary("/demo")))
        .route("/demo", get(async || with_headers(HTML, include_bytes!("page/index.html"))))
        .route("/demo/", get(async || Redirect::permanent("/demo")))
        .route("/demo/portraits/{file}", get(draw));
    for &(path, kind, content) in FILES {
        router = router.route(&format!("/demo/{path}"), get(async move || with_headers(kind, content)));
    }
    router
}

fn with_headers(kind: &'static str, content: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // The files change with the binary and have no versions in their names.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, content).into_response()
}

async fn draw(Path(file): Path<String>) -> Response {
    match file.strip_suffix(".svg") {
        Some(user_id) => ([(header::CONTENT_TYPE, "image/svg+xml")], portrait::svg(user_id)).into_response(),
        None => DemoError::NotFound("portrait").into_response(),
    }
}
