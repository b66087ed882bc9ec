use super::{
    database::{Connections, Replicas, Server, Trigger},
    keys::Keys,
    redis::Info,
    stream::{Newest, Nodes, Open, Outbox, Position},
    *,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn label(finding: &Finding) -> &'static str {
    assert_eq!(finding.next().is_none(), finding.verdict == Verdict::Ok, "{finding:?}");
    finding.label()
}

/// It has this label, and all of these stand in its line.
fn assert_says(finding: &Finding, expected: &str, parts: &[&str]) {
    assert_eq!(label(finding), expected, "{finding:?}");
    let line = Report(vec![finding.clone()]).to_string();
    for part in parts {
        assert!(line.contains(part), "{part} in {line}");
    }
}

fn server() -> Server {
    Server {
        version: 150_018,
        named: "15.18".to_owned(),
        standby: false,
        read_only: false,
        role: "reader".to_owned(),
        ahead: 3,
        within: 5,
        connections: Connections { places: 97, taken: 10, ours: 0 },
    }
}

#[test]
fn a_report_is_a_line_a_check_and_the_same_as_json() {
    let report = Report(vec![
        Finding::ok("one", "fine"),
        Finding::note("another", "odd\nand\u{1b}[0m more", "look"),
        Finding::error("third", "it broke; mend it; then rest", "unused"),
        Finding::error("fourth", "it broke", "mend it"),
    ]);
    let lines = "ok     one      fine\nnote   another  odd\\nand\\u{1b}[0m more; look\n\
                 WRONG  third    it broke; mend it; then rest\nWRONG  fourth   it broke; mend it\n";
    assert_eq!((report.to_string().as_str(), report.wrong()), (lines, 2));
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["wrong"], 2);
    let third =
        serde_json::json!({"verdict": "WRONG", "what": "third", "found": "it broke", "next": "mend it; then rest"});
    assert_eq!(json["checks"][2], third);
    assert_eq!(json["checks"][0]["next"], serde_json::Value::Null);
}

#[test]
fn what_was_not_answered_is_wrong_and_says_why() {
    let asked: Asked<()> = Err(Unanswered("canceling statement due to lock timeout".to_owned()));
    let finding = Finding::of("outbox", &asked, |()| Finding::ok("outbox", ""));
    assert_says(&finding, "WRONG", &["due to lock timeout", "pg_blocking_pids"]);
}

#[test]
fn a_server_is_judged_by_its_version_and_by_whether_it_takes_writes() {
    for (version, expected) in [(140_011, "WRONG"), (150_000, "ok"), (180_001, "ok"), (190_000, "note")] {
        assert_says(&database::version(&Server { version, ..server() }), expected, &["PostgreSQL 15.18"]);
    }
    assert_says(&database::primary(&server()), "ok", &[]);
    assert_says(&database::primary(&Server { standby: true, ..server() }), "WRONG", &["a standby", "pg_promote()"]);
    let read_only = database::primary(&Server { read_only: true, ..server() });
    assert_says(&read_only, "WRONG", &["ALTER ROLE reader SET default_transaction_read_only = off"]);
}

#[test]
fn clocks_that_differ_are_told_apart_from_a_question_that_took_time() {
    for (ahead, within, expected, part) in [
        (0, 0, "ok", "agree"),
        (9_000, 9_000, "ok", "agree"),
        (-5_000, 100, "note", "4 s behind"),
        (5_000, 100, "note", "4 s ahead of"),
        (-300_000, 5, "WRONG", "4 min behind"),
        (i64::MIN, i64::MAX, "ok", "agree"),
    ] {
        assert_says(&database::clock(&Server { ahead, within, ..server() }), expected, &[part]);
    }
}

#[test]
fn connections_have_to_be_left_for_a_node() {
    for (taken, ours, expected) in [(10, 0, "ok"), (90, 0, "note"), (96, 0, "WRONG"), (97, 11, "ok"), (97, 5, "note")] {
        let found = Connections { places: 97, taken, ours };
        assert_says(&database::connections(found, 10), expected, &["of 97 are taken", "up to 11"]);
    }
}

#[test]
fn a_trigger_that_is_missing_or_does_not_fire_is_named_with_the_statement_that_mends_it() {
    let trigger = |name: &str, enabled: Option<&str>| Trigger {
        name: name.to_owned(),
        table: "public.posts".to_owned(),
        enabled: enabled.map(str::to_owned),
    };
    assert_says(&database::triggers(&[trigger("a", Some("O")), trigger("b", Some("A"))]), "ok", &["all 2"]);
    for how in ["D", "R"] {
        let found = database::triggers(&[trigger("a", Some("O")), trigger("b", Some(how))]);
        assert_says(&found, "WRONG", &["1 of 2", "b on public.posts", "ALTER TABLE public.posts ENABLE TRIGGER b;"]);
    }
    let found = database::triggers(&[trigger("a", Some("D")), trigger("b", None)]);
    assert_says(&found, "WRONG", &["1 of 2 are missing", "b on public.posts", "`curia-realtime migrate up`"]);
}

