//! What sockets that do nothing cost Redis: sessions that are renewed, presence that is kept, nodes that say that they live.
//!
//! Counted, not timed: what a client of Redis asks, as MONITOR shows it, without what a script calls by itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use curia_driver::{Client, Person, Service, token};
use curia_scratch::Redis;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use crate::{
    error::BenchError,
    forum::{self, Session},
};

/// What is to be measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// Sockets, each in its community's board
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    sockets: u32,
    /// People, who share the sockets evenly
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    people: u32,
    /// Communities, who share the people evenly
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    communities: i32,
    /// How long it is counted
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(12..=3_600))]
    seconds: u64,
}

/// Connecting so many at a time.
const AT_A_TIME: usize = 50;
/// Everything is renewed within it; what was still to be told is told when two of them ask the same.
const PERIOD: Duration = Duration::from_secs(12);
/// Two periods ask the same if they differ by less.
const STEADY: f64 = 0.05;
const PERIODS: u32 = 60;

type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// Runs the benchmark and prints its table.
pub async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (server, _) = forum::server()?;
    let url = forum::create(&server, "forum")?;
    forum::migrate(&server, "forum", &forum::migrations())?;
    let session = Session::open(&url).await?;
    let towns = session.client.query(include_str!("../sql/towns.sql"), &[&arguments.communities]).await;
    let towns = towns.map_err(BenchError::database("make communities"))?;
    let towns: Vec<(String, i32)> = towns.iter().map(|row| (row.get(0), row.get(1))).collect();
    let redis = Redis::start()?;
    let mut service = Service::start_with(&url, &["--redis-url", &redis.url()]).await?;
    let counts = monitor(&redis).await?;
    println!(
        "{} sockets of {} people in {} communities, each in its board",
        arguments.sockets, arguments.people, arguments.communities
    );

    let mut tokens = Vec::new();
    for person in 0..arguments.people as usize {
        let (community, board) = &towns[person % towns.len()];
        tokens.push((token(&Person::new(&format!("{}", 1 + person), community)).await?, *board));
    }
    let mut reading = JoinSet::new();
    let numbers: Vec<usize> = (0..arguments.sockets as usize).collect();
    for some in numbers.chunks(AT_A_TIME) {
        let mut connecting = JoinSet::new();
        for number in some {
            let (port, (token, board)) = (service.port, tokens[number % tokens.len()].clone());
            connecting.spawn(async move {
                let mut client = Client::connect(port, &token).await?;
                client.join_board(board).await?;
                Ok::<_, BenchError>(client)
            });
        }
        while let Some(connected) = connecting.join_next().await {
            let mut client = connected.map_err(|error| BenchError::Unproved(format!("a client ended: {error}")))??;
            // Reads on, so that pings are answered.
            reading.spawn(async move { while client.next().await.is_ok() {} });
        }
    }
    eprintln!("all are there; waiting until nobody has anything to be told");
    let mut before = counted(&counts, PERIOD).await.0;
    for _ in 0..PERIODS {
        let now = counted(&counts, PERIOD).await.0;
        if (now - before).abs() <= STEADY * before {
            break;
        }
        before = now;
    }
    let (a_second, all) = counted(&counts, Duration::from_secs(arguments.seconds)).await;
    service.require_ready().await?;
    let there = service.metric("curia_sockets").await;
    if there != f64::from(arguments.sockets) || reading.try_join_next().is_some() {
        return Err(BenchError::Unproved(format!("{there} of {} sockets are left", arguments.sockets)));
    }
    println!("\ncommands a second       {a_second:>8.0}");
    for (name, a_second) in all {
        println!("  {name:<20} {a_second:>9.1}");
    }
    reading.shutdown().await;
    session.close().await;
    service.stop()?;
    redis.stop()?;
    Ok(server.stop()?)
}

/// How many a second there are for so long, altogether and by name.
async fn counted(counts: &Counts, during: Duration) -> (f64, BTreeMap<String, f64>) {
    let take = || std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
    take();
    let began = Instant::now();
    sleep(during).await;
    let seconds = began.elapsed().as_secs_f64();
    let all: BTreeMap<String, f64> = take().into_iter().map(|(name, count)| (name, count as f64 / seconds)).collect();
    (all.values().sum(), all)
}

/// Counts what Redis is asked, by name.
async fn monitor(redis: &Redis) -> Result<Counts, BenchError> {
    let watch = BenchError::io("watch what Redis is asked");
    let connecting = async {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).await?;
        stream.write_all(b"MONITOR\r\n").await?;
        Ok(BufReader::new(stream).lines())
    };
    let mut lines = connecting.await.map_err(watch)?;
    let counts = Counts::default();
    let counting = Arc::clone(&counts);
    // Ends with the server.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            // `+1700000000.000000 [0 127.0.0.1:4321] "EVALSHA" ...`; of a script ` [0 lua] `.
            let Some((from, command)) = line.split_once("] \"") else { continue };
            if !from.ends_with("lua") {
                let name = command.split('"').next().unwrap_or_default().to_uppercase();
                *counting.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
            }
        }
    });
    Ok(counts)
}
