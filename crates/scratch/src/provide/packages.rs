//! The system's package manager, asked without a person at the keyboard.

use std::process::{Command, Stdio};

use crate::account::we_are_root;
use crate::{ScratchError, locate};

/// What one thing is called by each package manager; several packages are parted by spaces.
pub(super) struct Package {
    pub(super) apt: &'static str,
    pub(super) dnf: &'static str,
    pub(super) brew: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Apt,
    Dnf,
    Brew,
}

pub(super) struct PackageManager {
    kind: Kind,
    with_sudo: bool,
}

impl PackageManager {
    /// The one of this machine, where we may use it: as root, through a sudo that asks no password, or Homebrew, which needs neither.
    pub(super) fn find() -> Result<Self, ScratchError> {
        let kind = [("apt-get", Kind::Apt), ("dnf", Kind::Dnf), ("brew", Kind::Brew)];
        let missing = |what, remedy: &str| ScratchError::Missing { what, remedy: remedy.to_owned() };
        let Some((_, kind)) = kind.into_iter().find(|(name, _)| locate::program(name).is_some()) else {
            return Err(missing("a package manager we know (apt-get, dnf, brew)", "install the program by hand"));
        };
        if matches!(kind, Kind::Brew) || we_are_root()? {
            return Ok(Self { kind, with_sudo: false });
        }
        let asks_nothing = Command::new("sudo")
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if asks_nothing {
            Ok(Self { kind, with_sudo: true })
        } else {
            Err(missing("a sudo that asks no password", "run `sudo true` first, or install the program by hand"))
        }
    }

    /// The command a person would type.
    pub(super) fn describe(&self, package: &Package) -> String {
        let sudo = if self.with_sudo { "sudo " } else { "" };
        let (program, names) = self.names(package);
        format!("{sudo}{program} install {names}")
    }

    pub(super) fn install(&self, package: &Package) -> Result<(), ScratchError> {
        let (program, names) = self.names(package);
        if let Kind::Apt = self.kind {
            // A fresh machine or container has no package lists at all.
            run(self.command(program).args(["update", "-q"]))?;
        }
        let mut command = self.command(program);
        match self.kind {
            Kind::Apt => {
                command.args(["install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"])
            }
            Kind::Dnf => command.args(["install", "-y"]),
            Kind::Brew => command.arg("install"),
        };
        run(command.args(names.split(' ')))
    }

    fn names<'a>(&self, package: &'a Package) -> (&'static str, &'a str) {
        match self.kind {
            Kind::Apt => ("apt-get", package.apt),
            Kind::Dnf => ("dnf", package.dnf),
            Kind::Brew => ("brew", package.brew),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command;
        if self.with_sudo {
            command = Command::new("sudo");
            command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", program]);
        } else {
            command = Command::new(program);
            command.env("DEBIAN_FRONTEND", "noninteractive");
        }
        command
    }
}

/// Runs an installer without input; what it prints is shown only when it fails.
pub(super) fn run(command: &mut Command) -> Result<(), ScratchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(ScratchError::io(format!("run {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said =
        String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr }).into_owned();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    Err(ScratchError::Failed {
        program: format!("{program} {}", arguments.join(" ")),
        outcome: output.status.to_string(),
        said,
    })
}
