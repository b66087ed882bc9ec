//! Clients that read slowly, not at all, or are no longer there: closed in time and within bounds, unnoticed by others; and what
//! a socket gets before its end has no gap.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{
    postgres::Forum,
    program::Serving,
    proxy::Proxy,
    service::Service,
    wire::{Frames, Polling},
};

/// Bytes of a flooding post. A hundred of them are more than the kernel takes on both sides of a connection.
const LONG: usize = 16_000;
/// Nobody is closed for this reason.
const NOT_FOR_STALLING: [&str; 2] = ["--stall-timeout", "1h"];
const NOT_FOR_BYTES: [&str; 2] = ["--max-pending", "1GiB"];
const CLOSED_FOR_FRAMES: &str = r#"curia_sockets_closed_slow_total{waiting="frames"}"#;
const CLOSED_FOR_BYTES: &str = r#"curia_sockets_closed_slow_total{waiting="bytes"}"#;

fn ada() -> String {
    Service::token("ada", "c1", &[], false)
}

async fn joined(mut frames: Frames) -> Frames {
    assert_eq!(frames.ask("board:join", json!(1)).await["ok"], json!(true));
    frames
}

/// Posts whose titles are their numbers, in one commit.
async fn flood(forum: &Forum, numbers: std::ops::Range<usize>) {
    let edge = |number: usize| i32::try_from(number).expect("a small number");
    sqlx::query(
        "INSERT INTO posts (author_user_id, title, content, board_id)
         SELECT 'cy', n, repeat('x', $3), 1 FROM generate_series($1, $2 - 1) AS n",
    )
    .bind(edge(numbers.start))
    .bind(edge(numbers.end))
    .bind(edge(LONG))
    .execute(&forum.pool)
    .await
    .expect("posts");
}

/// The number of the post that a frame tells of.
fn number(frame: &str) -> usize {
    let told: Value = serde_json::from_str(frame.strip_prefix("42").expect("an event")).expect("JSON");
    assert_eq!(told[0], "board:newPost");
    told[1]["post"]["title"].as_str().and_then(|title| title.parse().ok()).expect("a number")
}

/// Reads posts up to a number, and expects each in its turn.
async fn read_all(frames: &mut Frames, numbers: std::ops::Range<usize>) {
    for expected in numbers {
        assert_eq!(number(&frames.next().await.expect("a post")), expected);
    }
}

