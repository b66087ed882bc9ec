//! `curia-realtime migrate`, on a forum that goes on working.

use std::{process::Stdio, time::Duration};

use axum::http::{Method, StatusCode};
use curia_realtime::{
    postgres::{migrations::FORUM_TABLES, outbox::OutboxError},
    telemetry::chain,
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::{sleep, timeout},
};

use crate::support::{
    postgres::Forum,
    program::{Place, Ran, Serving, run},
    service::Service,
    wire::{Frames, http},
};

const NEWEST: i32 = 9;

async fn migrate(forum: &Forum, arguments: &[&str]) -> Ran {
    run(&[&["migrate"], arguments].concat(), &[("DATABASE_URL", &forum.url())]).await
}

async fn versions(forum: &Forum) -> Vec<i32> {
    let query = "SELECT version FROM curia_realtime.migration ORDER BY version";
    sqlx::query_scalar(query).fetch_all(&forum.pool).await.expect("versions")
}

fn all() -> Vec<i32> {
    (1..=NEWEST).collect()
}

#[tokio::test]
async fn up_and_down_leave_the_database_as_it_was() {
    let forum = Forum::bare().await;
    let before = forum.schema();
    let up = migrate(&forum, &["up"]).await;
    assert_eq!(up.code, Some(0), "{up:?}");
    assert_eq!(up.stderr.lines().count(), all().len(), "{up:?}");
    assert!(up.stdout.contains("is at version 9"), "{up:?}");
    assert_ne!(forum.schema(), before);
    let down = migrate(&forum, &["down"]).await;
    assert_eq!(down.code, Some(0), "{down:?}");
    assert!(down.stdout.contains("nothing of ours is left"), "{down:?}");
    assert_eq!(forum.schema(), before);
    let again = migrate(&forum, &["down"]).await;
    assert_eq!((again.code, again.stdout.starts_with("nothing to do")), (Some(0), true), "{again:?}");
}

#[tokio::test]
async fn up_twice_is_a_no_op() {
    let forum = Forum::bare().await;
    migrate(&forum, &["up"]).await;
    let schema = forum.schema();
    let again = migrate(&forum, &["up"]).await;
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{again:?}");
    assert!(again.stdout.starts_with("nothing to do"), "{again:?}");
    assert_eq!(forum.schema(), schema);
}

/// The forum's tables, as they are called there.
fn tables() -> impl Iterator<Item = &'static str> {
    FORUM_TABLES.iter().map(|table| table.strip_prefix("public.").expect("the forum's schema"))
}

async fn triggers(forum: &Forum) -> Vec<(String, String)> {
    let query = "SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger WHERE tgname LIKE 'zz%' ORDER BY 1, 2";
    sqlx::query_as(query).fetch_all(&forum.pool).await.expect("triggers")
}

#[tokio::test]
async fn down_and_up_put_back_what_a_table_that_was_made_anew_has_lost() {
    let forum = Forum::captured().await;
    let whole = triggers(&forum).await;
    for table in tables() {
        let anew = format!(
            "CREATE TABLE anew (LIKE {table} INCLUDING ALL); DROP TABLE {table} CASCADE;
             ALTER TABLE anew RENAME TO {table}"
        );
        // Its triggers go with it.
        let put_aside = format!("ALTER TABLE {table} RENAME TO aside; CREATE TABLE {table} (LIKE aside INCLUDING ALL)");
        for change in [&anew, &put_aside] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(change.clone())).execute(&forum.pool).await.expect("a change");
            assert_ne!(triggers(&forum).await, whole, "{change}");
            let down = migrate(&forum, &["down"]).await;
            assert_eq!(down.code, Some(0), "{change}: {down:?}");
            assert_eq!(triggers(&forum).await, [], "{change}");
            let up = migrate(&forum, &["up"]).await;
            assert_eq!(up.code, Some(0), "{change}: {up:?}");
            assert_eq!(triggers(&forum).await, whole, "{change}");
        }
        forum.run("DROP TABLE aside CASCADE").await;
    }
}

