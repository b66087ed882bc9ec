use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::keeper::{Keeper, Plan};
use crate::{Port, ScratchError, directory, locate};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const PROBE_WITHIN: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(25);
const PORTS_TRIED: u32 = 5;

/// How a [`Redis`] differs from one that anybody on the machine may use.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// Asked of whoever connects.
    pub password: Option<String>,
    /// Spoken with everybody.
    pub tls: Option<Certificate>,
}

/// A server's certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

/// A private Redis on 127.0.0.1 that keeps nothing on disk. It ends with this value.
#[derive(Debug)]
pub struct Redis {
    port: Port,
    program: PathBuf,
    options: RedisOptions,
    in_cluster: bool,
    home: PathBuf,
    keeper: Keeper,
}

impl Redis {
    /// Starts a server on a free port and waits until it answers.
    pub fn start() -> Result<Self, ScratchError> {
        Self::start_with(&RedisOptions::default())
    }

    /// As [`Redis::start`], with these options.
    pub fn start_with(options: &RedisOptions) -> Result<Self, ScratchError> {
        Self::launch(options, false)
    }

    /// As [`Redis::start_with`], alone or to become one server of a Cluster.
    pub(crate) fn launch(options: &RedisOptions, in_cluster: bool) -> Result<Self, ScratchError> {
        let program = program()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let port = if in_cluster { Port::free_below_its_bus()? } else { Port::free()? };
            match Self::start_on(port, &program, options, in_cluster) {
                Err(ScratchError::Failed { said, .. })
                    if tries < PORTS_TRIED && said.contains("ddress already in use") => {}
                outcome => return outcome,
            }
        }
    }

    /// Starts a server where another was before, so that whoever knew that one finds this one.
    pub fn start_at(port: Port) -> Result<Self, ScratchError> {
        Self::start_on(port, &program()?, &RedisOptions::default(), false)
    }

    fn start_on(port: Port, program: &Path, options: &RedisOptions, in_cluster: bool) -> Result<Self, ScratchError> {
        let home = directory::fresh("redis", None)?;
        let log = home.join("log");
        let mut plan = Plan::new(program, "TERM KILL", Some(home.clone()));
        plan.command()
            .args([
                "--bind",
                "127.0.0.1",
                if options.tls.is_some() { "--tls-port" } else { "--port" },
                &port.number().to_string(),
            ])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"])
            .args([["--dir".as_ref(), home.as_os_str()], ["--logfile".as_ref(), log.as_os_str()]].concat())
            .args(["--unixsocket".as_ref(), socket(&home).as_os_str()])
            .args(further(options, in_cluster, &home)?)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut server = Self {
            port,
            program: program.to_owned(),
            options: options.clone(),
            in_cluster,
            home,
            keeper: plan.start()?,
        };
        let until = Instant::now() + ANSWER_WITHIN;
        // It makes its socket once it has its port.
        while server.ask("PING").is_err() {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = server.keeper.ended()? {
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
        Ok(server)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The server's address, with its password.
    pub fn url(&self) -> String {
        let (scheme, login) = self.options.scheme_and_login(self.in_cluster);
        format!("{scheme}://{login}127.0.0.1:{}/", self.port())
    }

    /// What the server answers to these words: a text of one line, or the text of several.
    pub fn ask(&self, words: &str) -> Result<String, ScratchError> {
        let asking = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(socket(&self.home))?;
            stream.set_read_timeout(Some(PROBE_WITHIN))?;
            let mut answers = BufReader::new(stream.try_clone()?);
            if let Some(password) = &self.options.password {
                stream.write_all(format!("AUTH {password}\r\n").as_bytes())?;
                answer(&mut answers)?;
            }
            stream.write_all(format!("{words}\r\n").as_bytes())?;
            answer(&mut answers)
        };
        asking().map_err(ScratchError::io(format!("ask Redis for {}", words.split(' ').next().unwrap_or_default())))
    }

    /// Ends the server, with all it held, and starts it anew on its port.
    pub fn restart(&mut self) -> Result<(), ScratchError> {
        self.keeper.end()?;
        *self = Self::start_on(self.port.clone(), &self.program, &self.options, self.in_cluster)?;
        Ok(())
    }

    /// Ends the server and gives its port. Dropping does the same and prints an error instead of returning it.
    pub fn stop(mut self) -> Result<Port, ScratchError> {
        self.keeper.end()?;
        Ok(self.port)
    }
}

impl RedisOptions {
    /// What a URL begins with.
    pub(crate) fn scheme_and_login(&self, in_cluster: bool) -> (&'static str, String) {
        let scheme = match (self.tls.is_some(), in_cluster) {
            (false, false) => "redis",
            (true, false) => "rediss",
            (false, true) => "redis-cluster",
            (true, true) => "rediss-cluster",
        };
        (scheme, self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default())
    }
}

/// By which the server is asked whatever it is to others, and which only one that was started here has.
fn socket(home: &Path) -> PathBuf {
    home.join("socket")
}

/// The options in the words of the server, which reads its certificate from its directory.
fn further(options: &RedisOptions, in_cluster: bool, home: &Path) -> Result<Vec<String>, ScratchError> {
    let mut words = Vec::new();
    if let Some(password) = &options.password {
        words.extend(["--requirepass", password, "--masterauth", password]);
    }
    if let Some(Certificate { certificate, key }) = &options.tls {
        for (name, text) in [("certificate.pem", certificate), ("key.pem", key)] {
            fs::write(home.join(name), text).map_err(ScratchError::io(format!("write {name} of Redis")))?;
        }
        words.extend(["--port", "0", "--tls-auth-clients", "no", "--tls-cert-file", "certificate.pem"]);
        words.extend(["--tls-key-file", "key.pem", "--tls-ca-cert-file", "certificate.pem"]);
    }
    if in_cluster {
        words.extend(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]);
        words.extend(options.tls.as_ref().map_or(vec![], |_| vec!["--tls-cluster", "yes"]));
    }
    Ok(words.into_iter().map(str::to_owned).collect())
}

fn program() -> Result<PathBuf, ScratchError> {
    locate::redis_server()
        .ok_or_else(|| ScratchError::Missing { what: "a Redis server", remedy: locate::REDIS_REMEDY.to_owned() })
}

/// One answer that is a text.
fn answer(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("$", length)) => {
            let mut text = vec![0; length.parse::<usize>().map_err(std::io::Error::other)? + 2];
            from.read_exact(&mut text)?;
            Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
        }
        _ => Err(std::io::Error::other(format!("it answers {line:?}"))),
    }
}
