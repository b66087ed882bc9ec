//! Nothing lost, nothing twice, each row's changes in their order: design section 2.

mod made;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use curia_realtime::{batch::Batch, change::Change, ids::PostId, postgres::outbox::OutboxReader};
use sqlx::PgPool;

use crate::support::{postgres::Forum, stream::page};

const HOT_ROWS: i32 = 40;
const WRITERS: u32 = 16;
const RUN: Duration = Duration::from_secs(10);

/// One change as a reader saw it: which row, and the outbox's own number, which rises for each row with its commits.
type Seen = Vec<(PostId, i64)>;

/// What is wrong with `seen`, compared with what the outbox holds in the end.
fn faults(seen: &Seen, committed: &Seen) -> Vec<String> {
    let mut times: BTreeMap<i64, i32> = committed.iter().map(|(_, seq)| (*seq, 0)).collect();
    let mut last: BTreeMap<PostId, i64> = BTreeMap::new();
    let mut faults = Vec::new();
    for (post, seq) in seen {
        match times.get_mut(seq) {
            Some(count) => *count += 1,
            None => faults.push(format!("{seq} was never committed")),
        }
        if last.insert(*post, *seq).is_some_and(|before| before > *seq) {
            faults.push(format!("{seq} of post {post} is out of order"));
        }
    }
    faults.extend(times.iter().filter(|(_, count)| **count == 0).map(|(seq, _)| format!("{seq} is lost")));
    faults.extend(times.iter().filter(|(_, count)| **count > 1).map(|(seq, _)| format!("{seq} came twice")));
    faults
}

/// Writes hot rows until told to stop: transactions of several updates, savepoints rolled back, whole ones rolled back.
async fn write(pool: PgPool, seed: u32, stop: Arc<AtomicBool>) {
    let mut state = seed;
    let mut draw = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    while !stop.load(Ordering::Relaxed) {
        let mut transaction = pool.begin().await.expect("a transaction");
        // In ascending order, or the writers deadlock.
        let mut posts: Vec<i32> =
            (0..=draw(3)).map(|_| 1_000 + i32::try_from(draw(HOT_ROWS as u32)).unwrap()).collect();
        posts.sort_unstable();
        for post in posts {
            if draw(4) == 0 {
                sqlx::raw_sql("SAVEPOINT s").execute(&mut *transaction).await.expect("a savepoint");
                count(&mut transaction, post).await;
                sqlx::raw_sql("ROLLBACK TO s").execute(&mut *transaction).await.expect("back");
            }
            count(&mut transaction, post).await;
            tokio::task::yield_now().await;
        }
        match draw(5) {
            0 => transaction.rollback().await.expect("a rollback"),
            _ => transaction.commit().await.expect("a commit"),
        }
    }
}

async fn count(transaction: &mut sqlx::PgConnection, post: i32) {
    sqlx::query("UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = $1")
        .bind(post)
        .execute(transaction)
        .await
        .expect("an update");
}

async fn committed(pool: &PgPool) -> Seen {
    let rows: Vec<(i64, i32)> = sqlx::query_as("SELECT seq, post_id FROM curia_realtime.outbox ORDER BY seq")
        .fetch_all(pool)
        .await
        .expect("rows");
    rows.into_iter().map(|(seq, post)| (PostId(post), seq)).collect()
}

/// The way everybody writes first.
async fn naive_step(pool: &PgPool, seen: &mut Seen) {
    let last = seen.iter().map(|(_, seq)| *seq).max().unwrap_or(0);
    let rows: Vec<(i64, i32)> =
        sqlx::query_as("SELECT seq, post_id FROM curia_realtime.outbox WHERE seq > $1 ORDER BY seq")
            .bind(last)
            .fetch_all(pool)
            .await
            .expect("rows");
    seen.extend(rows.into_iter().map(|(seq, post)| (PostId(post), seq)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_twice_and_each_row_keeps_its_order() {
    let forum = Forum::bare().await;
    forum
        .run(
            "INSERT INTO posts (id, author_user_id, title, content, board_id)
             SELECT n, 'ada', 'hot', '', 1 FROM generate_series(1000, 1039) AS n",
        )
        .await;
    forum.migrate(".up.sql");
    let mut reader = OutboxReader::open(forum.pool.clone(), 1_000).await.expect("a position");

    let mut open = forum.pool.begin().await.expect("an unrelated transaction");
    sqlx::raw_sql("UPDATE posts SET upvote_count = 5 WHERE id = 2").execute(&mut *open).await.expect("an update");

    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..WRITERS).map(|seed| tokio::spawn(write(forum.pool.clone(), seed, Arc::clone(&stop)))).collect();
    let until = tokio::time::Instant::now() + RUN;
    let (mut ticks, mut naive) = (Vec::new(), Vec::new());
    while tokio::time::Instant::now() < until {
        ticks.extend(page(&mut reader).await);
        naive_step(&forum.pool, &mut naive).await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("a writer");
    }
    ticks.extend(page(&mut reader).await);
    let before_the_open_one: usize = ticks.iter().map(|batch| batch.entries.len()).sum();
    assert_eq!(before_the_open_one, committed(&forum.pool).await.len(), "an open transaction delays nobody else");
    open.commit().await.expect("a commit");
    ticks.extend(page(&mut reader).await);
    naive_step(&forum.pool, &mut naive).await;

    let committed = committed(&forum.pool).await;
    let seen = positions(&forum.pool, &ticks).await;
    assert!(committed.len() > 500, "only {} changes were written", committed.len());
    assert_eq!(faults(&seen, &committed), Vec::<String>::new());
    assert!(!faults(&naive, &committed).is_empty(), "the checker must catch `seq > last`");
}

/// The entries with their outbox numbers: a tick's ordinals stand for the order that its own query gave.
async fn positions(pool: &PgPool, ticks: &[Batch]) -> Seen {
    let mut seen = Vec::new();
    for batch in ticks {
        let rows: Vec<(i64, i32)> = sqlx::query_as(
            "WITH bounds AS (
                 SELECT p.snapshot AS before, t.snapshot AS after
                 FROM curia_realtime.tick AS t JOIN curia_realtime.tick AS p ON p.epoch = t.epoch AND p.n = t.n - 1
                 WHERE t.n = $1
             ), visible AS (
                 SELECT seq, xid, post_id FROM curia_realtime.outbox, bounds
                 WHERE pg_visible_in_snapshot(xid, after) AND NOT pg_visible_in_snapshot(xid, before)
             )
             SELECT seq, post_id FROM visible ORDER BY max(seq) OVER (PARTITION BY xid), seq",
        )
        .bind(batch.tick.0)
        .fetch_all(pool)
        .await
        .expect("rows");
        let told: Vec<PostId> = batch
            .entries
            .iter()
            .map(|entry| match entry.change {
                Change::PostCounted { post, .. } => post,
                ref other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(told, rows.iter().map(|(_, post)| PostId(*post)).collect::<Vec<_>>(), "tick {}", batch.tick.0);
        seen.extend(rows.into_iter().map(|(seq, post)| (PostId(post), seq)));
    }
    seen
}
