//! Where it can't be proved that the stream goes on, a new epoch begins and everybody is told: after a restore, a copy, a failover,
//! a cut at the size limit, a server that went back. Never silence.

mod unnoted;

use std::time::Duration;

use axum::http::Method;
use curia_realtime::postgres::{
    outbox::{OutboxError, OutboxReader},
    retention::Retention,
};
use curia_scratch::{Options, Postgres};
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::time::{sleep, timeout};

use crate::support::{
    client::Client,
    postgres::{Forum, client_program, prepare},
    program::Place,
    proxy::Proxy,
    service::Service,
    stream::pages,
    wire::http,
};

const CONTENT_LIMIT: usize = 1_000;
/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);

fn token(user: &str) -> String {
    Service::token(user, "c1", &[], false)
}

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(5).connect(url).await.expect("a connection")
}

async fn post(pool: &PgPool, title: &str) {
    let insert = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', $1, '', 1)";
    sqlx::query(insert).bind(title).execute(pool).await.expect("a post");
}

/// A client on board 1 that has seen a post, and the cursor it came with.
async fn seen(service: &Service, pool: &PgPool) -> (Client, Value) {
    let mut ada = Client::start_returning(&service.url, &token("ada"), "websocket");
    ada.has_entered().await;
    ada.ask("board:join", json!(1)).await;
    post(pool, "Seen").await;
    let told = ada.next().await;
    assert_eq!(told[1]["post"]["title"], "Seen");
    (ada, told[2]["cursor"].clone())
}

/// The client is sent away and comes back by itself.
async fn sent_away(client: &mut Client) {
    while client.next().await[0] != "disconnect" {}
    client.has_entered().await;
}

/// It is told that what it missed can't be had, and then hears what happens.
async fn begins_anew(client: &mut Client, since: &Value, pool: &PgPool) {
    let answer = client.ask("board:join", json!({"boardId": 1, "since": since})).await;
    assert_eq!((&answer["ok"], &answer["recovered"]), (&json!(true), &json!(false)), "{answer}");
    post(pool, "Live").await;
    assert_eq!(client.next().await[1]["post"]["title"], "Live");
}

async fn reasons(pool: &PgPool) -> Vec<String> {
    let reasons = sqlx::query_scalar("SELECT reason FROM curia_realtime.epoch ORDER BY started_at");
    reasons.fetch_all(pool).await.expect("the epochs")
}

async fn begun_for(pool: &PgPool, because: &str) {
    let reasons = reasons(pool).await;
    let last = reasons.last().expect("an epoch");
    assert!(reasons.len() > 1 && last.contains(because), "{reasons:?}");
}

