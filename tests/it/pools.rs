//! The connections of a service: whoever gives up a question leaves his place to others, and nobody waits for the answer.

use std::time::Duration;

use curia_realtime::postgres::pool::{Lent, Pools};
use sqlx::PgPool;
use tokio::time::timeout;

use crate::support::{postgres::Forum, proxy::Proxy};

/// Somebody has no patience.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(100);
/// Two seconds for each time it is asked whether a connection is alive; several times that, for what else this machine does.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// With one connection for whoever asks.
async fn behind_a_proxy(forum: &Forum) -> (Pools, Proxy) {
    let proxy = Proxy::before(&forum.url()).await;
    let url = format!("{}/{}", proxy.url.replacen("http://", "postgres://postgres@", 1), forum.name);
    (Pools::new(&url.parse().expect("a URL"), 4), proxy)
}

async fn is_given_up(pool: &PgPool) {
    let mut lent = timeout(ANSWERED_WITHIN, Lent::of(pool)).await.expect("in time").expect("a connection");
    let question = sqlx::query("SELECT pg_sleep(60)").execute(&mut *lent);
    assert!(timeout(GIVEN_UP_AFTER, question).await.is_err());
}

async fn is_answered(pool: &PgPool) {
    let asking = async {
        let mut lent = Lent::of(pool).await?;
        let answer = sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut *lent).await?;
        lent.give_back();
        Ok::<_, sqlx::Error>(answer)
    };
    assert_eq!(timeout(ANSWERED_WITHIN, asking).await.expect("an answer in time").expect("an answer"), 1);
}

#[tokio::test]
async fn a_question_that_was_given_up_holds_nobodys_place() {
    let forum = Forum::captured().await;
    let (Pools { asking, .. }, proxy) = behind_a_proxy(&forum).await;
    is_answered(&asking).await;
    is_given_up(&asking).await;
    is_answered(&asking).await;
    is_given_up(&asking).await;
    proxy.swallow();
    is_answered(&asking).await;
}

#[tokio::test]
async fn what_the_reader_was_lent_and_did_not_give_back_is_closed() {
    let forum = Forum::captured().await;
    let (Pools { reading, .. }, proxy) = behind_a_proxy(&forum).await;
    for nth in 0..12 {
        let mut lent = timeout(ANSWERED_WITHIN, Lent::of(&reading)).await.expect("in time").expect("a connection");
        if nth == 6 {
            proxy.swallow();
        }
        let question = sqlx::query("SELECT pg_sleep(60)").execute(&mut *lent);
        assert!(timeout(GIVEN_UP_AFTER, question).await.is_err());
    }
    let mut lent = timeout(ANSWERED_WITHIN, Lent::of(&reading)).await.expect("in time").expect("a connection");
    sqlx::query("SELECT 1").execute(&mut *lent).await.expect("an answer");
    lent.give_back();
    assert_eq!(reading.size(), 1, "the others are gone");
}

#[tokio::test]
async fn what_falls_silent_on_its_way_back_holds_nobodys_place() {
    let forum = Forum::captured().await;
    let (Pools { asking, reading }, proxy) = behind_a_proxy(&forum).await;
    for pool in [&asking, &reading] {
        for _ in 0..5 {
            is_answered(pool).await;
            // Before anybody could see that it is back.
            proxy.swallow();
        }
    }
}
