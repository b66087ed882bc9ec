//! Ticks of any size, several readers, lost connections: what the reader of the outbox promises beside order.

use std::time::Duration;

use curia_realtime::{
    batch::Batch,
    change::Change,
    ids::{BoardId, Cursor},
    postgres::outbox::{Found, OutboxError, OutboxReader},
};
use tokio::time::timeout;

use crate::support::{
    postgres::Forum,
    stream::{page, pages},
};

const CONTENT_LIMIT: usize = 1_000;
/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);

/// 2,500 votes and, between them, a change of rights.
const LARGE: &str = "BEGIN;
    INSERT INTO votes (user_id, post_id) SELECT 'u' || n, 2 FROM generate_series(1, 1500) AS n;
    UPDATE boards SET settings = '{\"permissions\": {\"allowedRoles\": [\"crew\"]}}' WHERE id = 2;
    INSERT INTO votes (user_id, post_id) SELECT 'v' || n, 2 FROM generate_series(1, 1000) AS n;
    COMMIT";

/// With users enough to vote.
async fn crowd() -> Forum {
    let forum = Forum::captured().await;
    forum
        .run("INSERT INTO users (user_id, name) SELECT name || n, 'U' FROM unnest('{u,v}'::text[]) AS name, generate_series(1, 2000) AS n")
        .await;
    forum
}

async fn reader(forum: &Forum) -> OutboxReader {
    OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position")
}

fn cursors(batches: &[Batch]) -> Vec<Cursor> {
    batches.iter().flat_map(|batch| batch.entries.iter().map(|entry| batch.cursor(entry))).collect()
}

fn boards_of_rights(changes: &[(u32, Change)]) -> Vec<(u32, BoardId)> {
    let board = |(ordinal, change): &(u32, Change)| match change {
        Change::BoardUpdated { board, .. } => (*ordinal, *board),
        other => panic!("no change of a board: {other:?}"),
    };
    changes.iter().map(board).collect()
}

/// Ordinals 1 to `count` of one tick.
fn assert_whole(batches: &[Batch], count: u32) {
    let ordinals: Vec<u32> = cursors(batches).iter().map(|cursor| cursor.place.ordinal).collect();
    assert_eq!(ordinals, (1..=count).collect::<Vec<_>>());
    let ticks: Vec<_> = batches.iter().map(|batch| batch.tick).collect();
    assert!(ticks.windows(2).all(|two| two[0] == two[1]), "{ticks:?}");
    let last: Vec<bool> = batches.iter().map(|batch| batch.last).collect();
    assert_eq!(last.iter().position(|last| *last), Some(last.len() - 1), "{last:?}");
}

#[tokio::test]
async fn a_tick_larger_than_a_page_comes_in_pages_and_its_rights_with_the_first() {
    let forum = crowd().await;
    let mut reader = reader(&forum).await;
    forum.run(LARGE).await;
    let batches = pages(&mut reader).await;
    assert_eq!(batches.iter().map(|batch| batch.entries.len()).collect::<Vec<_>>(), [1000, 1000, 501]);
    assert_whole(&batches, 2501);
    assert_eq!(boards_of_rights(&batches[0].fence.changes), [(1501, BoardId(2))]);
    assert!(batches[1..].iter().all(|batch| batch.fence.changes.is_empty()));

    forum.run("INSERT INTO votes (user_id, post_id) VALUES ('bo', 1)").await;
    let after = pages(&mut reader).await;
    assert_eq!((after.len(), after[0].tick.0), (1, batches[0].tick.0 + 1));
}

#[tokio::test]
async fn a_tick_of_exactly_a_page_is_one_page_and_of_two_is_whole_too() {
    let forum = crowd().await;
    let mut reader = reader(&forum).await;
    forum.run("INSERT INTO votes (user_id, post_id) SELECT 'u' || n, 2 FROM generate_series(1, 1000) AS n").await;
    assert_whole(&pages(&mut reader).await, 1000);
    forum.run("INSERT INTO votes (user_id, post_id) SELECT 'v' || n, 2 FROM generate_series(1, 2000) AS n").await;
    assert_whole(&pages(&mut reader).await, 2000);
}

