//! The command line as a user meets it: settings, exit codes, complaints.

use std::process::Stdio;

use chrono::Utc;
use curia_realtime::config::{Sources, TokenConfig};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::support::{
    client::Client,
    postgres::Forum,
    program::{Place, run},
    service::Service,
    store::degraded,
};

const SECRET: &str = "a secret of the tests that is long enough for HS256";

#[tokio::test]
async fn nothing_is_opened_with_a_wrong_configuration() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port().to_string();
    // Were the port opened first, its being taken would be the complaint.
    let environment =
        [("PORT", port.as_str()), ("HOST", "127.0.0.1"), ("JWT_SECRET", "hunter2,"), ("REALTIME_DRAIN", "25")];
    let refused = run(&["serve", "--allowed-origins", "*"], &environment).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
    let lines: Vec<&str> = refused.stderr.lines().collect();
    for (line, start) in lines.iter().zip([
        "curia-realtime: DATABASE_URL (or --database-url) is not set; it takes a URL",
        "curia-realtime: JWT_SECRET (or --jwt-secret) can't be used as it is (environment); it takes the forum's secret",
        "curia-realtime: ALLOWED_ORIGINS (or --allowed-origins) is \"*\" (flag); it takes origins",
        "curia-realtime: REALTIME_DRAIN (or --drain) is \"25\" (environment); it takes a duration",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(lines.len(), 4, "{refused:?}");
    assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
}

#[tokio::test]
async fn wrong_usage_is_2_and_help_is_0() {
    for arguments in [&[][..], &["serf"], &["serve", "--no-such-flag"], &["migrate", "up", "--patience", "soon"]] {
        assert_eq!(run(arguments, &[]).await.code, Some(2), "{arguments:?}");
    }
    let help =
        run(&["serve", "--help"], &[("JWT_SECRET", "hunter2"), ("DATABASE_URL", "postgres://u:hunter2@h/d")]).await;
    assert_eq!(help.code, Some(0));
    for part in [
        "[env: DATABASE_URL]",
        "[env: PORT] [default: 4000]",
        "[env: REALTIME_RETENTION] [default: 1h]",
        "--jwt-audience",
    ] {
        assert!(help.stdout.contains(part), "{part} in {}", help.stdout);
    }
    assert!(!help.stdout.contains("hunter2"));
}

#[tokio::test]
async fn config_tells_each_value_and_its_source() {
    let place = Place::new().env_file(
        "# the forum's\nNEXT_PUBLIC_NAME=Our forum\nDATABASE_URL='postgres://forum:hunter2@db:5432/forum'\nJWT_SECRET=\"hunter2 hunter2 hunter2 hunter2 hunter2\"\nPORT=5000\nHOST=::1\n",
    );
    let told =
        place.run(&["config", "--port", "6000"], &[("HOST", ""), ("REDIS_URL", "redis://:hunter2@redis:6379")]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    let row = |name: &str| {
        let line =
            told.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {told:?}"));
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("DATABASE_URL"), ["postgres://forum:[secret]@db:5432/forum", ".env"]);
    assert_eq!(row("JWT_SECRET"), ["[secret]", ".env"]);
    assert_eq!(row("PORT"), ["6000", "flag"]);
    assert_eq!(row("HOST"), ["::1", ".env"]);
    assert_eq!(row("REDIS_URL"), ["redis://:[secret]@redis:6379", "environment"]);
    assert_eq!(row("REALTIME_RETENTION"), ["1h", "default"]);
    assert_eq!(row("JWT_ISSUER"), ["not", "set"]);
    assert_eq!(row("REDIS_PREFIX"), ["curia:", "default"]);
    assert!(!told.stdout.contains("hunter2") && !told.stderr.contains("hunter2"), "{told:?}");
}

#[tokio::test]
async fn token_makes_one_that_is_believed() {
    let environment = [("JWT_SECRET", SECRET), ("JWT_ISSUER", "forum")];
    let who =
        ["token", "--user", "ada", "--community", "c1", "--role", "member", "--role", "mod", "--admin", "--ttl", "5m"];
    let made = run(&who, &environment).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let verifier = TokenConfig::read(&Sources { environment, ..Sources::default() }).expect("settings").verifier();
    let actor = verifier.verify(made.stdout.trim(), Utc::now()).expect("an actor");
    assert_eq!((actor.user.as_str(), actor.community.as_str(), actor.roles.len(), actor.admin), ("ada", "c1", 2, true));
    let refused = run(&["token", "--user", "", "--community", "c1"], &[("JWT_SECRET", SECRET)]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_a_wrong_configuration() {
    let fixture = |name: &str| format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"));
    let (public, private) = (fixture("rsa.pub.pem"), fixture("rsa.pem"));
    let database = ("DATABASE_URL", "postgres://u@127.0.0.1:1/forum");
    for (variables, part) in [
        (&[database][..], "JWT_SECRET (or --jwt-secret) is not set"),
        (&[database, ("JWT_SECRET", SECRET), ("JWT_PUBLIC_KEY_FILE", &public)], "JWT_SECRET is set as well"),
        (&[database, ("JWT_PUBLIC_KEY_FILE", &private)], "block 1 is a private key"),
        (&[database, ("JWT_JWKS_FILE", &public)], "the file is not a JWK set"),
        (&[database, ("JWT_JWKS_FILE", "no-such-file")], "the file can't be read: No such file"),
    ] {
        let refused = run(&["serve"], variables).await;
        assert_eq!((refused.code, refused.stderr.lines().count()), (Some(2), 1), "{refused:?}");
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    let refused = run(&["token", "--user", "ada", "--community", "c1"], &[("JWT_PUBLIC_KEY_FILE", &public)]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
    assert!(refused.stderr.contains("tokens are signed with JWT_SECRET alone"), "{refused:?}");
}

#[tokio::test]
async fn a_poll_interval_at_which_a_node_would_be_taken_to_be_stuck_is_a_wrong_configuration() {
    let variables = [("DATABASE_URL", "postgres://u@127.0.0.1:1/forum"), ("JWT_SECRET", SECRET)];
    let refused = run(&["serve", "--poll-interval", "1s"], &variables).await;
    let expected = "curia-realtime: REALTIME_POLL_INTERVAL (or --poll-interval) is \"1s\" (flag); \
                    it takes a duration from 1ms to 250ms";
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(2), 1), "{refused:?}");
    assert!(refused.stderr.starts_with(expected), "{refused:?}");
}

#[tokio::test]
async fn serve_refuses_a_schema_of_another_version() {
    let forum = Forum::bare().await;
    let url = forum.url();
    let environment = [("DATABASE_URL", url.as_str()), ("JWT_SECRET", SECRET), ("HOST", "127.0.0.1"), ("PORT", "0")];
    let serve = async || run(&["serve"], &environment).await;
    let missing = serve().await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("no schema curia_realtime; run `curia-realtime migrate up`"), "{missing:?}");
    forum.migrate(".up.sql");
    forum.run("DELETE FROM curia_realtime.migration WHERE version = 9").await;
    let older = serve().await;
    assert_eq!(older.code, Some(2), "{older:?}");
    assert!(older.stderr.contains("has version 8, this program needs 9; run `curia-realtime migrate up`"), "{older:?}");
    forum.run("INSERT INTO curia_realtime.migration (version, name) VALUES (9, 'ninth'), (10, 'tenth')").await;
    let newer = serve().await;
    assert_eq!(newer.code, Some(2), "{newer:?}");
    assert!(newer.stderr.contains("has version 10, this program knows 9"), "{newer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_names_the_grant_and_the_database_that_is_missing() {
    let forum = Forum::captured().await;
    let role = format!("reader_{}", forum.name);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE ROLE {role} LOGIN"))).execute(&forum.pool).await.expect("a role");
    let mut url = url::Url::parse(&forum.url()).expect("a URL");
    url.set_username(&role).expect("a user");
    let environment = [("JWT_SECRET", SECRET), ("HOST", "127.0.0.1"), ("PORT", "0")];
    let refused = run(&["serve", "--database-url", url.as_str()], &environment).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&format!("GRANT curia_realtime TO {role}")), "{refused:?}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("GRANT curia_realtime TO {role}")))
        .execute(&forum.pool)
        .await
        .expect("a grant");
    forum.run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await;
    let blind = run(&["serve", "--database-url", url.as_str()], &environment).await;
    assert_eq!(blind.code, Some(1), "{blind:?}");
    let grant = "GRANT EXECUTE ON FUNCTION pg_control_system() TO curia_realtime";
    assert!(blind.stderr.contains(grant), "{blind:?}");
    forum.run("GRANT EXECUTE ON FUNCTION pg_control_system() TO curia_realtime; DELETE FROM curia_realtime.tick").await;
    // Which is enough for everything, beginning an epoch among it.
    let service = Service::start(url.as_str()).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Seen', '', 1)").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Seen");
    service.stop().await;
    let anew = "CREATE TABLE anew (LIKE imported_boards INCLUDING ALL); DROP TABLE imported_boards CASCADE;
                ALTER TABLE anew RENAME TO imported_boards";
    forum.run(anew).await;
    let revoked = run(&["serve", "--database-url", url.as_str()], &environment).await;
    assert_eq!(revoked.code, Some(1), "{revoked:?}");
    let part = "may not read public.imported_boards, though it was granted curia_realtime: a table was made anew";
    assert!(revoked.stderr.contains(part) && revoked.stderr.contains("migrate down"), "{revoked:?}");
    url.set_path("/no_such_forum");
    let absent = run(&["serve", "--database-url", url.as_str()], &environment).await;
    assert_eq!(absent.code, Some(1), "{absent:?}");
    assert!(absent.stderr.contains("does not exist"), "{absent:?}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP ROLE {role}"))).execute(&forum.pool).await.expect("no role");
}

#[tokio::test]
async fn serve_waits_for_a_database_that_is_away_and_says_so_once() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    let url = format!("postgres://u:hunter2@127.0.0.1:{unused}/forum");
    let place = Place::new();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("JWT_SECRET", SECRET),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("METRICS_PORT", "0"),
        ("LOG_FORMAT", "json"),
    ];
    let mut command = tokio::process::Command::from(place.command(&["serve"], &environment));
    let mut program = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("the program");
    let mut lines = BufReader::new(program.stderr.take().expect("its log")).lines();
    let mut log = Vec::<serde_json::Value>::new();
    let said =
        |log: &[serde_json::Value], text: &str| log.iter().filter(|line| line.to_string().contains(text)).count();
    while said(&log, "listening") == 0 || said(&log, "can't be reached") == 0 {
        let line = lines.next_line().await.expect("text").expect("a line");
        log.push(serde_json::from_str(&line).expect("JSON"));
    }
    let address = |what: &str| {
        let line = log.iter().find(|line| line["fields"]["message"] == what).expect("a line");
        line["fields"]["address"].as_str().expect("an address").to_owned()
    };
    let (main, metrics) = (address("listening"), address("metrics have a port of their own"));
    let answer = get(&main, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("database"), "{answer}");
    assert!(get(&metrics, "/metrics").await.starts_with("HTTP/1.1 200"));
    assert!(get(&main, "/metrics").await.starts_with("HTTP/1.1 404"), "they have a port of their own");

    let pid = program.id().expect("a process").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    while let Some(line) = lines.next_line().await.expect("text") {
        log.push(serde_json::from_str(&line).expect("JSON"));
    }
    assert_eq!(program.wait().await.expect("an end").code(), Some(0));
    assert_eq!(said(&log, "can't be reached"), 1, "{log:?}");
    assert_eq!(said(&log, "hunter2"), 0, "{log:?}");
}

