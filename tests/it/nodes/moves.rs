//! Posts that move between boards of other rights, on a node that tells them in time and on one that reads them late.

use super::*;

const CLOSES: &str = r#"{"permissions": {"allowedRoles": ["crew"]}}"#;

/// Two nodes without Redis, of which the second can be made to lag: what is committed while it stands still it reads afterwards, each tick
/// with the rows of that later moment. Ada reads post 1, her own, at both.
struct Late {
    forum: Forum,
    nodes: [Serving; 2],
    /// At the first node, who may read everything.
    witness: Frames,
    readers: [Frames; 2],
    ends: u32,
}

impl Late {
    async fn begin(rows: &'static str) -> Self {
        let forum = Forum::captured().await;
        forum.run(rows).await;
        let start = async || Serving::start(&forum.url(), &["--drain", "100ms"]).await;
        let first = start().await;
        lease_held(&forum.pool, None).await;
        let nodes = [first, start().await];
        for node in &nodes {
            node.until_ready().await;
        }
        let mut witness = Frames::connected(&nodes[0].url, &Service::token("cy", "c1", &[], true)).await;
        assert_eq!(witness.ask("feed:join", Value::Null).await["ok"], json!(true));
        assert_eq!(witness.ask("post:join", json!(1)).await["ok"], json!(true));
        let reader = async |node: &Serving| {
            let mut reader = Frames::connected(&node.url, &Service::token("ada", "c1", &[], false)).await;
            assert_eq!(reader.ask("post:join", json!(1)).await["ok"], json!(true));
            reader
        };
        let readers = [reader(&nodes[0]).await, reader(&nodes[1]).await];
        Self { forum, nodes, witness, readers, ends: 0 }
    }

