//! Who was on a node that died, for whoever looks at his board now and then, or only afterwards.

use super::{
    presence::{hears, joins, knowing},
    presence_away::{command, connected, users},
    presence_minded::until_heard_by,
    *,
};

const BOARD: &str = "curia:board_users:1";
/// What the contract promises (section 7).
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// What `meeting` says of it: looks and beats take turns differently each time.
const AT_THE_LATEST: Duration = Duration::from_secs(26);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_asks_now_and_then_keeps_nobody_of_a_dead_node_in_a_board() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let one = knowing(&forum, &redis.url(), &["--ping-interval", "10m"]).await;
    let mut doomed = knowing(&forum, &redis.url(), &["--ping-interval", "10m"]).await;
    let (mut eve, mut ada) = (connected(&one, "eve").await, connected(&doomed, "ada").await);
    joins(&mut ada, 1).await;
    let board = || json!({"boardId": 1});
    assert_eq!(users(&mut eve, board()).await, Ok(vec!["ada".to_owned()]));
    // That nobody there minds the board is found every ten seconds: from now on she asks shortly before, each time.
    until_heard_by(&redis, BOARD, 2).await;
    until_heard_by(&redis, BOARD, 1).await;
    doomed.kill().await;
    let killed = Instant::now();
    for nth in 1..=3 {
        sleep((killed + Duration::from_millis(10_000 * nth - 1_500)).saturating_duration_since(Instant::now())).await;
        let here = users(&mut eve, board()).await;
        let left = redis.ask(&format!("PTTL {BOARD}"));
        println!("{:.1} s after her death: {here:?}, to be forgotten in {left:?} ms", killed.elapsed().as_secs_f64());
        if killed.elapsed() > AT_THE_LATEST {
            assert_eq!(here, Ok(Vec::new()));
        }
    }
    assert!(killed.elapsed() > AT_THE_LATEST && killed.elapsed() < GONE_WITHIN);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_who_is_in_a_board_is_told_in_time_though_it_was_forgotten_before_its_node_was_missed() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let one = knowing(&forum, &redis.url(), &["--ping-interval", "10m"]).await;
    let mut doomed = knowing(&forum, &redis.url(), &["--ping-interval", "10m"]).await;
    let (mut eve, mut ada) = (connected(&one, "eve").await, connected(&doomed, "ada").await);
    hears(&mut eve).await;
    assert_eq!(eve.ask("feed:join", json!({})).await["ok"], json!(true));
    joins(&mut ada, 1).await;
    assert_eq!(hears(&mut eve).await.0, "user:joinedBoard");
    doomed.kill().await;
    let killed = Instant::now();
    // As early as it may be where it was last looked there six seconds before.
    sleep(Duration::from_secs(14)).await;
    command(&redis, &["DEL", BOARD]).await;
    let mut told = [hears(&mut eve).await, hears(&mut eve).await];
    let took = killed.elapsed();
    println!("told gone after {took:?}");
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let events: Vec<&str> = told.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(events, ["user:leftBoard", "user:offline"]);
    assert!(took < AT_THE_LATEST, "{took:?}");
    one.stop().await;
}