/// Lets so many transactions begin and end.
async fn spend_transactions(pool: &PgPool, count: i64) {
    let spend = format!("DO $$ BEGIN FOR i IN 1..{count} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
    sqlx::raw_sql(sqlx::AssertSqlSafe(spend)).execute(pool).await.expect("transactions");
}

/// How many transactions are to come before those of all outbox rows have been.
async fn ahead(pool: &PgPool) -> i64 {
    let ahead = "SELECT coalesce(max(xid)::text::bigint, 0) - pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                 FROM curia_realtime.outbox";
    sqlx::query_scalar(ahead).fetch_one(pool).await.expect("a distance")
}

struct Dump {
    place: Place,
}

impl Dump {
    fn of(url: &str) -> Self {
        let dump = Self { place: Place::new() };
        client_program("pg_dump", &["--format=custom", "--file", &dump.file(), "--dbname", url]);
        dump
    }

    fn restore(&self, url: &str, more: &[&str]) {
        let file = self.file();
        client_program("pg_restore", &[more, &["--exit-on-error", "--dbname", url, &file]].concat());
    }

    fn file(&self) -> String {
        self.place.path().join("forum.dump").to_string_lossy().into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_dump_begins_an_epoch_and_its_old_rows_are_never_told() {
    let forum = Forum::captured().await;
    spend_transactions(&forum.pool, 5_000).await;
    let service = Service::start(&forum.url()).await;
    let (ada, since) = seen(&service, &forum.pool).await;
    service.stop().await;
    drop(ada);
    post(&forum.pool, "Read by nobody").await;
    let dump = Dump::of(&forum.url());

    let server = Postgres::start(&Options::default()).expect("another server");
    let url = server.create_database("restored").expect("a database");
    let roles = "CREATE ROLE curia_realtime_owner NOLOGIN; CREATE ROLE curia_realtime NOLOGIN";
    server.run_script("restored", roles).expect("the roles, which no dump of a database brings");
    dump.restore(&url, &[]);
    let restored = pool(&url).await;
    let to_come = ahead(&restored).await;
    assert!(to_come > 1_000, "the old rows are of transactions still to come: {to_come}");

    let service = Service::start(&url).await;
    let mut ada = Client::connected(&service.url, &token("ada"), "websocket").await;
    begins_anew(&mut ada, &since, &restored).await;
    begun_for(&restored, "another server").await;
    for title in ["Later", "Later still"] {
        spend_transactions(&restored, to_come).await;
        post(&restored, title).await;
        assert_eq!(ada.next().await[1]["post"]["title"], title);
    }
    service.stop().await;
    restored.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_is_followed_in_a_new_epoch() {
    let (primary, standby) = Postgres::start_with_standby(&Options::default()).expect("two servers");
    let before = pool(&primary.create_database("forum").expect("a database")).await;
    prepare(&primary, "forum");
    let after = PgPoolOptions::new().connect_lazy(&standby.url_for("forum")).expect("a URL");
    let address = Proxy::before(&primary.url()).await;
    let url = address.url.replacen("http://", "postgres://postgres@", 1) + "/forum";
    let service = Service::start(&url).await;
    let (mut ada, since) = seen(&service, &before).await;
    before.close().await;

    primary.stop().expect("an end");
    address.lead_to(&standby.url());
    let told = async {
        loop {
            let ready = http(&service.url, Method::GET, "/readyz", &[], String::new()).await;
            if ready.body().contains("is a standby") {
                break assert_eq!(ready.status(), 503);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, told).await.expect("/readyz to say that the server is a standby");
    // Its rights may be older than those that were applied.
    assert_eq!(ada.ask("board:join", json!(2)).await["error"]["code"], "unavailable");
    standby.promote().expect("a new primary");
    sent_away(&mut ada).await;
    begins_anew(&mut ada, &since, &after).await;
    begun_for(&after, "a standby was promoted").await;
    assert_eq!(reasons(&after).await.len(), 2, "one epoch for one promotion");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_replaced_under_a_running_node_begins_an_epoch() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let (mut ada, since) = seen(&service, &forum.pool).await;
    let dump = Dump::of(&forum.url());
    post(&forum.pool, "Only until the restore").await;
    dump.restore(&forum.url(), &["--clean", "--if-exists"]);
    sent_away(&mut ada).await;
    begins_anew(&mut ada, &since, &forum.pool).await;
    begun_for(&forum.pool, "the tables were made anew").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_at_the_size_limit_sends_everybody_back() {
    let forum = Forum::captured().await;
    let tight = [("outbox-max-size", "1KiB"), ("retention", "1s")];
    let service = Service::start_with(&forum.url(), &tight).await;
    let (mut ada, since) = seen(&service, &forum.pool).await;
    // More within the shortest time that is kept than the limit has room for.
    while reasons(&forum.pool).await.len() < 2 {
        forum.run("UPDATE posts SET upvote_count = upvote_count + 1 WHERE id <= 2").await;
        sleep(Duration::from_millis(20)).await;
    }
    sent_away(&mut ada).await;
    begins_anew(&mut ada, &since, &forum.pool).await;
    begun_for(&forum.pool, "cut at its size limit").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_is_begun_by_hand_as_the_page_says_sends_everybody_back() {
    let page = include_str!("../../docs/outbox.md");
    let by_hand = page.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).expect("statements");
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let (mut ada, since) = seen(&service, &forum.pool).await;
    forum.run(by_hand).await;
    begun_for(&forum.pool, "by hand").await;
    sent_away(&mut ada).await;
    begins_anew(&mut ada, &since, &forum.pool).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_another_database_is_answered_with_a_new_beginning() {
    let (here, there) = (Forum::captured().await, Forum::captured().await);
    let service = Service::start(&there.url()).await;
    let (ada, since) = seen(&service, &there.pool).await;
    drop(ada);
    service.stop().await;
    let service = Service::start(&here.url()).await;
    let (mut bo, _) = seen(&service, &here.pool).await;
    bo.ask("board:leave", json!(1)).await;
    begins_anew(&mut bo, &since, &here.pool).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_nodes_over_a_copied_database_one_begins_the_epoch() {
    let forum = Forum::captured().await;
    // The clock of where it came from may have been wrong.
    forum.run("UPDATE curia_realtime.epoch SET started_at = now() + interval '1 day'").await;
    let copied = Forum::copy_of(forum).await;
    // Connections are there, so that all look at the same time.
    drop(futures_util::future::join_all((0..8).map(|_| copied.pool.acquire())).await);
    let opening = (0..8).map(|_| OutboxReader::open(copied.pool.clone(), CONTENT_LIMIT));
    let opened = futures_util::future::join_all(opening).await;
    let epochs: Vec<_> = opened.into_iter().map(|reader| reader.expect("a position").position().0).collect();
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
    assert_eq!(reasons(&copied.pool).await.len(), 2);
    begun_for(&copied.pool, "another database").await;
}

#[tokio::test]
async fn rows_of_transactions_to_come_are_gone_before_the_epoch_begins_and_when_they_come_later() {
    const BROUGHT: &str = "INSERT INTO curia_realtime.outbox (xid, kind, post_id)
         SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + n)::text::xid8, 'vote_added', 1
         FROM generate_series(0, 300) AS n";
    let forum = Forum::captured().await;
    forum.run(BROUGHT).await;
    forum.run("UPDATE curia_realtime.epoch SET home = '1/1/1/00000001'").await;
    let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
    assert!(pages(&mut reader).await.is_empty());
    assert!(ahead(&forum.pool).await < 0);

    spend_transactions(&forum.pool, 1_000).await;
    forum.run("INSERT INTO curia_realtime.outbox (xid, kind, post_id) VALUES ('1000000', 'vote_added', 1)").await;
    assert!(pages(&mut reader).await.is_empty());
    assert!(ahead(&forum.pool).await < 0, "they would look like news for ever");
    post(&forum.pool, "Live").await;
    let entries: usize = pages(&mut reader).await.iter().map(|page| page.entries.len()).sum();
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn by_ticks_of_another_place_nothing_is_cut() {
    let forum = Forum::captured().await;
    let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
    post(&forum.pool, "Told").await;
    pages(&mut reader).await;
    let retention = Retention { pool: forum.pool.clone(), keep: Duration::ZERO, max_size: 1_000_000 };
    forum.run("UPDATE curia_realtime.epoch SET home = '1/1/1/00000001'").await;
    let held = retention.sweep().await.expect("a sweep").size;
    forum.run("UPDATE curia_realtime.epoch SET home = curia_realtime.home()").await;
    let cut = retention.sweep().await.expect("a sweep").size;
    assert!(held > 0 && cut == 0, "{held} bytes, then {cut}");
}

#[tokio::test]
async fn ticks_that_are_gone_after_they_were_told_begin_an_epoch() {
    for went_back in [
        "DELETE FROM curia_realtime.tick WHERE n > 0",
        // And then others made ticks again.
        "UPDATE curia_realtime.tick SET snapshot = '9:9:' WHERE n > 0",
    ] {
        let forum = Forum::captured().await;
        let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
        post(&forum.pool, "Told").await;
        pages(&mut reader).await;
        let (epoch, _) = reader.position();
        forum.run(went_back).await;
        assert!(matches!(reader.next(true).await, Err(OutboxError::Discontinued { .. })));
        reader.reopen().await.expect("a position");
        assert_ne!(reader.position().0, epoch);
        begun_for(&forum.pool, "ticks are gone").await;
    }
}

#[tokio::test]
async fn a_position_that_is_lost_is_begun_anew_and_not_before_the_restore_is_complete() {
    let forum = Forum::captured().await;
    let open = || OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT);
    forum.run("DELETE FROM curia_realtime.tick").await;
    forum.run("ALTER TABLE curia_realtime.tick DROP CONSTRAINT tick_pkey").await;
    assert!(matches!(open().await, Err(OutboxError::Incomplete { .. })), "rows come before keys");
    forum.run("ALTER TABLE curia_realtime.tick ADD PRIMARY KEY (epoch, n)").await;
    forum.run("DROP TRIGGER zz_curia_post_moved ON posts").await;
    assert!(matches!(open().await, Err(OutboxError::Incomplete { .. })), "and keys before triggers");
    forum
        .run(
            "CREATE TRIGGER zz_curia_post_moved AFTER UPDATE OF board_id ON posts
             FOR EACH ROW EXECUTE FUNCTION curia_realtime.post_moved()",
        )
        .await;
    open().await.expect("a position");
    begun_for(&forum.pool, "no position").await;
}
