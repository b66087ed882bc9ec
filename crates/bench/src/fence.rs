//! How soon after a right was taken away nothing more is delivered: from the commit to the eviction, over two nodes.
//!
//! Every round shuts two browsers out, one on each node, writes a comment from another connection at once, and lets them in again. What was
//! written while they were out must never reach them, also not when they come back with a cursor, and must reach whoever stayed.

use std::time::{Duration, Instant};

use curia_driver::{Client, Event, Heard, Person, Service, token};
use curia_scratch::Redis;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    error::BenchError,
    forum::{self, BOARD, COMMUNITY, Session},
    statistics::Sample,
    writer::load_average,
};

/// What is to be measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// How often the board is shut and opened again
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
}

/// Milliseconds from the commit's answer to the eviction, for 99 of 100.
const TARGET: f64 = 250.0;
/// The one role that may open the board while it is shut.
const ROLE: &str = "crew";
/// The first post of the board.
const POST: i32 = 10;
/// Tells hanging from working.
const HEARD_WITHIN: Duration = Duration::from_secs(30);

/// Runs the benchmark and prints its table.
pub async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (server, programs) = forum::server()?;
    let redis = Redis::start()?;
    let url = forum::create(&server, "forum")?;
    forum::migrate(&server, "forum", &forum::migrations())?;
    let (rights, words) = (Session::open(&url).await?, Session::open(&url).await?);
    let redis_url = redis.url();
    // One person shuts and opens a board more often here than any does.
    let flags = ["--redis-url", &redis_url, "--rate-join", "10000/1s"];
    let nodes = [Service::start_with(&url, &flags).await?, Service::start_with(&url, &flags).await?];
    println!(
        "PostgreSQL {}; two nodes with Redis; {} rounds; load average at the start {}",
        programs.version(),
        arguments.rounds,
        load_average()
    );
    let (mut shut_out, mut staying) = (Vec::new(), Vec::new());
    for (number, node) in nodes.iter().enumerate() {
        let out = token(&Person::new(&format!("{}", 1 + number), COMMUNITY)).await?;
        let stays = Person { roles: vec![ROLE.to_owned()], ..Person::new(&format!("{}", 11 + number), COMMUNITY) };
        shut_out.push(Watcher::begin(node.port, &out).await?);
        staying.push(Watcher::begin(node.port, &token(&stays).await?).await?);
    }
    let mut times = Vec::new();
    for round in 1..=arguments.rounds {
        set_roles(&rights, Some(ROLE)).await?;
        let shut = Instant::now();
        let hidden = comment(&words).await?;
        for watcher in &mut shut_out {
            let revoked = watcher.hear_until("board:accessRevoked", hidden).await?;
            times.push(revoked.saturating_duration_since(shut).as_secs_f64() * 1_000.0);
        }
        // A refusal takes its time, which is not the fence's.
        for watcher in &mut shut_out {
            watcher.is_refused().await?;
        }
        for watcher in &mut staying {
            watcher.hear_comment(hidden).await?;
        }
        set_roles(&rights, None).await?;
        for watcher in &mut shut_out {
            watcher.hear_until("board:accessGranted", hidden).await?;
            watcher.come_back(hidden).await?;
        }
        if round % 100 == 0 {
            eprintln!("round {round} of {} done", arguments.rounds);
        }
    }
    for mut node in nodes {
        node.require_ready().await?;
        node.stop()?;
    }
    rights.close().await;
    words.close().await;
    server.stop()?;
    judge(Sample::new(times), arguments.rounds)
}

/// Prints the table; an error where the target is missed.
fn judge(times: Option<Sample>, rounds: u32) -> Result<(), BenchError> {
    let times = times.ok_or_else(|| BenchError::Unproved("nobody was shut out".to_owned()))?;
    let p99 = times.quantile(0.99);
    println!("\nmilliseconds from the commit's answer until the one shut out is told, on either node");
    println!(
        "  p50 {:.1}, p90 {:.1}, p99 {p99:.1}, max {:.1}",
        times.quantile(0.5),
        times.quantile(0.9),
        times.quantile(1.0)
    );
    println!("  {rounds} comments written while they were out: none reached them, all reached those who stayed");
    if p99 > TARGET {
        return Err(BenchError::Unproved(format!("p99 is {p99:.1} ms, and at most {TARGET:.0} ms are promised")));
    }
    println!("  p99 at most {TARGET:.0} kept");
    Ok(())
}

