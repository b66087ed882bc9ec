//! The real socket.io-client in Node, driven line by line.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Starts a client; what happens first is read with [`Client::next`]. Of several transports, separated by commas, it
    /// begins with the first and goes over to the next.
    pub fn start(url: &str, token: &str, transport: &str) -> Self {
        Self::run(&[url, token, transport], &[])
    }

    /// As [`Client::start`], from an address of this machine.
    pub fn start_from(address: &str, url: &str, token: &str, transport: &str) -> Self {
        Self::run(&[url, token, transport], &[("FROM", address)])
    }

    /// As [`Client::start`], but it comes back by itself after its connection was lost.
    pub fn start_returning(url: &str, token: &str, transport: &str) -> Self {
        Self::run(&[url, token, transport, "returns"], &[])
    }

    fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/client.mjs"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node, and `npm ci` in tests/browser; `cargo xtask test` sees to both");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { _process: process, input, output }
    }

    /// A client that is connected and has been told `session:ready`.
    pub async fn connected(url: &str, token: &str, transport: &str) -> Self {
        let mut client = Self::start(url, token, transport);
        client.has_entered().await;
        client
    }

    /// The next things that happen are that it connects and is told `session:ready`.
    pub async fn has_entered(&mut self) {
        assert_eq!(self.next().await, json!(["connect"]));
        assert_eq!(self.next().await[0], "session:ready");
    }

    /// The next thing that happened, `[what, ...]`, but for who came and went.
    pub async fn next(&mut self) -> Value {
        loop {
            let happened = self.next_of_all().await;
            if !happened[0].as_str().is_some_and(|what| what.starts_with("user:")) {
                return happened;
            }
        }
    }

    /// The next thing that happened, whatever it is.
    pub async fn next_of_all(&mut self) -> Value {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("something to happen");
        serde_json::from_str(&line.expect("its output").expect("a client that runs")).expect("JSON")
    }

    /// Emits without a callback.
    pub async fn tell(&mut self, event: &str, argument: Value) {
        let line = format!("{}\n", json!({"tell": [event, argument]}));
        self.input.write_all(line.as_bytes()).await.expect("its input");
    }

    /// Disconnects and connects, as a page does that has another token.
    pub async fn come_again(&mut self) {
        self.input.write_all(b"\"again\"\n").await.expect("its input");
        assert_eq!(self.next().await, json!(["disconnect", "io client disconnect"]));
        self.has_entered().await;
    }

    /// Emits with a callback, as soon as it is connected; the answer is read with [`Client::next`].
    pub async fn emit(&mut self, event: &str, argument: Value) {
        let line = format!("{}\n", json!([event, argument]));
        self.input.write_all(line.as_bytes()).await.expect("its input");
    }

    /// As [`Client::ask`], with how many milliseconds the client waited.
    pub async fn time(&mut self, event: &str, argument: Value) -> (Value, f64) {
        let line = format!("{}\n", json!({"time": [event, argument]}));
        self.input.write_all(line.as_bytes()).await.expect("its input");
        let answer = self.next().await;
        assert_eq!(answer[0], "took", "{answer}");
        (answer[2].clone(), answer[1].as_f64().expect("a time"))
    }

    /// Emits with a callback and gives its answer, which has to be the next thing that happens but for who came and went.
    pub async fn ask(&mut self, event: &str, argument: Value) -> Value {
        self.emit(event, argument).await;
        let answer = self.next().await;
        assert_eq!((&answer[0], &answer[1]), (&json!("ack"), &json!(event)), "{answer}");
        answer[2].clone()
    }
}
