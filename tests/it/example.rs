//! The front-end example of the README, as it stands there: a board that stays live.

use std::{collections::VecDeque, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::support::{postgres::Forum, service::Service};

const PATIENCE: Duration = Duration::from_secs(60);

struct Page<'a> {
    forum: &'a Forum,
    said: Lines<BufReader<ChildStdout>>,
    answers: ChildStdin,
    /// Loads are not answered while this is set, but with what stood in the table when they were asked.
    holds: bool,
    held: VecDeque<String>,
    _node: Child,
}

impl<'a> Page<'a> {
    fn open(forum: &'a Forum, service: &Service) -> Self {
        let mut node = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/example.mjs"))
            .args([&service.url, &Service::token("ada", "c1", &[], false)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node, and `npm ci` in tests/browser; `cargo xtask test` sees to both");
        let said = BufReader::new(node.stdout.take().expect("piped")).lines();
        let answers = node.stdin.take().expect("piped");
        Self { forum, said, answers, holds: false, held: VecDeque::new(), _node: node }
    }

    /// What the forum's REST API would answer: each post's number, title and votes.
    async fn posts(&self) -> Value {
        let posts = "SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'title', title, 'upvote_count', upvote_count) ORDER BY id),
            '[]') FROM posts WHERE board_id = 1";
        sqlx::query_scalar(posts).fetch_one(&self.forum.pool).await.expect("the posts")
    }

    async fn answer(&mut self, line: &str) {
        self.answers.write_all(format!("{line}\n").as_bytes()).await.expect("a page that listens");
    }

    /// What happens next: `None` when it asks for the posts, else what it shows.
    async fn next(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.said.next_line()).await.expect("something to happen");
        let line = line.expect("its output").expect("a page that goes on");
        if let Some(number) = line.strip_prefix("load ") {
            let answer = format!("[{number},{}]", self.posts().await);
            if self.holds {
                self.held.push_back(answer);
            } else {
                self.answer(&answer).await;
            }
            return None;
        }
        Some(serde_json::from_str(line.strip_prefix("shows ").expect("what it shows")).expect("JSON"))
    }

    async fn until_it_asks(&mut self) {
        while self.next().await.is_some() {}
    }

    async fn until_it_shows(&mut self, shows: impl Fn(&Value) -> bool) {
        while !self.next().await.is_some_and(|shown| shows(&shown)) {}
    }

    async fn until_it_shows_what_is(&mut self) {
        let posts = self.posts().await;
        self.until_it_shows(|shown| *shown == posts).await;
    }

    async fn changed(&mut self, change: &'static str) {
        self.forum.run(change).await;
        self.until_it_shows_what_is().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_end_example_keeps_a_board_as_the_table_is() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut page = Page::open(&forum, &service);
    page.until_it_shows_what_is().await;
    page.changed("UPDATE posts SET upvote_count = 41 WHERE id = 1").await;
    page.changed("INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (90, 'cy', 'Ebb', '', 1)")
        .await;
    page.changed("UPDATE posts SET title = 'Neap' WHERE id = 90").await;

    // A vote that comes while an older answer is on its way.
    page.holds = true;
    forum.run("UPDATE posts SET title = 'Spring' WHERE id = 90").await;
    page.until_it_asks().await;
    forum.run("UPDATE posts SET upvote_count = 42 WHERE id = 1").await;
    page.until_it_shows(|shown| shown[0]["upvote_count"] == 42).await;
    page.holds = false;
    let older = page.held.pop_front().expect("an answer");
    assert!(older.contains("41"), "{older}");
    page.answer(&older).await;
    page.until_it_shows(|shown| shown[0]["upvote_count"] == 41).await;
    page.until_it_shows_what_is().await;

    page.changed("DELETE FROM posts WHERE id = 90").await;
    let flags = r#"UPDATE communities SET settings = '{"realtime": {"posts": false}}' WHERE id = 'c1'"#;
    forum.run(flags).await;
    page.until_it_asks().await;
    forum
        .run("INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (91, 'cy', 'Unheard', '', 1)")
        .await;
    page.changed("UPDATE communities SET settings = '{}' WHERE id = 'c1'").await;

    let closed = r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["keeper"]}}' WHERE id = 1"#;
    forum.run(closed).await;
    page.until_it_shows(Value::is_null).await;
    page.changed("UPDATE boards SET settings = '{}' WHERE id = 1").await;
    assert_ne!(page.posts().await, json!([]));
    service.stop().await;
}
