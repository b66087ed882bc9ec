//! From the forum's commit to the browsers: one process writes as the forum does and listens as its browsers do, so that one
//! clock times both ends.
//!
//! Changes come at random distances, never in step with the service's own looks at the outbox, and no post changes twice within
//! the window in which counts are merged: every change has an event of its own in every browser, and each is waited for.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use curia_driver::{Client, Event, Person, Service, token as token_of};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep_until, timeout},
};
use tokio_postgres::Statement;

use crate::{
    error::BenchError,
    forum::{self, BOARD, COMMUNITY, Session},
    statistics::Sample,
    writer::load_average,
};

/// What is to be measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// Browsers that watch the board
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    clients: u32,
    /// Changes a second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// How long
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
}

/// Milliseconds from the commit that half, and 99 of 100, of all deliveries are to stay within.
const TARGETS: [(&str, f64, f64); 2] = [("p50", 0.50, 3.0), ("p99", 0.99, 8.0)];
/// Changes before the measurement: every connection has carried something, every plan is made.
const WARM_UP: u32 = 20;
/// Posts that are changed in turn: those of the watched board, every tenth of the forum's.
const POSTS: u32 = 100;
/// Browsers that one person has open; the service bounds connections and joins for each person.
const BROWSERS_OF_ONE: u32 = 40;
/// How long the last deliveries may take.
const ALL_WITHIN: Duration = Duration::from_secs(10);

/// What tells one change from another, in what is written and in what is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Change {
    Vote { post: i64, count: i64 },
    Comment { post: i64, count: i64 },
    Post { post: i64 },
}

impl Change {
    fn heard(heard: &Event) -> Option<Self> {
        let payload = &heard.payload;
        let (post, count) = (&payload["postId"], &payload["newCount"]);
        Some(match heard.name.as_str() {
            "post:voteChanged" => Self::Vote { post: post.as_i64()?, count: count.as_i64()? },
            "post:commentCountChanged" => Self::Comment { post: post.as_i64()?, count: count.as_i64()? },
            "board:newPost" => Self::Post { post: payload["post"]["id"].as_i64()? },
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Vote { .. } => "vote",
            Self::Comment { .. } => "comment",
            Self::Post { .. } => "post",
        }
    }
}

/// A change and the moments of its COMMIT.
struct Written {
    change: Change,
    /// How long BEGIN took, which does nothing but travel.
    round_trip: Duration,
    sent: Instant,
    answered: Instant,
}

/// Runs the benchmark and prints its table.
pub async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (server, programs) = forum::server()?;
    let url = forum::create(&server, "forum")?;
    forum::migrate(&server, "forum", &forum::migrations())?;
    let mut service = Service::start(&url).await?;
    println!(
        "PostgreSQL {}, fsync and synchronous_commit on; {} clients in one board, {} changes/s for {} s; load average at the start {}",
        programs.version(),
        arguments.clients,
        arguments.rate,
        arguments.seconds,
        load_average()
    );

    let (last, _) = watch::channel(None);
    let mut browsers = JoinSet::new();
    let mut token = String::new();
    for number in 0..arguments.clients {
        if number % BROWSERS_OF_ONE == 0 {
            token = token_of(&Person::new(&(1 + number / BROWSERS_OF_ONE).to_string(), COMMUNITY)).await?;
        }
        let mut client = Client::connect(service.port, &token).await?;
        client.join_board(BOARD).await?;
        browsers.spawn(listen(client, last.subscribe()));
    }

