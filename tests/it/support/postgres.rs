//! A throw-away PostgreSQL for this process and a fresh forum for each test.

use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use curia_scratch::{Options, Postgres};
use sqlx::{PgPool, postgres::PgPoolOptions};

/// A database with the forum's tables and a handful of rows.
pub struct Forum {
    pub name: String,
    pub pool: PgPool,
}

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(&Options::default()).expect("a throw-away PostgreSQL"))
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The migrations of one direction, in the order in which they are run.
pub fn migrations(suffix: &str) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(project().join("migrations")).expect("the migrations");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(suffix));
    files.sort();
    if suffix.starts_with(".down") {
        files.reverse();
    }
    files
}

/// The forum's tables with a handful of rows and our triggers, in an empty database of this server.
pub fn prepare(server: &Postgres, name: &str) {
    let fixtures = ["tests/fixtures/forum.sql", "tests/fixtures/rows.sql"].map(|file| project().join(file));
    for file in fixtures.into_iter().chain(migrations(".up.sql")) {
        server.run_file(name, &file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// Runs a program of PostgreSQL's client package to its end.
pub fn client_program(name: &str, arguments: &[&str]) {
    let ran = std::process::Command::new(name).args(arguments).output();
    let ran = ran.unwrap_or_else(|error| panic!("{name}, of the PostgreSQL client programs: {error}"));
    assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
}

impl Forum {
    /// A database with nothing in it.
    pub async fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("forum_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = server().create_database(&name).expect("a database");
        let pool = PgPoolOptions::new().max_connections(40).connect(&url).await.expect("a connection");
        Self { name, pool }
    }

    /// A copy as `CREATE DATABASE` makes it, of one that nobody is connected to any longer.
    pub async fn copy_of(forum: Self) -> Self {
        forum.pool.close().await;
        let name = format!("{}_copied", forum.name);
        server()
            .run_script("postgres", &format!("CREATE DATABASE {name} TEMPLATE {}", forum.name))
            .expect("a copied database");
        let pool =
            PgPoolOptions::new().max_connections(40).connect(&server().url_for(&name)).await.expect("a connection");
        Self { name, pool }
    }

    /// Only the forum's tables.
    pub async fn bare() -> Self {
        let forum = Self::empty().await;
        server().run_file(&forum.name, &project().join("tests/fixtures/forum.sql")).expect("the forum's schema");
        forum.run(include_str!("../../fixtures/rows.sql")).await;
        forum
    }

    /// With our triggers.
    pub async fn captured() -> Self {
        let forum = Self::bare().await;
        forum.migrate(".up.sql");
        forum
    }

    /// Its address, as the superuser.
    pub fn url(&self) -> String {
        server().url_for(&self.name)
    }

    /// Runs the migrations of one direction, file by file.
    pub fn migrate(&self, suffix: &str) {
        for file in migrations(suffix) {
            server().run_file(&self.name, &file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    /// Runs statements as the forum does.
    pub async fn run(&self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&self.pool).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The schema as pg_dump writes it.
    pub fn schema(&self) -> String {
        let dump = std::process::Command::new("pg_dump")
            .args(["--schema-only", "--dbname", &server().url_for(&self.name)])
            .output()
            .expect("pg_dump, of the PostgreSQL client programs");
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        let text = String::from_utf8(dump.stdout).expect("UTF-8");
        // Newer pg_dumps begin and end with a random key against injected commands of psql.
        text.lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}
