//! The service as it is deployed: the program, with settings, over a database.

use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

use curia_scratch::{Keeper, free_port};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::{sleep, timeout},
};

use crate::{error::BenchError, forum::COMMUNITY};

const SECRET: &str = "a secret of the benchmarks that guards nothing";
const READY_WITHIN: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(20);

/// A running service.
pub struct Service {
    pub port: u16,
    keeper: Keeper,
}

impl Service {
    /// Starts it over `database` and waits until it reads the outbox.
    pub async fn start(database: &str) -> Result<Self, BenchError> {
        Self::start_with(database, &[]).await
    }

    /// With these flags beside the usual ones.
    pub async fn start_with(database: &str, flags: &[&str]) -> Result<Self, BenchError> {
        let port = free_port()?;
        let word = port.to_string();
        let words =
            ["serve", "--database-url", database, "--host", "127.0.0.1", "--port", &word, "--rust-log", "error"];
        // Whoever measured has seen enough when it is told to go.
        let more = ["--jwt-secret", SECRET, "--drain", "100ms"];
        let keeper = Keeper::start(program()?, words.into_iter().chain(more).chain(flags.iter().copied()))?;
        let mut service = Self { port, keeper };
        let until = Instant::now() + READY_WITHIN;
        loop {
            service.require_alive()?;
            let said = service.ready().await;
            if said.starts_with("HTTP/1.1 200") {
                return Ok(service);
            }
            if Instant::now() > until {
                return Err(BenchError::NotReady { within: READY_WITHIN, said });
            }
            sleep(GLANCE).await;
        }
    }

    /// Fails when it has ended by itself.
    pub fn require_alive(&mut self) -> Result<(), BenchError> {
        self.keeper.ended()?.map_or(Ok(()), |status| Err(BenchError::ServiceEnded(status)))
    }

    /// Fails unless it lives and reads the outbox.
    pub async fn require_ready(&mut self) -> Result<(), BenchError> {
        self.require_alive()?;
        let said = self.ready().await;
        if said.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(BenchError::NotReady { within: GLANCE, said }) }
    }

    /// What `/readyz` answers, or why it does not.
    async fn ready(&self) -> String {
        self.get("/readyz").await
    }

    /// The value of a metric; 0 where nothing was recorded yet.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_default()
    }

    async fn get(&self, path: &str) -> String {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        match timeout(READY_WITHIN, ask).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{path} does not answer"),
        }
    }

    /// Ends it.
    pub fn stop(mut self) -> Result<(), BenchError> {
        Ok(self.keeper.end()?)
    }
}

/// A token of the forum, signed by the program itself.
pub async fn token(user: &str) -> Result<String, BenchError> {
    let output = Command::new(program()?)
        .args(["token", "--user", user, "--community", COMMUNITY, "--jwt-secret", SECRET])
        .output()
        .await
        .map_err(BenchError::io("run `curia-realtime token`"))?;
    if !output.status.success() {
        return Err(BenchError::Unproved(format!(
            "`curia-realtime token` failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The service lies where cargo built us.
fn program() -> Result<PathBuf, BenchError> {
    let ours = env::current_exe().map_err(BenchError::io("find this program's own file"))?;
    let path = ours.with_file_name("curia-realtime");
    if path.is_file() { Ok(path) } else { Err(BenchError::NoService(path)) }
}