    /// Commits it, and waits until the first node has told it: whatever comes next is in another tick.
    async fn commit(&mut self, statement: &str, told: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&self.forum.pool).await.expect("a statement");
        while !self.witness.next().await.expect("a connection that stays").contains(told) {}
    }

    async fn moves(&mut self, to: i32) {
        let told = format!(r#""board_id":{to},"#);
        self.commit(&format!("UPDATE posts SET board_id = {to}, updated_at = NOW() WHERE id = 1"), &told).await;
    }

    async fn sets(&mut self, board: i32, settings: &str) {
        let told = format!(r#"42["board:settingsChanged",{{"boardId":{board},"#);
        self.commit(&format!("UPDATE boards SET settings = '{settings}' WHERE id = {board}"), &told).await;
    }

    async fn comments(&mut self, content: &str) {
        let insert = "INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'bo', ";
        self.commit(&format!("{insert}'{content}')"), "post:newComment").await;
    }

    /// Everything that each of Ada's was told up to the end of what was committed, as name and payload.
    async fn heard(&mut self) -> [Vec<Value>; 2] {
        self.ends += 1;
        let end = format!("End {}", self.ends);
        let insert = format!("INSERT INTO boards (community_id, name) VALUES ('c1', '{end}')");
        self.commit(&insert, &end).await;
        self.nodes[1].signal("-CONT");
        let mut heard = [Vec::new(), Vec::new()];
        for (reader, heard) in self.readers.iter_mut().zip(&mut heard) {
            loop {
                let frame = reader.next().await.expect("a connection that stays");
                if frame.contains(&end) {
                    break;
                }
                let Some(event) = frame.strip_prefix("42") else { continue };
                let event: Value = serde_json::from_str(event).expect("JSON");
                if !event[0].as_str().is_some_and(|name| name.starts_with("user:")) {
                    heard.push(json!([event[0], event[1]]));
                }
            }
        }
        heard
    }

    fn stands_still(&self) {
        self.nodes[1].signal("-STOP");
    }

    async fn end(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

fn moved_from(board: i32) -> Value {
    json!(["board:postDeleted", {"postId": 1, "boardId": board, "moved": true}])
}

fn revoked(board: i32) -> Value {
    json!(["board:accessRevoked", {"boardId": board, "reason": "board_roles"}])
}

/// What comments they tell of, by the event's name and the board that it names.
fn comments(heard: &[Value]) -> Vec<(&str, &str, i64)> {
    let told = |event: &'_ Value| event[0] == "post:newComment" || event[0] == "notification:new";
    let of = heard.iter().filter(|event| told(event));
    of.map(|event| {
        let content = event[1]["comment"]["content"].as_str().or(event[1]["excerpt"].as_str());
        (event[0].as_str().expect("a name"), content.expect("a text"), event[1]["boardId"].as_i64().expect("a board"))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_in_a_post_while_it_stands_in_a_closed_board_reaches_nobody_whom_that_shuts_out() {
    let mut late =
        Late::begin(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 2"#).await;
    late.stands_still();
    late.moves(2).await;
    late.comments("SECRET").await;
    late.moves(1).await;
    for heard in late.heard().await {
        assert_eq!(heard, [moved_from(1)]);
    }
    late.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_in_a_closed_board_before_the_post_comes_to_an_open_one_reaches_nobody_whom_it_shuts_out() {
    let mut late = Late::begin("").await;
    late.stands_still();
    late.sets(1, CLOSES).await;
    late.comments("SECRET").await;
    late.moves(2).await;
    for heard in late.heard().await {
        assert_eq!(heard, [revoked(1)]);
    }
    // Where it is now she is called as anybody is, and may come back.
    late.comments("open").await;
    for heard in late.heard().await {
        assert_eq!(comments(&heard), [("notification:new", "open", 2)]);
    }
    late.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_read_a_post_where_it_stands_goes_on_doing_so_when_the_board_that_it_left_is_closed() {
    let mut late = Late::begin("").await;
    late.stands_still();
    late.comments("before").await;
    late.moves(2).await;
    late.sets(1, CLOSES).await;
    late.comments("behind").await;
    for heard in late.heard().await {
        let each = |content, board| [("post:newComment", content, board), ("notification:new", content, board)];
        assert_eq!(comments(&heard), [each("before", 1), each("behind", 2)].concat());
        assert_eq!(heard.iter().filter(|event| **event == revoked(1)).count(), 1, "{heard:?}");
        assert_eq!(heard.len(), 5, "{heard:?}");
    }
    late.end().await;
}

/// Also within one tick, in which the move and the closing come together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_a_post_that_moves_just_ahead_of_the_closing_of_its_board_goes_on_reading_it() {
    const MOVE: &str = "UPDATE posts SET board_id = 2, updated_at = NOW() WHERE id = 1";
    const CLOSE: &str = r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#;
    const UNDO: &str = "UPDATE imported_boards SET is_active = false WHERE source_board_id = 3";
    let import = "INSERT INTO imported_boards
            (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
        VALUES (3, 'c2', 'c1', 'ada')";
    let mut late = Late::begin(import).await;
    late.moves(2).await;
    for round in 0..5 {
        for (board, closes, opens) in [
            (1, CLOSE, "UPDATE boards SET settings = '{}' WHERE id = 1"),
            (3, UNDO, "UPDATE imported_boards SET is_active = true WHERE source_board_id = 3"),
        ] {
            for together in [true, false] {
                late.moves(board).await;
                late.heard().await;
                let mut connection = late.forum.pool.acquire().await.expect("a connection");
                let both = format!("BEGIN; {MOVE}; {closes}; COMMIT");
                let statements = if together { vec![both.as_str()] } else { vec![MOVE, closes] };
                for statement in statements {
                    let running = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *connection);
                    running.await.expect("a statement");
                }
                drop(connection);
                late.comments("behind").await;
                for heard in late.heard().await {
                    let told = comments(&heard);
                    let expected = [("post:newComment", "behind", 2), ("notification:new", "behind", 2)];
                    assert_eq!(told, expected, "round {round}, board {board}, together: {together}: {heard:?}");
                    let revoked = heard.iter().filter(|event| event[0] == "board:accessRevoked").count();
                    assert_eq!((revoked, heard.len()), (1, 3), "{heard:?}");
                }
                sqlx::query(opens).execute(&late.forum.pool).await.expect("a change of rights");
                late.heard().await;
            }
        }
    }
    late.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_follow_a_post_is_told_once_and_nothing_more_of_it() {
    let mut late =
        Late::begin(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 2"#).await;
    late.stands_still();
    late.comments("before").await;
    late.moves(2).await;
    late.comments("SECRET").await;
    late.sets(1, CLOSES).await;
    let [in_time, read_late] = late.heard().await;
    assert_eq!(comments(&in_time).iter().map(|(_, content, _)| *content).collect::<Vec<_>>(), ["before", "before"]);
    assert_eq!(in_time[2..], [moved_from(1), revoked(1)]);
    // Of the moment of reading: the board is shut, and with it all that it was told of.
    assert_eq!(read_late, [revoked(1)]);
    late.end().await;
}
