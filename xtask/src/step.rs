//! One command of a longer run: its output goes through, its tests are counted, and it ends when we are asked to.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::interrupt::Interrupt;

const GLANCE: Duration = Duration::from_millis(50);
/// How long a command may take to end after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Tests counted from the closing lines of their runners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
}

impl Tally {
    /// Adds what a line tells: `test result: ok. 3 passed; 0 failed; ...`, from each test binary.
    fn read(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        for part in result.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs `command` to its end, or until we are asked to end. Its standard output goes through ours.
pub fn run(command: &mut Command, interrupt: &Interrupt) -> io::Result<(ExitStatus, Tally)> {
    // A group of its own, so that a command and all it started can be ended together.
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn()?;
    let output = child.stdout.take();
    let reader = thread::spawn(move || output.map_or(Ok(Tally::default()), pass_through));
    let mut asked_at = None;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        match asked_at {
            None if interrupt.asked() => {
                signal(&child, "TERM")?;
                asked_at = Some(Instant::now());
            }
            Some(at) if at.elapsed() > END_WITHIN => signal(&child, "KILL")?,
            _ => thread::sleep(GLANCE),
        }
    };
    let tally = reader.join().map_err(|_| io::Error::other("the reader of a command's output panicked"))??;
    Ok((status, tally))
}

fn pass_through(output: impl Read) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    let mut output = BufReader::new(output);
    while output.read_until(b'\n', &mut line)? > 0 {
        tally.read(&String::from_utf8_lossy(&line));
        io::stdout().write_all(&line)?;
        line.clear();
    }
    Ok(tally)
}

/// Sends a signal to a command's whole group. The shell's own `kill` is on every machine.
fn signal(child: &Child, name: &str) -> io::Result<()> {
    let group = format!("-{}", child.id());
    Command::new("/bin/sh").args(["-c", "kill -s \"$0\" -- \"$1\"", name, &group]).status().map(drop)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn every_binary_of_a_run_is_counted() {
        let mut tally = Tally::default();
        for line in [
            "running 12 tests\n",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n",
            "17 passed\n",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 15, failed: 2 });
        assert_eq!(tally.to_string(), "15 passed, 2 failed");
    }
}
