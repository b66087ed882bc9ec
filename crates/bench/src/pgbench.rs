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
/// What a second of load may draw of the pairs of user and post: more than disks can commit.
pub const PAIRS_A_SECOND: u64 = 50_000;

/// The load of one round.
pub struct Load<'a> {
    pub database: &'a str,
    pub clients: u32,
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
    pub commits: u64,
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
    command.args(["--no-vacuum", "--protocol=extended", "--jobs=2"]);
    command.args([format!("--client={}", load.clients), format!("--time={}", load.seconds)]);
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
    let said = String::from_utf8_lossy(&output.stdout);
    match read(&said) {
        Some(rate) if output.status.success() => Ok(rate),
        _ => {
            let said = [said.trim(), String::from_utf8_lossy(&output.stderr).trim()].join("\n");
            Err(BenchError::Pgbench { status: output.status, said })
        }
    }
}

/// Reads the summary; `None` where a transaction failed, since each of these must commit.
fn read(said: &str) -> Option<Rate> {
    let after = |label: &str| said.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
    let first = |text: &str| text.split([' ', '/']).next().map(str::to_owned);
    let failed: u64 = first(after("number of failed transactions:").unwrap_or("0"))?.parse().ok()?;
    let commits = first(after("number of transactions actually processed:")?)?.parse().ok()?;
    let a_second = first(after("tps =")?)?.parse().ok()?;
    (failed == 0).then_some(Rate { commits, a_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read() {
        let said = "transaction type: multiple scripts\nnumber of transactions actually processed: 12345\n\
                    number of failed transactions: 0 (0.000%)\nlatency average = 3.2 ms\n\
                    tps = 2469.125 (without initial connection time)\nSQL script 1: vote\n - 6000 transactions (48% of total, tps = 1200.1)\n";
        assert_eq!(read(said), Some(Rate { commits: 12345, a_second: 2469.125 }));
        assert_eq!(read(&said.replace("transactions: 0", "transactions: 3")), None);
        assert_eq!(read("pgbench: error: connection refused"), None);
    }
}
