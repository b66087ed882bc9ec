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