    let mut writer = Writer::open(&url).await?;
    writer.write(WARM_UP, arguments.rate).await?;
    let written = writer.write(arguments.rate * arguments.seconds, arguments.rate).await?;
    // Behind everything else, so that who hears it has been told everything.
    let closing = writer.post().await?.change;
    last.send_replace(Some(closing));
    let heard = timeout(ALL_WITHIN, async {
        let mut all = Vec::new();
        while let Some(heard) = browsers.join_next().await {
            all.push(heard.map_err(|error| BenchError::Unproved(format!("a client ended: {error}")))??);
        }
        Ok::<_, BenchError>(all)
    });
    let late = |_| BenchError::Unproved(format!("not every client had heard the last change {ALL_WITHIN:?} after it"));
    let heard = heard.await.map_err(late)??;
    service.require_ready().await?;
    service.stop()?;
    print_table(&written, &heard)?;
    writer.session.close().await;
    Ok(server.stop()?)
}

/// Everything a browser heard, each with its moment, up to the last change.
async fn listen(
    mut client: Client,
    mut last: watch::Receiver<Option<Change>>,
) -> Result<HashMap<Change, Instant>, BenchError> {
    let mut all = HashMap::new();
    loop {
        if last.borrow_and_update().is_some_and(|last| all.contains_key(&last)) {
            return Ok(all);
        }
        tokio::select! {
            heard = client.next_event() => {
                let heard = heard?;
                if let Some(change) = Change::heard(&heard) {
                    all.entry(change).or_insert(heard.at);
                }
            }
            // Looked at above. An error means that nobody asks any more, and then this task is about to be dropped.
            _ = last.changed() => {}
        }
    }
}

/// Writes as the forum does, on one connection.
struct Writer {
    session: Session,
    vote: Statement,
    raise_votes: Statement,
    comment: Statement,
    raise_comments: Statement,
    post: Statement,
    /// Counts the changes, and draws from them who writes to which post.
    number: u32,
    random: u32,
}

impl Writer {
    async fn open(url: &str) -> Result<Self, BenchError> {
        let session = Session::open(url).await?;
        let prepare = async |text: &str| {
            session.client.prepare(text).await.map_err(BenchError::database("understand a statement of the forum"))
        };
        let vote = prepare(include_str!("../sql/vote.sql")).await?;
        let raise_votes = prepare(include_str!("../sql/upvote_count_raise.sql")).await?;
        let comment = prepare(include_str!("../sql/comment.sql")).await?;
        let raise_comments = prepare(include_str!("../sql/comment_count_raise.sql")).await?;
        let post = prepare(include_str!("../sql/post.sql")).await?;
        Ok(Self { session, vote, raise_votes, comment, raise_comments, post, number: 0, random: 0x9e37_79b9 })
    }

    /// Writes so many changes, a vote, a comment and a post in turn.
    async fn write(&mut self, changes: u32, rate: u32) -> Result<Vec<Written>, BenchError> {
        let mut written = Vec::with_capacity(changes as usize);
        let mut due = tokio::time::Instant::now();
        for _ in 0..changes {
            // Half to one and a half times the mean distance.
            self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            due += Duration::from_secs_f64((0.5 + f64::from(self.random >> 8) / f64::from(1 << 24)) / f64::from(rate));
            sleep_until(due).await;
            written.push(match self.number % 3 {
                0 => self.vote().await?,
                1 => self.comment().await?,
                _ => self.post().await?,
            });
        }
        Ok(written)
    }

    /// The next post to change and who changes it: never the same pair twice.
    fn next(&mut self) -> (i32, String) {
        self.number += 1;
        // Post n stands in board 1 + n % 10. Up to post 1,000 and below 100,000 people both fit.
        ((10 * (1 + self.number % POSTS)) as i32, (1 + self.number / POSTS).to_string())
    }

    async fn vote(&mut self) -> Result<Written, BenchError> {
        let (post, user) = self.next();
        let (client, refused) = (&self.session.client, BenchError::database);
        let asked = self.begin().await?;
        client.execute(&self.vote, &[&user, &post]).await.map_err(refused("take a vote"))?;
        let row = client.query_one(&self.raise_votes, &[&post]).await.map_err(refused("count a vote"))?;
        let change = Change::Vote { post: post.into(), count: row.get::<_, i32>(0).into() };
        self.commit(change, asked).await
    }

