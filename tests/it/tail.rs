//! `curia-realtime tail`: the stream, read along.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout},
    time::timeout,
};

use crate::support::{
    client::Client,
    postgres::Forum,
    program::{Place, Serving, run},
    service::Service,
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program as it reads along.
struct Tail {
    process: Child,
    /// Taken by whoever closes it.
    told: Option<Lines<BufReader<ChildStdout>>>,
    said: Lines<BufReader<ChildStderr>>,
    /// Where it began.
    from: String,
    _place: Place,
}

impl Tail {
    /// Once it has said from where it reads: what is committed from here on is told.
    async fn start(forum: &Forum, arguments: &[&str]) -> Self {
        let place = Place::new();
        let command = place.command(&[&["tail"], arguments].concat(), &[("DATABASE_URL", &forum.url())]);
        let mut command = tokio::process::Command::from(command);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = piped.spawn().expect("the program");
        let told = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut said = BufReader::new(process.stderr.take().expect("its errors")).lines();
        let first = next(&mut said).await;
        let from = first.strip_prefix("curia-realtime: from ").and_then(|rest| rest.strip_suffix(" on"));
        let from = from.unwrap_or_else(|| panic!("it says {first}")).to_owned();
        Self { process, told: Some(told), said, from, _place: place }
    }

    async fn line(&mut self) -> String {
        next(self.told.as_mut().expect("an output that is open")).await
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).expect("JSON")
    }

    /// The names of the next so many, sorted.
    async fn events(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.json().await["event"].as_str().expect("a name").to_owned());
        }
        events.sort();
        events
    }

    async fn until_said(&mut self, part: &str) {
        while !next(&mut self.said).await.contains(part) {}
    }

    fn interrupt(&self) {
        let pid = self.process.id().expect("a process that runs").to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    }

    /// Its exit code, and what it says until then.
    async fn ended(mut self) -> (Option<i32>, String) {
        let status = timeout(PATIENCE, self.process.wait()).await.expect("an end").expect("a status");
        let mut said = String::new();
        while let Ok(Some(line)) = self.said.next_line().await {
            said += &line;
        }
        (status.code(), said)
    }
}

async fn next(lines: &mut Lines<impl tokio::io::AsyncBufRead + Unpin>) -> String {
    timeout(PATIENCE, lines.next_line()).await.expect("a line in time").expect("text").expect("a line")
}

async fn served(forum: &Forum, flags: &[&str]) -> Serving {
    let service = Serving::start(&forum.url(), flags).await;
    service.until_ready().await;
    service.until_metric("curia_lease_held", 1.0).await;
    service
}

