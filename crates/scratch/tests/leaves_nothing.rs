//! What the crate promises first: servers answer, and nothing of them stays behind, however their owner ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use curia_scratch::{Options, Postgres, PostgresPrograms, Redis, ScratchError, provide};

const GONE_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn postgres_answers_and_leaves_nothing() {
    provide::postgres().unwrap();
    let server = Postgres::start(&Options::default()).unwrap();
    let directory = server.directory().to_path_buf();
    assert!(directory.join("data/PG_VERSION").exists());
    let url = server.create_database("a \"quoted\" name").unwrap();
    assert_eq!(url, server.url_for("a \"quoted\" name"));

    server.create_database("forum").unwrap();
    server
        .run_script("forum", "CREATE TABLE t (v text); INSERT INTO t VALUES ('a;b'); DO $$ BEGIN COMMIT; END $$")
        .unwrap();
    let refused =
        server.run_script("forum", "INSERT INTO t VALUES ('b');\nSELECT * FROM nowhere; DROP TABLE t").unwrap_err();
    assert!(
        matches!(&refused, ScratchError::Refused { statement, .. } if statement == "SELECT * FROM nowhere"),
        "{refused}"
    );
    server
        .run_script("forum", "DO $$ BEGIN IF (SELECT count(*) FROM t) <> 2 THEN RAISE 'rows lost'; END IF; END $$")
        .unwrap();

    let port = server.port();
    server.stop().unwrap();
    assert!(!answers(port) && !directory.exists());
}

#[test]
fn a_standby_follows_is_promoted_and_leaves_nothing() {
    provide::postgres().unwrap();
    let (primary, standby) = Postgres::start_with_standby(&Options::default()).unwrap();
    primary.run_script("postgres", "CREATE TABLE t (v text); INSERT INTO t VALUES ('followed')").unwrap();
    let until = Instant::now() + GONE_WITHIN;
    let followed = "DO $$ BEGIN IF NOT pg_is_in_recovery() THEN RAISE 'no standby'; END IF; PERFORM v FROM t; END $$";
    while standby.run_script("postgres", followed).is_err() {
        assert!(Instant::now() < until, "the standby does not follow");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(standby.run_script("postgres", "INSERT INTO t VALUES ('no')").is_err(), "a standby takes no writes");
    standby.promote().unwrap();
    standby.run_script("postgres", "INSERT INTO t VALUES ('promoted')").unwrap();
    let directories = [primary.directory().to_path_buf(), standby.directory().to_path_buf()];
    primary.stop().unwrap();
    standby.stop().unwrap();
    assert!(directories.iter().all(|directory| !directory.exists()));
}

#[test]
fn settings_of_the_caller_win() {
    provide::postgres().unwrap();
    let settings =
        vec![("max_connections".to_owned(), "17".to_owned()), ("timezone".to_owned(), "Asia/Tokyo".to_owned())];
    let server = Postgres::start(&Options { fsync: true, settings, port: None }).unwrap();
    let expected = "DO $$ BEGIN IF current_setting('max_connections') <> '17' OR current_setting('fsync') <> 'on' \
                    OR current_setting('TimeZone') <> 'Asia/Tokyo' THEN RAISE 'not set'; END IF; END $$";
    server.run_script("postgres", expected).unwrap();
}

#[test]
fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    provide::postgres().unwrap();
    let settings = vec![("max_connections".to_owned(), "many".to_owned())];
    let error = Postgres::start(&Options { settings, ..Options::default() }).unwrap_err().to_string();
    assert!(error.contains("max_connections") && error.contains("many"), "{error}");
    assert!(PostgresPrograms::in_folder(Path::new("/nowhere")).is_none());
}

#[test]
fn a_taken_port_is_an_error_when_it_was_asked_for() {
    provide::postgres().unwrap();
    let first = Postgres::start(&Options::default()).unwrap();
    let error = Postgres::start(&Options { port: Some(first.port()), ..Options::default() });
    assert!(error.is_err(), "two servers on one port");
    assert!(answers(first.port()), "the first server no longer answers");
}

#[test]
fn redis_answers_and_leaves_nothing() {
    provide::redis().unwrap();
    let server = Redis::start().unwrap();
    let port = server.port();
    assert!(answers(port));
    server.stop().unwrap();
    assert!(!answers(port));
}

#[test]
fn a_killed_owner_takes_its_postgres_along() {
    provide::postgres().unwrap();
    killed_owner_leaves_nothing("postgres");
}

#[test]
fn a_killed_owner_takes_its_redis_along() {
    provide::redis().unwrap();
    killed_owner_leaves_nothing("redis");
}

fn killed_owner_leaves_nothing(server: &str) {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_curia-scratch"))
        .arg(server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let port = url.split([':', '/']).find_map(|part| part.parse().ok()).unwrap();
    let directory = directory_of(server, owner.id());
    assert!(answers(port) && directory.exists());

    owner.kill().unwrap();
    owner.wait().unwrap();
    let until = Instant::now() + GONE_WITHIN;
    while answers(port) || directory.exists() {
        assert!(Instant::now() < until, "left behind: {}", directory.display());
        thread::sleep(Duration::from_millis(20));
    }
}

/// The directory of the only server that process `owner` holds.
fn directory_of(server: &str, owner: u32) -> PathBuf {
    let prefix = format!("curia-{server}-{owner}-");
    let entries = fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().path());
    let mut ours =
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)));
    ours.next().unwrap()
}

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
