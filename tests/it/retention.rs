//! What is kept and what is cut: never a row that nobody has read, unless everybody is told.

use std::time::Duration;

use curia_realtime::postgres::{
    outbox::{OutboxError, OutboxReader},
    retention::Retention,
};
use curia_scratch::Port;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{
    client::Client,
    plan::{Plan, steps},
    postgres::Forum,
    service::Service,
    stream::{page, pages},
};

const CONTENT_LIMIT: usize = 1_000;
/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);

fn keeping(forum: &Forum, keep: Duration, max_size: u64) -> Retention {
    Retention { pool: forum.pool.clone(), keep, max_size }
}

async fn count(forum: &Forum, table: &'static str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM curia_realtime.{table}")))
        .fetch_one(&forum.pool)
        .await
        .expect("a count")
}

async fn epoch(forum: &Forum) -> i64 {
    let epoch = sqlx::query_scalar("SELECT id FROM curia_realtime.epoch ORDER BY started_at DESC LIMIT 1");
    epoch.fetch_one(&forum.pool).await.expect("an epoch")
}

async fn reader(forum: &Forum) -> OutboxReader {
    OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position")
}

#[tokio::test]
async fn what_is_young_is_kept() {
    let forum = Forum::captured().await;
    let mut reader = reader(&forum).await;
    forum.run("INSERT INTO votes (user_id, post_id) VALUES ('bo', 1)").await;
    pages(&mut reader).await;
    let swept = keeping(&forum, Duration::from_secs(3600), 1_000_000).sweep().await.expect("a sweep");
    assert_eq!((swept.shortened, swept.new_epoch), (None, false));
    assert!(swept.size > 0);
    assert_eq!((count(&forum, "outbox").await, count(&forum, "tick").await), (1, 2));
}

#[tokio::test]
async fn what_is_old_is_cut_but_never_what_no_tick_holds() {
    let forum = Forum::captured().await;
    let mut reader = reader(&forum).await;
    let mut open = forum.pool.begin().await.expect("an open transaction");
    sqlx::raw_sql("INSERT INTO votes (user_id, post_id) VALUES ('cy', 2)").execute(&mut *open).await.expect("a vote");
    for vote in ["INSERT INTO votes (user_id, post_id) VALUES ('bo', 1)", "DELETE FROM votes WHERE user_id = 'bo'"] {
        forum.run(vote).await;
        assert!(page(&mut reader).await.is_some());
    }
    forum.run("INSERT INTO votes (user_id, post_id) VALUES ('ada', 1)").await;
    let retention = keeping(&forum, Duration::ZERO, 1_000_000);
    retention.sweep().await.expect("a sweep");
    assert_eq!(count(&forum, "tick").await, 1, "the newest stays");

    open.commit().await.expect("a commit");
    let read: usize = pages(&mut reader).await.iter().map(|batch| batch.entries.len()).sum();
    assert_eq!(read, 2, "the vote without a tick and that of the open transaction");
    retention.sweep().await.expect("a sweep");
    assert_eq!(count(&forum, "outbox").await, 0);
}

#[tokio::test]
async fn above_the_size_limit_it_is_kept_for_less_time() {
    let forum = Forum::captured().await;
    let mut reader = reader(&forum).await;
    forum.run("UPDATE posts SET upvote_count = upvote_count + 1").await;
    pages(&mut reader).await;
    // Read three hours ago; what has just been read is not too much.
    forum.run("UPDATE curia_realtime.tick SET at = at - interval '3 hours'").await;
    forum.run("UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1").await;
    pages(&mut reader).await;
    let day = Duration::from_secs(86_400);
    let all = keeping(&forum, day, 1_000_000).sweep().await.expect("a sweep");
    let swept = keeping(&forum, day, all.size / 2).sweep().await.expect("a sweep");
    assert!(swept.shortened.is_some_and(|keep| keep <= Duration::from_secs(3 * 3600)), "{swept:?}");
    assert!(!swept.new_epoch);
    assert_eq!(count(&forum, "outbox").await, 1);
}

