//! What the reader of the outbox gives up, since no answer comes, is done or is not: either way it is read once.

use curia_realtime::postgres::{outbox::OutboxReader, pool::Pools};
use sqlx::{Postgres, Transaction};

use crate::support::{
    postgres::Forum,
    proxy::Proxy,
    stream::{page, pages},
};

const CONTENT_LIMIT: usize = 1_000;

async fn reader(forum: &Forum) -> OutboxReader {
    OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position")
}

async fn locked(forum: &Forum, lock: &'static str) -> Transaction<'static, Postgres> {
    let mut locked = forum.pool.begin().await.expect("a transaction");
    sqlx::raw_sql(lock).execute(&mut *locked).await.expect("a lock");
    locked
}

async fn is_given_up(reader: &mut OutboxReader) {
    let error = reader.next(true).await.expect_err("no answer");
    let said = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(said.contains("PostgreSQL gave no answer"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_whose_recording_was_not_heard_of_is_read_as_recorded() {
    let forum = Forum::captured().await;
    let mut reader = reader(&forum).await;
    forum.run("INSERT INTO votes (user_id, post_id) VALUES ('bo', 1)").await;
    let held = locked(&forum, "LOCK TABLE curia_realtime.tick IN SHARE MODE").await;
    is_given_up(&mut reader).await;
    held.rollback().await.expect("an end");
    // Whoever was given up may come to his end before this, or meanwhile.
    let read = pages(&mut reader).await;
    assert_eq!(read.iter().map(|batch| batch.entries.len()).sum::<usize>(), 1);
    let ticks = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM curia_realtime.tick WHERE n > 0");
    assert_eq!(ticks.fetch_one(&forum.pool).await.expect("a count"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_given_up_is_read_again_and_none_before_it() {
    let forum = Forum::captured().await;
    let proxy = Proxy::before(&forum.url()).await;
    let url = format!("{}/{}", proxy.url.replacen("http://", "postgres://postgres@", 1), forum.name);
    let pools = Pools::new(&url.parse().expect("a URL"), 4);
    let mut reader = OutboxReader::open(pools.reading, CONTENT_LIMIT).await.expect("a position");
    let many = "INSERT INTO curia_realtime.outbox (kind, post_id) SELECT 'vote_added', 1 FROM generate_series(1, 2500)";
    forum.run(many).await;
    let first = page(&mut reader).await.expect("a page");
    proxy.swallow();
    is_given_up(&mut reader).await;
    reader.forget_idle();
    let rest = pages(&mut reader).await;
    let ordinals = [&first].into_iter().chain(&rest).flat_map(|page| &page.entries).map(|entry| entry.ordinal);
    assert!(ordinals.eq(1..=2500));
}
