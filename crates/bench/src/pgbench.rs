//! The forum's load, by pgbench, which can be held in the middle so that others have the machine meanwhile.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use curia_scratch::PostgresPrograms;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
    time::sleep_until,
};

use crate::error::BenchError;

/// One after the other, in equal numbers on average.
const SCRIPTS: [&str; 2] = ["vote.pgbench.sql", "comment.pgbench.sql"];
const CONTENT: &str = "A comment of ordinary length: two or three sentences that answer the post above, quote half of a line from it \
     and end with a question, so that the next one has something to say as well.";
/// Seconds of each load that count for nobody: every connection loads PL/pgSQL and parses each function once, as those of a pool do
/// once in their lives.
const BEGINNING: u32 = 2;

/// What so many seconds of load may draw of the pairs of user and post: more than disks can commit.
pub fn pairs(seconds: u64) -> u64 {
    (seconds + u64::from(BEGINNING)) * 50_000
}

/// The load of one round.
pub struct Load<'a> {
    pub database: &'a str,
    pub clients: u32,
    /// For how long, also while it is held; the beginning goes before.
    pub seconds: u32,
    /// Transactions a second; as many as it can without one.
    pub rate: Option<u32>,
    /// Pairs of user and post that earlier loads may have drawn, so that no vote is given twice.
    pub drawn: u64,
    pub people: People,
}

/// How many people and posts a forum has, with ids from 1.
#[derive(Clone, Copy, Debug)]
pub struct People {
    pub users: u64,
    pub posts: u64,
}

/// What pgbench counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// From the first to the last.
    pub commits: u64,
    /// Behind the beginning, over the time in which it was not held.
    pub a_second: f64,
}

/// The program, beside the server's or in `PATH`.
pub fn find(programs: &PostgresPrograms) -> Result<PathBuf, BenchError> {
    let beside = programs.folder().join("pgbench");
    if beside.is_file() { Ok(beside) } else { curia_scratch::program("pgbench").ok_or(BenchError::NoPgbench) }
}

/// Runs the load to its end.
pub async fn run(program: &Path, load: &Load<'_>) -> Result<Rate, BenchError> {
    Running::start(program, load)?.finish().await
}

/// A load that has begun.
///
/// It is a process group of its own: where this process dies while it is held, the kernel wakes it to hang it up (POSIX, `_exit`: a group
/// that becomes orphaned and has a stopped member), and else it ends with its server.
pub struct Running {
    child: Child,
    said: JoinHandle<String>,
    progress: JoinHandle<Progress>,
    /// Told when the beginning is over.
    begun: oneshot::Receiver<()>,
    /// Until when it runs.
    until: Instant,
    /// Since when it runs, unless it is held.
    since: Option<Instant>,
    /// From when until when it ran before.
    turns: Vec<(Instant, Instant)>,
}

impl Running {
    /// Begins.
    pub fn start(program: &Path, load: &Load<'_>) -> Result<Self, BenchError> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let mut command = Command::new(program);
        // Parsed anew for each statement, as the forum's driver does with its unnamed statements.
        command.args(["--no-vacuum", "--protocol=extended", "--jobs=2", "--progress=1"]);
        command.args([format!("--client={}", load.clients), format!("--time={}", load.seconds + BEGINNING)]);
        if let Some(rate) = load.rate {
            command.arg(format!("--rate={rate}"));
        }
        for (name, value) in [
            ("clients", u64::from(load.clients).to_string()),
            ("first", load.drawn.to_string()),
            ("given", "0".to_owned()),
            ("users", load.people.users.to_string()),
            ("posts", load.people.posts.to_string()),
            ("content", CONTENT.to_owned()),
        ] {
            command.arg(format!("--define={name}={value}"));
        }
        for script in SCRIPTS {
            command.arg("--file").arg(scripts.join(script));
        }
        command.arg(load.database).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        let mut child = command.spawn().map_err(BenchError::io("run pgbench"))?;
        let (said, progress) = (child.stdout.take(), child.stderr.take());
        let said = tokio::spawn(async move {
            let mut text = String::new();
            if let Some(mut said) = said {
                // What is missing is missed by whoever reads it.
                let _ = said.read_to_string(&mut text).await;
            }
            text
        });
        let (begins, begun) = oneshot::channel();
        let progress = tokio::spawn(async move {
            let (mut all, mut begins) = (Progress::default(), Some(begins));
            if let Some(progress) = progress {
                let mut lines = BufReader::new(progress).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    all.take(line, Instant::now());
                    if all.beginning().is_some() {
                        // Nobody may want to know.
                        let _ = begins.take().map(|begins| begins.send(()));
                    }
                }
            }
            all
        });
        let now = Instant::now();
        let until = now + Duration::from_secs(u64::from(load.seconds + BEGINNING));
        Ok(Self { child, said, progress, begun, until, since: Some(now), turns: Vec::new() })
    }

    /// Waits until the beginning is over; also where it ended before, which [`Running::finish`] says. To be called once.
    pub async fn has_begun(&mut self) {
        let _ = (&mut self.begun).await;
    }

    /// Holds it; what its connections have sent is done to the end.
    pub async fn hold(&mut self) -> Result<(), BenchError> {
        if Instant::now() >= self.until {
            return Err(BenchError::Unproved(
                "pgbench's time ran out before its last turn; the loads took too long to begin".to_owned(),
            ));
        }
        self.signal("STOP").await?;
        self.turns.extend(self.since.take().map(|since| (since, Instant::now())));
        Ok(())
    }

    /// Lets it go on.
    pub async fn go_on(&mut self) -> Result<(), BenchError> {
        self.since = Some(Instant::now());
        self.signal("CONT").await
    }

    /// Waits until its time is over; one that is held is let go by then.
    pub async fn finish(mut self) -> Result<Rate, BenchError> {
        if self.since.is_none() {
            sleep_until(self.until.into()).await;
            self.go_on().await?;
        }
        let status = self.child.wait().await.map_err(BenchError::io("wait for pgbench"))?;
        self.turns.extend(self.since.take().map(|since| (since, Instant::now())));
        let (said, progress) = (self.said.await.unwrap_or_default(), self.progress.await.unwrap_or_default());
        let rate = commits(&said).and_then(|commits| {
            Some(Rate { commits, a_second: progress.rate_behind_the_beginning(commits, &self.turns)? })
        });
        rate.filter(|_| status.success()).ok_or_else(|| failed(status, &said, &progress))
    }

    async fn signal(&self, name: &str) -> Result<(), BenchError> {
        let Some(process) = self.child.id() else {
            return Err(BenchError::Unproved("pgbench ended before its time".to_owned()));
        };
        let kill = ["-c", "kill -s \"$1\" \"$2\"", "kill", name, &process.to_string()];
        let status = Command::new("/bin/sh").args(kill).stdin(Stdio::null()).status().await;
        match status.map_err(BenchError::io("run /bin/sh"))? {
            status if status.success() => Ok(()),
            status => Err(BenchError::Unproved(format!("pgbench could not be sent SIG{name} ({status})"))),
        }
    }
}

