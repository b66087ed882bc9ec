//! What is between the nodes, in the hands of a test.

use super::*;

/// Carries messages from one prefix to another through `change`, which is told their number and gives what is sent instead.
pub(super) struct Bridge(JoinHandle<()>);

impl Bridge {
    pub(super) async fn between(
        redis: &Redis,
        from: &str,
        to: &str,
        change: impl Fn(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let client = redis::Client::open(redis.url()).expect("an address");
        let mut pubsub = client.get_async_pubsub().await.expect("a connection");
        let mut publishing = client.get_multiplexed_async_connection().await.expect("a connection");
        pubsub.subscribe(format!("{from}ticks")).await.expect("a subscription");
        let channel = format!("{to}ticks");
        Self(tokio::spawn(async move {
            let mut messages = pubsub.into_on_message();
            let mut number = 0;
            while let Some(message) = messages.next().await {
                number += 1;
                for sent in change(number, message.get_payload_bytes().to_vec()) {
                    publish(&mut publishing, &channel, &sent).await;
                }
            }
        }))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn publish(connection: &mut redis::aio::MultiplexedConnection, channel: &str, message: &[u8]) {
    redis::cmd("PUBLISH").arg(channel).arg(message).query_async::<i64>(connection).await.expect("an answer");
}

/// Two nodes that hear each other through a bridge alone, from the one that makes the ticks to the other.
pub(super) async fn bridged(
    forum: &Forum,
    redis: &Redis,
    change: impl Fn(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
) -> (Serving, Serving, Bridge) {
    let bridge = Bridge::between(redis, "one:", "other:", change).await;
    let start = async |prefix: &str| {
        let flags = ["--redis-url", &redis.url(), "--redis-prefix", prefix, "--drain", "100ms"];
        Serving::start(&forum.url(), &flags).await
    };
    let leader = start("one:").await;
    lease_held(&forum.pool, None).await;
    (leader, start("other:").await, bridge)
}
