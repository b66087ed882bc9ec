//! Everybody comes back at once: what it asks of the database does not grow with how many they are.

use std::time::Duration;

use curia_scratch::{Options, Postgres};
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{postgres::prepare, program::Serving, service::Service, wire::Frames};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a minute brings.
const MISSED: usize = 60;
/// Connecting in peace, so many at a time.
const AT_A_TIME: usize = 50;

/// Its statements are counted; how it takes its leave is the business of others.
const QUICKLY_GONE: [&str; 4] = ["--rust-log", "info", "--drain", "100ms"];

/// Statements for a crowd that asks the same: without single flight each of them would make as many as the question has.
const FEW: usize = 20;

/// How the looks for news and what is swept begin.
const BY_THE_CLOCK: [&str; 5] = [
    "-- What stands behind tick",
    "-- The newest tick of the current epoch that is older",
    "-- Some $3 of the ticks",
    "-- The oldest $3 of the rows",
    "-- What the live rows take",
];

/// How the questions begin that are asked for a permit.
const OF_RIGHTS: [&str; 3] = [
    "-- What the access rule asks of boards",
    "SELECT id, settings AS \"settings?\" FROM communities",
    "-- Whether what was just read came from where",
];

/// A server of its own, which logs each statement.
pub struct Watched {
    server: Postgres,
    pub pool: PgPool,
}

impl Watched {
    pub async fn start() -> Self {
        let settings = [("log_statement", "all"), ("log_line_prefix", "%a>")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let server = Postgres::start(&Options { settings, ..Options::default() }).expect("a throw-away PostgreSQL");
        let url = server.create_database("forum").expect("a database");
        prepare(&server, "forum");
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await.expect("a connection");
        // Who is here is told to everybody, which is much work for thousands and asks nothing of the database.
        let quiet = r#"UPDATE communities SET settings = '{"realtime": {"presence": false}}'"#;
        sqlx::query(quiet).execute(&pool).await.expect("a community");
        Self { server, pool }
    }

    pub fn url(&self) -> String {
        self.server.url_for("forum")
    }

    /// Questions for facts of the access rule so far.
    pub fn asked_of_rights(&self) -> usize {
        let log = std::fs::read_to_string(self.server.directory().join("log")).expect("the server's log");
        log.lines().filter(|line| OF_RIGHTS.iter().any(|statement| line.contains(statement))).count()
    }

    /// Statements of the service so far, but for those that it makes by the clock.
    fn asked(&self) -> usize {
        self.statements().len()
    }

    /// The same, as each begins.
    pub fn statements(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.server.directory().join("log")).expect("the server's log");
        let lines = log.lines().filter_map(|line| line.strip_prefix("curia-realtime>"));
        let statements = lines.filter_map(|line| Some(line.split_once("execute ")?.1.split_once(": ")?.1.to_owned()));
        statements.filter(|text| !BY_THE_CLOCK.iter().any(|begins| text.starts_with(begins))).collect()
    }
}

async fn come_back(url: &str, user: usize, since: Option<Value>) -> (Frames, Vec<Value>, Value) {
    let mut frames = Frames::connected(url, &Service::token(&format!("u{user}"), "c1", &[], false)).await;
    let argument = json!({"boardId": 1, "since": since});
    frames.send(format!("420{}", json!(["board:join", argument]))).await;
    let mut missed = Vec::new();
    loop {
        let frame = frames.next().await.expect("a connection that stays");
        if let Some(answer) = frame.strip_prefix("430") {
            let answer: Vec<Value> = serde_json::from_str(answer).expect("an answer");
            return (frames, missed, answer[0].clone());
        }
        let event: Value = serde_json::from_str(frame.strip_prefix("42").expect("an event")).expect("JSON");
        // Who else comes is told live.
        if !event[0].as_str().is_some_and(|name| name.starts_with("user:")) {
            missed.push(event);
        }
    }
}

