//! The way to where all nodes meet, where each round trip takes long and there is much to be looked at.

use std::collections::BTreeSet;

use curia_realtime::{
    circle::{Heard, Said, Word},
    ids::{BoardId, UserId},
    ports::Circle,
    presence::{Scope, Stay},
    redis::circle::LEASE,
};

use redis::AsyncCommands;

use super::{
    meeting::{LEFT, ME, Met, board, left, met_at, somebody_in},
    presence_minded::until_heard_by,
    *,
};

/// With one round trip for sixteen of them a beat would take longer than a lease.
const BOARDS: i32 = 3_000;
/// All said in one piece, with one round trip for a hundred of them, one would.
const SEATED: i32 = 10_000;
/// Each way.
const SLOW: Duration = Duration::from_millis(80);
/// So many follow each other in two leases at least.
const BEATS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_thousands_of_boards_and_a_slow_way_is_not_taken_for_dead_and_goes_on_looking() {
    let redis = Redis::start().expect("a Redis");
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    for id in 1..=BOARDS {
        somebody_in(&mut connection, id).await;
    }
    let way = Proxy::before(&redis.url()).await;
    let Met { words, mut heard, stop, running } = met_at(&way.url.replace("http://", "redis://")).await;
    words.say((1..=BOARDS).map(|id| Word::Watch(board(id), None)).collect());
    let seat = |id| (UserId::from(format!("user {id}").as_str()), BoardId(1));
    words.say(vec![Word::Seats("c1".into(), vec![seat(0)])]);
    let reading = async {
        let mut read = BTreeSet::new();
        while read.len() < BOARDS as usize {
            if let Some(Heard::Read { scope, .. }) = heard.recv().await {
                read.insert(scope);
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("all boards to be read");
    // From then on Redis knows the scripts.
    let beat = async { while heard.recv().await != Some(Heard::Beat) {} };
    timeout(PATIENCE, beat).await.expect("a beat");

    way.delay(SLOW);
    words.say(vec![Word::Seats("c1".into(), (1..=SEATED).map(seat).collect())]);
    let (mut looked, mut beats, mut least) = (BTreeSet::<Scope>::new(), 0, LEASE);
    let (began, mut all_after) = (Instant::now(), None);
    while began.elapsed() < LEASE + Duration::from_secs(9) || looked.len() < BOARDS as usize || beats < BEATS {
        assert!(began.elapsed() < PATIENCE, "{beats} beats, {} boards looked at", looked.len());
        while let Ok(Some(heard)) = timeout(Duration::from_millis(100), heard.recv()).await {
            match heard {
                Heard::Stands { scope, .. } => drop(looked.insert(scope)),
                Heard::Nodes(_) => beats += 1,
                Heard::Away | Heard::Here | Heard::Unknown(_) => panic!("{heard:?} after {:?}", began.elapsed()),
                _ => {}
            }
        }
        if looked.len() == BOARDS as usize {
            all_after.get_or_insert_with(|| began.elapsed());
        }
        least = least.min(left(&mut connection).await);
        assert!(least > LEFT, "after {:?} it is taken to live for {least:?}", began.elapsed());
    }
    for id in [1, SEATED / 2, SEATED] {
        let seated: Option<i32> =
            connection.get(format!("curia:user_current_board:user {id}")).await.expect("an answer");
        assert_eq!(seated, Some(1), "user {id}");
    }
    println!("of its lease {least:?} were left at least; {beats} beats, all boards looked at after {all_after:?}");
    stop.cancel();
    running.await.expect("a meeting that ends");
}

/// As when the last feed leaves a node, or much was missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_minded_no_longer_or_read_anew_is_not_waited_for_board_by_board() {
    const MINDED: i32 = 1_000;
    const MISSED: i32 = 320;
    let redis = Redis::start().expect("a Redis");
    let way = Proxy::before(&redis.url()).await;
    let Met { words, mut heard, stop, running } = met_at(&way.url.replace("http://", "redis://")).await;
    words.say((0..=MINDED).map(|id| Word::Watch(board(id), None)).collect());
    let reading = async {
        for _ in 0..=MINDED {
            while !matches!(heard.recv().await, Some(Heard::Read { .. })) {}
        }
    };
    timeout(PATIENCE, reading).await.expect("all boards to be read");

    way.delay(Duration::from_millis(20));
    words.say((1..=MISSED).map(|id| Word::Read(board(id), None)).collect());
    words.say((1..=MINDED).map(|id| Word::Unwatch(board(id))).collect());
    let said = vec![Said { user: "ada".into(), stay: Some(Stay { nameless: 1, ..Stay::default() }), nth: 1 }];
    words.say(vec![Word::Say { scope: board(0), node: ME, said }]);
    let began = Instant::now();
    let mut read = 0;
    let telling = async {
        loop {
            match heard.recv().await {
                Some(Heard::Said { scope, .. }) if scope == board(0) => return,
                Some(Heard::Read { .. }) => read += 1,
                _ => {}
            }
        }
    };
    // One trip for each board would be 52 s.
    timeout(Duration::from_secs(10), telling).await.expect("what is said behind it to be told soon");
    println!("told after {:?}", began.elapsed());
    assert_eq!(read, MISSED);
    until_heard_by(&redis, "curia:board_users:1", 0).await;
    until_heard_by(&redis, &format!("curia:board_users:{MINDED}"), 0).await;
    until_heard_by(&redis, "curia:board_users:0", 1).await;
    stop.cancel();
    running.await.expect("a meeting that ends");
}
