use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::keeper::{Keeper, Plan};
use crate::{ScratchError, directory, locate, port};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const PROBE_WITHIN: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(25);
const PORTS_TRIED: u32 = 5;

/// A private Redis on 127.0.0.1 that keeps nothing on disk. It ends with this value.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    program: PathBuf,
    keeper: Keeper,
}

impl Redis {
    /// Starts a server on a free port and waits until it answers.
    pub fn start() -> Result<Self, ScratchError> {
        let program = program()?;
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::start_on(port::free_port()?, &program) {
                Err(ScratchError::Failed { said, .. })
                    if tries < PORTS_TRIED && said.contains("ddress already in use") => {}
                outcome => return outcome,
            }
        }
    }

    /// Starts a server where another was before, so that whoever knew that one finds this one.
    pub fn start_at(port: u16) -> Result<Self, ScratchError> {
        Self::start_on(port, &program()?)
    }

    fn start_on(port: u16, program: &Path) -> Result<Self, ScratchError> {
        let home = directory::fresh("redis", None)?;
        let log = home.join("log");
        let mut plan = Plan::new(program, "TERM KILL", Some(home.clone()));
        plan.command()
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"])
            .args([["--dir".as_ref(), home.as_os_str()], ["--logfile".as_ref(), log.as_os_str()]].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut keeper = plan.start()?;
        let until = Instant::now() + ANSWER_WITHIN;
        while !answers(port, &home) {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = keeper.ended()? {
                return Err(ScratchError::Failed {
                    program: "redis-server".to_owned(),
                    outcome: status.to_string(),
                    said: said(),
                });
            }
            if Instant::now() > until {
                return Err(ScratchError::Silent { server: "Redis", after: ANSWER_WITHIN, said: said() });
            }
            thread::sleep(GLANCE);
        }
        Ok(Self { port, program: program.to_owned(), keeper })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Ends the server, with all it held, and starts it anew on its port.
    pub fn restart(&mut self) -> Result<(), ScratchError> {
        self.keeper.end()?;
        self.keeper = Self::start_on(self.port, &self.program)?.keeper;
        Ok(())
    }

    /// Ends the server. Dropping does the same and prints an error instead of returning it.
    pub fn stop(mut self) -> Result<(), ScratchError> {
        self.keeper.end()
    }
}

fn program() -> Result<PathBuf, ScratchError> {
    locate::redis_server()
        .ok_or_else(|| ScratchError::Missing { what: "a Redis server", remedy: locate::REDIS_REMEDY.to_owned() })
}

/// Whether the server on `port` answers and is ours, which its working directory tells.
fn answers(port: u16, home: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let home = fs::canonicalize(home)?;
        let expected = format!("*2\r\n$3\r\ndir\r\n${}\r\n{}\r\n", home.as_os_str().len(), home.display());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, PROBE_WITHIN)?;
        stream.set_read_timeout(Some(PROBE_WITHIN))?;
        stream.write_all(b"CONFIG GET dir\r\n")?;
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).map(|()| answer == expected.as_bytes())
    };
    ask().unwrap_or(false)
}
