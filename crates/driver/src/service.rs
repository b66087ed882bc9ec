//! The service as it is deployed: the program, with settings, over a database.

use std::{
    env,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use curia_scratch::{Keeper, Port};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::{sleep, timeout},
};

use crate::error::DriverError;

/// What tokens are signed with.
pub const SECRET: &str = "a secret of benchmarks that guards nothing";
/// As a shell says it.
const ENDED_BY_SIGTERM: i32 = 128 + 15;
const READY_WITHIN: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(20);

/// A running service.
pub struct Service {
    pub port: u16,
    /// Kept also while it is about to listen.
    _port: Port,
    keeper: Keeper,
}

impl Service {
    /// Starts the program beside ours over `database` and waits until it reads the outbox.
    pub async fn start(database: &str) -> Result<Self, DriverError> {
        Self::start_with(database, &[]).await
    }

    /// As [`Service::start`], with further flags.
    pub async fn start_with(database: &str, more: &[&str]) -> Result<Self, DriverError> {
        let port = Port::free()?;
        // Whoever measured has seen enough when it is told to go.
        let more = ["--drain", "100ms"].iter().chain(more).map(|word| (*word).to_owned());
        let words = words(database, port.number()).into_iter().chain(more);
        let keeper = Keeper::start(program()?, words)?;
        let mut service = Self { port: port.number(), _port: port, keeper };
        service.until_ready().await?;
        Ok(service)
    }

    /// Starts this program on this port, with further flags. Whatever ends it, [`Service::stop`] too, ends it with SIGKILL.
    pub fn start_to_kill(program: &Path, database: &str, port: &Port, more: &[String]) -> Result<Self, DriverError> {
        let words = words(database, port.number()).into_iter().chain(more.iter().cloned());
        Ok(Self { port: port.number(), _port: port.clone(), keeper: Keeper::start_to_kill(program, words)? })
    }

    /// Waits until it reads the outbox.
    pub async fn until_ready(&mut self) -> Result<(), DriverError> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            self.require_alive()?;
            let said = self.ready().await;
            if said.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(DriverError::NotReady { within: READY_WITHIN, said });
            }
            sleep(GLANCE).await;
        }
    }

    /// Fails when it has ended by itself.
    pub fn require_alive(&mut self) -> Result<(), DriverError> {
        self.keeper.ended()?.map_or(Ok(()), |status| Err(DriverError::ServiceEnded(status)))
    }

    /// Fails unless it lives and reads the outbox.
    pub async fn require_ready(&mut self) -> Result<(), DriverError> {
        self.require_alive()?;
        let said = self.ready().await;
        if said.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(DriverError::NotReady { within: GLANCE, said }) }
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

    /// Ends it with SIGTERM, as whoever deploys does, and waits until it has gone by itself. One that has hardly begun ends by the signal.
    pub fn drain(mut self) -> Result<(), DriverError> {
        match self.keeper.end_gently()? {
            Some(status) if !status.success() && status.code() != Some(ENDED_BY_SIGTERM) => {
                Err(DriverError::ServiceEnded(status))
            }
            _ => Ok(()),
        }
    }

    /// Ends it.
    pub fn stop(mut self) -> Result<(), DriverError> {
        Ok(self.keeper.end()?)
    }
}

/// Who a token is for.
#[derive(Clone, Debug)]
pub struct Person {
    pub user: String,
    pub community: String,
    pub roles: Vec<String>,
    pub admin: bool,
}

impl Person {
    /// Without roles.
    pub fn new(user: &str, community: &str) -> Self {
        Self { user: user.to_owned(), community: community.to_owned(), roles: Vec::new(), admin: false }
    }
}

/// A token of the forum, signed by the program itself.
pub async fn token(person: &Person) -> Result<String, DriverError> {
    let mut command = Command::new(program()?);
    command.args(["token", "--user", &person.user, "--community", &person.community, "--jwt-secret", SECRET]);
    for role in &person.roles {
        command.args(["--role", role]);
    }
    if person.admin {
        command.arg("--admin");
    }
    let output = command.output().await.map_err(DriverError::io("run `curia-realtime token`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(DriverError::NoToken { status: output.status, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The settings that every service here has.
fn words(database: &str, port: u16) -> Vec<String> {
    let port = port.to_string();
    let words = ["serve", "--database-url", database, "--host", "127.0.0.1", "--port", &port, "--rust-log", "error"];
    words.into_iter().chain(["--jwt-secret", SECRET]).map(str::to_owned).collect()
}

/// Where the service lies: where cargo built us.
pub fn program() -> Result<PathBuf, DriverError> {
    let ours = env::current_exe().map_err(DriverError::io("find this program's own file"))?;
    let path = ours.with_file_name("curia-realtime");
    if path.is_file() { Ok(path) } else { Err(DriverError::NoService(path)) }
}