#[tokio::test]
async fn down_goes_through_whatever_of_ours_or_of_the_forum_is_missing() {
    for table in tables() {
        let forum = Forum::captured().await;
        let drop = format!("DROP TABLE {table} CASCADE");
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&forum.pool).await.expect("no table any more");
        let down = migrate(&forum, &["down"]).await;
        assert_eq!(down.code, Some(0), "{table}: {down:?}");
    }
    let forum = Forum::bare().await;
    let before = forum.schema();
    forum.migrate(".up.sql");
    let functions = "
        DO $$
        DECLARE f regprocedure;
        BEGIN
            FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'curia_realtime'::regnamespace AND proname <> 'home' LOOP
                EXECUTE format('DROP FUNCTION %s CASCADE', f);
            END LOOP;
        END $$";
    forum.run(functions).await;
    let down = migrate(&forum, &["down"]).await;
    assert_eq!(down.code, Some(0), "{down:?}");
    assert_eq!(forum.schema(), before);
}

#[tokio::test]
async fn psql_does_the_same_with_what_sql_prints() {
    let (by_program, by_psql) = (Forum::bare().await, Forum::bare().await);
    let before = by_psql.schema();
    migrate(&by_program, &["up"]).await;
    for (arguments, expected) in
        [(&["migrate", "sql"][..], by_program.schema()), (&["migrate", "sql", "--down"], before)]
    {
        let printed = run(arguments, &[]).await;
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let mut psql = tokio::process::Command::new("psql")
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &by_psql.url(), "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("psql, of the PostgreSQL client programs");
        psql.stdin.take().expect("its input").write_all(printed.stdout.as_bytes()).await.expect("to be read");
        assert!(psql.wait().await.expect("an end").success());
        assert_eq!(by_psql.schema(), expected);
    }
}

