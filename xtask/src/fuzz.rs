//! `cargo xtask fuzz`: builds the targets of `fuzz/` with coverage and gives each as many inputs as fit into its time.
//!
//! Without a sanitizer: the project has no unsafe code for one to watch, and so the stable compiler will do.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use curia_scratch::provide;

use crate::{interrupt::Interrupt, step, test::TOOLS};

const TARGETS: &str = "fuzz/fuzz_targets";
const SEEDS: &str = "fuzz/seeds";
/// What is built and what is found out; kept, so that the next run goes on where this one ended.
const WORK: &str = "target/fuzz";
/// How `cargo fuzz` has to build and to find what it built.
const BUILD: [&str; 5] = ["--sanitizer", "none", "--strip-dead-code", "--target-dir", WORK];
const SECONDS: u32 = 30;
/// An input that takes longer counts as found.
const SLOWEST: u32 = 10;

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    target: Option<String>,
    seconds: u32,
}

impl Arguments {
    /// Reads what stands behind `fuzz`.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self { target: None, seconds: SECONDS };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seconds" => {
                    let seconds = words.next().and_then(|seconds| seconds.parse().ok()).filter(|seconds| *seconds > 0);
                    arguments.seconds = seconds.ok_or("--seconds takes a whole number from 1")?;
                }
                _ if arguments.target.is_none() && !word.starts_with('-') => arguments.target = Some(word),
                _ => return Err(format!("fuzz takes [<target>] [--seconds <n>], not {word}")),
            }
        }
        Ok(arguments)
    }
}

/// Runs the targets one after the other; the first that finds something ends the run.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    let mut targets = targets()?;
    if let Some(wanted) = &arguments.target {
        if !targets.contains(wanted) {
            return Err(format!("there is no target {wanted}; there are {}", targets.join(", ")).into());
        }
        targets.retain(|target| target == wanted);
    }
    let program = std::path::absolute(provide::cargo_fuzz(Path::new(TOOLS))?)?;
    eprintln!("building the targets (the first time takes some minutes) ...");
    let mut build = cargo_fuzz(&program, "build");
    if let Some(target) = &arguments.target {
        build.arg(target);
    }
    let (status, _) = step::run(&mut build, &interrupt)?;
    if interrupt.asked() {
        return Err("interrupted".into());
    }
    if !status.success() {
        return Err(format!("cargo fuzz build failed ({status})").into());
    }
    for target in targets {
        let corpus = PathBuf::from(WORK).join("corpus").join(&target);
        fs::create_dir_all(&corpus)?;
        let mut fuzz = cargo_fuzz(&program, "run");
        // What is new goes into the first folder; the seeds are only read.
        fuzz.arg(&target).arg(&corpus).arg(Path::new(SEEDS).join(&target)).args([
            "--".to_owned(),
            format!("-max_total_time={}", arguments.seconds),
            format!("-timeout={SLOWEST}"),
            "-print_final_stats=1".to_owned(),
        ]);
        let (status, said) = step::listen(&mut fuzz, &interrupt)?;
        if interrupt.asked() {
            return Err("interrupted".into());
        }
        if !status.success() {
            eprintln!("{said}");
            return Err(format!(
                "{target} found an input that breaks it; the text above names its file. Copy that to {SEEDS}/{target}/ under a name \
                 that says what it is: `cargo xtask test` fails until it is taken"
            )
            .into());
        }
        let count = inputs(&said).ok_or_else(|| format!("{target} did not say how many inputs it ran:\n{said}"))?;
        println!("{target:<10}{:>12} inputs in {} s, and none broke anything", grouped(count), arguments.seconds);
    }
    Ok(())
}

/// The names of the targets, in order.
fn targets() -> Result<Vec<String>, Box<dyn Error>> {
    let entries = fs::read_dir(TARGETS).map_err(|error| format!("could not read {TARGETS}: {error}"))?;
    let mut targets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort();
    Ok(targets)
}

fn cargo_fuzz(program: &Path, what: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["fuzz", what]).args(BUILD);
    command
}

/// What libFuzzer tells at its end: `stat::number_of_executed_units: 1234`.
fn inputs(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok())
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Arguments, String> {
        Arguments::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read_or_named() {
        assert_eq!(parse(""), Ok(Arguments { target: None, seconds: SECONDS }));
        assert_eq!(parse("token --seconds 5"), Ok(Arguments { target: Some("token".to_owned()), seconds: 5 }));
        assert!(parse("--seconds").is_err() && parse("--seconds 0").is_err() && parse("--seconds soon").is_err());
        assert!(
            parse("token cursor").unwrap_err().contains("cursor") && parse("--jobs").unwrap_err().contains("--jobs")
        );
    }

    #[test]
    fn the_fuzzers_closing_lines_are_read() {
        let said =
            "#524288\tpulse  cov: 93\nDone 1234567 runs in 31 second(s)\nstat::number_of_executed_units: 1234567\n";
        assert_eq!(inputs(said).map(grouped).as_deref(), Some("1,234,567"));
        assert_eq!((grouped(0), grouped(999), grouped(1000)), ("0".into(), "999".into(), "1,000".into()));
        assert_eq!(inputs("Done"), None);
    }
}