    async fn comment(&mut self) -> Result<Written, BenchError> {
        let (post, user) = self.next();
        let (client, refused) = (&self.session.client, BenchError::database);
        let asked = self.begin().await?;
        let content = "An answer of a sentence or two.";
        client.query_one(&self.comment, &[&post, &user, &content]).await.map_err(refused("take a comment"))?;
        let row = client.query_one(&self.raise_comments, &[&post]).await.map_err(refused("count a comment"))?;
        let change = Change::Comment { post: post.into(), count: row.get::<_, i32>(0).into() };
        self.commit(change, asked).await
    }

    async fn post(&mut self) -> Result<Written, BenchError> {
        let (_, user) = self.next();
        let (client, refused) = (&self.session.client, BenchError::database);
        let asked = self.begin().await?;
        let tags: &[&str] = &["tide"];
        let row = client.query_one(&self.post, &[&user, &"News", &"A question.", &tags, &BOARD]).await;
        let post = row.map_err(refused("take a post"))?.get::<_, i32>(0);
        self.commit(Change::Post { post: post.into() }, asked).await
    }

    /// Begins a transaction; gives how long that took.
    async fn begin(&self) -> Result<Duration, BenchError> {
        let before = Instant::now();
        self.session.run("begin a transaction", "BEGIN").await?;
        Ok(before.elapsed())
    }

    async fn commit(&self, change: Change, round_trip: Duration) -> Result<Written, BenchError> {
        let sent = Instant::now();
        self.session.run("commit", "COMMIT").await?;
        Ok(Written { change, round_trip, sent, answered: Instant::now() })
    }
}

/// The machine's own times, then what the service adds. Fails when a delivery is missing.
fn print_table(written: &[Written], heard: &[HashMap<Change, Instant>]) -> Result<(), BenchError> {
    let mut deliveries = Vec::with_capacity(written.len() * heard.len());
    for browser in heard {
        for one in written {
            if let Some(at) = browser.get(&one.change) {
                deliveries.push((one, *at));
            }
        }
    }
    let missing = written.len() * heard.len() - deliveries.len();
    if missing > 0 {
        return Err(BenchError::Unproved(format!("{missing} deliveries never came")));
    }
    println!("\nmilliseconds                                p50      p90      p99      max");
    print_row("BEGIN, round trip", written.iter().map(|one| milliseconds(one.round_trip)));
    print_row("COMMIT, round trip", written.iter().map(|one| milliseconds(one.answered - one.sent)));
    for kind in ["vote", "comment", "post"] {
        let these = deliveries.iter().filter(|(one, _)| one.change.name() == kind);
        print_row(&format!("answered -> received, {kind}"), these.map(|(one, at)| between(one.answered, *at)));
    }
    print_row("answered -> received, all", deliveries.iter().map(|(one, at)| between(one.answered, *at)));
    print_row("COMMIT sent -> received, all", deliveries.iter().map(|(one, at)| between(one.sent, *at)));
    println!("\n{} changes, each received by all of {} clients", written.len(), heard.len());
    if let Some(all) = Sample::new(deliveries.iter().map(|(one, at)| between(one.answered, *at))) {
        for (name, share, target) in TARGETS {
            let kept = if all.quantile(share) <= target { "kept" } else { "missed" };
            println!("answered -> received: {name} within {target} ms {kept}");
        }
    }
    println!("load average at the end {} (ours in it)", load_average());
    Ok(())
}

fn print_row(name: &str, values: impl Iterator<Item = f64>) {
    let Some(sample) = Sample::new(values) else { return };
    let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| sample.quantile(share));
    println!("  {name:<34} {p50:>8.2} {p90:>8.2} {p99:>8.2} {max:>8.2}");
}

/// Negative where a browser was told before the writer had its answer.
fn between(from: Instant, to: Instant) -> f64 {
    to.checked_duration_since(from).map_or_else(|| -milliseconds(from - to), milliseconds)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