#[tokio::test]
async fn when_unread_changes_are_cut_a_new_epoch_says_so() {
    let forum = Forum::captured().await;
    let mut behind = reader(&forum).await;
    forum.run("INSERT INTO votes (user_id, post_id) VALUES ('bo', 1), ('cy', 1)").await;
    let swept = keeping(&forum, Duration::from_secs(3600), 10).sweep().await.expect("a sweep");
    assert!(swept.new_epoch);
    assert_eq!(count(&forum, "outbox").await, 0);
    let (epoch, _) = behind.position();
    assert!(matches!(behind.next(true).await, Err(OutboxError::Discontinued { .. })));
    let mut reopened = reader(&forum).await;
    assert_ne!(reopened.position().0, epoch);
    forum.run("INSERT INTO votes (user_id, post_id) VALUES ('ada', 1)").await;
    assert_eq!(page(&mut reopened).await.expect("what came after").entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_cut_unread_changes_at_once_one_begins_the_epoch() {
    let forum = Forum::captured().await;
    // Connections are there, so that all sweep at the same time.
    drop(futures_util::future::join_all((0..8).map(|_| forum.pool.acquire())).await);
    for epochs in 2..12 {
        forum
            .run(
                "INSERT INTO curia_realtime.outbox (kind, post_id) SELECT 'vote_added', 1 FROM generate_series(1, 300)",
            )
            .await;
        let retention = keeping(&forum, Duration::from_secs(3600), 10);
        let sweeps = futures_util::future::join_all((0..8).map(|_| retention.sweep())).await;
        assert!(sweeps.into_iter().any(|swept| swept.expect("a sweep").new_epoch));
        assert_eq!((count(&forum, "epoch").await, count(&forum, "outbox").await), (epochs, 0));
    }
}

#[tokio::test]
async fn a_slice_costs_what_it_cuts_however_much_is_to_be_cut() {
    const SLICE: i64 = 10_000;
    let forum = Forum::captured().await;
    forum
        .run(
            "INSERT INTO curia_realtime.outbox (xid, kind, post_id)
             SELECT (2000 + n)::text::xid8, 'vote_added', 1 FROM generate_series(1, 100000) AS n;
             INSERT INTO curia_realtime.tick (epoch, n, snapshot)
             SELECT id, 1, '100000:100000:' FROM curia_realtime.epoch;
             DELETE FROM curia_realtime.tick WHERE n = 0;
             ANALYZE curia_realtime.outbox; ANALYZE curia_realtime.tick",
        )
        .await;
    let epoch = epoch(&forum).await;
    for plan in [Plan::Custom, Plan::Generic] {
        let cut = include_str!("../../sql/retention/cut_rows.sql");
        let steps = steps(&forum.pool, cut, plan, &[epoch, 1, SLICE]).await;
        assert!(steps.iter().all(|step| step.rows <= SLICE), "{plan:?}: {steps:?}");
        let read = steps.iter().any(|step| step.kind == "Index Scan" && step.rows == SLICE);
        assert!(read, "{plan:?}: {steps:?}");
    }
}

/// More than two slices of ticks, each with a row, told two hours ago. So that a slice of any would leave a hole, the later half lies first.
const LONG_TOLD: &str = "
    INSERT INTO curia_realtime.outbox (xid, kind, post_id)
    SELECT (2000 + n)::text::xid8, 'vote_added', 1 FROM generate_series(1, 25000) AS n;
    INSERT INTO curia_realtime.tick (epoch, n, snapshot, at)
    SELECT id, n, format('%1$s:%1$s:', 2001 + n)::pg_snapshot, now() - interval '2 hours'
    FROM curia_realtime.epoch, generate_series(1, 25000) AS n
    ORDER BY n <= 12500, n;
    UPDATE curia_realtime.tick SET at = at - interval '3 hours' WHERE n = 0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_stay_while_another_is_cutting_the_ticks_that_go_before_them() {
    let forum = Forum::captured().await;
    forum.run(LONG_TOLD).await;
    let mut another = forum.pool.begin().await.expect("a transaction");
    let slice = include_str!("../../sql/retention/cut_ticks.sql");
    let slice = sqlx::query(slice).bind(epoch(&forum).await).bind(25_000_i64).bind(10_000_i64);
    assert_eq!(slice.execute(&mut *another).await.expect("a slice").rows_affected(), 10_000);
    let retention = keeping(&forum, Duration::from_secs(3600), 1_000);
    let sweeping = tokio::spawn({
        let retention = retention.clone();
        async move { retention.sweep().await }
    });
    let waits =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
    let waiting = async {
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&forum.pool).await.expect("an answer") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("a sweep that waits for the slice");
    another.commit().await.expect("a commit");
    let swept = sweeping.await.expect("a sweep").expect("a sweep");
    let (ticks, rows) = (count(&forum, "tick").await, count(&forum, "outbox").await);
    assert!(ticks == 1 || rows == 25_000, "{ticks} ticks and {rows} rows are left");
    assert!(!swept.new_epoch, "what is too much is about to be cut");
    retention.sweep().await.expect("a sweep");
    assert_eq!((count(&forum, "tick").await, count(&forum, "outbox").await), (1, 0));
}

#[tokio::test]
async fn between_two_slices_the_ticks_of_an_epoch_have_no_hole() {
    let forum = Forum::captured().await;
    forum.run(LONG_TOLD).await;
    let cut = include_str!("../../sql/retention/cut_ticks.sql");
    let holes = "SELECT max(n) - min(n) + 1 - count(*) FROM curia_realtime.tick";
    let mut slices = 0;
    loop {
        let slice = sqlx::query(cut).bind(epoch(&forum).await).bind(25_000_i64).bind(10_000_i64);
        let cut = slice.execute(&forum.pool).await.expect("a slice").rows_affected();
        let holes: i64 = sqlx::query_scalar(holes).fetch_one(&forum.pool).await.expect("a count");
        assert_eq!(holes, 0, "behind slice {slices}");
        slices += 1;
        if cut < 10_000 {
            break;
        }
    }
    assert_eq!((slices, count(&forum, "tick").await), (3, 1));
}

#[tokio::test]
async fn ticks_of_earlier_epochs_go() {
    let forum = Forum::captured().await;
    forum.run(LONG_TOLD).await;
    forum
        .run(
            "WITH begun AS (INSERT INTO curia_realtime.epoch (reason) VALUES ('restored') RETURNING id)
             INSERT INTO curia_realtime.tick (epoch, n, snapshot) SELECT id, 0, pg_current_snapshot() FROM begun",
        )
        .await;
    keeping(&forum, Duration::from_secs(3600), 1_000_000_000).sweep().await.expect("a sweep");
    assert_eq!(count(&forum, "tick").await, 1);
}

#[tokio::test]
async fn a_row_of_a_transaction_that_was_open_for_long_is_not_taken_for_all_that_came_meanwhile() {
    let forum = Forum::captured().await;
    let mut reader = reader(&forum).await;
    let mut open = forum.pool.begin().await.expect("an open transaction");
    sqlx::raw_sql("INSERT INTO votes (user_id, post_id) VALUES ('cy', 2)").execute(&mut *open).await.expect("a vote");
    forum
        .run("INSERT INTO curia_realtime.outbox (kind, post_id) SELECT 'vote_added', 1 FROM generate_series(1, 20000)")
        .await;
    pages(&mut reader).await;
    keeping(&forum, Duration::ZERO, u64::MAX).sweep().await.expect("a sweep");
    open.commit().await.expect("a commit");
    forum.run("INSERT INTO votes (user_id, post_id) VALUES ('bo', 1)").await;
    let few = keeping(&forum, Duration::from_secs(3600), 1 << 20).sweep().await.expect("a sweep");
    assert_eq!((few.shortened, few.new_epoch), (None, false), "{few:?}");
    assert!(few.size < 1_000, "{few:?}");
    assert_eq!(count(&forum, "outbox").await, 2);
}

/// A service that is told to keep little, over the changes of some seconds.
async fn keeps_little(forum: &Forum, flags: &[(&'static str, &str)]) {
    let flags = [&[("retention", "1s"), ("outbox-max-size", "10KiB")], flags].concat();
    let service = Service::start_with(&forum.url(), &flags).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    assert_eq!(ada.ask("post:join", json!(1)).await["ok"], json!(true));
    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'One')").await;
    while ada.next().await[0] != "post:newComment" {}
    timeout(PATIENCE, emptied(forum)).await.expect("what was told to be cut");
    // More at once than there is room for.
    forum
        .run("INSERT INTO curia_realtime.outbox (kind, post_id) SELECT 'vote_added', 1 FROM generate_series(1, 5000)")
        .await;
    timeout(PATIENCE, emptied(forum)).await.expect("what is too much to be cut");
    service.stop().await;
}

async fn emptied(forum: &Forum) {
    while count(forum, "outbox").await > 0 {
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_hears_no_bell_and_holds_no_lease_sweeps_as_it_makes_the_ticks() {
    let forum = Forum::captured().await;
    // Nobody listens there.
    let nowhere = Port::free().expect("a port");
    let listen = format!("postgres://postgres@127.0.0.1:{}/forum", nowhere.number());
    keeps_little(&forum, &[("listen-database-url", &listen)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_sweeps_beside_its_work_and_sends_everybody_back_when_it_had_to_cut() {
    let forum = Forum::captured().await;
    let service = Service::start_with(&forum.url(), &[("retention", "1s")]).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    assert_eq!(ada.ask("post:join", json!(1)).await["ok"], json!(true));
    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'One')").await;
    assert_eq!(ada.next().await[1]["comment"]["content"], "One");
    timeout(PATIENCE, emptied(&forum)).await.expect("the old row to be cut");
    while ada.next().await[0] != "notification:new" {}

    forum
        .run(
            "WITH begun AS (INSERT INTO curia_realtime.epoch (reason) VALUES ('restored') RETURNING id)
             INSERT INTO curia_realtime.tick (epoch, n, snapshot) SELECT id, 0, pg_current_snapshot() FROM begun",
        )
        .await;
    let mut happened = ada.next().await;
    while happened[0] != "disconnect" {
        happened = ada.next().await;
    }
    service.stop().await;
}
