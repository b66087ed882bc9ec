//! NOTIFY only to those who sleep; and a stream that goes on whatever becomes of the connections.

use std::time::Duration;

use axum::http::Method;
use curia_scratch::{Options, Postgres};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use crate::support::{
    client::Client,
    postgres::{Forum, prepare},
    proxy::Proxy,
    service::Service,
    wire::http,
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);

/// Holders of one of our two locks in this database.
async fn holders(pool: &PgPool, lock: i32) -> Vec<i32> {
    let held = sqlx::query_scalar(
        "SELECT pid FROM pg_locks
         WHERE locktype = 'advisory' AND classid = 1129665097 AND objid::int = $1 AND mode = 'ExclusiveLock'
           AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    held.bind(lock).fetch_all(pool).await.expect("the locks")
}

/// Asks until somebody else than `before` holds the lock.
async fn held_anew(pool: &PgPool, lock: i32, before: &[i32]) -> i32 {
    let asking = async {
        loop {
            match holders(pool, lock).await.first() {
                Some(holder) if !before.contains(holder) => return *holder,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("the lock to be taken")
}

async fn terminate(pool: &PgPool, pids: &[i32]) {
    sqlx::query("SELECT pg_terminate_backend(pid, 10000) FROM unnest($1::int[]) AS pid")
        .bind(pids)
        .execute(pool)
        .await
        .expect("an end");
}

async fn vote(forum: &Forum, user: &str) {
    sqlx::query("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', $1)")
        .bind(user)
        .execute(&forum.pool)
        .await
        .expect("a comment");
}

async fn told(client: &mut Client) -> String {
    loop {
        let happened = client.next().await;
        if happened[0] == "post:newComment" {
            return happened[1]["comment"]["content"].as_str().expect("content").to_owned();
        }
    }
}

async fn watching(service: &Service) -> Client {
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    assert_eq!(ada.ask("post:join", json!(1)).await["ok"], json!(true));
    ada
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_notify_only_while_somebody_is_parked() {
    let forum = Forum::captured().await;
    let mut listener = sqlx::postgres::PgListener::connect(&forum.url()).await.expect("a connection");
    listener.listen("curia_realtime").await.expect("to listen");
    listener.listen("done").await.expect("to listen");
    for parked in [false, true] {
        let mut parking = forum.pool.acquire().await.expect("a connection");
        if parked {
            let lock = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock(1129665097, 1)");
            assert!(lock.fetch_one(&mut *parking).await.expect("the lock"));
        }
        vote(&forum, "Who wakes?").await;
        forum.run("NOTIFY done").await;
        let first = timeout(PATIENCE, listener.recv()).await.expect("a bell").expect("a bell");
        assert_eq!(first.channel(), if parked { "curia_realtime" } else { "done" });
        assert_eq!(first.payload(), "", "a wake-up says nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_service_is_woken_and_parks_again() {
    let forum = Forum::captured().await;
    // No safety poll could save a bell that is lost.
    let service = Service::start_with(&forum.url(), &[("safety-poll", "1h")]).await;
    let mut ada = watching(&service).await;
    for round in ["once", "twice", "thrice"] {
        held_anew(&forum.pool, 1, &[]).await;
        vote(&forum, round).await;
        assert_eq!(told(&mut ada).await, round);
    }
    service.stop().await;
    assert!(holders(&forum.pool, 1).await.is_empty(), "a service that ended must not keep writers notifying");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_listening_connection_comes_back_and_loses_nothing() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = watching(&service).await;
    let mut before = Vec::new();
    for round in ["before", "between", "after"] {
        let holder = held_anew(&forum.pool, 2, &before).await;
        vote(&forum, round).await;
        assert_eq!(told(&mut ada).await, round);
        terminate(&forum.pool, &[holder]).await;
        before.push(holder);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_connection_is_lost_the_stream_goes_on_where_it_was() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut ada = watching(&service).await;
    for round in 0..5 {
        vote(&forum, &format!("{round} before")).await;
        let theirs: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'curia-realtime%'",
        )
        .fetch_all(&forum.pool)
        .await
        .expect("who is there");
        terminate(&forum.pool, &theirs).await;
        vote(&forum, &format!("{round} after")).await;
        assert_eq!(told(&mut ada).await, format!("{round} before"));
        assert_eq!(told(&mut ada).await, format!("{round} after"));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_services_one_makes_the_ticks_and_the_other_takes_over() {
    let forum = Forum::captured().await;
    let one = Service::start(&forum.url()).await;
    let mut ada = watching(&one).await;
    let leader = held_anew(&forum.pool, 2, &[]).await;
    let other = Service::start(&forum.url()).await;
    let mut bo = watching(&other).await;
    vote(&forum, "for both").await;
    assert_eq!((told(&mut ada).await, told(&mut bo).await), ("for both".to_owned(), "for both".to_owned()));
    assert_eq!(holders(&forum.pool, 2).await, [leader]);
    one.stop().await;
    held_anew(&forum.pool, 2, &[leader]).await;
    vote(&forum, "for the other").await;
    assert_eq!(told(&mut bo).await, "for the other");
    other.stop().await;
}

/// What `/readyz` says of the part that listens, with its status.
async fn listening(service: &Service) -> (u16, Option<String>) {
    let answer = http(&service.url, Method::GET, "/readyz", &[], String::new()).await;
    let report: Value = serde_json::from_str(answer.body()).expect("a report");
    let entries = report["degraded"].as_array().expect("entries");
    let why = entries.iter().find(|entry| entry["what"] == "listening").map(|entry| entry["why"].to_string());
    (answer.status().as_u16(), why)
}

/// Asks until the part that listens is said to be in order, or not, and why.
async fn until_listening(service: &Service, in_order: bool) -> Option<String> {
    let asking = async {
        loop {
            let (status, why) = listening(service).await;
            // Before it has begun to read, nobody has tried to listen.
            if status == 200 && why.is_none() == in_order {
                break why;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("/readyz to say so")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_listens_elsewhere_than_he_reads_says_so_until_it_is_mended() {
    let forum = Forum::captured().await;
    // The same name on another server, with our triggers and without.
    let other = Postgres::start(&Options::default()).expect("a throw-away PostgreSQL");
    other.create_database(&forum.name).expect("a database");
    let address = Proxy::before(&other.url()).await;
    let listen = format!("{}/{}", address.url.replacen("http://", "postgres://postgres@", 1), forum.name);
    let service = Service::start_with(&forum.url(), &[("listen-database-url", &listen), ("safety-poll", "1h")]).await;
    let said = async |lacking: bool| {
        let asking = async {
            loop {
                let why = until_listening(&service, false).await.expect("a reason");
                for part in ["another than DATABASE_URL leads to", "let LISTEN_DATABASE_URL", &forum.name] {
                    assert!(why.contains(part), "{why}");
                }
                if why.contains("does not exist") == lacking {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, asking).await.expect("/readyz to say why");
    };
    said(true).await;
    prepare(&other, &forum.name);
    said(false).await;
    // Nobody who listens elsewhere is waited for.
    let mut ada = watching(&service).await;
    vote(&forum, "unheard").await;
    assert_eq!(told(&mut ada).await, "unheard");
    address.lead_to(&forum.url());
    until_listening(&service, true).await;
    held_anew(&forum.pool, 1, &[]).await;
    vote(&forum, "heard").await;
    assert_eq!(told(&mut ada).await, "heard");
    service.stop().await;
}
