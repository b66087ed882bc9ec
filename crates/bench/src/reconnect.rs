//! Everybody comes back at once, each with the cursor of what he saw last: until all have been sent what they missed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use curia_driver::{Client, Person, Service, token};
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    error::BenchError,
    forum::{self, BOARD, COMMUNITY, Session},
    statistics::Sample,
    writer::load_average,
};

/// What is to be measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// Browsers that watched the board
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    clients: u32,
    /// Changes of the board that each of them missed: one a second for a minute
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    missed: u32,
    /// How often
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Seconds until all are back.
const TARGET: f64 = 1.0;
/// Browsers that one person has open; the service bounds connections and joins for each person.
const BROWSERS_OF_ONE: u32 = 20;
/// Connecting one by one before the measurement, so many at a time.
const AT_A_TIME: usize = 50;
/// Tells hanging from working.
const ALL_WITHIN: Duration = Duration::from_secs(120);

/// Runs the benchmark and prints its table.
pub async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (server, programs) = forum::server()?;
    let url = forum::create(&server, "forum")?;
    forum::migrate(&server, "forum", &forum::migrations())?;
    let session = Session::open(&url).await?;
    // A person's browsers connect and join with each round.
    let flags = ["--rate-connect", "10000/1s", "--rate-join", "10000/1s"];
    let mut service = Service::start_with(&url, &flags).await?;
    let mut tokens = Vec::new();
    for person in 0..arguments.clients.div_ceil(BROWSERS_OF_ONE) {
        tokens.push(token(&Person::new(&(1 + person).to_string(), COMMUNITY)).await?);
    }
    println!(
        "PostgreSQL {}; {} clients come back at once, each missed {} changes; {} rounds; load average at the start {}",
        programs.version(),
        arguments.clients,
        arguments.missed,
        arguments.rounds,
        load_average()
    );
    let (mut times, mut each) = (Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        let cursors = leave(service.port, &tokens, arguments.clients).await?;
        write(&session, arguments.missed).await?;
        service.require_ready().await?;
        let back = come_back(service.port, &tokens, cursors, arguments.missed).await?;
        let all = back.iter().max().copied().unwrap_or_default().as_secs_f64();
        println!("round {round} of {}: {all:.2} s", arguments.rounds);
        times.push(all);
        each.extend(back.iter().map(Duration::as_secs_f64));
    }
    service.stop()?;
    session.close().await;
    if let (Some(times), Some(each)) = (Sample::new(times), Sample::new(each)) {
        let (low, high) = times.quartiles();
        println!("\nseconds until all are back, from the first SYN to the last answer: median (quartiles)");
        println!("  {:.2} ({low:.2} to {high:.2})", times.median());
        println!("of one client: p50 {:.2}, p99 {:.2}", each.quantile(0.5), each.quantile(0.99));
        println!("  within {TARGET:.1} s {}", if high <= TARGET { "kept" } else { "missed" });
    }
    Ok(server.stop()?)
}

/// Connects everybody, in peace, and lets all of them go; gives the cursor that each has.
async fn leave(port: u16, tokens: &[String], clients: u32) -> Result<Vec<String>, BenchError> {
    let mut there: Vec<Client> = Vec::new();
    let mut cursors = Vec::new();
    let numbers: Vec<usize> = (0..clients as usize).collect();
    for some in numbers.chunks(AT_A_TIME) {
        let mut joining = JoinSet::new();
        for number in some {
            let token = tokens[number / BROWSERS_OF_ONE as usize].clone();
            joining.spawn(async move {
                let mut client = Client::connect(port, &token).await?;
                let cursor = client.resume_board(BOARD, None).await?.cursor;
                Ok::<_, BenchError>((client, cursor))
            });
        }
        while let Some(joined) = joining.join_next().await {
            let (client, cursor) =
                joined.map_err(|error| BenchError::Unproved(format!("a client ended: {error}")))??;
            there.push(client);
            cursors.push(cursor);
        }
    }
    Ok(cursors)
}

/// What everybody misses.
async fn write(session: &Session, changes: u32) -> Result<(), BenchError> {
    for number in 0..changes {
        let author = (1 + number).to_string();
        let written = session.client.execute(include_str!("../sql/missed.sql"), &[&author, &BOARD]).await;
        written.map_err(BenchError::database("take a post"))?;
    }
    // Long enough to have been read: what is not yet is awaited by the joins, and is in their time.
    sleep(Duration::from_millis(200)).await;
    Ok(())
}

/// How long each of them took, all let go at the same moment.
async fn come_back(
    port: u16,
    tokens: &[String],
    cursors: Vec<String>,
    missed: u32,
) -> Result<Vec<Duration>, BenchError> {
    let gate = Arc::new(Barrier::new(cursors.len() + 1));
    let mut coming = JoinSet::new();
    for (number, cursor) in cursors.into_iter().enumerate() {
        let (gate, token) = (Arc::clone(&gate), tokens[number / BROWSERS_OF_ONE as usize].clone());
        coming.spawn(async move {
            gate.wait().await;
            let began = Instant::now();
            let mut client = Client::connect(port, &token).await?;
            let joined = client.resume_board(BOARD, Some(&cursor)).await?;
            if !joined.recovered || joined.events < missed {
                let said = format!("recovered: {}, {} of {missed} events", joined.recovered, joined.events);
                return Err(BenchError::Unproved(format!("a client missed something; {said}")));
            }
            Ok((began.elapsed(), client))
        });
    }
    gate.wait().await;
    let all = async {
        let mut times = Vec::new();
        // Nobody leaves before the last is back.
        let mut there = Vec::new();
        while let Some(came) = coming.join_next().await {
            let (time, client) = came.map_err(|error| BenchError::Unproved(format!("a client ended: {error}")))??;
            times.push(time);
            there.push(client);
        }
        Ok(times)
    };
    let late = |_| BenchError::Unproved(format!("not everybody was back within {ALL_WITHIN:?}"));
    timeout(ALL_WITHIN, all).await.map_err(late)?
}
