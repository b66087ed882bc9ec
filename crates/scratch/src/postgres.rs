use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::account::{self, Account};
use crate::keeper::{Keeper, Plan};
use crate::locate::{self, PostgresPrograms};
use crate::wire::Session;
use crate::{Port, ScratchError, directory, script};

const INITDB_WITHIN: Duration = Duration::from_secs(120);
const COPY_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(25);
/// A clean shutdown, then an immediate one, then the kernel's.
const SIGNALS: &str = "INT QUIT KILL";

/// How a throw-away PostgreSQL is to be set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether commits reach the disk. Off for tests, on for a benchmark of the forum's writes.
    pub fsync: bool,
    /// Further lines of `postgresql.conf`; they win over ours.
    pub settings: Vec<(String, String)>,
    /// The port to listen on; a free one where absent.
    pub port: Option<u16>,
}

/// A private PostgreSQL on 127.0.0.1, with the superuser `postgres` who needs no password. It and its data end with this value.
#[derive(Debug)]
pub struct Postgres {
    port: Port,
    home: Home,
    programs: PostgresPrograms,
    keeper: Keeper,
}

impl Postgres {
    /// Starts a server with the newest programs that [`PostgresPrograms::find`] knows of, and waits until it answers.
    pub fn start(options: &Options) -> Result<Self, ScratchError> {
        Self::start_with(&programs()?, options)
    }

    /// Starts a server with these programs, and waits until it answers.
    pub fn start_with(programs: &PostgresPrograms, options: &Options) -> Result<Self, ScratchError> {
        let home = Home::fresh(programs)?;
        let begun = home.or_removed(|| {
            home.initialise(programs, options)?;
            home.serve(programs, options.port)
        });
        let (port, keeper) = begun?;
        Ok(Self { port, home, programs: programs.clone(), keeper })
    }

    /// Starts a server and a hot standby that follows it, asynchronously and by streaming. They part at birth: the standby begins
    /// with a copy of what `initdb` made, so no program for base backups is needed.
    pub fn start_with_standby(options: &Options) -> Result<(Self, Self), ScratchError> {
        let programs = &programs()?;
        let mut options = options.clone();
        // Whatever the primary writes until the standby has connected.
        options.settings.push(("wal_keep_size".to_owned(), "1GB".to_owned()));
        let (first, second) = (Home::fresh(programs)?, Home::fresh(programs)?);
        let begun = first.or_removed(|| {
            second.or_removed(|| {
                first.initialise(programs, &options)?;
                second.copy(&first)?;
                let primary = first.serve(programs, options.port)?;
                second.follow(primary.0.number())?;
                Ok((primary, second.serve(programs, None)?))
            })
        });
        let (primary, standby) = begun?;
        let server = |home, (port, keeper)| Self { port, home, programs: programs.clone(), keeper };
        Ok((server(first, primary), server(second, standby)))
    }