fn failed(status: ExitStatus, said: &str, progress: &Progress) -> BenchError {
    BenchError::Pgbench { status, said: [said.trim(), progress.text.trim()].join("\n") }
}

/// Of the summary: how many transactions committed. `None` where one failed, since each of these must commit.
fn commits(said: &str) -> Option<u64> {
    let after = |label: &str| said.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
    let first = |text: &str| text.split([' ', '/']).next().map(str::to_owned);
    let failed: u64 = first(after("number of failed transactions:").unwrap_or("0"))?.parse().ok()?;
    (failed == 0).then_some(first(after("number of transactions actually processed:")?)?.parse().ok()?)
}

/// What it said while it ran.
#[derive(Debug, Default)]
struct Progress {
    text: String,
    /// By when it has committed how many. A line comes within some milliseconds of its second.
    commits: Vec<(Instant, f64)>,
    /// By its own clock.
    seconds: f64,
}

impl Progress {
    /// Of lines like `progress: 3.0 s, 4711.9 tps, lat 6.7 ms`: the time since the start, and the rate since the line before.
    fn take(&mut self, line: String, now: Instant) {
        let read = |line: &str| {
            let (at, rest) = line.strip_prefix("progress: ")?.split_once(" s, ")?;
            Some((at.parse::<f64>().ok()?, rest.split_once(" tps")?.0.parse::<f64>().ok()?))
        };
        if let Some((at, rate)) = read(&line) {
            let before = self.commits.last().map_or(0.0, |(_, commits)| *commits);
            self.commits.push((now, before + rate * (at - self.seconds)));
            self.seconds = at;
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }

    /// The line that ends the beginning, if it came so far.
    fn beginning(&self) -> Option<(Instant, f64)> {
        self.commits.get(BEGINNING as usize - 1).copied()
    }

    /// What was committed behind the line that ends the beginning, by the time in which it was not held since.
    fn rate_behind_the_beginning(&self, commits: u64, turns: &[(Instant, Instant)]) -> Option<f64> {
        let (began, before) = self.beginning()?;
        let ran = turns.iter().map(|(from, until)| until.saturating_duration_since(began.max(*from)));
        let ran = ran.sum::<Duration>().as_secs_f64();
        (ran > 0.0).then(|| (commits as f64 - before) / ran)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "transaction type: multiple scripts\nnumber of transactions actually processed: 3300\n\
         number of failed transactions: 0 (0.000%)\nlatency average = 3.2 ms\n\
         tps = 2469.125 (without initial connection time)\nSQL script 1: vote\n - 6000 transactions (48% of total, tps = 1200.1)\n";

    #[test]
    fn the_summary_is_read_and_a_failed_transaction_is_none() {
        assert_eq!(commits(SAID), Some(3300));
        assert_eq!(commits(&SAID.replace("transactions: 0", "transactions: 3")), None);
        assert_eq!(commits("pgbench: error: connection refused"), None);
    }

    #[test]
    fn the_beginning_and_the_time_in_which_it_was_held_are_left_out() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut progress = Progress::default();
        let lines = ["pgbench (15.8)", "progress: 1.0 s, 100.0 tps, lat 6.7 ms stddev 2.1, 0 failed"];
        lines.iter().for_each(|line| progress.take((*line).to_owned(), at(1.0)));
        let turns = [(at(0.0), at(2.5)), (at(10.0), at(13.0)), (at(20.0), at(22.5))];
        assert_eq!(progress.rate_behind_the_beginning(3300, &turns), None, "it did not come so far");
        progress.take("progress: 2.0 s, 200.0 tps, lat 6.7 ms".to_owned(), at(2.0));
        // Once it goes on, the seconds in which it was held are in its own clock.
        progress.take("progress: 11.0 s, 50.0 tps, lat 6.7 ms".to_owned(), at(11.0));
        assert_eq!(progress.rate_behind_the_beginning(3300, &turns), Some(500.0));
    }
}
