//! The way to where all nodes meet, with a dispatcher that does what the test wants.

use curia_realtime::{
    circle::{Heard, Said, Stamp, Word},
    http::readiness::{Readiness, State},
    ids::{BoardId, NodeId},
    meeting::{Ends, Meeting, Words},
    ports::Circle,
    presence::{Scope, Stay},
    redis::circle::{KEPT, LEASE},
};
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{presence_away::command, presence_minded::until_heard_by, *};

pub(super) const ME: NodeId = NodeId(7);
/// Of board 1.
const KEY: &str = "curia:board_users:1";
/// Of a lease at least so much is always left, however busy the machine is.
pub(super) const LEFT: Duration = Duration::from_secs(2);

pub(super) fn board(id: i32) -> Scope {
    Scope::Board(BoardId(id))
}

/// One that is there.
pub(super) struct Met {
    pub(super) words: Words,
    pub(super) heard: mpsc::Receiver<Heard>,
    pub(super) stop: CancellationToken,
    pub(super) running: JoinHandle<()>,
}

async fn met(redis: &Redis) -> Met {
    met_at(&redis.url()).await
}

pub(super) async fn met_at(url: &str) -> Met {
    let readiness = Readiness::default().component("presence", State::Ready);
    let url = url.parse().expect("a URL");
    let (meeting, Ends { words, mut heard }) = Meeting::new(url, "curia:", ME, readiness, Duration::ZERO);
    let stop = CancellationToken::new();
    let running = tokio::spawn(meeting.run(stop.clone()));
    assert_eq!(heard.recv().await, Some(Heard::Here));
    Met { words, heard, stop, running }
}

