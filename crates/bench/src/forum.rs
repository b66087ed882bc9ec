//! A throw-away forum whose commits reach the disk, with or without triggers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use curia_scratch::{Options, Postgres, PostgresPrograms};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::error::BenchError;

/// The one community of `sql/forum.sql`.
pub const COMMUNITY: &str = "bench";
/// The board that is watched, one of ten: post n stands in board 1 + n % 10.
pub const BOARD: i32 = 1;

const TABLES: &str = include_str!("../../../tests/fixtures/forum.sql");
const CONTENT: &str = include_str!("../sql/forum.sql");

/// A server as an operator would run it, but for checkpoints: one that falls into a variant's turn would be that variant's loss.
pub fn server() -> Result<(Postgres, PostgresPrograms), BenchError> {
    let programs = curia_scratch::provide::postgres()?;
    let settings = [
        ("shared_buffers", "256MB"),
        ("checkpoint_timeout", "1h"),
        ("max_wal_size", "8GB"),
        // All loads of a round are connected at once.
        ("max_connections", "400"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let server = Postgres::start_with(&programs, &Options { fsync: true, settings, port: None })?;
    Ok((server, programs))
}

/// The folder of our own migrations.
pub fn migrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations")
}

/// A database with the forum's tables, people and posts; gives its address.
pub fn create(server: &Postgres, name: &str) -> Result<String, BenchError> {
    let url = server.create_database(name)?;
    server.run_script(name, TABLES)?;
    server.run_script(name, CONTENT)?;
    Ok(url)
}

/// Runs the up migrations of a folder, in order.
pub fn migrate(server: &Postgres, name: &str, folder: &Path) -> Result<(), BenchError> {
    let entries = fs::read_dir(folder).map_err(BenchError::io(format!("read {}", folder.display())))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(BenchError::io(format!("read {}", folder.display())))?.path();
        if path.to_string_lossy().ends_with(".up.sql") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(BenchError::Unproved(format!("{} holds no *.up.sql", folder.display())));
    }
    Ok(files.iter().try_for_each(|file| server.run_file(name, file))?)
}

/// A session; ends with this value.
pub struct Session {
    pub client: Client,
    /// Gives the number of notifications that came.
    connection: JoinHandle<u64>,
}

impl Session {
    /// Connects as the superuser.
    pub async fn open(url: &str) -> Result<Self, BenchError> {
        let (client, mut connection) =
            tokio_postgres::connect(url, NoTls).await.map_err(BenchError::database("accept a session"))?;
        let connection = tokio::spawn(async move {
            let mut notified = 0;
            // An error of the connection is told to whoever asks with the client.
            while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                notified += u64::from(matches!(message, AsyncMessage::Notification(_)));
            }
            notified
        });
        Ok(Self { client, connection })
    }

    /// Runs statements, each in its own transaction unless they say otherwise.
    pub async fn run(&self, doing: &'static str, statements: &str) -> Result<(), BenchError> {
        self.client.batch_execute(statements).await.map_err(BenchError::database(doing))
    }

    /// Ends it; gives the number of notifications it got.
    pub async fn close(self) -> u64 {
        drop(self.client);
        self.connection.await.unwrap_or(0)
    }
}
