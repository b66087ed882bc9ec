//! What several nodes cost the servers that they share: the same load with no Redis, where each asks PostgreSQL for itself, and with
//! one, over which the node that makes the ticks hands them to the others.
//!
//! Counted, not timed: how often PostgreSQL is asked and what goes over Redis does not depend on what else the machine does.

use std::time::{Duration, Instant};

use curia_driver::Service;
use curia_scratch::Redis;
use tokio::time::sleep;

use crate::{
    error::BenchError,
    forum::{self, Session},
    pgbench::{self, Load, People},
};

/// What is to be measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// Nodes, of which one makes the ticks
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=20))]
    nodes: u32,
    /// Votes and comments a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// How long
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
}

const CLIENTS: u32 = 8;
const TAKEN: &str = "curia_relay_messages_total{outcome=\"taken\"}";
/// The statistics of a session reach everybody within so long.
const STATISTICS_WITHIN: Duration = Duration::from_secs(2);

/// What was counted at one moment.
struct Counts {
    transactions: f64,
    nodes: Vec<Node>,
}

struct Node {
    looks: f64,
    changes: f64,
    taken: f64,
    sent: f64,
    bytes: f64,
}

/// Runs the benchmark and prints its tables.
pub async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (server, programs) = forum::server()?;
    let pgbench = pgbench::find(&programs)?;
    println!("{} nodes, {} commits/s for {} s", arguments.nodes, arguments.rate, arguments.seconds);
    for (name, redis) in [("without", None), ("with", Some(Redis::start()?))] {
        let url = forum::create(&server, name)?;
        forum::migrate(&server, name, &forum::migrations())?;
        let address = redis.as_ref().map(Redis::url);
        let flags: Vec<&str> = address.iter().flat_map(|address| ["--redis-url", address]).collect();
        let mut nodes = Vec::new();
        for _ in 0..arguments.nodes {
            nodes.push(Service::start_with(&url, &flags).await?);
        }
        let session = Session::open(&url).await?;
        let load = |seconds, drawn| Load {
            database: &url,
            clients: CLIENTS,
            seconds,
            rate: Some(arguments.rate),
            drawn,
            people: People { users: 100_000, posts: 1_000 },
        };
        pgbench::run(&pgbench, &load(2, 0)).await?;
        let before = counts(&session, &nodes).await?;
        let began = Instant::now();
        let written = pgbench::run(&pgbench, &load(arguments.seconds, pgbench::pairs(2))).await?;
        sleep(STATISTICS_WITHIN).await;
        let seconds = began.elapsed().as_secs_f64();
        let after = counts(&session, &nodes).await?;
        println!("\n{name} Redis             looks/s  changes/s  ticks taken/s  ticks sent/s  bytes sent/s");
        for (number, (now, then)) in (1..).zip(after.nodes.iter().zip(&before.nodes)) {
            let [looks, changes, taken, sent, bytes] = [
                now.looks - then.looks,
                now.changes - then.changes,
                now.taken - then.taken,
                now.sent - then.sent,
                now.bytes - then.bytes,
            ]
            .map(|count| count / seconds);
            println!("  node {number:<18} {looks:>8.1} {changes:>10.1} {taken:>14.1} {sent:>13.1} {bytes:>13.0}");
        }
        let all = (after.transactions - before.transactions - written.commits as f64) / seconds;
        println!("  transactions/s in PostgreSQL beside the forum's {:.0}: {all:.0}", written.a_second);
        session.close().await;
        for node in nodes {
            node.stop()?;
        }
    }
    Ok(server.stop()?)
}

async fn counts(session: &Session, nodes: &[Service]) -> Result<Counts, BenchError> {
    let row = session.client.query_one(include_str!("../sql/transactions.sql"), &[]).await;
    let row = row.map_err(BenchError::database("tell how many transactions ended"))?;
    let transactions = row.try_get("transactions").map_err(BenchError::database("give a number"))?;
    let mut counted = Vec::new();
    for node in nodes {
        counted.push(Node {
            looks: node.metric("curia_outbox_looks_total").await,
            changes: node.metric("curia_stream_changes_total").await,
            taken: node.metric(TAKEN).await,
            sent: node.metric("curia_relay_sent_total{outcome=\"sent\"}").await,
            bytes: node.metric("curia_relay_sent_bytes_total").await,
        });
    }
    Ok(Counts { transactions, nodes: counted })
}