#[tokio::test]
async fn a_connection_cut_between_pages_loses_nothing() {
    let forum = crowd().await;
    let mut reader = reader(&forum).await;
    forum.run(LARGE).await;
    let mut batches = vec![page(&mut reader).await.expect("a first page")];
    let cut: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND state = 'idle in transaction'",
    )
    .fetch_all(&forum.pool)
    .await
    .expect("who reads");
    assert_eq!(cut, [true]);
    forum
        .run("UPDATE boards SET settings = '{}' WHERE id = 1; UPDATE boards SET settings = '{\"a\": 1}' WHERE id = 1")
        .await;
    assert!(matches!(reader.next(true).await, Err(OutboxError::Database(_))), "the connection is gone");

    let second = page(&mut reader).await.expect("a second page");
    assert!(second.fence.changes.is_empty(), "it came with the first page");
    let ahead = second.ahead.as_ref().expect("what changed of rights since the tick");
    assert!(boards_of_rights(&ahead.fence.changes).iter().all(|(_, board)| *board == BoardId(1)));
    batches.push(second);
    batches.push(page(&mut reader).await.expect("a third page"));
    assert_whole(&batches, 2501);
}

#[tokio::test]
async fn a_reader_that_makes_no_ticks_reads_those_of_another_with_the_same_cursors() {
    let forum = crowd().await;
    let (mut first, mut second) = (reader(&forum).await, reader(&forum).await);
    forum.run("INSERT INTO votes (user_id, post_id) VALUES ('bo', 1), ('cy', 1)").await;
    assert!(matches!(second.next(false).await, Ok(Found::Unticked)));
    let told = pages(&mut first).await;
    let Ok(Found::Page(followed)) = second.next(false).await else { panic!("the tick was made") };
    assert_eq!(cursors(&[followed]), cursors(&told));
    assert!(matches!(second.next(false).await, Ok(Found::Nothing)));

    forum.run(LARGE).await;
    let told = pages(&mut first).await;
    assert_eq!(cursors(&pages(&mut second).await), cursors(&told), "in pages, too");
}

#[tokio::test]
async fn rights_that_changed_after_a_tick_come_with_it() {
    let forum = crowd().await;
    let (mut first, mut second) = (reader(&forum).await, reader(&forum).await);
    forum.run("INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Open', '', 1)").await;
    assert!(page(&mut first).await.expect("a tick").ahead.is_none(), "it was read at its own moment");
    forum.run("UPDATE boards SET settings = '{\"permissions\": {\"allowedRoles\": [\"crew\"]}}' WHERE id = 1").await;
    let Ok(Found::Page(late)) = second.next(false).await else { panic!("the tick was made") };
    let ahead = late.ahead.expect("the board has closed since");
    assert_eq!(boards_of_rights(&ahead.fence.changes), [(0, BoardId(1))]);
    assert!(late.fence.changes.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_readers_that_both_make_ticks_read_one_stream() {
    const VOTES: usize = 300;
    let forum = crowd().await;
    let (mut first, mut second) = (reader(&forum).await, reader(&forum).await);
    let pool = forum.pool.clone();
    let writing = tokio::spawn(async move {
        for n in 0..VOTES {
            let vote = sqlx::query("INSERT INTO votes (user_id, post_id) VALUES ($1, 1)").bind(format!("u{}", n + 1));
            vote.execute(&pool).await.expect("a vote");
        }
    });
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let reading = async {
        while cursors(&one).len() < VOTES || cursors(&other).len() < VOTES {
            for (reader, read) in [(&mut first, &mut one), (&mut second, &mut other)] {
                if let Found::Page(batch) = reader.next(true).await.expect("the outbox") {
                    read.push(batch);
                }
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("every vote to be read");
    writing.await.expect("a writer");
    assert_eq!(cursors(&one), cursors(&other));
}

#[tokio::test]
async fn a_reader_that_fell_behind_what_is_kept_is_told_and_not_led_past_the_gap() {
    let forum = crowd().await;
    let (mut first, mut second) = (reader(&forum).await, reader(&forum).await);
    for vote in ["INSERT INTO votes (user_id, post_id) VALUES ('bo', 1)", "DELETE FROM votes"] {
        forum.run(vote).await;
        assert!(page(&mut first).await.is_some());
    }
    forum.run("DELETE FROM curia_realtime.tick WHERE n < (SELECT max(n) FROM curia_realtime.tick)").await;
    assert!(matches!(second.next(true).await, Err(OutboxError::Discontinued { .. })));
    let reopened = reader(&forum).await;
    assert_eq!(reopened.position(), first.position());
}
