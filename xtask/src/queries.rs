//! `cargo xtask queries`: renews `.sqlx`, the descriptions against which queries are checked without a database.

use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use curia_scratch::{Options, Postgres, provide};

use crate::{interrupt::Interrupt, step};

const DESCRIPTIONS: &str = ".sqlx";
/// The crate roots whose recompiling expands every query anew.
const ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

/// Asks a database with the forum's tables and our migrations.
pub fn run() -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    provide::postgres()?;
    let postgres = Postgres::start(&Options::default())?;
    let url = postgres.create_database("forum")?;
    postgres.run_file("forum", Path::new("tests/fixtures/forum.sql"))?;
    let mut migrations = files("migrations", ".up.sql")?;
    migrations.sort();
    for migration in migrations {
        postgres.run_file("forum", &migration).map_err(|error| format!("{}: {error}", migration.display()))?;
    }

    // Written beside and put in place only when every query is right, so a mistake loses nothing.
    let fresh = std::path::absolute("target/queries")?;
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    for root in ROOTS {
        File::options().write(true).open(root)?.set_modified(SystemTime::now())?;
    }
    let mut check = Command::new(env!("CARGO"));
    check
        .args(["check", "--quiet", "--lib", "--bins"])
        .envs([("SQLX_OFFLINE", "false"), ("DATABASE_URL", url.as_str())])
        .env("SQLX_OFFLINE_DIR", &fresh);
    let (status, _) = step::run(&mut check, &interrupt)?;
    postgres.stop()?;
    if !status.success() {
        return Err(format!("cargo check failed ({status}); {DESCRIPTIONS} is as it was").into());
    }

    let renewed = files(&fresh, ".json")?;
    if renewed.is_empty() {
        return Err(format!("no query was expanded; {DESCRIPTIONS} is as it was").into());
    }
    fs::create_dir_all(DESCRIPTIONS)?;
    for stale in files(DESCRIPTIONS, ".json")? {
        fs::remove_file(stale)?;
    }
    for file in &renewed {
        let name = file.file_name().ok_or("a description without a name")?;
        fs::copy(file, Path::new(DESCRIPTIONS).join(name))?;
    }
    println!("{} queries described in {DESCRIPTIONS}", renewed.len());
    Ok(())
}

fn files(folder: impl AsRef<Path>, ending: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).map_err(|error| format!("could not read {}: {error}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    Ok(found)
}
