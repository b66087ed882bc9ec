//! The forum's load, by pgbench.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use curia_scratch::PostgresPrograms;
use tokio::process::Command;

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
    /// That count; some more go before.
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
    /// Over the seconds that count.
    pub a_second: f64,
}

/// The program, beside the server's or in `PATH`.
pub fn find(programs: &PostgresPrograms) -> Result<PathBuf, BenchError> {
    let beside = programs.folder().join("pgbench");
    if beside.is_file() { Ok(beside) } else { curia_scratch::program("pgbench").ok_or(BenchError::NoPgbench) }
}

/// Runs the load to its end.
pub async fn run(program: &Path, load: &Load<'_>) -> Result<Rate, BenchError> {
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
    command.arg(load.database).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(BenchError::io("run pgbench"))?;
    let (said, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match read(&said, &progress) {
        Some(rate) if output.status.success() => Ok(rate),
        _ => Err(BenchError::Pgbench { status: output.status, said: [said.trim(), progress.trim()].join("\n") }),
    }
}

/// Reads the summary and the lines of each second; `None` where a transaction failed, since each of these must commit.
fn read(said: &str, progress: &str) -> Option<Rate> {
    let after = |label: &str| said.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
    let first = |text: &str| text.split([' ', '/']).next().map(str::to_owned);
    let failed: u64 = first(after("number of failed transactions:").unwrap_or("0"))?.parse().ok()?;
    let commits = first(after("number of transactions actually processed:")?)?.parse().ok()?;
    (failed == 0).then_some(Rate { commits, a_second: rate_behind_the_beginning(progress)? })
}

/// From lines like `progress: 3.0 s, 4711.9 tps, lat 6.7 ms`: the time since the start, and the rate since the line before.
fn rate_behind_the_beginning(progress: &str) -> Option<f64> {
    let (mut before, mut seconds, mut commits) = (0.0, 0.0, 0.0);
    for line in progress.lines() {
        let Some((at, rest)) = line.strip_prefix("progress: ").and_then(|line| line.split_once(" s, ")) else {
            continue;
        };
        let (at, rate): (f64, f64) = (at.parse().ok()?, rest.split_once(" tps")?.0.parse().ok()?);
        // A line comes within some milliseconds of its second.
        if before + 0.5 >= f64::from(BEGINNING) {
            seconds += at - before;
            commits += rate * (at - before);
        }
        before = at;
    }
    (seconds > 0.0).then(|| commits / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "transaction type: multiple scripts\nnumber of transactions actually processed: 12345\n\
         number of failed transactions: 0 (0.000%)\nlatency average = 3.2 ms\n\
         tps = 2469.125 (without initial connection time)\nSQL script 1: vote\n - 6000 transactions (48% of total, tps = 1200.1)\n";
    const PROGRESS: &str = "pgbench (15.8)\nprogress: 1.0 s, 100.0 tps, lat 6.7 ms stddev 2.1, 0 failed\n\
         progress: 2.0 s, 200.0 tps, lat 6.7 ms stddev 2.1, 0 failed\nprogress: 3.0 s, 300.0 tps, lat 6.7 ms\n\
         progress: 5.0 s, 600.0 tps, lat 6.7 ms\n";

    #[test]
    fn the_summary_is_read_and_the_beginning_left_out() {
        assert_eq!(read(SAID, PROGRESS), Some(Rate { commits: 12345, a_second: 500.0 }));
        assert_eq!(read(&SAID.replace("transactions: 0", "transactions: 3"), PROGRESS), None);
        assert_eq!(read(SAID, "progress: 1.0 s, 100.0 tps, lat 6.7 ms\n"), None);
        assert_eq!(read("pgbench: error: connection refused", ""), None);
    }
}
