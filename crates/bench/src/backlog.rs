//! After an outage of the service: a million changes wait in the outbox when it is started.

use std::time::{Duration, Instant};

use curia_driver::{Client, Person, Service, token};
use tokio::time::timeout;

use crate::{
    error::BenchError,
    forum::{self, BOARD, COMMUNITY, Session},
    statistics::{Sample, Verdict},
    writer::load_average,
};

/// What is to be measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// How often; each round writes another million
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
}

/// Rows a second.
const TARGET: f64 = 30_000.0;
/// What `backlog.sql` writes.
const ROWS: u32 = 1_000_000;
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// Runs the benchmark and prints its table.
pub async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (server, programs) = forum::server()?;
    println!(
        "PostgreSQL {}, {ROWS} changes wait; {} rounds; load average at the start {}",
        programs.version(),
        arguments.rounds,
        load_average()
    );
    let mut rates = Vec::new();
    for round in 1..=arguments.rounds {
        let name = format!("forum_{round}");
        let url = forum::create(&server, &name)?;
        forum::migrate(&server, &name, &forum::migrations())?;
        let session = Session::open(&url).await?;
        session.run("take a million changes", include_str!("../sql/backlog.sql")).await?;
        session.run("vacuum", include_str!("../sql/settle.sql")).await?;
        let took = drain(&url, &session).await?;
        session.close().await;
        let rate = f64::from(ROWS) / took.as_secs_f64();
        println!("round {round} of {}: {:.1} s, {rate:.0} rows/s", arguments.rounds, took.as_secs_f64());
        rates.push(rate);
    }
    if let Some(rates) = Sample::new(rates) {
        let (low, high) = rates.quartiles();
        println!("\nrows/s, from the start of the program to the last change told: median (quartiles)");
        println!("  {:.0} ({low:.0} to {high:.0})", rates.median());
        println!("  at least {TARGET:.0} {}", Verdict::of(&rates, TARGET));
    }
    Ok(server.stop()?)
}

/// From the start of the program until it says that it has told everything; a browser that comes then is told what is written next.
async fn drain(url: &str, session: &Session) -> Result<Duration, BenchError> {
    let token = token(&Person::new("1", COMMUNITY)).await?;
    let began = Instant::now();
    let mut service = Service::start(url).await?;
    let took = began.elapsed();
    let mut browser = Client::connect(service.port, &token).await?;
    browser.join_board(BOARD).await?;
    let last = session.client.query_one(include_str!("../sql/last_post.sql"), &[&BOARD]).await;
    let last = i64::from(last.map_err(BenchError::database("take the last post"))?.get::<_, i32>(0));
    let listening = async {
        loop {
            let heard = browser.next_event().await?;
            if heard.name == "board:newPost" && heard.payload["post"]["id"].as_i64() == Some(last) {
                return Ok::<_, BenchError>(());
            }
        }
    };
    let late = |_| BenchError::Unproved(format!("what was written last was not told within {TOLD_WITHIN:?}"));
    timeout(TOLD_WITHIN, listening).await.map_err(late)??;
    service.require_ready().await?;
    service.stop()?;
    Ok(took)
}
