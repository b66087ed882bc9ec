//! `curia-realtime doctor`: whatever keeps the service from its work is found, and named with what mends it.

mod pooler;
mod redis;
mod server;

use curia_scratch::Redis;
use serde_json::Value;

use crate::support::{
    postgres::Forum,
    program::{Place, Ran, Serving, run},
    service::SECRET,
};

/// Looks with these settings beside a secret.
async fn doctor(settings: &[(&str, &str)]) -> Ran {
    run(&["doctor"], &[&[("JWT_SECRET", SECRET)], settings].concat()).await
}

async fn of_forum(forum: &Forum, settings: &[(&str, &str)]) -> Ran {
    let url = forum.url();
    doctor(&[&[("DATABASE_URL", url.as_str())], settings].concat()).await
}

/// The verdict of a check, and its line without both.
fn line<'a>(ran: &'a Ran, what: &str) -> (&'a str, &'a str) {
    let lines = ran.stdout.lines().filter_map(|line| {
        let (verdict, rest) = line.split_once("  ")?;
        let (of, told) = rest.trim_start().split_once("  ")?;
        (of == what).then(|| (verdict.trim(), told.trim_start()))
    });
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 1, "{what} in {}", ran.stdout);
    lines[0]
}

fn assert_says(ran: &Ran, what: &str, expected: &str, parts: &[&str]) {
    let (verdict, told) = line(ran, what);
    assert_eq!(verdict, expected, "{told}");
    for part in parts {
        assert!(told.contains(part), "{part} in {told}");
    }
}

/// The check is wrong, and its line holds all of these.
fn assert_wrong(ran: &Ran, what: &str, parts: &[&str]) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("checks are WRONG"), "{ran:?}");
    assert_says(ran, what, "WRONG", parts);
}

/// All that depends on neither the machine nor on Redis.
const OF_DATABASE: [&str; 14] = [
    "database",
    "version",
    "primary",
    "clock",
    "connections",
    "schema",
    "triggers",
    "replication role",
    "rights",
    "lease",
    "ticks",
    "outbox",
    "transactions",
    "listening",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_is_in_order_every_check_says_so_and_the_exit_code_is_0() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let url = redis.url();
    let service = Serving::start(&forum.url(), &["--redis-url", &url]).await;
    service.until_ready().await;
    service.until_metric("curia_lease_held", 1.0).await;
    let ran = of_forum(&forum, &[("REDIS_URL", &url)]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    for what in OF_DATABASE.into_iter().chain(["settings", "redis", "redis writes", "redis memory", "keys"]) {
        assert_says(&ran, what, "ok", &[]);
    }
    for what in ["open files", "somaxconn"] {
        assert_ne!(line(&ran, what).0, "WRONG", "{}", ran.stdout);
    }
    service.stop().await;
}

#[tokio::test]
async fn json_tells_the_same_in_one_document() {
    let forum = Forum::bare().await;
    let url = forum.url();
    let ran = run(&["doctor", "--json"], &[("DATABASE_URL", &url), ("JWT_SECRET", SECRET)]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told["wrong"], 1, "{told}");
    let checks = told["checks"].as_array().expect("a list");
    let of = |what: &str| checks.iter().find(|check| check["what"] == what).expect("a check");
    assert_eq!(of("database")["verdict"], "ok");
    assert_eq!(of("database")["next"], Value::Null);
    assert_eq!(of("schema")["verdict"], "WRONG");
    assert!(of("schema")["found"].as_str().is_some_and(|found| found.contains("no schema curia_realtime")), "{told}");
    assert!(of("schema")["next"].as_str().is_some_and(|next| next.contains("migrate up")), "{told}");
    assert!(checks.iter().all(|check| (check["verdict"] == "ok") == check["next"].is_null()), "{told}");
}

#[tokio::test]
async fn a_setting_that_can_not_be_read_ends_it_as_it_ends_serve() {
    for (settings, part) in [
        (&["doctor"][..], "DATABASE_URL (or --database-url) is not set"),
        (&["doctor", "--database-url", "postgres://u@127.0.0.1:1/forum", "--retention", "soon"], "REALTIME_RETENTION"),
        (&["doctor", "--database-url", "postgres://u@127.0.0.1:1/forum", "--jwt-jwks-file", "none"], "can't be read"),
    ] {
        let secret: &[_] = if part == "can't be read" { &[] } else { &[("JWT_SECRET", SECRET)] };
        let ran = run(settings, secret).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(part), "{part} in {ran:?}");
    }
}

#[tokio::test]
async fn what_is_allowed_and_hardly_meant_is_a_note() {
    let place = Place::new().env_file("JWT_SECRET=short\nDATABASE_URL=postgres://u@127.0.0.1:1/forum\n");
    let ran = place.run(&["doctor"], &[]).await;
    assert_says(&ran, "settings", "note", &["JWT_SECRET holds fewer than 32 bytes"]);
    assert_says(&ran, "keys", "ok", &["1 secret in"]);
    assert_says(&ran, "redis", "note", &["REDIS_URL is not set"]);
    let keys = format!("{}/tests/fixtures/keys/rsa.pub.pem", env!("CARGO_MANIFEST_DIR"));
    let files = [("DATABASE_URL", "postgres://u@127.0.0.1:1/forum"), ("JWT_PUBLIC_KEY_FILE", keys.as_str())];
    assert_says(&run(&["doctor"], &files).await, "keys", "ok", &["1 public key in", "rsa.pub.pem"]);
}

