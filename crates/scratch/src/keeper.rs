//! Programs that never outlive us.
//!
//! A child that is left to itself survives a SIGKILL of its parent. The kernel's parent-death signal would mend that on Linux alone, and
//! it fires when the *thread* that started the child ends, which in a test runner is the end of one test. So each program runs under
//! `keeper.sh`, in a process group of its own (a Ctrl-C meant for us must not reach it before we decide the order in which things end),
//! and the script watches a pipe whose only writer is this process.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::ScratchError;
use crate::account::Account;

const SCRIPT: &str = include_str!("keeper.sh");
/// Three signals of ten seconds each, and the removal of a directory.
const LONGEST_END: Duration = Duration::from_secs(40);
const GLANCE: Duration = Duration::from_millis(20);

/// A running program that ends, and whose directory goes, when this value is dropped or its process dies.
#[derive(Debug)]
pub struct Keeper {
    script: Child,
    directory: Option<PathBuf>,
    ended: Option<ExitStatus>,
}

/// A program about to be run under a [`Keeper`].
pub(crate) struct Plan {
    command: Command,
    directory: Option<PathBuf>,
}

impl Plan {
    /// `signals` are sent one after the other, ten seconds apart, until the program has ended; at most three.
    pub(crate) fn new(program: impl AsRef<OsStr>, signals: &str, directory: Option<PathBuf>) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "keeper.sh"])
            .arg(directory.as_deref().map_or(OsString::new(), Into::into))
            .args([OsStr::new(signals), program.as_ref()])
            .stdin(Stdio::piped())
            .process_group(0);
        Self { command, directory }
    }

    /// The command, for arguments, environment and output. Its standard input and process group are the keeper's.
    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    pub(crate) fn run_as(&mut self, account: Option<Account>) {
        if let Some(account) = account {
            account.take_on(&mut self.command);
        }
    }

    pub(crate) fn start(mut self) -> Result<Keeper, ScratchError> {
        let script = self.command.spawn().map_err(ScratchError::io("start /bin/sh"))?;
        Ok(Keeper { script, directory: self.directory, ended: None })
    }
}

impl Keeper {
    /// Runs `program` with our output and environment; it gets SIGTERM, then SIGKILL, when its time has come.
    pub fn start<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, ScratchError> {
        let mut plan = Plan::new(program, "TERM KILL", None);
        plan.command().args(arguments);
        plan.start()
    }

    /// As [`Keeper::start`], but it gets SIGKILL at once: for a program whose sudden death is what is wanted.
    pub fn start_to_kill<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, ScratchError> {
        let mut plan = Plan::new(program, "KILL", None);
        plan.command().args(arguments);
        plan.start()
    }

    /// The program's exit status, once it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, ScratchError> {
        if self.ended.is_none() {
            self.ended = self.script.try_wait().map_err(ScratchError::io("wait for a program"))?;
        }
        Ok(self.ended)
    }

    /// Waits for a program that ends by itself; its directory stays. `None` when it still ran after `bound`, and was ended.
    pub(crate) fn finish(mut self, bound: Duration) -> Result<Option<ExitStatus>, ScratchError> {
        let until = Instant::now() + bound;
        while Instant::now() < until {
            if let Some(status) = self.ended()? {
                self.leave_directory();
                return Ok(Some(status));
            }
            thread::sleep(GLANCE);
        }
        self.end().map(|()| None)
    }

    /// Takes the directory of a program that ended by itself out of our care.
    pub(crate) fn leave_directory(&mut self) {
        self.directory = None;
    }

    /// As [`Keeper::end`], but whatever it was started for, it gets SIGTERM and ten seconds first. Gives its exit status.
    pub fn end_gently(&mut self) -> Result<Option<ExitStatus>, ScratchError> {
        if let Some(mut asked) = self.script.stdin.take() {
            asked.write_all(b"TERM KILL\n").map_err(ScratchError::io("ask for the end of a program"))?;
        }
        self.end()?;
        Ok(self.ended)
    }

    /// Ends the program and waits until it is gone.
    pub fn end(&mut self) -> Result<(), ScratchError> {
        drop(self.script.stdin.take());
        let until = Instant::now() + LONGEST_END;
        while self.ended()?.is_none() {
            if Instant::now() > until {
                // The script was stopped from outside; nothing is left that would react to a signal.
                self.script.kill().map_err(ScratchError::io("end a program"))?;
            }
            thread::sleep(GLANCE);
        }
        if let Some(directory) = self.directory.take().filter(|directory| directory.exists()) {
            fs::remove_dir_all(&directory).map_err(ScratchError::io(format!("remove {}", directory.display())))?;
        }
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_programs_own() {
        let keeper = Keeper::start("/bin/sh", ["-c", "exit 7"]).unwrap();
        let status = keeper.finish(Duration::from_secs(10)).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(7));
    }

    #[test]
    fn a_program_that_is_started_to_be_killed_can_be_asked_to_end() {
        // The answer to the signal may come before the trap is set, so it is said when it is.
        let directory = crate::directory::fresh("keeper", None).unwrap();
        let script = format!("trap 'exit 7' TERM; : >{}/ready; while :; do sleep 0.05; done", directory.display());
        let mut keeper = Keeper::start_to_kill("/bin/sh", ["-c", &script]).unwrap();
        while !directory.join("ready").exists() {
            thread::sleep(GLANCE);
        }
        assert_eq!(keeper.end_gently().unwrap().and_then(|status| status.code()), Some(7));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn ending_a_program_removes_its_directory() {
        let directory = crate::directory::fresh("keeper", None).unwrap();
        fs::write(directory.join("file"), "content").unwrap();
        let mut plan = Plan::new("/bin/sleep", "TERM", Some(directory.clone()));
        plan.command().arg("600");
        let mut keeper = plan.start().unwrap();
        assert!(keeper.ended().unwrap().is_none());
        keeper.end().unwrap();
        assert!(!directory.exists());
    }
}