/// Reads to the end: how many posts came, each in its turn.
async fn read_to_the_end(frames: &mut Frames) -> usize {
    let mut read = 0;
    while let Some(frame) = frames.next().await {
        assert_eq!(number(&frame), read, "a gap");
        read += 1;
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_is_closed_in_time_and_had_no_gap() {
    let forum = Forum::captured().await;
    let program = Serving::start(&forum.url(), &[["--stall-timeout", "1s"], NOT_FOR_BYTES].concat()).await;
    let mut deaf = joined(Frames::connected_narrowly(&program.url, &ada()).await).await;
    let mut other = joined(Frames::connected(&program.url, &ada()).await).await;
    flood(&forum, 0..100).await;
    read_all(&mut other, 0..100).await;
    program.until_metric("curia_sockets", 1.0).await;
    let read = read_to_the_end(&mut deaf).await;
    assert!(read < 100, "it was closed before all was written");
    flood(&forum, 100..101).await;
    read_all(&mut other, 100..101).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_delays_nobody() {
    let forum = Forum::captured().await;
    let program = Serving::start(&forum.url(), &[NOT_FOR_STALLING, NOT_FOR_BYTES].concat()).await;
    let mut deaf = joined(Frames::connected_narrowly(&program.url, &ada()).await).await;
    let mut other = joined(Frames::connected(&program.url, &ada()).await).await;
    flood(&forum, 0..200).await;
    read_all(&mut other, 0..200).await;
    assert_eq!(program.metric("curia_sockets").await, Some(2.0), "it is still waited for");
    // It waits for all of it, and misses nothing once it reads again.
    read_all(&mut deaf, 0..200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_wait_for_a_client_is_bounded_in_frames() {
    let forum = Forum::captured().await;
    let few = ["--max-pending-frames", "16", "--replay-limit", "8"];
    let program = Serving::start(&forum.url(), &[&few[..], &NOT_FOR_STALLING, &NOT_FOR_BYTES].concat()).await;
    let mut deaf = joined(Frames::connected_narrowly(&program.url, &ada()).await).await;
    let mut other = joined(Frames::connected(&program.url, &ada()).await).await;
    for nth in 0..100 {
        flood(&forum, nth..nth + 1).await;
        read_all(&mut other, nth..nth + 1).await;
    }
    program.until_metric(CLOSED_FOR_FRAMES, 1.0).await;
    assert!(read_to_the_end(&mut deaf).await < 100);
    program.until_metric("curia_sockets", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_wait_for_a_client_is_bounded_in_bytes() {
    let forum = Forum::captured().await;
    let program = Serving::start(&forum.url(), &[["--max-pending", "256KiB"], NOT_FOR_STALLING].concat()).await;
    let mut deaf = joined(Frames::connected_narrowly(&program.url, &ada()).await).await;
    let polling = Polling::connected(&program.url, &ada()).await;
    assert_eq!(polling.send(r#"4277["board:join",1]"#.to_owned()).await, StatusCode::OK);
    assert!(polling.poll().await.body().contains("4377"));
    let mut other = joined(Frames::connected(&program.url, &ada()).await).await;
    // Many times as much as may wait, for one that reads.
    for nth in 0..100 {
        flood(&forum, nth..nth + 1).await;
        read_all(&mut other, nth..nth + 1).await;
    }
    program.until_metric(CLOSED_FOR_BYTES, 2.0).await;
    assert_eq!(polling.poll().await.status(), StatusCode::BAD_REQUEST, "its session is gone");
    assert!(read_to_the_end(&mut deaf).await < 100);
    program.until_metric("curia_sockets", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_polls_may_take_many_times_as_much_as_may_wait() {
    let forum = Forum::captured().await;
    let program = Serving::start(&forum.url(), &["--max-pending", "64KiB"]).await;
    let polling = Polling::connected(&program.url, &ada()).await;
    assert_eq!(polling.send(r#"4277["board:join",1]"#.to_owned()).await, StatusCode::OK);
    assert!(polling.poll().await.body().contains("4377"));
    for nth in 0..20 {
        flood(&forum, nth..nth + 1).await;
        // A ping may come before it.
        loop {
            let answer = polling.poll().await;
            assert_eq!(answer.status(), StatusCode::OK, "at {nth}");
            if answer.body() != "2" {
                assert_eq!(number(answer.body()), nth);
                break;
            }
            assert_eq!(polling.send("3".to_owned()).await, StatusCode::OK);
        }
    }
    assert_eq!(program.metric(CLOSED_FOR_BYTES).await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_everything_or_is_closed_and_never_a_gap() {
    let forum = Forum::captured().await;
    for (may_wait, is_closed) in [("64MiB", false), ("512KiB", true)] {
        let program = Serving::start(&forum.url(), &["--max-pending", may_wait]).await;
        let mut slow = joined(Frames::connected_narrowly(&program.url, &ada()).await).await;
        let writes = flood(&forum, 0..200);
        let reads = async {
            let mut read = 0;
            while read < 200 {
                // Which is what makes it slow.
                sleep(Duration::from_millis(20)).await;
                let Some(frame) = slow.next().await else { break };
                assert_eq!(number(&frame), read, "a gap");
                read += 1;
            }
            read
        };
        let ((), read) = tokio::join!(writes, reads);
        assert_eq!(read < 200, is_closed, "it read {read} while {may_wait} might wait");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_without_a_trace_is_gone_after_a_ping_and_its_timeout() {
    let forum = Forum::captured().await;
    let beats = ["--ping-interval", "500ms", "--ping-timeout", "500ms"];
    let program = Serving::start(&forum.url(), &beats).await;
    let proxy = Proxy::before(&program.url).await;
    let _vanishes = joined(Frames::connected(&proxy.url, &ada()).await).await;
    let _polls = Polling::connected(&proxy.url, &ada()).await;
    assert_eq!(program.metric("curia_sockets").await, Some(2.0));
    proxy.fall_silent();
    program.until_metric("curia_sockets", 0.0).await;
    // Its connection is closed too, though what was written to it will never be acknowledged. The one left is ours.
    program.until_metric("curia_http_connections", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_missed_more_than_may_wait_for_him_is_told_to_load_it_and_not_closed() {
    let forum = Forum::captured().await;
    let program = Serving::start(&forum.url(), &["--max-pending", "256KiB", "--drain", "100ms"]).await;
    let mut reader = Frames::connected(&program.url, &ada()).await;
    let since = reader.ask("board:join", json!(1)).await["cursor"].clone();
    assert_eq!(reader.ask("board:leave", json!(1)).await["ok"], json!(true));
    let mut other = joined(Frames::connected(&program.url, &ada()).await).await;
    for (missed, recovered) in [(0..4, true), (4..40, false)] {
        for nth in missed.clone() {
            flood(&forum, nth..nth + 1).await;
            read_all(&mut other, nth..nth + 1).await;
        }
        reader.send(format!("4277{}", json!(["board:join", {"boardId": 1, "since": since}]))).await;
        if recovered {
            read_all(&mut reader, missed).await;
        }
        // Nothing half: the answer is what comes next.
        let answer = reader.next().await.expect("an answer");
        assert!(answer.starts_with("4377[") && answer.contains(&format!(r#""recovered":{recovered}"#)), "{answer}");
        assert_eq!(reader.ask("board:leave", json!(1)).await["ok"], json!(true), "who is still here");
    }
    program.stop().await;
}
