//! What is written while a trigger is missing or off is noted by nobody: it is seen, said, and every client loads anew.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use curia_scratch::{Options, Postgres};
use tokio::time::{sleep, timeout};

use super::{PATIENCE, begins_anew, begun_for, pool, reasons, seen, sent_away, token};
use crate::support::{
    client::Client,
    postgres::{Forum, prepare},
    program::{Ran, Serving, run},
    service::Service,
    store::degraded,
    wire::http,
};

const VOTE: &str = "INSERT INTO votes (user_id, post_id) SELECT 'cy', max(id) FROM posts";
const REASON: &str = "triggers were missing, switched off or made anew";

async fn migrate(forum: &Forum, action: &str) -> Ran {
    run(&["migrate", action], &[("DATABASE_URL", &forum.url())]).await
}

/// Waits until `/readyz` is 503 for the stream, and says this.
async fn says(url: &str, part: &str) -> String {
    let mut said = None;
    let asking = async {
        loop {
            let status = http(url, Method::GET, "/readyz", &[], String::new()).await.status();
            said = degraded(url, "stream").await;
            match &said {
                Some(why) if status == StatusCode::SERVICE_UNAVAILABLE && why.contains(part) => return why.clone(),
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("/readyz does not say {part:?}"))
}

async fn until_ready(url: &str) {
    let asking = async {
        while http(url, Method::GET, "/readyz", &[], String::new()).await.status() != StatusCode::OK {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("a node that is ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_was_off_for_a_moment_sends_everybody_back() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let (mut ada, since) = seen(&service, &forum.pool).await;
    forum.run("ALTER TABLE votes DISABLE TRIGGER ALL").await;
    forum.run(VOTE).await;
    forum.run("ALTER TABLE votes ENABLE TRIGGER ALL").await;
    sent_away(&mut ada).await;
    begins_anew(&mut ada, &since, &forum.pool).await;
    begun_for(&forum.pool, REASON).await;
    assert_eq!(reasons(&forum.pool).await.len(), 2, "once");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_anew_under_running_nodes_is_named_until_down_and_up_mend_it() {
    let forum = Forum::captured().await;
    let nodes = [Serving::start(&forum.url(), &["--drain", "100ms"]).await, Serving::start(&forum.url(), &[]).await];
    for node in &nodes {
        node.until_ready().await;
    }
    forum.run("CREATE TABLE anew (LIKE votes INCLUDING ALL); DROP TABLE votes; ALTER TABLE anew RENAME TO votes").await;
    let lost = "missing: zz_curia_reset of public.votes, zz_curia_vote_added of public.votes";
    for node in &nodes {
        let why = says(&node.url, lost).await;
        assert!(why.contains("`curia-realtime migrate down` and `curia-realtime migrate up`"), "{why}");
        assert_eq!(node.said("every client loads its state anew once all is noted"), 1);
    }
    let status = migrate(&forum, "status").await;
    assert!(status.code == Some(0) && status.stdout.contains(lost), "{status:?}");
    let up = migrate(&forum, "up").await;
    assert!(up.code == Some(1) && up.stderr.contains(lost), "{up:?}");
    let later = Serving::start(&forum.url(), &[]).await;
    says(&later.url, lost).await;

    for action in ["down", "up"] {
        let ran = migrate(&forum, action).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    for node in nodes.iter().chain([&later]) {
        node.until_ready().await;
    }
    nodes[0].until_said("every socket has to come back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_is_off_when_a_node_starts_is_waited_for_and_then_nobody_goes_on_from_before() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let (ada, since) = seen(&service, &forum.pool).await;
    service.stop().await;
    drop(ada);
    forum.run("ALTER TABLE votes ENABLE REPLICA TRIGGER zz_curia_vote_added").await;
    forum.run(VOTE).await;

    let service = Service::start(&forum.url()).await;
    says(&service.url, "switched off: zz_curia_vote_added of public.votes (ALTER TABLE").await;
    forum.run("ALTER TABLE votes ENABLE ALWAYS TRIGGER zz_curia_vote_added").await;
    until_ready(&service.url).await;
    let mut ada = Client::start_returning(&service.url, &token("ada"), "websocket");
    ada.has_entered().await;
    begins_anew(&mut ada, &since, &forum.pool).await;
    begun_for(&forum.pool, REASON).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_is_told_by_the_door_that_was_closed() {
    let server = Postgres::start(&Options::default()).expect("a server");
    let url = server.create_database("forum").expect("a database");
    prepare(&server, "forum");
    let forum = pool(&url).await;
    let service = Service::start(&url).await;
    let (ada, _) = seen(&service, &forum).await;
    forum.close().await;
    server.stop().expect("an end");
    let why = says(&service.url, "can't be reached").await;
    assert!(why.contains("check that PostgreSQL runs there"), "{why}");
    drop(ada);
    service.stop().await;
}