#[tokio::test]
async fn status_tells_what_is_applied_and_what_is_not() {
    let forum = Forum::bare().await;
    let before = migrate(&forum, &["status"]).await;
    assert_eq!((before.code, before.stdout.matches("pending").count()), (Some(0), all().len()), "{before:?}");
    migrate(&forum, &["up"]).await;
    forum.run("INSERT INTO curia_realtime.migration (version, name) VALUES (10, 'of tomorrow')").await;
    let after = migrate(&forum, &["status"]).await;
    assert_eq!((after.code, after.stdout.matches("applied 2").count()), (Some(0), all().len() + 1), "{after:?}");
    let newest = after.stdout.lines().last().expect("a line");
    assert!(newest.starts_with("0010  of tomorrow") && newest.ends_with("newer than this program"), "{newest}");
    for arguments in [&["up"][..], &["down"]] {
        let refused = migrate(&forum, arguments).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("is at version 10, this program knows 9; nothing was changed"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_busy_table_is_waited_for_and_its_holder_is_named() {
    let forum = Forum::bare().await;
    let mut writer = forum.pool.begin().await.expect("a transaction");
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *writer).await.expect("a pid");
    sqlx::raw_sql("UPDATE posts SET title = title WHERE id = 1").execute(&mut *writer).await.expect("a write");

    let place = Place::new();
    let mut command =
        tokio::process::Command::from(place.command(&["migrate", "up"], &[("DATABASE_URL", &forum.url())]));
    let mut program = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program");
    let mut lines = BufReader::new(program.stderr.take().expect("its errors")).lines();
    let waits = loop {
        let line = lines.next_line().await.expect("text").expect("a line about the lock");
        if line.contains("waits for") {
            break line;
        }
    };
    assert!(waits.contains(&format!("0002_posts waits for public.posts, held by process {pid}")), "{waits}");
    // Between two tries the forum goes on: a queue of ours would block this for as long as the transaction is open.
    forum.run("UPDATE posts SET title = title WHERE id = 2").await;
    writer.commit().await.expect("a commit");
    while lines.next_line().await.expect("text").is_some() {}
    assert!(program.wait().await.expect("an end").success());
    assert_eq!(versions(&forum).await, all());
}

#[tokio::test]
async fn whoever_gives_up_says_what_stands() {
    let forum = Forum::bare().await;
    let mut writer = forum.pool.begin().await.expect("a transaction");
    sqlx::raw_sql("UPDATE comments SET content = content WHERE id = 1").execute(&mut *writer).await.expect("a write");
    let gave_up = migrate(&forum, &["up", "--patience", "100ms"]).await;
    assert_eq!(gave_up.code, Some(1), "{gave_up:?}");
    let last = gave_up.stderr.lines().last().expect("a line");
    for part in
        ["gave up", "0004_comments waits for public.comments", "the database is at version 3, the rest is unchanged"]
    {
        assert!(last.contains(part), "{part} in {last}");
    }
    assert_eq!(versions(&forum).await, [1, 2, 3]);
    writer.commit().await.expect("a commit");
    assert_eq!(migrate(&forum, &["up"]).await.code, Some(0));
    assert_eq!(versions(&forum).await, all());
}

#[tokio::test]
async fn two_runs_at_a_time_do_not_meet() {
    let forum = Forum::bare().await;
    let (one, other) = tokio::join!(migrate(&forum, &["up"]), migrate(&forum, &["up"]));
    assert_eq!((one.code, other.code), (Some(0), Some(0)), "{one:?} {other:?}");
    assert_eq!(one.stderr.matches("applied 0").count() + other.stderr.matches("applied 0").count(), all().len());
    assert_eq!(versions(&forum).await, all());
}

/// As `docs/outbox.md` gives it.
fn epoch_by_hand() -> &'static str {
    let (_, behind) = include_str!("../../docs/outbox.md").split_once("```sql").expect("statements");
    behind.split_once("```").expect("their end").0
}

#[tokio::test]
async fn the_owner_of_the_forums_tables_needs_no_superuser() {
    let forum = Forum::bare().await;
    let owner = format!("owner_{}", forum.name);
    let name = &forum.name;
    let prepare = format!(
        "CREATE ROLE {owner} LOGIN CREATEROLE; GRANT CREATE ON DATABASE {name} TO {owner};
         DO $$
         DECLARE t regclass;
         BEGIN
             FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') LOOP
                 EXECUTE format('ALTER TABLE %s OWNER TO {owner}', t);
             END LOOP;
         END $$"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&forum.pool).await.expect("an owner");
    let mut url = url::Url::parse(&forum.url()).expect("a URL");
    url.set_username(&owner).expect("a user");
    let environment = [("DATABASE_URL", url.as_str())];
    let before = forum.schema();
    for arguments in [&["migrate", "up"][..], &["migrate", "up"], &["migrate", "status"], &["migrate", "down"]] {
        if arguments == ["migrate", "down"] {
            let mut owner = PgConnection::connect(url.as_str()).await.expect("a connection");
            sqlx::raw_sql(epoch_by_hand()).execute(&mut owner).await.expect("an epoch");
            owner.close().await.expect("an end");
            let epochs = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM curia_realtime.epoch");
            assert_eq!(epochs.fetch_one(&forum.pool).await.expect("a number"), 2);
        }
        let ran = run(arguments, &environment).await;
        assert_eq!(ran.code, Some(0), "{arguments:?} {ran:?}");
    }
    assert_eq!(forum.schema(), before);
    let undo = format!("REASSIGN OWNED BY {owner} TO CURRENT_USER; DROP OWNED BY {owner}; DROP ROLE {owner}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(undo)).execute(&forum.pool).await.expect("no owner any more");
}

#[tokio::test]
async fn a_role_without_rights_is_told_who_has_them() {
    let forum = Forum::bare().await;
    let role = format!("nobody_{}", forum.name);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE ROLE {role} LOGIN"))).execute(&forum.pool).await.expect("a role");
    let mut url = url::Url::parse(&forum.url()).expect("a URL");
    url.set_username(&role).expect("a user");
    let refused = run(&["migrate", "up"], &[("DATABASE_URL", url.as_str())]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in
        ["0001_schema is not allowed", "nothing of ours is in the database", "run this as a superuser, or as the owner"]
    {
        assert!(refused.stderr.contains(part), "{part} in {refused:?}");
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP ROLE {role}"))).execute(&forum.pool).await.expect("no role");
}

#[tokio::test]
async fn a_database_without_the_forum_is_left_alone() {
    let empty = Forum::empty().await;
    let before = empty.schema();
    let refused = migrate(&empty, &["up"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("public.boards, public.comments") && refused.stderr.contains("nothing was changed")
    );
    assert_eq!(empty.schema(), before);
}

#[tokio::test]
async fn a_closed_door_is_told_without_the_password() {
    let forum = Forum::bare().await;
    let mut absent = url::Url::parse(&forum.url()).expect("a URL");
    absent.set_path("/no_such_forum");
    absent.set_password(Some("hunter2")).expect("a password");
    let mut stranger = absent.clone();
    stranger.set_path(&forum.name);
    stranger.set_username("no_such_role").expect("a user");
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    let nobody = format!("postgres://u:hunter2@127.0.0.1:{unused}/forum");
    for (url, parts) in [
        (absent.as_str(), &["\"no_such_forum\"", "does not exist"][..]),
        (stranger.as_str(), &["does not let the role \"no_such_role\" in", "check user and password"]),
        (nobody.as_str(), &["can't be reached", "Connection refused"]),
    ] {
        let refused = run(&["migrate", "status"], &[("DATABASE_URL", url)]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        assert!(parts.iter().all(|part| refused.stderr.contains(part)), "{refused:?}");
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
    }
}

/// What `/readyz` says of the stream, once that holds `part`.
async fn stream_is(service: &Serving, part: &str) -> String {
    let asking = async {
        loop {
            let answer = http(&service.url, Method::GET, "/readyz", &[], String::new()).await;
            let report: Value = serde_json::from_str(answer.body()).expect("JSON");
            let stream = report["degraded"].as_array().into_iter().flatten().find(|part| part["what"] == "stream");
            let why = stream.and_then(|stream| stream["why"].as_str()).unwrap_or_default();
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE && why.contains(part) {
                return why.to_owned();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), asking).await.unwrap_or_else(|_| panic!("/readyz does not say {part:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taken_out_under_a_running_service_it_is_named_with_the_command_and_put_back_all_goes_on() {
    let forum = Forum::captured().await;
    let service = Serving::start(&forum.url(), &["--drain", "100ms"]).await;
    service.until_ready().await;
    let down = migrate(&forum, &["down"]).await;
    assert_eq!(down.code, Some(0), "{down:?}");
    let why = stream_is(&service, "curia-realtime migrate up").await;
    assert!(why.starts_with("the database has no schema curia_realtime; run `curia-realtime migrate up`"), "{why}");
    // The forum goes on.
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Meanwhile', '', 1)").await;

    let up = migrate(&forum, &["up"]).await;
    assert_eq!(up.code, Some(0), "{up:?}");
    service.until_ready().await;
    let mut ada = Frames::connected(&service.url, &Service::token("ada", "c1", &[], false)).await;
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Behind it', '', 1)").await;
    assert!(ada.next().await.expect("a post").contains("Behind it"));
    let told: Vec<String> = service.stop().await.iter().map(ToString::to_string).collect();
    // While it is put back a version on the way may be named.
    let named = told.iter().filter(|line| line.contains("no schema curia_realtime; run `curia-realtime migrate up`"));
    assert_eq!(named.count(), 1, "said once: {told:?}");
    assert!(!told.iter().any(|line| line.contains(" at line ")), "{told:?}");
}

#[tokio::test]
async fn what_postgresql_says_is_told_without_the_lines_of_its_own_source_code() {
    let forum = Forum::bare().await;
    let error = sqlx::query("SELECT FROM nowhere").execute(&forum.pool).await.expect_err("no such table");
    assert!(error.to_string().contains(" at line "), "the driver's own display: {error}");
    assert_eq!(chain(&error), r#"error returned from database: relation "nowhere" does not exist"#);
    let error = OutboxError::from(error);
    let told = r#"the outbox could not be read: error returned from database: relation "nowhere" does not exist"#;
    assert_eq!(chain(&error), told);
}