/// So many were there, the node ended, and all come back at once to a new one: what that asks of the database.
async fn queries_of(clients: usize) -> usize {
    let watched = Watched::start().await;
    let service = Serving::start(&watched.url(), &QUICKLY_GONE).await;
    let mut cursors = Vec::new();
    for some in (0..clients).collect::<Vec<_>>().chunks(AT_A_TIME) {
        let mut joining = JoinSet::new();
        for user in some {
            let (url, user) = (service.url.clone(), *user);
            joining.spawn(async move { come_back(&url, user, None).await.2["cursor"].clone() });
        }
        cursors.extend(joining.join_all().await);
    }
    let (mut witness, ..) = come_back(&service.url, clients, None).await;
    for number in 0..MISSED {
        let insert = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', $1, '', 1)";
        sqlx::query(insert).bind(number.to_string()).execute(&watched.pool).await.expect("a post");
    }
    let last = format!(r#""title":"{}""#, MISSED - 1);
    while !witness.next().await.expect("a connection that stays").contains(&last) {}
    service.stop().await;

    let service = Serving::start(&watched.url(), &QUICKLY_GONE).await;
    service.until_ready().await;
    let before = watched.asked();
    let mut coming = JoinSet::new();
    for (user, cursor) in cursors.into_iter().enumerate() {
        let url = service.url.clone();
        coming.spawn(async move { come_back(&url, user, Some(cursor)).await });
    }
    let mut there = Vec::new();
    while let Some(came) = timeout(PATIENCE, coming.join_next()).await.expect("everybody") {
        let (frames, missed, answer) = came.expect("a client");
        assert_eq!(answer["recovered"], json!(true), "{answer}");
        let titles: Vec<Value> = missed.iter().map(|event| event[1]["post"]["title"].clone()).collect();
        assert_eq!(titles, (0..MISSED).map(|number| json!(number.to_string())).collect::<Vec<_>>());
        there.push(frames);
    }
    assert_eq!(there.len(), clients);
    let asked = watched.asked() - before;
    service.stop().await;
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_who_come_back_at_once_ask_the_database_no_more_than_twenty() {
    let (few, many) = (queries_of(20).await, queries_of(2_000).await);
    println!("statements for 20: {few}, for 2,000: {many}");
    assert!(few > 0, "the count sees what is asked");
    assert!(many <= few + 5, "20 clients: {few} statements, 2,000 clients: {many}");
}

/// What a question is answered, and how many statements that took.
async fn asked(watched: &Watched, frames: &mut Frames, event: &str, id: i32) -> (Value, usize) {
    let before = watched.asked();
    let answer = frames.ask(event, json!(id)).await;
    (answer, watched.asked() - before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_community_has_can_not_be_told_from_what_is_not_there() {
    let watched = Watched::start().await;
    let insert = "INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (77, 'cy', 'Theirs', '', 3)";
    sqlx::query(insert).execute(&watched.pool).await.expect("a post");
    let service = Serving::start(&watched.url(), &["--rust-log", "info"]).await;
    service.until_ready().await;
    // To whom it belongs has it in use, so everything about it that may be remembered is.
    let mut owner = Frames::connected(&service.url, &Service::token("cy", "c2", &[], false)).await;
    for (event, id) in [("board:join", 3), ("post:join", 77)] {
        assert_eq!(owner.ask(event, json!(id)).await["ok"], json!(true));
    }
    let mut ada = Frames::connected(&service.url, &Service::token("ada", "c1", &[], false)).await;
    assert_eq!(ada.ask("board:join", json!(1)).await["ok"], json!(true));
    for (event, theirs, nobodys) in [("board:join", 3, 999), ("post:join", 77, 9_999)] {
        for again in [false, true] {
            let (refused, statements) = asked(&watched, &mut ada, event, theirs).await;
            let (absent, as_many) = asked(&watched, &mut ada, event, nobodys).await;
            assert_eq!(refused["error"]["code"], json!("not_found"), "{refused}");
            assert_eq!((refused, statements), (absent, as_many), "{event}, asked again: {again}");
        }
    }
    service.stop().await;
}

/// All ask at once for this post: what all are answered, and how many statements that took.
async fn asked_at_once(watched: &Watched, all: &mut [Frames], witness: &mut Frames, post: i32) -> (Value, usize) {
    let before = watched.asked();
    // Nobody is answered before everybody has asked.
    let mut held = watched.pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE").execute(&mut *held).await.expect("the table");
    for frames in &mut *all {
        frames.send(format!("421{}", json!(["post:leave", post]))).await;
        frames.send(format!("422{}", json!(["post:join", post]))).await;
    }
    for frames in &mut *all {
        // A socket's commands are served one behind the other, by one task, which goes on from here without waiting for anything.
        let left = frames.next().await.expect("a connection that stays");
        assert!(left.starts_with("431") && left.contains(r#""ok":true"#), "{left}");
    }
    // If it was not interrupted right there.
    for _ in 0..20 {
        assert_eq!(witness.ask("board:join", json!(1)).await["ok"], json!(true));
    }
    assert_eq!(waiting_for_posts(watched).await, 1, "one question waits for all of them");
    held.rollback().await.expect("an end");
    let mut answers = Vec::new();
    for frames in all {
        let answer = frames.next().await.expect("a connection that stays");
        let answer = answer.strip_prefix("432").unwrap_or_else(|| panic!("no answer: {answer}"));
        answers.push(serde_json::from_str::<Value>(answer).expect("JSON")[0].clone());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    (answers.remove(0), watched.asked() - before)
}

/// How many questions wait for the table, once one does.
async fn waiting_for_posts(watched: &Watched) -> i64 {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'posts'::regclass";
    let one = async {
        loop {
            let count: i64 = sqlx::query_scalar(waiting).fetch_one(&watched.pool).await.expect("a count");
            if count > 0 {
                return count;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, one).await.expect("a question")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_ask_at_once_for_a_post_that_is_not_shown_are_one_question_whether_it_is_there_or_not() {
    let watched = Watched::start().await;
    let insert = "INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (77, 'cy', 'Theirs', '', 3)";
    sqlx::query(insert).execute(&watched.pool).await.expect("a post");
    let flags = ["--rust-log", "info", "--rate-join", "10000/1s", "--rate-other", "10000/1s"];
    let service = Serving::start(&watched.url(), &flags).await;
    service.until_ready().await;
    let mut owner = Frames::connected(&service.url, &Service::token("cy", "c2", &[], false)).await;
    assert_eq!(owner.ask("post:join", json!(77)).await["ok"], json!(true));
    let mut witness = Frames::connected(&service.url, &Service::token("ada", "c1", &[], false)).await;
    assert_eq!(witness.ask("board:join", json!(1)).await["ok"], json!(true));
    let mut all = Vec::new();
    for user in 0..200 {
        all.push(Frames::connected(&service.url, &Service::token(&format!("u{user}"), "c1", &[], false)).await);
    }
    // The first question on a connection to the database may take more.
    assert_eq!(witness.ask("post:join", json!(9_998)).await["error"]["code"], json!("not_found"));
    let absent = asked_at_once(&watched, &mut all, &mut witness, 9_999).await;
    let foreign = asked_at_once(&watched, &mut all, &mut witness, 77).await;
    assert_eq!(absent.0["error"]["code"], json!("not_found"), "{absent:?}");
    assert_eq!(absent.0, foreign.0);
    // Two statements a question, where nobody came too late for the one that all wait for.
    for (_, statements) in [&absent, &foreign] {
        assert!((1..=FEW).contains(statements), "{absent:?} {foreign:?}");
    }
    println!("statements for what is not there: {}, for what is foreign: {}", absent.1, foreign.1);
    service.stop().await;
}
