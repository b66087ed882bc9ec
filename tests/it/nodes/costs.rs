//! What who is here costs Redis: commands of clients as MONITOR shows them, without those that a script calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::support::store::until_presence;

/// Enough for single commands of everybody's to vanish in.
const USERS: usize = 60;

/// The script that keeps a current board.
const KEEPS: &str = "keep.lua";

type Counts = BTreeMap<String, usize>;

/// Reads on what Redis is asked.
struct Monitor {
    counts: Arc<Mutex<Counts>>,
    _reading: AbortOnDropHandle<()>,
}

impl Monitor {
    async fn of(redis: &Redis) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).await.expect("a Redis");
        stream.write_all(b"MONITOR\r\n").await.expect("a connection");
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next_line().await.expect("an answer").as_deref(), Some("+OK"));
        let counts = Arc::<Mutex<Counts>>::default();
        let counting = Arc::clone(&counts);
        let keeps = redis::Script::new(include_str!("../../../src/redis/circle/keep.lua")).get_hash().to_owned();
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // `+1700000000.000000 [0 127.0.0.1:4321] "EVALSHA" ...`; of a script ` [0 lua] `.
                let Some((from, command)) = line.split_once("] \"") else { continue };
                let mut words = command.split('"');
                let mut name = words.next().unwrap_or_default().to_uppercase();
                if name == "EVALSHA" && words.nth(1) == Some(keeps.as_str()) {
                    name = KEEPS.to_owned();
                }
                // What the relay says and asks is counted elsewhere.
                if !from.ends_with("lua") && !["PING", "PUBLISH", "CLIENT", "HELLO"].contains(&name.as_str()) {
                    *counting.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
                }
            }
        });
        Self { counts, _reading: AbortOnDropHandle::new(reading) }
    }

    /// What was asked since this was called last, once nothing more than beats comes.
    async fn since(&self) -> (usize, Counts) {
        let total = || self.counts.lock().unwrap_or_else(PoisonError::into_inner).values().sum::<usize>();
        let quiet = async {
            let mut before = total();
            loop {
                sleep(Duration::from_millis(400)).await;
                let now = total();
                if now - before <= 4 {
                    return;
                }
                before = now;
            }
        };
        timeout(PATIENCE, quiet).await.expect("a pause");
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        (counts.values().sum(), counts)
    }
}

/// At most so many for each user, and what the node asks by itself meanwhile; what keeps things for longer is counted where nobody does
/// anything.
fn bounded(step: &str, (_, counts): (usize, Counts), each: usize) {
    let renews = |name: &str| [KEEPS, "HMGET"].contains(&name);
    let total: usize = counts.iter().filter(|(name, _)| !renews(name)).map(|(_, count)| count).sum();
    println!("{step}: {:.2} commands for each of {USERS} users: {counts:?}", total as f64 / USERS as f64);
    assert!(total <= USERS * each + USERS, "{step}: {total} commands, {counts:?}");
    assert!(total >= USERS, "{step}: what is counted does happen: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_asks_redis_a_bounded_number_of_times() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let node = Serving::start(&forum.url(), &["--redis-url", &redis.url(), "--drain", "100ms"]).await;
    node.until_ready().await;
    until_presence(&node.url, true).await;
    let monitor = Monitor::of(&redis).await;
    monitor.since().await;

    let mut users = Vec::new();
    for nth in 0..USERS {
        let token = Service::token(&format!("user {nth:02}"), "c1", &[], false);
        users.push(Frames::connected(&node.url, &token).await);
    }
    // The limit, the session, the community.
    bounded("connect", monitor.since().await, 3);
    for user in &mut users {
        assert_eq!(user.ask("board:join", json!(1)).await["ok"], json!(true));
    }
    // The limit, the board, the community, the current board.
    bounded("board:join", monitor.since().await, 4);
    for user in &mut users {
        assert_eq!(user.ask("post:join", json!(1)).await["ok"], json!(true));
    }
    bounded("post:join", monitor.since().await, 1);
    // From then on the server knows the script that withdraws.
    assert_eq!(users[0].ask("feed:join", json!(null)).await["ok"], json!(true));
    monitor.since().await;
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 2"#).await;
    monitor.since().await;
    for user in &mut users {
        assert_eq!(user.ask("feed:join", json!(null)).await["ok"], json!(true));
    }
    // The limit, and the boards that are open to him.
    bounded("feed:join", monitor.since().await, 2);
    forum.run("UPDATE boards SET settings = '{}' WHERE id = 2").await;
    // They are withdrawn.
    bounded("a board opens", monitor.since().await, 1);
    for user in &mut users {
        assert_eq!(user.ask("feed:leave", json!(null)).await["ok"], json!(true));
    }
    monitor.since().await;
    for user in &mut users {
        assert_eq!(user.ask("board:leave", json!(1)).await["ok"], json!(true));
    }
    bounded("board:leave", monitor.since().await, 4);
    for user in &mut users {
        assert_eq!(user.ask("board:join", json!(1)).await["ok"], json!(true));
    }
    monitor.since().await;

    // Everybody is renewed twice in that time, in every respect.
    let began = Instant::now();
    sleep(Duration::from_secs(12)).await;
    let (total, counts) = monitor.since().await;
    let seconds = began.elapsed().as_secs_f64();
    println!("idle: {:.2} commands a second with {USERS} sockets: {counts:?}", total as f64 / seconds);
    let per_user = USERS as f64 * (seconds / 6.0 + seconds / 12.0 + 2.0);
    assert!((total as f64) < per_user + 4.0 * seconds, "{total} commands in {seconds} s: {counts:?}");

    for user in users {
        user.close().await;
    }
    // The session; after the grace the board, the community and the current board, many users at once.
    sleep(Duration::from_secs(6)).await;
    bounded("disconnect", monitor.since().await, 4);
    node.stop().await;
}
