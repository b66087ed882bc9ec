//! Servers, roles and addresses.

use std::time::{Duration, Instant};

use curia_scratch::{Options, Postgres};
use tokio::net::TcpListener;

use super::{assert_says, assert_wrong, doctor, line, of_forum};
use crate::support::postgres::{Forum, prepare};

/// Whatever falls silent is given up before. A machine at work takes its time.
const BOUND: Duration = Duration::from_secs(20);

/// A server with the forum in its database `forum`, and settings of its own.
fn server(settings: &[(&str, &str)]) -> (Postgres, String) {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let server = Postgres::start(&Options { settings, ..Options::default() }).expect("a throw-away PostgreSQL");
    let url = server.create_database("forum").expect("a database");
    prepare(&server, "forum");
    (server, url)
}

/// The URL of somebody else.
fn of_role(url: &str, role: &str, password: Option<&str>) -> String {
    let mut url = url::Url::parse(url).expect("a URL");
    url.set_username(role).expect("a user");
    url.set_password(password).expect("a password");
    url.to_string()
}

#[tokio::test]
async fn a_standby_is_no_primary() {
    let (primary, standby) = Postgres::start_with_standby(&Options::default()).expect("two servers");
    let ran = doctor(&[("DATABASE_URL", &standby.url())]).await;
    assert_wrong(&ran, "primary", &["a standby", "let DATABASE_URL lead to the primary"]);
    drop((primary, standby));
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    // What it was told has to be there behind the restart.
    let (mut server, url) = server(&[("synchronous_commit", "on")]);
    server
        .run_script("forum", "CREATE ROLE reader LOGIN PASSWORD 'right'; GRANT curia_realtime TO reader")
        .expect("a role");
    let rules = "host all reader 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    std::fs::write(server.directory().join("data/pg_hba.conf"), rules).expect("rules");
    server.restart_immediately().expect("a server with rules");
    let (right, wrong) = (of_role(&url, "reader", Some("right")), of_role(&url, "reader", Some("hunter2")));
    assert_says(&doctor(&[("DATABASE_URL", &right)]).await, "rights", "ok", &["reader"]);
    let ran = doctor(&[("DATABASE_URL", &wrong)]).await;
    assert_wrong(&ran, "database", &["does not let the role \"reader\" in", "check user and password in the URL"]);
    assert_says(&ran, "the rest", "note", &["PostgreSQL could not be asked"]);
    let deaf = doctor(&[("DATABASE_URL", &right), ("LISTEN_DATABASE_URL", &wrong)]).await;
    assert_wrong(&deaf, "listening", &["does not let the listening connection in", "LISTEN_DATABASE_URL"]);
    for ran in [ran, deaf] {
        assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_the_grant() {
    let forum = Forum::captured().await;
    let role = format!("patient_{}", forum.name);
    let run = async |statement: &str| {
        let statement = sqlx::AssertSqlSafe(statement.replace("ROLE_", &role));
        sqlx::raw_sql(statement).execute(&forum.pool).await.expect("a statement");
    };
    run("CREATE ROLE ROLE_ LOGIN").await;
    let url = of_role(&forum.url(), &role, None);
    let grant = format!("GRANT curia_realtime TO {role}");
    assert_wrong(&doctor(&[("DATABASE_URL", &url)]).await, "schema", &["may not read curia_realtime.epoch", &grant]);
    run("GRANT curia_realtime TO ROLE_").await;
    let ran = doctor(&[("DATABASE_URL", &url)]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_says(&ran, "rights", "ok", &[&role]);
    run("REVOKE SELECT (content) ON posts FROM curia_realtime").await;
    let ran = doctor(&[("DATABASE_URL", &url)]).await;
    assert_wrong(&ran, "rights", &["permission denied for table posts", &grant]);
    run("GRANT SELECT (content) ON posts TO curia_realtime; REVOKE DELETE ON curia_realtime.tick FROM curia_realtime")
        .await;
    let ran = doctor(&[("DATABASE_URL", &url)]).await;
    assert_wrong(&ran, "rights", &["lacks DELETE ON curia_realtime.tick", &grant]);
    run("DROP ROLE ROLE_").await;
}

#[tokio::test]
async fn an_address_that_answers_nothing_is_a_finding_and_no_hang() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("its number").port();
    let asked = Instant::now();
    let (database, redis) =
        (format!("postgres://u:hunter2@127.0.0.1:{port}/forum"), format!("redis://127.0.0.1:{port}"));
    let ran = doctor(&[("DATABASE_URL", &database), ("REDIS_URL", &redis)]).await;
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
    assert_wrong(&ran, "database", &["can't be reached (no answer within 5 s)", "check that PostgreSQL runs there"]);
    assert_wrong(&ran, "redis", &["Redis", "see to Redis"]);
    assert!(!ran.stdout.contains("hunter2"), "{ran:?}");
    let forum = Forum::captured().await;
    let ran = of_forum(&forum, &[("LISTEN_DATABASE_URL", &database)]).await;
    assert_wrong(&ran, "listening", &["gives no answer", "LISTEN_DATABASE_URL"]);
    drop(silent);
    let ran = doctor(&[("DATABASE_URL", &database)]).await;
    assert_wrong(&ran, "database", &["can't be reached", "Connection refused"]);
}

#[tokio::test]
async fn whoever_listens_in_another_database_is_told_so() {
    let (forum, other) = (Forum::captured().await, Forum::captured().await);
    let ran = of_forum(&forum, &[("LISTEN_DATABASE_URL", &other.url())]).await;
    assert_wrong(&ran, "listening", &["is another than DATABASE_URL leads to", "let LISTEN_DATABASE_URL"]);
}

#[tokio::test]
async fn a_role_in_whose_sessions_no_trigger_fires_is_named() {
    let forum = Forum::captured().await;
    let role = format!("loader_{}", forum.name);
    let run = async |statement: &str| {
        let statement = sqlx::AssertSqlSafe(statement.replace("ROLE_", &role));
        sqlx::raw_sql(statement).execute(&forum.pool).await.expect("a statement");
    };
    let name = &forum.name;
    run("CREATE ROLE ROLE_ LOGIN").await;
    run(&format!("ALTER ROLE ROLE_ IN DATABASE {name} SET session_replication_role = replica")).await;
    let ran = of_forum(&forum, &[]).await;
    let reset = format!("ALTER ROLE {role} IN DATABASE {name} RESET session_replication_role");
    assert_wrong(&ran, "replication role", &["nothing of what they write is noted", &reset]);
    run("DROP ROLE ROLE_").await;
}

#[tokio::test]
async fn what_our_role_is_not_shown_of_a_transaction_is_told_by_the_first_tick_behind_its_beginning() {
    let forum = Forum::captured().await;
    let role = format!("nurse_{}", forum.name);
    let run = async |statement: &str| {
        let statement = sqlx::AssertSqlSafe(statement.replace("ROLE_", &role));
        sqlx::raw_sql(statement).execute(&forum.pool).await.expect("a statement");
    };
    run("CREATE ROLE ROLE_ LOGIN; GRANT curia_realtime TO ROLE_").await;
    let url = of_role(&forum.url(), &role, None);
    let mut writer = forum.pool.begin().await.expect("a transaction");
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *writer).await.expect("a pid");
    sqlx::raw_sql("UPDATE boards SET name = name WHERE id = 1").execute(&mut *writer).await.expect("a write");
    let look = async || doctor(&[("DATABASE_URL", &url)]).await;
    assert_says(
        &look().await,
        "transactions",
        "note",
        &["1 transaction of other roles open", "GRANT pg_read_all_stats"],
    );
    run("INSERT INTO curia_realtime.tick (epoch, n, snapshot, at)
         SELECT id, 1, pg_current_snapshot(), clock_timestamp() - interval '10 minutes' FROM curia_realtime.epoch")
    .await;
    let process = format!("process {pid} of role postgres, begun before 20");
    assert_says(&look().await, "transactions", "note", &[&process, "is open for 10 min"]);
    run("UPDATE curia_realtime.tick SET at = at - interval '1 hour' WHERE n = 1").await;
    assert_wrong(&look().await, "transactions", &[&process, &format!("pg_terminate_backend({pid})")]);
    writer.rollback().await.expect("an end");
    run("DROP ROLE ROLE_").await;
}

#[tokio::test]
async fn a_transaction_that_was_prepared_and_forgotten_is_named() {
    let (server, url) = server(&[("max_prepared_transactions", "2")]);
    let script = "BEGIN; UPDATE boards SET name = 'Later' WHERE id = 1; PREPARE TRANSACTION 'forgotten'";
    server.run_script("forum", script).expect("a prepared transaction");
    let ran = doctor(&[("DATABASE_URL", &url), ("REALTIME_RETENTION", "1ms")]).await;
    let parts = ["the prepared transaction 'forgotten' of role postgres", "ROLLBACK PREPARED 'forgotten';"];
    assert_wrong(&ran, "transactions", &parts);
}

#[tokio::test]
async fn a_server_without_places_for_a_node_is_named_and_its_read_only_default() {
    let (server, url) =
        server(&[("max_connections", "10"), ("superuser_reserved_connections", "3"), ("max_wal_senders", "0")]);
    let ran = doctor(&[("DATABASE_URL", &url)]).await;
    assert_says(&ran, "connections", "note", &["of 7 are taken", "up to 11", "REALTIME_DATABASE_CONNECTIONS"]);
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(5).connect_lazy(&url).expect("a pool");
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(pool.acquire().await.expect("a connection"));
    }
    assert_wrong(&doctor(&[("DATABASE_URL", &url)]).await, "connections", &["5 of 7 are taken"]);
    drop(held);
    pool.close().await;
    server.run_script("forum", "ALTER DATABASE forum SET default_transaction_read_only = on").expect("a setting");
    let ran = doctor(&[("DATABASE_URL", &url)]).await;
    assert_wrong(&ran, "primary", &["begins read-only", "SET default_transaction_read_only = off"]);
    assert_eq!(line(&ran, "version").0, "ok", "{}", ran.stdout);
}