/// For how long the node is taken to live.
pub(super) async fn left(redis: &mut MultiplexedConnection) -> Duration {
    let until: f64 = redis::cmd("ZSCORE")
        .arg("curia:nodes")
        .arg(ME.to_string())
        .query_async(redis)
        .await
        .expect("the node to be among those that live");
    let (seconds, micros): (f64, f64) = redis::cmd("TIME").query_async(redis).await.expect("the time");
    Duration::from_secs_f64((until / 1e3 - seconds - micros / 1e6).max(0.0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_takes_nothing_for_longer_than_a_lease_is_not_taken_for_dead() {
    let redis = Redis::start().expect("a Redis");
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let Met { words, mut heard, stop, running } = met(&redis).await;

    // Many more answers than may wait, and then more to say than may.
    words.say((1..200).map(|id| Word::Watch(board(id), None)).collect());
    let began = Instant::now();
    let mut least = LEASE;
    let mut is_full = false;
    while began.elapsed() < LEASE + Duration::from_secs(9) {
        if !is_full && began.elapsed() > Duration::from_secs(5) {
            (0..10_000).for_each(|_| words.say(vec![Word::Read(board(1), None)]));
            is_full = true;
        }
        least = least.min(left(&mut connection).await);
        assert!(least > LEFT, "after {:?} it is taken to live for {least:?}", began.elapsed());
        sleep(Duration::from_millis(200)).await;
    }
    println!("of its lease {least:?} were left at least");

    // What could not be taken is given up, and everything begins anew.
    let mut all = Vec::new();
    while all.last() != Some(&Heard::Here) {
        all.push(timeout(PATIENCE, heard.recv()).await.expect("to be heard").expect("a meeting that goes on"));
    }
    println!("{} heard until all began anew", all.len());
    assert!(all.contains(&Heard::Away) && all.len() < 40, "{} heard", all.len());
    words.say(vec![Word::Watch(board(1), None)]);
    let read = async { while !matches!(heard.recv().await, Some(Heard::Read { scope, .. }) if scope == board(1)) {} };
    timeout(PATIENCE, read).await.expect("the board to be read");
    stop.cancel();
    running.await.expect("a meeting that ends");
}

/// On one thread: nothing is said before all of it is to be.
#[tokio::test]
async fn what_a_crowd_does_at_once_is_said_in_a_round_for_each_place_and_in_order() {
    const USERS: u64 = 60;
    let redis = Redis::start().expect("a Redis");
    let Met { words, mut heard, stop, running } = met(&redis).await;
    let community = Scope::Community("c1".into());
    words.say(vec![Word::Watch(board(1), None), Word::Watch(community.clone(), None)]);
    for _ in 0..2 {
        assert!(matches!(heard.recv().await, Some(Heard::Read { .. })));
    }
    let says = |scope: &Scope, user: u64, stay: Option<Stay>, nth: u64| {
        let said = vec![Said { user: format!("user {user}").as_str().into(), stay, nth }];
        words.say(vec![Word::Say { scope: scope.clone(), node: ME, said }]);
    };
    let here = || Some(Stay { nameless: 1, ..Stay::default() });
    for user in 0..USERS {
        says(&board(1), user, here(), 2 * user + 1);
        says(&community, user, here(), 2 * user + 2);
    }
    says(&board(1), 0, None, 1_000);

    let mut told = Vec::new();
    let telling = async {
        while told.len() < 3 {
            if let Some(Heard::Said { scope, said, .. }) = heard.recv().await {
                told.push((scope, said.len(), said.last().map(|said| said.nth)));
            }
        }
    };
    timeout(PATIENCE, telling).await.unwrap_or_else(|_| panic!("three rounds, not more words for each"));
    let last = 2 * USERS;
    let users = USERS as usize;
    assert_eq!(told, [(board(1), users, Some(last - 1)), (community, users, Some(last)), (board(1), 1, Some(1_000))]);
    stop.cancel();
    running.await.expect("a meeting that ends");
}

/// Waits until the scope is found to stand there, so many times.
async fn until_it_stands(heard: &mut mpsc::Receiver<Heard>, scope: &Scope, version: u64, times: usize) {
    let standing = async {
        let mut found = 0;
        while found < times {
            let heard = heard.recv().await.expect("a meeting that goes on");
            let is_there = |stamp: &Stamp| stamp.version == version;
            found +=
                usize::from(matches!(&heard, Heard::Stands { scope: of, stamp } if of == scope && is_there(stamp)));
        }
    };
    // A board that nobody is in is looked at once a minute, any other every six seconds.
    timeout(Duration::from_secs(20), standing).await.expect("it to be looked at soon");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_looked_for_twice_though_nobody_is_there_any_longer() {
    let redis = Redis::start().expect("a Redis");
    let Met { words, mut heard, stop, running } = met(&redis).await;
    words.say(vec![Word::Watch(board(1), None)]);
    assert!(matches!(heard.recv().await, Some(Heard::Read { .. })));
    let said = vec![Said { user: "ada".into(), stay: Some(Stay { nameless: 1, ..Stay::default() }), nth: 1 }];
    words.say(vec![Word::Say { scope: board(1), node: ME, said }]);
    while !matches!(heard.recv().await, Some(Heard::Said { .. })) {}
    // That she went is published to nobody.
    let goes = "redis.call('HDEL', KEYS[1], 'u:ada') return redis.call('HINCRBY', KEYS[1], 'version', 1)";
    command(&redis, &["EVAL", goes, "1", "curia:board_users:1"]).await;
    until_it_stands(&mut heard, &board(1), 2, 2).await;
    stop.cancel();
    running.await.expect("a meeting that ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_while_nothing_is_taken_is_looked_for_soon_after() {
    let redis = Redis::start().expect("a Redis");
    let Met { words, mut heard, stop, running } = met(&redis).await;
    words.say(vec![Word::Watch(board(1), None)]);
    assert!(matches!(heard.recv().await, Some(Heard::Read { .. })));
    // More answers than may wait.
    words.say((2..200).map(|id| Word::Watch(board(id), None)).collect());
    until_heard_by(&redis, "curia:board_users:33", 1).await;
    // A word of which it hears no more than that there was one.
    command(&redis, &["HINCRBY", KEY, "version", "1"]).await;
    command(&redis, &["PUBLISH", KEY, &"x".repeat(2 << 20)]).await;
    command(&redis, &["PEXPIRE", KEY, "100000"]).await;
    let kept = async {
        while redis.ask(&format!("PTTL {KEY}")).expect("an answer").parse::<u64>().expect("a time") <= 100_000 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, kept).await.expect("it to be looked at in vain");
    until_it_stands(&mut heard, &board(1), 1, 1).await;
    stop.cancel();
    running.await.expect("a meeting that ends");
}

/// As another node would have said that somebody is in the board.
pub(super) async fn somebody_in(redis: &mut MultiplexedConnection, id: i32) {
    let stays = json!({NodeId(9).to_string(): json!({"devices": [], "nameless": 1, "boards": []}).to_string()});
    let mut command = redis::cmd("HSET");
    command.arg(format!("curia:board_users:{id}")).arg(&["generation", "5", "version", "1", "u:ada"]);
    command.arg(stays.to_string()).query_async::<usize>(redis).await.expect("an answer");
}

async fn somebody_elsewhere(redis: &Redis) {
    let client = redis::Client::open(redis.url()).expect("an address");
    somebody_in(&mut client.get_multiplexed_async_connection().await.expect("a connection"), 1).await;
}

/// For how long board 1 is kept.
fn kept(redis: &Redis) -> Duration {
    Duration::from_millis(redis.ask(&format!("PTTL {KEY}")).expect("an answer").parse().expect("a time"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_is_kept_by_who_has_people_there_and_by_nobody_else() {
    let redis = Redis::start().expect("a Redis");
    somebody_elsewhere(&redis).await;
    let Met { words, mut heard, stop, running } = met(&redis).await;
    let reads = tokio::spawn(async move { while heard.recv().await.is_some() {} });
    words.say(vec![Word::Watch(board(1), None)]);
    until_heard_by(&redis, KEY, 1).await;
    // What has no end yet is given one.
    let given = async { while redis.ask(&format!("PTTL {KEY}")).expect("an answer") == "-1" {} };
    timeout(PATIENCE, given).await.expect("an end");
    let began = Instant::now();
    let mut before = kept(&redis);
    while began.elapsed() < Duration::from_secs(8) {
        let now = kept(&redis);
        assert!(now <= before, "{now:?} behind {before:?}");
        before = now;
        // Somebody asks there.
        words.say(vec![Word::Unwatch(board(1)), Word::Watch(board(1), None)]);
        sleep(Duration::from_millis(500)).await;
    }
    let said = vec![Said { user: "bo".into(), stay: Some(Stay { nameless: 1, ..Stay::default() }), nth: 1 }];
    words.say(vec![Word::Say { scope: board(1), node: ME, said }]);
    let said = async { while kept(&redis) < KEPT - Duration::from_secs(1) {} };
    timeout(PATIENCE, said).await.expect("it to be said");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(14) {
        // It is looked there every six seconds.
        assert!(kept(&redis) > KEPT - Duration::from_secs(8), "{:?}", kept(&redis));
        sleep(Duration::from_millis(500)).await;
    }
    stop.cancel();
    running.await.expect("a meeting that ends");
    reads.abort();
}

/// Where its people were said on an earlier way, too, which may be nearly as long ago as they are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_in_which_a_node_finds_its_people_when_it_comes_back_is_kept_at_once() {
    let redis = Redis::start().expect("a Redis");
    let stays = json!({ME.to_string(): json!({"devices": [], "nameless": 1, "boards": []}).to_string()});
    command(&redis, &["HSET", KEY, "generation", "5", "version", "1", "u:ada", &stays.to_string()]).await;
    command(&redis, &["PEXPIRE", KEY, "2000"]).await;
    let Met { words, mut heard, stop, running } = met(&redis).await;
    words.say(vec![Word::Watch(board(1), None)]);
    assert!(matches!(heard.recv().await, Some(Heard::Read { .. })));
    assert!(kept(&redis) > Duration::from_secs(15), "{:?}", kept(&redis));
    stop.cancel();
    running.await.expect("a meeting that ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_board_was_forgotten_whoever_speaks_for_the_dead_reads_it_anew_at_once() {
    let redis = Redis::start().expect("a Redis");
    somebody_elsewhere(&redis).await;
    let Met { words, mut heard, stop, running } = met(&redis).await;
    words.say(vec![Word::Watch(board(1), None)]);
    let says = |user: &str| {
        let said = vec![Said { user: user.into(), stay: None, nth: 0 }];
        words.say(vec![Word::Say { scope: board(1), node: NodeId(9), said }]);
    };
    assert!(matches!(heard.recv().await, Some(Heard::Read { .. })));
    // Who is there no longer is no news, and nothing more is read.
    says("bo");
    says("ada");
    let gone = |heard: &Heard| matches!(heard, Heard::Said { said, .. } if said[0].user == "ada".into());
    let next = timeout(PATIENCE, heard.recv()).await.expect("to be heard").expect("a meeting that goes on");
    assert!(gone(&next), "{next:?}");
    for counted_by in [None, Some("6")] {
        command(&redis, &["DEL", KEY]).await;
        if let Some(generation) = counted_by {
            command(&redis, &["HSET", KEY, "generation", generation, "version", "0"]).await;
        }
        let read = async {
            says("ada");
            while !matches!(heard.recv().await, Some(Heard::Read { .. })) {}
        };
        timeout(Duration::from_secs(2), read).await.expect("it to be read anew, and not at the second look");
    }
    stop.cancel();
    running.await.expect("a meeting that ends");
}
