//! What a node listens to: no more than somebody there minds.

use super::{
    presence::{joins, knowing},
    *,
};

/// Waits until so many listen to the channel.
pub(super) async fn until_heard_by(redis: &Redis, channel: &str, count: usize) {
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let asking = async {
        loop {
            let asked = redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).to_owned();
            let (_, by): (String, usize) = asked.query_async(&mut connection).await.expect("an answer");
            if by == count {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{channel} to be heard by {count}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_listens_to_a_board_and_a_community_as_long_as_somebody_there_minds_them() {
    const BOARD: &str = "curia:board_users:1";
    const COMMUNITY: &str = "curia:community_users:c1";
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let one = knowing(&forum, &redis.url(), &["--offline-grace", "300ms"]).await;
    let other = knowing(&forum, &redis.url(), &["--offline-grace", "300ms"]).await;
    let mut ada = Frames::connected(&one.url, &Service::token("ada", "c1", &[], false)).await;
    let mut bo = Frames::connected(&other.url, &Service::token("bo", "c1", &[], false)).await;
    joins(&mut ada, 1).await;
    joins(&mut bo, 1).await;
    until_heard_by(&redis, BOARD, 2).await;
    until_heard_by(&redis, COMMUNITY, 2).await;
    assert_eq!(ada.ask("board:leave", json!(1)).await["ok"], json!(true));
    until_heard_by(&redis, BOARD, 1).await;
    ada.close().await;
    until_heard_by(&redis, COMMUNITY, 1).await;
    // He minds both still.
    until_heard_by(&redis, BOARD, 1).await;
    bo.close().await;
    until_heard_by(&redis, BOARD, 0).await;
    until_heard_by(&redis, COMMUNITY, 0).await;
    one.stop().await;
    other.stop().await;
}
