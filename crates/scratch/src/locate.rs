//! Where the programs are that we start.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::{self, Account};
use crate::provide::embedded;

pub(crate) const POSTGRES_REMEDY: &str = "`cargo xtask demo` and `cargo xtask test` bring one, or: apt-get install postgresql, \
     dnf install postgresql-server, brew install postgresql@17";
pub(crate) const REDIS_REMEDY: &str =
    "`cargo xtask test` brings one, or: apt-get install redis-server, dnf install redis, brew install redis";

/// The oldest PostgreSQL the forum runs on.
const OLDEST: u32 = 15;

/// Finds an executable by name in `PATH`.
pub fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| is_executable(path))
}

/// Finds a Redis server, or Valkey, which speaks the same protocol.
pub fn redis_server() -> Option<PathBuf> {
    ["redis-server", "valkey-server"].into_iter().find_map(program)
}

/// Finds HAProxy, which some systems put where only an administrator looks.
pub fn haproxy() -> Option<PathBuf> {
    program("haproxy").or_else(|| Some(PathBuf::from("/usr/sbin/haproxy")).filter(|path| is_executable(path)))
}

/// Finds a Chromium or Chrome that runs. Ubuntu puts a script in its place that only tells which snap to install.
pub fn chromium() -> Option<PathBuf> {
    const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    const APPLICATIONS: [&str; 2] = [
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];
    let named = NAMES.into_iter().filter_map(program);
    let applications = APPLICATIONS.into_iter().map(PathBuf::from).filter(|path| is_executable(path));
    named.chain(applications).find(|path| {
        Command::new(path).arg("--version").stderr(Stdio::null()).output().is_ok_and(|output| output.status.success())
    })
}

/// A folder with the programs of a PostgreSQL server, `initdb` and `postgres`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresPrograms {
    folder: PathBuf,
    version: String,
}

impl PostgresPrograms {
    /// The first that is new enough: in `PATH`, then where the systems' packages put them (the newest first), then where
    /// [`crate::provide::postgres`] unpacks the npm package. Those that the server's account may not enter are passed over.
    pub fn find() -> Option<Self> {
        let account = Account::for_servers().ok()?;
        let in_path = program("postgres").and_then(|path| fs::canonicalize(path).ok());
        let in_path = in_path.and_then(|path| path.parent().map(Path::to_path_buf));
        let installed =
            [("/usr/lib/postgresql", "bin"), ("/usr", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr/local/opt", "bin")];
        let installed = installed.into_iter().flat_map(|(root, bin)| newest_first(Path::new(root), bin));
        in_path
            .into_iter()
            .chain(installed)
            .chain(embedded::folders())
            .filter(|folder| account::may_enter(account, folder))
            .find_map(|folder| Self::in_folder(&folder))
    }

    /// The programs in `folder`, when they are there, run, and are new enough.
    pub fn in_folder(folder: &Path) -> Option<Self> {
        if !is_executable(&folder.join("initdb")) {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split(") ").nth(1)?.split_whitespace().next()?;
        let major: u32 = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        (major >= OLDEST).then(|| Self { folder: folder.to_path_buf(), version: version.to_owned() })
    }

    /// The folder they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Their version as they give it, such as `15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }
}

/// The `bin` folders of the PostgreSQL versions below `root`, which are named by version (`15`, `pgsql-16`, `postgresql@17`).
fn newest_first(root: &Path, bin: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let digits = name.to_str()?.trim_start_matches("postgresql@").trim_start_matches("pgsql-");
            Some((digits.parse().ok()?, entry.path().join(bin)))
        })
        .collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, path)| path).collect()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|is| is.is_file() && is.permissions().mode() & 0o111 != 0)
}
