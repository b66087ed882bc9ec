//! One command of a longer run: what it prints goes through, its tests are counted, and it ends when we are asked to.

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

/// Tests counted from the closing line of their runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
}

impl Tally {
    /// Adds what nextest's closing line tells: `Summary [  86.561s] 203 tests run: 202 passed, 1 failed, 0 skipped`.
    fn read(&mut self, line: &str) {
        let Some((_, result)) = line.trim().strip_prefix("Summary").and_then(|line| line.split_once(" run: ")) else {
            return;
        };
        for part in result.split(',') {
            let mut words = part.split_whitespace();
            match (words.next(), words.next()) {
                (Some(count), Some("passed")) => self.passed += count.parse().unwrap_or(0),
                (Some(count), Some("failed")) => self.failed += count.parse().unwrap_or(0),
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

/// Runs `command` to its end, or until we are asked to end. What it prints goes through our standard output and error.
pub fn run(command: &mut Command, interrupt: &Interrupt) -> io::Result<(ExitStatus, Tally)> {
    let (status, output, errors) = drive(
        command,
        interrupt,
        |output| pass_through(output, io::stdout()),
        |errors| pass_through(errors, io::stderr()),
    )?;
    Ok((status, output.and(errors)))
}

/// Builds the programs of these packages as they are deployed.
pub fn build_release(packages: &[&str], interrupt: &Interrupt) -> Result<(), Box<dyn std::error::Error>> {
    eprintln!("building for release (the first time takes a few minutes) ...");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--quiet", "--bins"]);
    for package in packages {
        build.args(["--package", package]);
    }
    let (status, _) = run(&mut build, interrupt)?;
    if interrupt.asked() {
        return Err("interrupted".into());
    }
    if status.success() { Ok(()) } else { Err(format!("cargo build failed ({status})").into()) }
}

/// Runs `command` in the same way and keeps what it prints on standard error to be looked into; its standard output is dropped.
pub fn listen(command: &mut Command, interrupt: &Interrupt) -> io::Result<(ExitStatus, String)> {
    let read = |mut from: Box<dyn Read>| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    };
    let (status, _, said) = drive(command, interrupt, read, read)?;
    Ok((status, said))
}

/// Both outputs are read by threads of their own, so that a command never waits for one of them.
fn drive<T: Default + Send + 'static>(
    command: &mut Command,
    interrupt: &Interrupt,
    read_output: impl FnOnce(Box<dyn Read>) -> io::Result<T> + Send + 'static,
    read_errors: impl FnOnce(Box<dyn Read>) -> io::Result<T> + Send + 'static,
) -> io::Result<(ExitStatus, T, T)> {
    // A group of its own, so that a command and all it started can be ended together.
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let output = thread::spawn(move || output.map_or(Ok(T::default()), |output| read_output(Box::new(output))));
    let errors = thread::spawn(move || errors.map_or(Ok(T::default()), |errors| read_errors(Box::new(errors))));
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
    let panicked = |_| io::Error::other("the reader of a command's output panicked");
    Ok((status, output.join().map_err(panicked)??, errors.join().map_err(panicked)??))
}

fn pass_through(output: Box<dyn Read>, mut to: impl Write) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    let mut output = BufReader::new(output);
    while output.read_until(b'\n', &mut line)? > 0 {
        tally.read(&String::from_utf8_lossy(&line));
        to.write_all(&line)?;
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
    fn the_runners_closing_line_is_counted() {
        let mut tally = Tally::default();
        for line in [
            "        PASS [   0.005s] (202/203) xtask::bin/xtask demo::tests::run: 7 passed\n",
            "     Summary [  86.561s] 203 tests run: 200 passed (2 slow), 3 failed, 0 skipped\n",
            "     Summary [   0.100s] 2 tests run: 2 passed, 0 skipped\n",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 202, failed: 3 });
        assert_eq!(tally.to_string(), "202 passed, 3 failed");
    }
}
