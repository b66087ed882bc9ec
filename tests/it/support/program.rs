//! The program itself, as a user runs it: in a directory of its own and with no environment but the one it is given.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A working directory, empty but for what a test puts there.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("place-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes `.env`.
    pub fn env_file(self, text: &str) -> Self {
        std::fs::write(self.0.join(".env"), text).expect("a file");
        self
    }

    /// The program in here, with these variables alone.
    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_curia-realtime"));
        command.args(arguments).current_dir(&self.0).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let output = tokio::process::Command::from(self.command(arguments, environment)).output().await.expect("a run");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is below the build directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the program to its end in an empty directory.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    Place::new().run(arguments, environment).await
}