/// The whole answer, head and body.
async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_place_that_cannot_be_listened_on_is_told_with_the_setting_to_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port().to_string();
    let environment = [("JWT_SECRET", SECRET), ("DATABASE_URL", "postgres://u@127.0.0.1:1/forum")];
    for (flags, part) in [
        (["--host", "127.0.0.1", "--port", &port], "Set PORT (--port) to another"),
        (["--port", "0", "--metrics-port", &port], "Set METRICS_PORT (--metrics-port) to another"),
        (["--host", "no-such-host.invalid", "--port", "0"], "no name that can be looked up; set HOST (--host)"),
        (["--host", "192.0.2.1", "--port", "0"], "no address of this machine; set HOST (--host)"),
    ] {
        let refused = run(&[["serve"].as_slice(), &flags].concat(), &environment).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
        assert_eq!(refused.stderr.contains("another server"), part.starts_with("Set"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_port_that_may_be_the_forums_is_left_to_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port();
    let place = Place::new().env_file(&format!("PORT={port}\nHOST=127.0.0.1\n"));
    let environment = [("JWT_SECRET", SECRET), ("DATABASE_URL", "postgres://u@127.0.0.1:1/forum")];
    let refused = place.run(&["serve"], &environment).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("leave it there and give this service another by --port"), "{refused:?}");
}

#[tokio::test]
async fn one_port_for_browsers_and_for_metrics_is_a_wrong_configuration() {
    let environment = [("JWT_SECRET", SECRET), ("DATABASE_URL", "postgres://u@127.0.0.1:1/forum")];
    let refused = run(&["serve", "--port", "4000", "--metrics-port", "4000"], &environment).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let part = "METRICS_PORT (or --metrics-port) is \"4000\" (flag); PORT is the same";
    assert!(refused.stderr.contains(part), "{refused:?}");
}

#[tokio::test]
async fn a_line_of_the_env_file_that_cannot_be_read_is_named_and_not_shown() {
    let place =
        Place::new().env_file("# ours\nJWT_SECRET: hunter2\nDATABASE_URL=postgres://u@127.0.0.1:1/forum\nhunter2\n");
    let refused = place.run(&["serve"], &[]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let told = place.run(&["config"], &[("JWT_SECRET", SECRET)]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    for ran in [refused, told] {
        assert!(ran.stderr.contains("lines 2 and 4 of .env can't be read"), "{ran:?}");
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    }
}

#[tokio::test]
async fn what_is_advised_is_taken() {
    let refused = run(&["token", "--user", "ada", "--community", "c1"], &[]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("JWT_SECRET (or --jwt-secret) is not set; it takes the forum's secret"),
        "{refused:?}"
    );
    assert!(!refused.stderr.contains("JWT_PUBLIC_KEY_FILE"), "it would be refused: {refused:?}");
    let help = run(&["serve", "--help"], &[]).await.stdout;
    let of = help.split("--connections-per-user").nth(1).expect("a flag").split("--connections-per-address").next();
    let of = of.expect("its help").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(of.contains("over all nodes with REDIS_URL"), "{of}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_refused_at_run_time_is_told_as_at_the_start() {
    let forum = Forum::captured().await;
    let role = format!("refused_{}", forum.name);
    let run = async |statement: &str| {
        let statement = sqlx::AssertSqlSafe(statement.replace("ROLE_", &role));
        sqlx::raw_sql(statement).execute(&forum.pool).await.expect("a statement");
    };
    run("CREATE ROLE ROLE_ LOGIN; GRANT curia_realtime TO ROLE_").await;
    let mut url = url::Url::parse(&forum.url()).expect("a URL");
    url.set_username(&role).expect("a user");
    let service = Service::start(url.as_str()).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    run("ALTER ROLE ROLE_ NOLOGIN").await;
    let last = std::sync::Mutex::new([String::new(), String::new()]);
    let advised = async {
        loop {
            // One that was let in just before may be listed only now.
            run("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'ROLE_'").await;
            let why = async |what| degraded(&service.url, what).await.unwrap_or_default();
            let [stream, listening] = [why("stream").await, why("listening").await];
            if stream.contains("check user and password in the URL")
                && listening.contains("check user, password and database in LISTEN_DATABASE_URL")
            {
                break;
            }
            *last.lock().expect("no panic") = [stream, listening];
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(60), advised).await;
    in_time.unwrap_or_else(|_| panic!("not the advice of the start: {last:?}"));
    run("ALTER ROLE ROLE_ LOGIN").await;
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Seen', '', 1)").await;
    assert_eq!(ada.next().await[1]["post"]["title"], "Seen");
    service.stop().await;
    run("DROP ROLE ROLE_").await;
}
