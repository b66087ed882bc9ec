//! The demo page as a person uses it, in Chromium; and that it loads the client the tests use.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::support::{postgres::Forum, program::Place, service::Service, wire};

/// Tells hanging from working; each step inside has a bound of its own.
const PATIENCE: Duration = Duration::from_secs(300);

fn browser_tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_in_one_window_is_seen_in_the_other() {
    let chromium = curia_scratch::chromium().expect("Chromium; `cargo xtask test` brings it");
    let forum = Forum::empty().await;
    let service = Service::demo(&forum.url()).await;
    let profile = Place::new();
    let run = Command::new("node")
        .arg(browser_tests().join("two-windows.mjs"))
        .arg(&service.url)
        .arg(chromium)
        .arg(profile.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.expect("an end").expect("node; `cargo xtask test` sees to it");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_loads_the_client_that_the_tests_use() {
    let forum = Forum::empty().await;
    let service = Service::demo(&forum.url()).await;
    let path = "/demo/socket.io.min.js";
    let served = wire::http(&service.url, axum::http::Method::GET, path, &[], String::new()).await;
    let installed = browser_tests().join("node_modules/socket.io-client/dist/socket.io.min.js");
    let installed = std::fs::read_to_string(installed).expect("the package; `cargo xtask test` installs it");
    assert!(*served.body() == installed, "the file beside the page is not that of tests/browser/package.json");
    service.stop().await;
}
