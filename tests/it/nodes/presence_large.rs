//! A board in which twenty thousand people are: it is read, told and emptied while everything else goes on.

use std::collections::BTreeMap;

use tokio::task::AbortHandle;

use super::{
    presence::{hears, joins, knowing},
    presence_away::{connected, users},
    *,
};
use crate::support::store::degraded;

const USERS: usize = 20_000;
/// A node as there might be one.
const ELSEWHERE: &str = "00000000000000aa";
const BOARD: i32 = 2;
const KEY: &str = "curia:board_users:2";
/// No change that is committed meanwhile takes longer to be told; on an idle machine it is a tenth of that.
const SOON: Duration = Duration::from_secs(2);

async fn connection(redis: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).expect("an address");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

/// What another node would have said of all its users.
async fn crowd(redis: &Redis) {
    let mut connection = connection(redis).await;
    let stay = json!({"userName": "Somebody", "avatarUrl": "https://forum.example/somebody.png", "devices": ["a"],
        "nameless": 0, "boards": []});
    let stays = json!({ELSEWHERE: stay.to_string()}).to_string();
    for first in (0..USERS).step_by(1_000) {
        let mut command = redis::cmd("HSET");
        command.arg(KEY).arg("generation").arg(7).arg("version").arg(1);
        for number in first..first + 1_000 {
            command.arg(format!("u:user {number:05}")).arg(&stays);
        }
        command.query_async::<usize>(&mut connection).await.expect("fields");
    }
}

/// Says that this node lives, until it is stopped.
async fn lives(redis: &Redis) -> AbortHandle {
    let mut connection = connection(redis).await;
    let say = async move {
        loop {
            let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await.expect("a time");
            let until = seconds * 1_000 + micros / 1_000 + 15_000;
            let mut say = redis::cmd("ZADD");
            say.arg("curia:nodes").arg(until).arg(ELSEWHERE);
            say.query_async::<usize>(&mut connection).await.expect("an answer");
            sleep(Duration::from_secs(2)).await;
        }
    };
    tokio::spawn(say).abort_handle()
}

/// Reads on what is told of board 1, and gives the longest time between two posts.
fn longest_silence(mut frames: Frames) -> JoinHandle<(Vec<String>, Duration)> {
    tokio::spawn(async move {
        let (mut titles, mut longest, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
        while titles.last().is_none_or(|title| title != END) {
            titles.push(next(&mut frames).await.title);
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        (titles, longest)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_in_a_board_are_read_and_told_gone_once_while_everything_else_goes_on() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let node = knowing(&forum, &redis.url(), &["--ping-interval", "10m"]).await;
    let elsewhere = lives(&redis).await;
    crowd(&redis).await;
    let reading = longest_silence(joined(&node, None).await.0);
    let mut writer = Writer::start(&forum);
    writer.writes(20).await;

    let mut bo = connected(&node, "bo").await;
    let began = Instant::now();
    let answer = joins(&mut bo, BOARD).await;
    let first = began.elapsed();
    let counted = async {
        let mut count = answer["userCount"].as_u64();
        while count != Some(USERS as u64 + 1) {
            sleep(Duration::from_millis(300)).await;
            assert_eq!(bo.ask("board:leave", json!(BOARD)).await["ok"], json!(true));
            count = joins(&mut bo, BOARD).await["userCount"].as_u64();
        }
    };
    timeout(PATIENCE, counted).await.expect("all to be counted");
    let took = began.elapsed();
    let listed = users(&mut bo, json!({"boardId": BOARD})).await.expect("a list");
    let expected = std::iter::once("bo".to_owned()).chain((0..).map(|number| format!("user {number:05}")));
    assert_eq!(listed, expected.take(500).collect::<Vec<_>>());
    let mut others = Vec::new();
    for number in 0..5 {
        let mut other = connected(&node, &format!("guest {number}")).await;
        joins(&mut other, BOARD).await;
        others.push(other);
    }
    println!("joined after {first:?}, all counted after {took:?}");

    elsewhere.abort();
    let killed = Instant::now();
    let telling = async {
        let mut left = BTreeMap::<String, usize>::new();
        while left.len() < USERS {
            let (event, payload) = hears(&mut bo).await;
            if event == "user:leftBoard" {
                *left.entry(payload["userId"].as_str().expect("a user").to_owned()).or_default() += 1;
            }
        }
        left
    };
    // Each is told to all who sit there: at their pace.
    let others = others.into_iter().map(|mut other| tokio::spawn(async move { while other.next().await.is_some() {} }));
    let others: Vec<JoinHandle<()>> = others.collect();
    let left = timeout(Duration::from_secs(150), telling).await.expect("all to be told gone");
    println!("all told gone after {:?}", killed.elapsed());
    assert!(left.values().all(|times| *times == 1));
    let answer = users(&mut bo, json!({"boardId": BOARD})).await.expect("a list");
    assert_eq!(answer.len(), 6);
    let written = writer.stop().await;
    let (titles, silence) = timeout(PATIENCE, reading).await.expect("the last post").expect("a client that stays");
    println!("the longest silence between two of {} posts: {silence:?}", titles.len());
    assert_eq!(titles, written);
    assert!(silence < SOON, "{silence:?}");
    assert_eq!(degraded(&node.url, "presence").await, None);
    others.iter().for_each(JoinHandle::abort);
    node.stop().await;
}
