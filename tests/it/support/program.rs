//! The program itself, as a user runs it: in a directory of its own and with no environment but the one it is given.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::http::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{service::SECRET, wire::http};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A working directory, empty but for what a test puts there.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("place-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes `.env`.
    pub fn env_file(self, text: &str) -> Self {
        std::fs::write(self.0.join(".env"), text).expect("a file");
        self
    }

    /// The program in here, with these variables alone.
    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_curia-realtime"));
        command.args(arguments).current_dir(&self.0).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let output = tokio::process::Command::from(self.command(arguments, environment)).output().await.expect("a run");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is below the build directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the program to its end in an empty directory.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    Place::new().run(arguments, environment).await
}

/// How many lines have this text.
pub fn count(log: &[Value], text: &str) -> usize {
    log.iter().filter(|line| line.to_string().contains(text)).count()
}

/// The program as it serves, which a test can send signals and ask for its metrics.
pub struct Serving {
    pub url: String,
    process: Child,
    /// What it has logged.
    log: watch::Receiver<Vec<Value>>,
    /// Reads on, since a log that nobody reads would stop the program.
    reading: JoinHandle<()>,
    _place: Place,
}

impl Serving {
    /// Serves a test's database with these flags, and follows it.
    pub async fn start(database_url: &str, flags: &[&str]) -> Self {
        Self::start_with(database_url, &[("JWT_SECRET", SECRET)], flags).await
    }

    /// As [`Serving::start`], with other variables than the secret.
    pub async fn start_with(database_url: &str, variables: &[(&str, &str)], flags: &[&str]) -> Self {
        let place = Place::new();
        let usual = ["serve", "--host", "127.0.0.1", "--port", "0", "--log-format", "json"];
        let environment = [&[("DATABASE_URL", database_url)], variables].concat();
        let command = place.command(&[&usual, flags].concat(), &environment);
        let mut command = tokio::process::Command::from(command);
        let mut process = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("the program");
        let mut lines = BufReader::new(process.stderr.take().expect("its log")).lines();
        let mut log = Vec::new();
        let url = loop {
            let line = timeout(PATIENCE, lines.next_line()).await.expect("a line").expect("text").expect("a line");
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            log.push(line.clone());
            if line["fields"]["message"] == "listening" {
                break format!("http://{}", line["fields"]["address"].as_str().expect("an address"));
            }
        };
        let (lines_so_far, log) = watch::channel(log);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(line) = serde_json::from_str(&line) else {
                    // A panic of the program, most likely, of several lines.
                    let mut text = line;
                    while let Ok(Ok(Some(line))) = timeout(PATIENCE, lines.next_line()).await {
                        text = format!("{text}\n{line}");
                    }
                    panic!("no JSON: {text}")
                };
                lines_so_far.send_modify(|log| log.push(line));
            }
        });
        Self { url, process, log, reading, _place: place }
    }

    /// How many lines of its log have this text.
    pub fn said(&self, text: &str) -> usize {
        count(&self.log.borrow(), text)
    }

    /// Waits for a line of its log with this text.
    pub async fn until_said(&self, text: &str) {
        let mut log = self.log.clone();
        let waiting = log.wait_for(|log| count(log, text) > 0);
        let said = timeout(PATIENCE, waiting).await.is_ok_and(|said| said.is_ok());
        assert!(said, "it does not say: {text}");
    }

    /// Waits until it reads the stream.
    pub async fn until_ready(&self) {
        let asking = async {
            while http(&self.url, Method::GET, "/readyz", &[], String::new()).await.status() != StatusCode::OK {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, asking).await.expect("a service that is ready");
    }

    /// Ends it as a machine that loses power does: it can do nothing about it.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("a process that runs");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().expect("a process that runs").to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
    }

    /// Waits for its end and gives the exit code.
    pub async fn ended(mut self) -> Option<i32> {
        timeout(PATIENCE, self.process.wait()).await.expect("an end").expect("a status").code()
    }

    /// Ends it as an operator does and gives its whole log.
    pub async fn stop(mut self) -> Vec<Value> {
        self.terminate();
        let status = timeout(PATIENCE, self.process.wait()).await.expect("an end").expect("a status");
        assert_eq!(status.code(), Some(0));
        self.reading.await.expect("a log");
        self.log.borrow().clone()
    }

    /// The value of a metric, none where nothing was recorded yet.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = http(&self.url, Method::GET, "/metrics", &[], String::new()).await.into_body();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a number"))
    }

    /// Waits until a metric has this value.
    pub async fn until_metric(&self, name: &str, value: f64) {
        let asking = async {
            while self.metric(name).await != Some(value) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{name} does not become {value}"));
    }
}
