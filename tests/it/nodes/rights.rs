//! Rights that change, on a node that lags and on the others.

use super::{bridge::bridged, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_node_that_lags_nobody_is_told_what_was_committed_while_he_was_shut_out() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let first = std::sync::Mutex::new(None);
    // The other hears that all is well and never anything new: it is as far behind as it can be.
    let (leader, follower, _bridge) = bridged(&forum, &redis, move |_, message| {
        vec![first.lock().expect("a message").get_or_insert(message).clone()]
    })
    .await;
    let mut ahead = Frames::connected(&leader.url, &Service::token("bo", "c1", &[], true)).await;
    assert_eq!(ahead.ask("board:join", json!(1)).await["ok"], json!(true));
    let (mut shut_out, _) = joined(&follower, None).await;
    for round in 0..5 {
        set_of_board(&forum.pool, r#"{"permissions": {"allowedRoles": ["crew"]}}"#).await;
        hears_but_nothing_closed(&mut shut_out, "board:accessRevoked").await;
        let closed = format!("closed {round}");
        post(&forum.pool, &closed).await;
        while next(&mut ahead).await.title != closed {}
        set_of_board(&forum.pool, "{}").await;
        shut_out.send(format!("4277{}", json!(["board:join", 1]))).await;
        hears_but_nothing_closed(&mut shut_out, r#"4377[{"boardId":1,"#).await;
        let open = format!("open {round}");
        post(&forum.pool, &open).await;
        hears_but_nothing_closed(&mut shut_out, &open).await;
    }
    leader.stop().await;
    follower.stop().await;
}

async fn set_of_board(pool: &PgPool, settings: &str) {
    let update = "UPDATE boards SET settings = $1::text::jsonb WHERE id = 1";
    sqlx::query(update).bind(settings).execute(pool).await.expect("an update");
}

/// Reads on to what holds `expected`.
async fn hears_but_nothing_closed(frames: &mut Frames, expected: &str) {
    loop {
        let frame = frames.next().await.expect("a connection that stays");
        assert!(!frame.contains("closed"), "{frame}");
        if frame.contains(expected) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_shut_out_is_told_nothing_of_later_on_any_node() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let (mut shut_out, _) = joined(&follower, None).await;
    let mut admin = Frames::connected(&follower.url, &Service::token("bo", "c1", &[], true)).await;
    assert_eq!(admin.ask("board:join", json!(1)).await["ok"], json!(true));
    for round in 0..10 {
        set_of_board(&forum.pool, r#"{"permissions": {"allowedRoles": ["crew"]}}"#).await;
        let closed = format!("closed {round}");
        post(&forum.pool, &closed).await;
        while next(&mut admin).await.title != closed {}
        set_of_board(&forum.pool, "{}").await;
        hears_but_nothing_closed(&mut shut_out, "board:accessRevoked").await;
        hears_but_nothing_closed(&mut shut_out, "board:accessGranted").await;
        shut_out.send(format!("4277{}", json!(["board:join", 1]))).await;
        hears_but_nothing_closed(&mut shut_out, r#"4377[{"boardId":1,"#).await;
        let open = format!("open {round}");
        post(&forum.pool, &open).await;
        hears_but_nothing_closed(&mut shut_out, &open).await;
    }
    assert!(messages(&follower, "taken").await > 10.0);
    leader.stop().await;
    follower.stop().await;
}

/// Somebody in a board and in the post of the same number, with the last cursor he was given.
struct Watcher {
    frames: Frames,
    place: i32,
    since: Value,
}

impl Watcher {
    async fn enter(node: &Serving, place: i32, user: &str, roles: &[&str]) -> Self {
        let frames = Frames::connected(&node.url, &Service::token(user, "c1", roles, false)).await;
        let mut watcher = Self { frames, place, since: Value::Null };
        watcher.come_back("nothing of it").await;
        watcher
    }

    /// Reads on to what holds `expected`; nothing may hold `hidden`.
    async fn hears(&mut self, expected: &str, hidden: &str) -> String {
        loop {
            let frame = self.frames.next().await.expect("a connection that stays");
            assert!(!frame.contains(hidden), "{frame}");
            if frame.contains(expected) {
                return frame;
            }
        }
    }

    async fn asks(&mut self, event: &str, argument: Value, hidden: &str) -> Value {
        self.frames.send(format!("4277{}", json!([event, argument]))).await;
        let answer = self.hears("4377[", hidden).await;
        serde_json::from_str::<Value>(&answer["4377".len()..]).expect("an answer")[0].clone()
    }

    /// With his cursor, to both.
    async fn come_back(&mut self, hidden: &str) {
        let (since, place) = (self.since.clone(), self.place);
        for (event, argument) in [
            ("board:join", json!({"boardId": place, "since": since})),
            ("post:join", json!({"postId": place, "since": since})),
        ] {
            let answer = self.asks(event, argument, hidden).await;
            assert_eq!(answer["ok"], json!(true), "{answer}");
            self.since = answer["cursor"].clone();
        }
    }
}

/// The board is shut to some, somebody writes in it over another connection, and it is opened again; each time on both nodes.
async fn shut_and_open(forum: &Forum, nodes: &[Serving; 2], place: i32, rounds: u32) {
    let (mut shut_out, mut staying) = (Vec::new(), Vec::new());
    for (number, node) in nodes.iter().enumerate() {
        shut_out.push(Watcher::enter(node, place, &format!("out{place}{number}"), &[]).await);
        staying.push(Watcher::enter(node, place, &format!("in{place}{number}"), &["crew"]).await);
    }
    let connection = || forum.pool.acquire();
    let (mut rights, mut words) = (connection().await.expect("a connection"), connection().await.expect("another"));
    let set = "UPDATE boards SET settings = $2::text::jsonb WHERE id = $1";
    // Of no round, also not of an earlier one that comes late.
    let hidden = format!("hidden {place}/");
    for round in 0..rounds {
        let written = format!("hidden {place}/{round}.");
        let shut = sqlx::query(set).bind(place).bind(r#"{"permissions": {"allowedRoles": ["crew"]}}"#);
        shut.execute(&mut *rights).await.expect("a change of rights");
        let insert = "INSERT INTO comments (post_id, author_user_id, content) VALUES ($1, 'cy', $2)";
        sqlx::query(insert).bind(place).bind(&written).execute(&mut *words).await.expect("a comment");
        for watcher in &mut shut_out {
            watcher.hears(&format!(r#""board:accessRevoked",{{"boardId":{place},"#), &hidden).await;
            let since = watcher.since.clone();
            let refused = watcher.asks("board:join", json!({"boardId": place, "since": since}), &hidden).await;
            assert_eq!(refused["error"]["code"], json!("forbidden"), "{refused}");
        }
        for watcher in &mut staying {
            watcher.hears(&written, "never there").await;
        }
        sqlx::query(set).bind(place).bind("{}").execute(&mut *rights).await.expect("a change of rights");
        for watcher in &mut shut_out {
            watcher.hears(&format!(r#""board:accessGranted",{{"boardId":{place}}}"#), &hidden).await;
            watcher.come_back(&hidden).await;
        }
    }
    let insert = "INSERT INTO comments (post_id, author_user_id, content) VALUES ($1, 'cy', 'the end')";
    sqlx::query(insert).bind(place).execute(&mut *words).await.expect("a comment");
    for watcher in &mut shut_out {
        watcher.hears("the end", &hidden).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_thousand_rounds_nothing_that_was_written_behind_his_exclusion_reaches_anybody() {
    let forum = Forum::captured().await;
    let places = [11, 12, 13, 14];
    for place in places {
        let board = "INSERT INTO boards (id, community_id, name) VALUES ($1, 'c1', 'Board ' || $1)";
        sqlx::query(board).bind(place).execute(&forum.pool).await.expect("a board");
        let post = "INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES ($1, 'cy', '', '', $1)";
        sqlx::query(post).bind(place).execute(&forum.pool).await.expect("a post");
    }
    let redis = Redis::start().expect("a Redis");
    let flags = ["--redis-url", &redis.url(), "--rate-join", "10000/1s"];
    let nodes = [Serving::start(&forum.url(), &flags).await, Serving::start(&forum.url(), &flags).await];
    for node in &nodes {
        node.until_ready().await;
    }
    futures_util::future::join_all(places.map(|place| shut_and_open(&forum, &nodes, place, 250))).await;
    for node in nodes {
        node.stop().await;
    }
}