/// A browser in a board and in a post of it.
struct Watcher {
    client: Client,
    /// The last cursor seen.
    cursor: Option<String>,
    asked: u32,
}

impl Watcher {
    async fn begin(port: u16, token: &str) -> Result<Self, BenchError> {
        let mut watcher = Self { client: Client::connect(port, token).await?, cursor: None, asked: 0 };
        watcher.come_back(0).await?;
        Ok(watcher)
    }

    /// Joins board and post from the last cursor on; nothing of the comment `hidden` may come with it.
    async fn come_back(&mut self, hidden: i32) -> Result<(), BenchError> {
        let since = self.cursor.clone();
        for (event, argument) in [
            ("board:join", json!({"boardId": BOARD, "since": since})),
            ("post:join", json!({"postId": POST, "since": since})),
        ] {
            let answer = self.ask(event, &argument, hidden).await?;
            if answer["ok"] != json!(true) {
                return Err(BenchError::Unproved(format!("{event} was answered {answer} while the board was open")));
            }
            self.cursor = answer["cursor"].as_str().map(str::to_owned);
        }
        Ok(())
    }

    /// While the board is shut no join is let in, with a cursor or without.
    async fn is_refused(&mut self) -> Result<(), BenchError> {
        for (event, argument) in
            [("board:join", json!({"boardId": BOARD, "since": self.cursor})), ("post:join", json!({"postId": POST}))]
        {
            let answer = self.ask(event, &argument, 0).await?;
            if answer["error"]["code"] != json!("forbidden") {
                return Err(BenchError::Unproved(format!("{event} was answered {answer} while the board was shut")));
            }
        }
        Ok(())
    }

    async fn ask(&mut self, event: &str, argument: &Value, hidden: i32) -> Result<Value, BenchError> {
        self.asked += 1;
        self.client.emit(self.asked, event, argument).await?;
        loop {
            match self.next().await? {
                Heard::Answer { number, answer } if number == self.asked => return Ok(answer),
                Heard::Answer { .. } => {}
                Heard::Event(event) => self.note(&event, hidden)?,
            }
        }
    }

    /// Reads on to an event of this name; gives when it came.
    async fn hear_until(&mut self, name: &str, hidden: i32) -> Result<Instant, BenchError> {
        loop {
            if let Heard::Event(event) = self.next().await? {
                self.note(&event, hidden)?;
                if event.name == name {
                    return Ok(event.at);
                }
            }
        }
    }

    /// Reads on to the comment.
    async fn hear_comment(&mut self, id: i32) -> Result<(), BenchError> {
        loop {
            if let Heard::Event(event) = self.next().await?
                && tells_of(&event, id)
            {
                return Ok(());
            }
        }
    }

    fn note(&mut self, event: &Event, hidden: i32) -> Result<(), BenchError> {
        // Nor one of an earlier round that comes late: all of them were written while he was shut out.
        if let Some(told) = event.payload["comment"]["id"].as_i64().filter(|told| *told <= i64::from(hidden)) {
            return Err(BenchError::Unproved(format!("comment {told} reached somebody who was shut out")));
        }
        if let Some(cursor) = event.meta["cursor"].as_str() {
            self.cursor = Some(cursor.to_owned());
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Heard, BenchError> {
        let late = |_| BenchError::Unproved(format!("nothing was heard within {HEARD_WITHIN:?}"));
        Ok(timeout(HEARD_WITHIN, self.client.next()).await.map_err(late)??)
    }
}

fn tells_of(event: &Event, comment: i32) -> bool {
    event.payload["comment"]["id"] == json!(comment) || event.payload["commentId"] == json!(comment)
}

async fn set_roles(session: &Session, role: Option<&str>) -> Result<(), BenchError> {
    let set = session.client.execute(include_str!("../sql/board_roles.sql"), &[&BOARD, &role]).await;
    set.map(drop).map_err(BenchError::database("change who may open the board"))
}

async fn comment(session: &Session) -> Result<i32, BenchError> {
    let row =
        session.client.query_one(include_str!("../sql/comment.sql"), &[&POST, &"21", &"Nobody else reads this."]).await;
    Ok(row.map_err(BenchError::database("take a comment"))?.get("id"))
}