#[test]
fn whoever_writes_as_a_replica_is_named() {
    assert_says(&database::replicas(&[]), "ok", &[]);
    let of = |role: Option<&str>, database: Option<&str>| Replicas {
        role: role.map(str::to_owned),
        database: database.map(str::to_owned),
    };
    let found = database::replicas(&[of(Some("loader"), None), of(None, Some("forum")), of(None, None)]);
    assert_says(
        &found,
        "WRONG",
        &[
            "for loader, everybody, everybody",
            "ALTER DATABASE forum RESET",
            "postgresql.conf",
            "ALTER ROLE loader RESET session_replication_role",
        ],
    );
}

#[test]
fn rights_that_are_missing_come_with_the_grant() {
    assert_says(&database::rights("reader", None, &[]), "ok", &["reader"]);
    let refused = database::rights("reader", Some("permission denied for table posts"), &[]);
    assert_says(&refused, "WRONG", &["denied for table posts", "GRANT curia_realtime TO reader;"]);
    let missing = database::rights("reader", None, &["DELETE ON curia_realtime.tick".to_owned()]);
    assert_says(&missing, "WRONG", &["lacks DELETE ON curia_realtime.tick"]);
}

#[test]
fn the_lease_is_somebodys_while_nodes_listen() {
    let nodes = |listening, lease: Option<&str>| Nodes { listening, lease: lease.map(str::to_owned) };
    assert_says(&stream::lease(&nodes(2, Some("process 7"))), "ok", &["process 7", "2 nodes listen"]);
    assert_says(&stream::lease(&nodes(0, None)), "note", &["no node listens", "curia-realtime serve"]);
    assert_says(&stream::lease(&nodes(2, None)), "WRONG", &["with 2 nodes listening"]);
}

fn position(waiting: i64, since: Option<u64>) -> Position {
    let newest = Newest { tick: 7, age: HOUR, waiting, since: since.map(Duration::from_secs) };
    Position { lacking: None, broken: None, newest: Some(newest) }
}

#[test]
fn what_no_tick_holds_waits_for_moments_or_something_is_wrong() {
    let (none, some) = (Nodes::default(), Nodes { listening: 1, lease: Some("process 7".to_owned()) });
    assert_says(&stream::ticks(&position(0, None), &none), "ok", &["tick 7, 60 min old"]);
    assert_says(&stream::ticks(&position(3, Some(1)), &some), "ok", &["3 changes waiting to be told"]);
    assert_says(&stream::ticks(&position(3, Some(90)), &none), "WRONG", &["for 90 s", "start `curia-realtime serve`"]);
    let many = stream::ticks(&position(stream::COUNTED, Some(90)), &some);
    assert_says(&many, "WRONG", &["at least 100000", "the one with the lease first"]);
    let broken = Position { broken: Some("another server".to_owned()), ..position(0, None) };
    assert_says(&stream::ticks(&broken, &some), "note", &["another server", "a new epoch"]);
    let incomplete = Position { lacking: Some("missing: zz_curia_vote_added".to_owned()), ..broken };
    assert_says(&stream::ticks(&incomplete, &some), "WRONG", &["not every change is noted", "zz_curia_vote_added"]);
    assert_says(&stream::ticks(&Position { newest: None, ..position(0, None) }, &some), "note", &["look again"]);
}

#[test]
fn the_outbox_is_judged_by_its_limit_and_by_the_age_of_its_oldest_row() {
    let judged = |size, age: Option<Duration>| stream::outbox(&Outbox { size, age }, HOUR, 2_000_000_000);
    assert_says(&judged(0, None), "ok", &["0 bytes of 2.0 GB, no row, kept for 60 min"]);
    assert_says(&judged(2_500_000, Some(HOUR)), "ok", &["2.5 MB", "60 min old"]);
    assert_says(&judged(2_500, Some(HOUR * 3)), "note", &["3 h 0 min old", "why it is not cut"]);
    assert_says(&judged(1_000_000_001, None), "note", &["REALTIME_OUTBOX_MAX_SIZE"]);
    assert_says(&judged(2_000_000_001, None), "WRONG", &["REALTIME_OUTBOX_MAX_SIZE"]);
}

fn open(age: Option<Duration>, writes: bool) -> Open {
    let (role, state) = (Some("forum".to_owned()), Some("idle in transaction".to_owned()));
    Open { pid: Some(42), gid: None, role, state, age, since: None, writes }
}

#[test]
fn the_oldest_transaction_is_named_with_how_to_end_it() {
    let judged = |open: &[Open]| stream::transactions(open, HOUR, "reader");
    assert_says(&judged(&[]), "ok", &["more than 60 s"]);
    assert_says(&judged(&[open(Some(Duration::from_secs(59)), true)]), "ok", &[]);
    let younger = open(Some(Duration::from_secs(61)), true);
    let parts = ["process 42 of role forum, idle in transaction", "for 61 s", "pg_terminate_backend(42);"];
    assert_says(&judged(&[open(None, true), younger.clone()]), "note", &parts);
    assert_says(&judged(&[younger, open(Some(HOUR), true)]), "WRONG", &["for 60 min", "not told before it commits"]);
    let reader = judged(&[open(Some(HOUR * 2), false)]);
    assert_says(&reader, "note", &["no space of the outbox"]);
    assert!(!reader.found.contains("not told"), "{reader:?}");
    let prepared = Open { pid: None, gid: Some("'x'".to_owned()), ..open(Some(HOUR), true) };
    assert_says(&judged(&[prepared]), "WRONG", &["prepared transaction 'x'", "ROLLBACK PREPARED 'x';"]);
    assert_says(
        &judged(&[open(None, true)]),
        "note",
        &["1 transaction of other roles", "GRANT pg_read_all_stats TO reader"],
    );
}

