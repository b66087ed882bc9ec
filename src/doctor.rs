//! What stands between the service and its work: what was found, judged and put into words.
//!
//! Pure. Whoever asked PostgreSQL, Redis and the system hands over what they answered, or why they did not; each check becomes one
//! [`Finding`], and whatever is not in order says what to do next. Nothing secret is handed over, so nothing secret is said.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::why::text::printable;

pub mod database;
pub mod keys;
pub mod process;
pub mod redis;
pub mod stream;

/// Why there is no answer, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered(pub String);

/// What was asked for, where there is an answer.
pub type Asked<T> = Result<T, Unanswered>;

/// How a check went. What is not in order says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// The service works, and somebody should know of it.
    Note(String),
    /// The service does not work, or not as it is set up.
    Wrong(String),
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub what: &'static str,
    pub found: String,
    pub verdict: Verdict,
}

impl Finding {
    /// In order.
    pub fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, found: found.into(), verdict: Verdict::Ok }
    }

    /// To be known, and what to do where it is not meant so.
    pub fn note(what: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what, found: found.into(), verdict: Verdict::Note(next.into()) }
    }

    /// Wrong, and what mends it.
    pub fn wrong(what: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what, found: found.into(), verdict: Verdict::Wrong(next.into()) }
    }

    /// An error of ours, which mostly tells after a semicolon what to do; else this is.
    pub fn error(what: &'static str, text: &str, otherwise: &str) -> Self {
        match text.split_once("; ") {
            Some((found, next)) => Self::wrong(what, found, next),
            None => Self::wrong(what, text, otherwise),
        }
    }

    /// What was judged of an answer, or that there was none.
    pub fn of<T>(what: &'static str, asked: &Asked<T>, judge: impl FnOnce(&T) -> Self) -> Self {
        match asked {
            Ok(answer) => judge(answer),
            Err(Unanswered(why)) => Self::wrong(
                what,
                format!("could not be looked at: {why}"),
                "see to what that says, and look again; who waits for whom tells SELECT pid, pg_blocking_pids(pid), state, query FROM pg_stat_activity",
            ),
        }
    }

    /// What to do, unless it is in order.
    pub fn next(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Ok => None,
            Verdict::Note(next) | Verdict::Wrong(next) => Some(next),
        }
    }

    fn label(&self) -> &'static str {
        match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Note(_) => "note",
            Verdict::Wrong(_) => "WRONG",
        }
    }
}

/// All checks, in the order in which they are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(pub Vec<Finding>);

impl Report {
    /// How many are wrong.
    pub fn wrong(&self) -> usize {
        self.0.iter().filter(|finding| matches!(finding.verdict, Verdict::Wrong(_))).count()
    }

    /// One JSON document, with a line break at its end.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Check<'a> {
            verdict: &'a str,
            what: &'a str,
            found: &'a str,
            next: Option<&'a str>,
        }
        #[derive(Serialize)]
        struct Document<'a> {
            wrong: usize,
            checks: Vec<Check<'a>>,
        }
        let checks = self.0.iter().map(|finding| Check {
            verdict: finding.label(),
            what: finding.what,
            found: &finding.found,
            next: finding.next(),
        });
        let checks = checks.collect();
        Ok(serde_json::to_string_pretty(&Document { wrong: self.wrong(), checks })? + "\n")
    }
}

/// One line a check.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|finding| finding.what.len()).max().unwrap_or_default();
        for finding in &self.0 {
            write!(f, "{:5}  {:width$}  {}", finding.label(), finding.what, printable(&finding.found))?;
            if let Some(next) = finding.next() {
                write!(f, "; {}", printable(next))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// As an operator reads it: the largest unit, and the next where there is one.
fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// So many of these.
fn many<N: fmt::Display + From<u8> + PartialEq>(count: N, of: &str) -> String {
    format!("{count} {of}{}", if count == N::from(1) { "" } else { "s" })
}

/// With as many digits as one needs.
fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests;
