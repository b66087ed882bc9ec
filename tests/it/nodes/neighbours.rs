//! Two databases below one prefix of a Redis: each is told of the other.

use super::*;

const PREFIX: &str = "REDIS_PREFIX of its own";

/// Waits until `/readyz` says so of `redis`, or no longer does; it stays 200.
async fn until_told(node: &Serving, told: bool) {
    let asking = async {
        while crate::support::store::degraded(&node.url, "redis").await.is_some_and(|why| why.contains(PREFIX)) != told
        {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("/readyz does not come to this: {told}"));
    node.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_below_the_same_prefix_is_told_of_by_the_nodes_of_both() {
    let (here, there) = (Forum::captured().await, Forum::captured().await);
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&here, &redis.url()).await;
    let other = Serving::start(&there.url(), &["--redis-url", &redis.url(), "--drain", "100ms"]).await;
    for node in [&leader, &follower, &other] {
        until_told(node, true).await;
    }
    other.stop().await;
    for node in [leader, follower] {
        until_told(&node, false).await;
        let log = node.stop().await;
        let told = log.iter().filter(|line| line.to_string().contains(PREFIX)).count();
        assert_eq!(told, 1, "{log:?}");
    }
}
