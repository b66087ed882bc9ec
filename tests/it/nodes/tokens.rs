//! Rights that end with a token or with its user, wherever the sockets are.

use super::*;

const CREW_ONLY: &str = r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#;

async fn in_board(node: &Serving, user: &str, roles: &[&str]) -> Frames {
    let mut frames = Frames::connected(&node.url, &Service::token(user, "c1", roles, false)).await;
    assert_eq!(frames.ask("board:join", json!(1)).await["ok"], json!(true));
    frames
}

async fn brings(frames: &mut Frames, roles: &[&str]) {
    frames
        .send(format!("4277{}", json!(["session:refresh", {"token": Service::token("ada", "c1", roles, false)}])))
        .await;
}

/// Everything up to what holds `expected`, that included; nothing of it is hidden from him.
async fn hears(frames: &mut Frames, expected: &str) -> String {
    loop {
        let frame = frames.next().await.expect("a connection that stays");
        assert!(!frame.contains("hidden"), "{frame}");
        if frame.contains(expected) {
            return frame;
        }
    }
}

async fn is_told_of(frames: &mut Frames, title: &str) {
    while next(frames).await.title != title {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_token_takes_away_ends_at_once_on_the_node_that_makes_the_ticks_and_on_the_other() {
    let forum = Forum::captured().await;
    forum.run(CREW_ONLY).await;
    let redis = Redis::start().expect("a Redis");
    // One user brings more tokens than he usually may.
    let flags = ["--redis-url", &redis.url(), "--drain", "100ms", "--rate-session-refresh", "1000/1s"];
    let leader = Serving::start(&forum.url(), &flags).await;
    lease_held(&forum.pool, None).await;
    let follower = Serving::start(&forum.url(), &flags).await;
    let mut staying = [in_board(&leader, "bo", &["crew"]).await, in_board(&follower, "bo", &["crew"]).await];
    // Another window of hers, whose own token is as it was.
    let mut window = in_board(&follower, "ada", &["crew"]).await;
    let mut ada = [in_board(&leader, "ada", &["crew"]).await, in_board(&follower, "ada", &["crew"]).await];
    for round in 0..5 {
        post(&forum.pool, &format!("before {round}")).await;
        let mut since = Vec::new();
        for frames in &mut ada {
            since.push(next(frames).await.cursor);
            brings(frames, &[]).await;
            hears(frames, r#""board:accessRevoked",{"boardId":1,"reason":"board_roles"}"#).await;
            hears(frames, r#"4377[{"expiresAt""#).await;
        }
        post(&forum.pool, &format!("hidden {round}")).await;
        for frames in staying.iter_mut().chain([&mut window]) {
            is_told_of(frames, &format!("hidden {round}")).await;
        }
        for (frames, since) in ada.iter_mut().zip(since) {
            let refused = frames.ask("board:join", json!({"boardId": 1, "since": since})).await;
            assert_eq!(refused["error"]["code"], json!("forbidden"), "{refused}");
            brings(frames, &["crew"]).await;
            hears(frames, r#""board:accessGranted",{"boardId":1}"#).await;
            hears(frames, r#"4377[{"expiresAt""#).await;
            frames.send(format!("4277{}", json!(["board:join", {"boardId": 1, "since": since}]))).await;
            let answer = hears(frames, "4377").await;
            assert!(answer.contains(r#""recovered":false"#), "nor by a replay: {answer}");
        }
    }
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_of_a_deleted_user_end_on_every_node_before_anything_later_is_told() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let nodes = [&leader, &follower];
    let (mut ada, mut staying) = (Vec::new(), Vec::new());
    for node in nodes {
        ada.push(in_board(node, "ada", &[]).await);
        staying.push(in_board(node, "bo", &[]).await);
    }
    // In one commit with what she would have been told, and behind it.
    forum
        .run(
            "BEGIN; DELETE FROM users WHERE user_id = 'ada';
             INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'hidden', '', 1); COMMIT",
        )
        .await;
    post(&forum.pool, "hidden too").await;
    for frames in &mut staying {
        is_told_of(frames, "hidden too").await;
    }
    for frames in &mut ada {
        hears(frames, r#"42["session:expired",{}]"#).await;
        assert_eq!(frames.next().await.as_deref(), Some("41"), "and the farewell right behind it");
    }
    for node in nodes {
        let mut frames = Frames::open(&node.url).await;
        frames.send(format!("40{}", json!({"token": token()}))).await;
        let refused = frames.next().await.expect("an answer");
        assert!(refused.contains("auth_invalid: the user of this token no longer exists"), "{refused}");
    }
    // The forum signs her in again.
    forum.run("INSERT INTO users (user_id, name) VALUES ('ada', 'Ada')").await;
    for node in nodes {
        in_board(node, "ada", &[]).await;
    }
    leader.stop().await;
    follower.stop().await;
}
