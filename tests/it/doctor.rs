//! `curia-realtime doctor`: whatever keeps the service from its work is found, and named with what mends it.

use curia_scratch::Redis;

use crate::support::{
    postgres::Forum,
    program::{Ran, Serving, run},
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

/// The line of a check, without its name.
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

/// The check is wrong, and its line holds all of these.
fn assert_wrong(ran: &Ran, what: &str, parts: &[&str]) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("checks are WRONG"), "{ran:?}");
    let (verdict, told) = line(ran, what);
    assert_eq!(verdict, "WRONG", "{told}");
    for part in parts {
        assert!(told.contains(part), "{part} in {told}");
    }
}

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
    for what in [
        "settings",
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
        "redis",
        "redis writes",
        "redis memory",
        "keys",
    ] {
        assert_eq!(line(&ran, what).0, "ok", "{what} in {}", ran.stdout);
    }
    for what in ["open files", "somaxconn"] {
        assert_ne!(line(&ran, what).0, "WRONG", "{}", ran.stdout);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_database_without_our_schema_is_named_with_the_command() {
    let forum = Forum::bare().await;
    let ran = of_forum(&forum, &[]).await;
    assert_wrong(&ran, "schema", &["no schema curia_realtime", "`curia-realtime migrate up`"]);
    assert_eq!(line(&ran, "the rest").0, "note", "{}", ran.stdout);
}
