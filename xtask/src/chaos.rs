//! `cargo xtask chaos`: the chaos run and the service, built as they are deployed, then run. With `--broken` the service is one that
//! was broken on purpose: a copy of the sources below `target/`, a patch on it, a build of its own.

use std::{
    error::Error,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use curia_scratch::provide;

use crate::{interrupt::Interrupt, step};

const PATCHES: &str = "crates/chaos/broken";
const COPY: &str = "target/broken/source";
/// One for all of them, so that what they depend on is built once.
const BUILD: &str = "target/broken/build";

/// Hands `words` to `curia-chaos`, which explains itself, but for `--broken <name>`.
pub fn run(mut words: Vec<String>) -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    let broken = take(&mut words, "--broken")?;
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    step::build_release(&["curia-chaos", "curia-realtime"], &interrupt)?;
    let broken = match broken {
        Some(name) => vec![OsString::from("--program"), build_broken(&name, &interrupt)?.into()],
        None => Vec::new(),
    };
    provide::postgres()?;
    provide::redis()?;
    let program = std::env::current_exe()?.with_file_name("../release/curia-chaos");
    let (status, _) = step::run(Command::new(program).args(words).args(broken), &interrupt)?;
    if interrupt.asked() {
        return Err("interrupted".into());
    }
    if status.success() { Ok(()) } else { Err("the run did not prove what it is for; the reason stands above".into()) }
}

/// Takes a flag and its value out of the words.
fn take(words: &mut Vec<String>, flag: &str) -> Result<Option<String>, Box<dyn Error>> {
    let Some(at) = words.iter().position(|word| word == flag) else { return Ok(None) };
    words.remove(at);
    if at < words.len() {
        return Ok(Some(words.remove(at)));
    }
    Err(format!("{flag} takes a name: {}", names()?).into())
}

/// What can be broken.
fn names() -> Result<String, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(PATCHES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".patch").map(str::to_owned));
    }
    names.sort();
    Ok(names.join(", "))
}

fn build_broken(name: &str, interrupt: &Interrupt) -> Result<PathBuf, Box<dyn Error>> {
    let patch = Path::new(PATCHES).join(format!("{name}.patch"));
    if !patch.is_file() {
        return Err(format!("there is no {}; there are {}", patch.display(), names()?).into());
    }
    copy_sources()?;
    let patched =
        Command::new("patch").args(["-p1", "--silent", "-d", COPY, "-i"]).arg(patch.canonicalize()?).status()?;
    if !patched.success() {
        return Err(format!("{} does not fit the sources any more", patch.display()).into());
    }
    eprintln!("building a service broken by {name} (the first time takes a few minutes) ...");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--bins", "--package", "curia-realtime", "--target-dir", BUILD]);
    build.arg("--manifest-path").arg(Path::new(COPY).join("Cargo.toml"));
    let (status, _) = step::run(&mut build, interrupt)?;
    if !status.success() {
        return Err(format!("cargo build failed ({status})").into());
    }
    Ok(Path::new(BUILD).join("debug/curia-realtime"))
}

/// What git knows of or would take. All of it is as new as the copy, so that nothing of an earlier patch is taken for built.
fn copy_sources() -> Result<(), Box<dyn Error>> {
    if Path::new(COPY).exists() {
        fs::remove_dir_all(COPY)?;
    }
    let listed = Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output()?;
    if !listed.status.success() {
        return Err("git ls-files failed; the sources are copied by what git knows".into());
    }
    for name in String::from_utf8(listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (Path::new(name), Path::new(COPY).join(name));
        if !from.is_file() {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(from, &to)?;
    }
    Ok(())
}