fn redis_server(info: &str) -> redis::Server {
    redis::Server { place: "cache:6379".to_owned(), info: Ok(Info::of(info)), written: Ok(()) }
}

/// Those of one server, in their order.
fn of_redis(server: redis::Server) -> Vec<Finding> {
    redis::findings("redis://cache", &[server], &Ok(()))
}

#[test]
fn a_redis_is_judged_by_what_it_says_of_itself() {
    let text =
        "# Server\r\nredis_version:7.0.15\r\nused_memory:1500000\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n";
    let found = of_redis(redis_server(text));
    assert_says(&found[0], "ok", &["redis://cache lets us in: 1 server, Redis 7.0.15"]);
    assert_says(&found[1], "ok", &[]);
    assert_says(&found[2], "ok", &["1.5 MB used, no limit, noeviction"]);
    let limited = |most: &str| text.replace("maxmemory:0", &format!("maxmemory:{most}"));
    assert_says(&of_redis(redis_server(&limited("1600000")))[2], "note", &["a higher maxmemory"]);
    let evicting = limited("100000000").replace("noeviction", "allkeys-lru");
    assert_says(&of_redis(redis_server(&evicting))[2], "note", &["allkeys-lru", "maxmemory-policy noeviction"]);
    let old = text.replace("7.0.15", "5.0.14");
    assert_says(&of_redis(redis_server(&old))[0], "WRONG", &["Redis 5.0.14", "6 or newer"]);
    let valkey = format!("{text}valkey_version:8.1.0\r\n");
    assert_says(&of_redis(redis_server(&valkey))[0], "ok", &["Valkey 8.1.0"]);
}

#[test]
fn a_redis_that_takes_nothing_is_named_with_what_is_wrong_there() {
    for (why, next) in [
        ("OOM command not allowed when used memory > 'maxmemory'.", "more memory"),
        ("MISCONF Redis is configured to save", "the disk of Redis"),
        ("NOPERM this user has no permissions", "ACL SETUSER"),
        ("connection reset", "see to Redis"),
    ] {
        let written = Err(Unanswered(why.to_owned()));
        let found = of_redis(redis::Server { written, ..redis_server("redis_version:7.0.15") });
        assert_says(&found[1], "WRONG", &["cache:6379", why, next]);
    }
    let mute = redis::findings("redis://cache", &[redis_server("")], &Err(Unanswered("NOPERM".to_owned())));
    assert_says(&mute[1], "WRONG", &["published", "&prefix*"]);
    let silent = redis::Server { info: Err(Unanswered("timed out".to_owned())), ..redis_server("") };
    assert_says(&of_redis(silent)[0], "WRONG", &["cache:6379", "timed out"]);
    assert_says(
        &redis::unreached("redis://cache", "Redis can't be reached"),
        "WRONG",
        &["redis://cache", "see to Redis"],
    );
    assert_says(&redis::absent(), "note", &["REDIS_URL is not set"]);
}

#[test]
fn the_process_wants_a_file_for_each_browser_and_places_for_those_who_come_at_once() {
    let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                  Max open files            1024                 524288               files\n";
    assert_eq!(process::open_files(limits), Some(1_024));
    assert_eq!(process::open_files(&limits.replace("1024", "unlimited")), None);
    assert_eq!(process::open_files(""), None);
    assert_says(&process::files(Some(1_024), 20_000, 10), "note", &["may open 1024", "ulimit -n 20074"]);
    assert_says(&process::files(Some(1_024), 500, 10), "ok", &[]);
    assert_says(&process::files(None, 20_000, 10), "ok", &[]);
    assert_says(&process::backlog(Some(128), 20_000), "note", &["net.core.somaxconn=4096"]);
    assert_says(&process::backlog(Some(128), 100), "ok", &[]);
    assert_says(&process::backlog(Some(4_096), 20_000), "ok", &[]);
}

#[test]
fn keys_are_counted_and_never_shown() {
    assert_says(&keys::keys(&Keys::Secrets { count: 2, believed: true }), "ok", &["2 secrets"]);
    assert_says(&keys::keys(&Keys::Secrets { count: 1, believed: false }), "WRONG", &["JWT_SECRET"]);
    let file = |keys| Keys::File { path: "keys.pem".to_owned(), keys };
    assert_says(&keys::keys(&file(Ok(3))), "ok", &["3 public keys in keys.pem"]);
    assert_says(&keys::keys(&file(Err("no PEM".to_owned()))), "WRONG", &["keys.pem: no PEM", "mend the file"]);
}