const COMMENT: &str = "INSERT INTO comments (post_id, author_user_id, content) VALUES (2, 'cy', 'Text')";
const OF_BOARD_1: &str = "UPDATE boards SET name = name || '!' WHERE id = 1";
const OF_BOARD_2: &str = "UPDATE boards SET name = name || '!' WHERE id = 2";
const OF_BOARD_3: &str = "UPDATE boards SET name = name || '!' WHERE id = 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_browser_is_sent_is_printed_with_the_same_cursor() {
    let forum = Forum::captured().await;
    let service = served(&forum, &["--drain", "100ms"]).await;
    let mut ada = Client::connected(&service.url, &Service::token("ada", "c1", &[], false), "websocket").await;
    ada.ask("board:join", json!(1)).await;
    let (mut lines, mut objects) = (Tail::start(&forum, &[]).await, Tail::start(&forum, &["--json"]).await);
    let long = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Line\nbreak', repeat('long ', 100), 1)";
    forum.run(long).await;
    let sent = ada.next().await;
    let object = objects.json().await;
    assert_eq!(object["event"], sent[0]);
    assert_eq!(object["payload"], sent[1]);
    assert_eq!((&object["cursor"], &object["at"]), (&sent[2]["cursor"], &sent[2]["at"]));
    assert_eq!((&object["rooms"], &object["to"]), (&json!(["board:1"]), &json!("room board:1")));
    let line = lines.line().await;
    let start = format!("{}  board:newPost  room board:1  {{\"post\":", sent[2]["cursor"].as_str().expect("a cursor"));
    assert!(line.starts_with(&start) && line.ends_with("...") && line.len() < 300, "{line}");
    for tail in [lines, objects] {
        tail.interrupt();
        assert_eq!(tail.ended().await, (Some(0), String::new()));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_cursor_follows_what_its_bearer_was_not_sent_and_nothing_else() {
    let forum = Forum::captured().await;
    let service = served(&forum, &[]).await;
    let mut tail = Tail::start(&forum, &["--json"]).await;
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) SELECT 'cy', n, '', 1 FROM generate_series(1, 3) AS n").await;
    forum.run(OF_BOARD_2).await;
    let mut first = Vec::new();
    for _ in 0..4 {
        first.push(tail.json().await);
    }
    let cursor = |at: usize| first[at]["cursor"].as_str().expect("a cursor").to_owned();
    let from = tail.from.clone();
    for (since, behind) in [(from, 0), (cursor(0), 1), (cursor(1), 2), (cursor(2), 3)] {
        let mut again = Tail::start(&forum, &["--json", "--since", &since]).await;
        assert_eq!(again.from, since);
        for expected in &first[behind..] {
            assert_eq!(again.json().await, *expected);
        }
        again.interrupt();
        assert_eq!(again.ended().await.0, Some(0));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_cursor_that_can_not_be_continued_from_is_a_readable_error() {
    let forum = Forum::captured().await;
    let epoch: i64 =
        sqlx::query_scalar("SELECT id FROM curia_realtime.epoch").fetch_one(&forum.pool).await.expect("an epoch");
    forum.run("INSERT INTO curia_realtime.tick (epoch, n, snapshot) SELECT id, n, pg_current_snapshot() FROM curia_realtime.epoch, generate_series(1, 9) AS n").await;
    forum.run("DELETE FROM curia_realtime.tick WHERE n < 5").await;
    for (cursor, part, code) in [
        ("nonsense".to_owned(), "not a cursor of this server", 2),
        ("1.1.1.0".to_owned(), "an epoch that has ended: the newest here is", 1),
        (format!("{epoch:x}.5.1.0"), "the oldest tick kept is 5, and 4 is needed", 1),
        (format!("{epoch:x}.8.1.0.3"), "the oldest tick kept is 5, and 2 is needed", 1),
        (format!("{epoch:x}.ff.1.0"), "there is no tick 255 yet, the newest is 9", 1),
    ] {
        let refused = run(&["tail", "--since", &cursor], &[("DATABASE_URL", &forum.url())]).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(code), ""), "{refused:?}");
        assert!(refused.stderr.contains(part), "{part} in {refused:?}");
    }
    let bare = Forum::bare().await;
    let refused = run(&["tail"], &[("DATABASE_URL", &bare.url())]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("`curia-realtime migrate up`"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_or_a_community_alone_is_told_when_it_is_asked_for() {
    let forum = Forum::captured().await;
    let service = served(&forum, &[]).await;
    let mut board = Tail::start(&forum, &["--json", "--board", "1"]).await;
    let mut dunes = Tail::start(&forum, &["--json", "--community", "c2"]).await;
    let mut both = Tail::start(&forum, &["--json", "--community", "c1", "--board", "2"]).await;
    let changed = ["board:settingsChanged"];
    let of_comment = ["notification:new", "post:commentCountChanged", "post:newComment"];
    forum.run(OF_BOARD_3).await;
    assert_eq!(dunes.events(1).await, changed);
    forum.run(OF_BOARD_2).await;
    assert_eq!(both.events(1).await, changed);
    forum.run(COMMENT).await;
    assert_eq!(board.events(3).await, of_comment);
    forum.run("UPDATE communities SET settings = '{\"realtime\": {\"votes\": false}}' WHERE id = 'c2'").await;
    assert_eq!(dunes.events(1).await, ["community:settingsChanged"]);
    forum.run("INSERT INTO boards (community_id, name) VALUES ('c2', 'Wind')").await;
    assert_eq!(dunes.events(1).await, ["board:created"]);
    forum.run("DELETE FROM boards WHERE id = 3").await;
    assert_eq!(dunes.events(1).await, ["board:deleted"]);
    // Board 1 of the other community is shown in this one from here on, and no longer when that ends.
    forum
        .run(
            "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id, is_active)
             VALUES (1, 'c1', 'c2', 'ada', true)",
        )
        .await;
    forum.run(COMMENT).await;
    assert_eq!(dunes.events(3).await, of_comment);
    forum.run("UPDATE imported_boards SET is_active = false").await;
    forum.run("INSERT INTO boards (community_id, name) VALUES ('c2', 'Gone')").await;
    assert_eq!(dunes.events(1).await, ["board:created"]);
    forum.run(OF_BOARD_1).await;
    forum.run(OF_BOARD_2).await;
    forum.run("INSERT INTO boards (community_id, name) VALUES ('c2', 'Last')").await;
    assert_eq!(dunes.events(1).await, ["board:created"]);
    assert_eq!(both.events(1).await, changed);
    let mut expected = [&of_comment[..], &changed].concat();
    expected.sort_unstable();
    assert_eq!(board.events(4).await, expected);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_makes_no_ticks_holds_no_lease_takes_one_connection_and_says_that_nobody_tells() {
    let forum = Forum::captured().await;
    let mut tail = Tail::start(&forum, &[]).await;
    tail.until_said("nobody holds the lease on making ticks").await;
    forum.run(COMMENT).await;
    tail.until_said("changes are committed, and nobody makes ticks: start `curia-realtime serve`").await;
    let standing = "SELECT (SELECT count(*) FROM curia_realtime.tick),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
        (SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'curia-realtime%' AND datname = current_database())";
    let standing: (i64, i64, i64) = sqlx::query_as(standing).fetch_one(&forum.pool).await.expect("a row");
    assert_eq!(standing, (1, 0, 1));
    // Somebody who does comes, and what waited is told.
    let service = served(&forum, &[]).await;
    assert!(tail.line().await.contains("  post:newComment  room post:2  "));
    tail.interrupt();
    assert_eq!(tail.ended().await.0, Some(0));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_was_closed_ends_it_without_a_word() {
    let forum = Forum::captured().await;
    let service = served(&forum, &[]).await;
    let mut tail = Tail::start(&forum, &[]).await;
    drop(tail.told.take());
    forum.run(COMMENT).await;
    assert_eq!(tail.ended().await, (Some(0), String::new()));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_is_taken_up_from_its_beginning() {
    let forum = Forum::captured().await;
    let service = served(&forum, &[]).await;
    let mut tail = Tail::start(&forum, &[]).await;
    forum.run("DELETE FROM curia_realtime.tick").await;
    tail.until_said("it is taken up in the next epoch").await;
    tail.until_said("curia-realtime: from ").await;
    forum.run(COMMENT).await;
    assert!(tail.line().await.contains("  post:newComment  room post:2  "));
    tail.interrupt();
    assert_eq!(tail.ended().await.0, Some(0));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_page_is_told_to_its_end() {
    let forum = Forum::captured().await;
    let service = served(&forum, &[]).await;
    let mut tail = Tail::start(&forum, &["--json", "--community", "c1"]).await;
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) SELECT 'cy', n, '', 1 FROM generate_series(1, 2500) AS n").await;
    for n in 1..=2_500 {
        assert_eq!(tail.json().await["payload"]["post"]["title"], n.to_string());
    }
    tail.interrupt();
    assert_eq!(tail.ended().await.0, Some(0));
    service.stop().await;
}
