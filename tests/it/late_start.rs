//! A node that starts behind much that was committed: it lets nobody in before it has caught up.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{
    client::Client, postgres::Forum, program::Serving, proxy::Proxy, service::Service, store::degraded, wire::http,
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);
/// With more behind the last tick nobody is let in: rights may have changed in what was not read.
const BACKLOG: f64 = 20_000.0;
/// Each way: so that reading takes its time.
const SLOW: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_is_ready_once_it_has_caught_up() {
    let forum = Forum::captured().await;
    // The stream begins before what is committed then.
    let before = Serving::start(&forum.url(), &["--drain", "100ms"]).await;
    before.until_ready().await;
    before.stop().await;
    forum
        .run("INSERT INTO curia_realtime.outbox (kind, post_id) SELECT 'vote_added', 1 FROM generate_series(1, 20000)")
        .await;
    let proxy = Proxy::before(&forum.url()).await;
    proxy.delay(SLOW);
    let url = format!("{}/{}", proxy.url.replacen("http://", "postgres://postgres@", 1), forum.name);
    let node = Serving::start(&url, &["--drain", "100ms"]).await;
    let (mut said, mut read) = (String::new(), 0.0);
    let asking = async {
        while http(&node.url, Method::GET, "/readyz", &[], String::new()).await.status() != StatusCode::OK {
            if let Some(why) = degraded(&node.url, "stream").await.filter(|why| why.contains("catches up")) {
                said = why;
            }
            sleep(Duration::from_millis(20)).await;
        }
        read = node.metric("curia_stream_changes_total").await.expect("a number");
    };
    timeout(PATIENCE, asking).await.expect("a node that is ready");
    assert!(said.contains("committed before it started"), "{said:?}");
    assert_eq!(read, BACKLOG, "it has read everything");
    let mut ada = Client::connected(&node.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    node.stop().await;
}
