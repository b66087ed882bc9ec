//! Whoever makes a tick and whoever reads it afterwards read the same, in the same order.

use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction, postgres::PgRow};

use crate::support::postgres::Forum;

const MAKES: &str = include_str!("../../../sql/outbox/tick.sql");
const READS: &str = include_str!("../../../sql/outbox/batch.sql");
const STEPS: u32 = 400;
const OPEN: usize = 6;
/// More rows than any tick here has.
const ALL: i64 = 1_000;

/// All columns of a row, the outbox's number first.
type Line = (i64, String);

fn line(row: &PgRow) -> Line {
    let at: chrono::DateTime<chrono::Utc> = row.get("at!");
    let (kind, data): (String, Option<String>) = (row.get("kind!"), row.get("data"));
    let ids: [Option<i32>; 3] = ["board_id", "post_id", "row_id"].map(|id| row.get(id));
    (row.get("seq!"), format!("{at} {kind} {ids:?} {data:?}"))
}

fn lines(rows: &[PgRow]) -> Vec<Line> {
    rows.iter().map(line).collect()
}

/// A tick as its maker reads it, behind `from`: its snapshot and its rows.
async fn made(pool: &PgPool, from: &str, limit: i64) -> Option<(String, Vec<Line>)> {
    let mut reading = pool.begin_with(include_str!("../../../sql/outbox/begin.sql")).await.expect("a transaction");
    let rows = sqlx::query(MAKES).bind(from).bind(limit).fetch_all(&mut *reading).await.expect("a tick");
    let snapshot = rows.first()?.get::<Option<String>, _>("snapshot?").expect("the first row brings the snapshot");
    Some((snapshot, lines(&rows)))
}

/// The same as another reads it.
async fn read(pool: &PgPool, from: &str, upto: &str, limit: i64) -> Vec<Line> {
    let rows = sqlx::query(READS).bind(from).bind(upto).bind(limit).fetch_all(pool).await.expect("a tick");
    lines(&rows)
}

async fn writes(transaction: &mut PgConnection, post: u32) {
    let insert = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', $1, '', 1)";
    sqlx::query(insert).bind(post.to_string()).execute(transaction).await.expect("a post");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_makes_a_tick_reads_what_others_read_of_it_in_the_same_order() {
    let forum = Forum::captured().await;
    let pool = &forum.pool;
    let mut from: String =
        sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(pool).await.expect("a snapshot");
    let mut state = 1_u32;
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let mut open: Vec<Transaction<'_, Postgres>> = Vec::new();
    let mut ticks: Vec<(String, String, Vec<Line>)> = Vec::new();
    for step in 0..STEPS {
        match draw(8) {
            0 | 1 if open.len() < OPEN => {
                let mut begun = pool.begin().await.expect("a transaction");
                writes(&mut begun, step).await;
                open.push(begun);
            }
            2 if !open.is_empty() => open.swap_remove(draw(open.len())).commit().await.expect("a commit"),
            3 if !open.is_empty() && draw(4) == 0 => {
                open.swap_remove(draw(open.len())).rollback().await.expect("a rollback");
            }
            4 => {
                let Some((upto, whole)) = made(pool, &from, ALL).await else { continue };
                assert_eq!(read(pool, &from, &upto, ALL).await, whole);
                ticks.push((from, upto.clone(), whole));
                from = upto;
            }
            _ if !open.is_empty() => {
                let at = draw(open.len());
                writes(&mut open[at], step).await;
            }
            _ => {}
        }
    }
    for left in open {
        left.commit().await.expect("a commit");
    }
    let (upto, whole) = made(pool, &from, ALL).await.expect("what was committed last");
    ticks.push((from, upto, whole));

    let mut seen = Vec::new();
    for (from, upto, whole) in &ticks {
        assert_eq!(&read(pool, from, upto, ALL).await, whole, "also when much was committed since");
        let page = read(pool, from, upto, 2).await;
        assert_eq!(page, whole[..whole.len().min(2)], "and its first page alone");
        seen.extend(whole.iter().map(|(seq, _)| *seq));
    }
    assert!(!seen.is_sorted(), "transactions were interleaved, and some committed late");
    seen.sort_unstable();
    let committed: Vec<i64> =
        sqlx::query_scalar("SELECT seq FROM curia_realtime.outbox ORDER BY seq").fetch_all(pool).await.expect("rows");
    assert_eq!(seen, committed, "each row in one tick");
}