#[tokio::test]
async fn it_changes_nothing() {
    let forum = Forum::captured().await;
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Waits', '', 1)").await;
    let contents = async || {
        let query = "SELECT (SELECT json_agg(o ORDER BY seq) FROM curia_realtime.outbox AS o)::text
            || (SELECT json_agg(t ORDER BY epoch, n) FROM curia_realtime.tick AS t)::text
            || (SELECT json_agg(e ORDER BY id) FROM curia_realtime.epoch AS e)::text";
        sqlx::query_scalar::<_, String>(query).fetch_one(&forum.pool).await.expect("all rows")
    };
    let before = (forum.schema(), contents().await);
    let ran = of_forum(&forum, &[]).await;
    assert_says(&ran, "ticks", "ok", &["tick 0,", "1 change waiting"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((forum.schema(), contents().await), before);
}

#[tokio::test]
async fn a_database_without_our_schema_or_with_another_version_is_named_with_the_command() {
    let forum = Forum::bare().await;
    let ran = of_forum(&forum, &[]).await;
    assert_wrong(&ran, "schema", &["no schema curia_realtime", "`curia-realtime migrate up`"]);
    assert_says(&ran, "the rest", "note", &["were not looked at"]);
    forum.migrate(".up.sql");
    forum.run("DELETE FROM curia_realtime.migration WHERE version = 9").await;
    let ran = of_forum(&forum, &[]).await;
    assert_wrong(&ran, "schema", &["version 8, this program needs 9", "`curia-realtime migrate up`"]);
}

#[tokio::test]
async fn a_trigger_that_is_disabled_or_gone_is_named_with_what_mends_it() {
    let forum = Forum::captured().await;
    forum.run("ALTER TABLE votes DISABLE TRIGGER zz_curia_vote_added").await;
    let mend = "ALTER TABLE public.votes ENABLE TRIGGER zz_curia_vote_added;";
    assert_wrong(&of_forum(&forum, &[]).await, "triggers", &["1 of 28 are disabled", mend]);
    forum.run("ALTER TABLE votes ENABLE TRIGGER zz_curia_vote_added").await;
    assert_says(&of_forum(&forum, &[]).await, "triggers", "ok", &["all 28"]);
    forum.run("ALTER TABLE votes DISABLE TRIGGER ALL").await;
    assert_wrong(&of_forum(&forum, &[]).await, "triggers", &["3 of 28 are disabled", mend]);
    forum.run("DROP TRIGGER zz_curia_reset ON posts").await;
    let parts = ["1 of 28 are missing", "zz_curia_reset on public.posts", "`curia-realtime migrate up`"];
    assert_wrong(&of_forum(&forum, &[]).await, "triggers", &parts);
}

#[tokio::test]
async fn a_transaction_that_stays_open_is_named_with_the_process_and_how_to_end_it() {
    let forum = Forum::captured().await;
    let mut writer = forum.pool.begin().await.expect("a transaction");
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *writer).await.expect("a pid");
    sqlx::raw_sql("UPDATE posts SET title = title").execute(&mut *writer).await.expect("a write");
    // What is long is a matter of how long the outbox is kept.
    let ran = of_forum(&forum, &[("REALTIME_RETENTION", "1ms")]).await;
    let (process, end) = (format!("process {pid} of role postgres"), format!("pg_terminate_backend({pid})"));
    assert_wrong(&ran, "transactions", &[&process, "idle in transaction", ", begun 20", &end]);
    assert_says(&of_forum(&forum, &[]).await, "transactions", "ok", &["60 s"]);
    writer.rollback().await.expect("an end");
}

#[tokio::test]
async fn changes_that_nobody_tells_are_wrong() {
    let forum = Forum::captured().await;
    let ran = of_forum(&forum, &[]).await;
    assert_says(&ran, "lease", "note", &["no node listens", "start `curia-realtime serve`"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let statement = "INSERT INTO curia_realtime.outbox (at, kind, post_id, actor)
        VALUES (clock_timestamp() - interval '3 hours', 'vote_added', 1, 'ada')";
    forum.run(statement).await;
    let ran = of_forum(&forum, &[]).await;
    assert_wrong(
        &ran,
        "ticks",
        &["1 change waiting to be told, the oldest for 3 h 0 min", "start `curia-realtime serve`"],
    );
    assert_says(&ran, "outbox", "note", &["its oldest row 3 h 0 min old, kept for 60 min"]);
    let ran = of_forum(&forum, &[("REALTIME_OUTBOX_MAX_SIZE", "1KiB")]).await;
    assert_says(&ran, "outbox", "note", &["bytes of 1.0 kB"]);
    let statement = "INSERT INTO curia_realtime.outbox (kind, post_id, actor)
        SELECT 'vote_added', 1, 'ada' FROM generate_series(1, 100)";
    forum.run(statement).await;
    let ran = of_forum(&forum, &[("REALTIME_OUTBOX_MAX_SIZE", "1KiB")]).await;
    assert_wrong(&ran, "outbox", &["a larger REALTIME_OUTBOX_MAX_SIZE"]);
}

#[tokio::test]
async fn a_copy_of_a_database_is_told_to_begin_a_new_epoch() {
    let copy = Forum::copy_of(Forum::captured().await).await;
    let ran = of_forum(&copy, &[]).await;
    assert_says(&ran, "ticks", "note", &["another database than before", "begins a new epoch"]);
}

#[tokio::test]
async fn a_table_that_somebody_locks_is_waited_for_no_longer_than_a_second() {
    let forum = Forum::captured().await;
    let mut other = forum.pool.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK curia_realtime.outbox").execute(&mut *other).await.expect("a lock");
    let ran = of_forum(&forum, &[]).await;
    for what in ["ticks", "outbox"] {
        assert_wrong(&ran, what, &["canceling statement due to lock timeout", "pg_blocking_pids"]);
    }
    other.rollback().await.expect("an end");
}