    /// Makes a standby a primary, and waits until it is one.
    pub fn promote(&self) -> Result<(), ScratchError> {
        Session::open(self.port(), "postgres")?.execute("SELECT pg_promote()")
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where its `data` and its `log` are.
    pub fn directory(&self) -> &Path {
        &self.home.path
    }

    /// The address of the maintenance database, as the superuser.
    pub fn url(&self) -> String {
        self.url_for("postgres")
    }

    /// The address of `database`, as the superuser.
    pub fn url_for(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// Creates an empty database and gives its address.
    pub fn create_database(&self, name: &str) -> Result<String, ScratchError> {
        Session::open(self.port(), "postgres")?
            .execute(&format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")))?;
        Ok(self.url_for(name))
    }

    /// Runs the statements of an SQL file one by one, up to the first that is refused.
    pub fn run_file(&self, database: &str, file: &Path) -> Result<(), ScratchError> {
        let text = fs::read_to_string(file).map_err(ScratchError::io(format!("read {}", file.display())))?;
        self.run_script(database, &text)
    }

    /// Runs the statements of an SQL script one by one, up to the first that is refused.
    pub fn run_script(&self, database: &str, text: &str) -> Result<(), ScratchError> {
        let mut session = Session::open(self.port(), database)?;
        script::statements(text).into_iter().try_for_each(|statement| session.execute(statement))
    }

    /// Ends the server as a crash does (immediate shutdown), and starts it anew on its data and port. What was committed with
    /// `synchronous_commit` on is there again, also without `fsync`: the machine itself did not stop.
    pub fn restart_immediately(&mut self) -> Result<(), ScratchError> {
        let pid = fs::read_to_string(self.home.path.join("data/postmaster.pid"))
            .map_err(ScratchError::io("read the server's process id"))?;
        let pid = pid.lines().next().unwrap_or_default();
        Command::new("/bin/sh")
            .args(["-c", "kill -s QUIT \"$0\"", pid])
            .status()
            .map_err(ScratchError::io("run /bin/sh"))?;
        let until = Instant::now() + ANSWER_WITHIN;
        while self.keeper.ended()?.is_none() {
            if Instant::now() > until {
                return Err(ScratchError::Silent {
                    server: "PostgreSQL, told to stop,",
                    after: ANSWER_WITHIN,
                    said: self.home.log_end(),
                });
            }
            thread::sleep(GLANCE);
        }
        self.keeper.leave_directory();
        self.keeper = self.home.serve_on(&self.programs, self.port())?;
        Ok(())
    }

    /// Ends the server and removes its data. Dropping does the same and prints an error instead of returning it.
    pub fn stop(mut self) -> Result<(), ScratchError> {
        self.keeper.end()
    }
}

/// The directory of a server: its data and its log.
#[derive(Debug)]
struct Home {
    path: PathBuf,
    account: Option<Account>,
}

fn programs() -> Result<PostgresPrograms, ScratchError> {
    PostgresPrograms::find().ok_or_else(|| ScratchError::Missing {
        what: "a PostgreSQL server of version 15 or newer",
        remedy: locate::POSTGRES_REMEDY.to_owned(),
    })
}

impl Home {
    fn fresh(programs: &PostgresPrograms) -> Result<Self, ScratchError> {
        let account = Account::for_servers()?;
        if !account::may_enter(account, programs.folder()) {
            return Err(ScratchError::Missing {
                what: "a PostgreSQL server that its account may run",
                remedy: format!(
                    "{} lies in a folder closed to others, and PostgreSQL refuses to run as root; {}",
                    programs.folder().display(),
                    locate::POSTGRES_REMEDY
                ),
            });
        }
        Ok(Self { path: directory::fresh("postgres", account)?, account })
    }

    /// What it gives, or the directory is gone.
    fn or_removed<T>(&self, start: impl FnOnce() -> Result<T, ScratchError>) -> Result<T, ScratchError> {
        let started = start();
        if started.is_err() {
            // The error that counts is the one being returned.
            let _ = fs::remove_dir_all(&self.path);
        }
        started
    }

    fn initialise(&self, programs: &PostgresPrograms, options: &Options) -> Result<(), ScratchError> {
        let data = self.path.join("data");
        let mut plan = self.plan(&programs.initdb(), "TERM KILL")?;
        plan.command()
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
                "-D",
            ])
            .arg(&data);
        let Some(status) = plan.start()?.finish(INITDB_WITHIN)? else {
            return Err(ScratchError::Silent { server: "initdb", after: INITDB_WITHIN, said: String::new() });
        };
        if !status.success() {
            return Err(self.failed("initdb", status));
        }
        let configuration = data.join("postgresql.conf");
        fs::read_to_string(&configuration)
            .and_then(|text| fs::write(&configuration, text + &settings(options)))
            .map_err(ScratchError::io(format!("write {}", configuration.display())))
    }

    /// Takes over the data of a server that does not run.
    fn copy(&self, other: &Self) -> Result<(), ScratchError> {
        let mut plan = self.plan(Path::new("cp"), "TERM KILL")?;
        plan.command().arg("-Rp").args([other.path.join("data"), self.path.join("data")]);
        match plan.start()?.finish(COPY_WITHIN)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failed("cp", status)),
            None => Err(ScratchError::Silent { server: "cp", after: COPY_WITHIN, said: self.log_end() }),
        }
    }

    /// Makes a standby of what is not running yet.
    fn follow(&self, port: u16) -> Result<(), ScratchError> {
        let configuration = self.path.join("data/postgresql.auto.conf");
        let line = format!("primary_conninfo = 'host=127.0.0.1 port={port} user=postgres'\n");
        fs::write(&configuration, line)
            .and_then(|()| fs::write(self.path.join("data/standby.signal"), ""))
            .map_err(ScratchError::io(format!("write {}", configuration.display())))
    }

    fn serve(&self, programs: &PostgresPrograms, wanted: Option<u16>) -> Result<(Port, Keeper), ScratchError> {
        let port = wanted.map(Port::named).map_or_else(Port::free, Ok)?;
        let keeper = self.serve_on(programs, port.number())?;
        Ok((port, keeper))
    }

    fn serve_on(&self, programs: &PostgresPrograms, port: u16) -> Result<Keeper, ScratchError> {
        let mut plan = self.plan(&programs.postgres(), SIGNALS)?;
        plan.command().arg("-D").arg(self.path.join("data")).args(["-p", &port.to_string()]);
        let mut keeper = plan.start()?;
        let until = Instant::now() + ANSWER_WITHIN;
        while !self.is_ready() || Session::open(port, "postgres").is_err() {
            if let Some(status) = keeper.ended()? {
                keeper.leave_directory(); // Whoever made it removes it.
                return Err(self.failed("postgres", status));
            }
            if Instant::now() > until {
                return Err(ScratchError::Silent { server: "PostgreSQL", after: ANSWER_WITHIN, said: self.log_end() });
            }
            thread::sleep(GLANCE);
        }
        Ok(keeper)
    }

    /// Whether our own server has its port: somebody else's may be the one that answers on it.
    fn is_ready(&self) -> bool {
        const STATUS_LINE: usize = 7;
        fs::read_to_string(self.path.join("data/postmaster.pid"))
            .is_ok_and(|text| text.lines().nth(STATUS_LINE).is_some_and(|status| status.trim() == "ready"))
    }

    fn plan(&self, program: &Path, signals: &str) -> Result<Plan, ScratchError> {
        let log = self.path.join("log");
        let log = File::create(&log).map_err(ScratchError::io(format!("create {}", log.display())))?;
        let errors = log.try_clone().map_err(ScratchError::io("share the server's log"))?;
        let mut plan = Plan::new(program, signals, Some(self.path.clone()));
        plan.run_as(self.account);
        plan.command().current_dir(&self.path).env("LC_ALL", "C").stdout(Stdio::from(log)).stderr(Stdio::from(errors));
        Ok(plan)
    }

    fn failed(&self, program: &str, status: ExitStatus) -> ScratchError {
        ScratchError::Failed { program: program.to_owned(), outcome: status.to_string(), said: self.log_end() }
    }

    fn log_end(&self) -> String {
        let log = fs::read(self.path.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// What our servers have in common, and what `options` adds. Only TCP: a socket file would be one more thing to leave behind.
fn settings(options: &Options) -> String {
    let durable = if options.fsync { "on" } else { "off" };
    let ours = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("max_connections", "300"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("fsync", durable),
        ("full_page_writes", durable),
        ("synchronous_commit", durable),
    ];
    let ours = ours.iter().map(|(name, value)| (*name, *value));
    let theirs = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let lines = ours.chain(theirs).map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")));
    std::iter::once("\n".to_owned()).chain(lines).collect()
}
