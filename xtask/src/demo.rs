//! `cargo xtask demo`: a private PostgreSQL with a small forum, the service over it, and the page to open.

use std::{
    env,
    error::Error,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use curia_scratch::{Keeper, Options, Postgres, is_free, provide};

use crate::{interrupt::Interrupt, step};

const FIRST_PORT: u16 = 4000;
/// The demo believes whoever you say you are; its secret guards nothing.
const SECRET: &str = "a-secret-that-only-the-demo-knows-and-everybody-may";
const GLANCE: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What `--help` answers.
pub const USAGE: &str = "usage: cargo xtask demo [--simulate] [--port <port>] [--program <path>]

A small forum over a PostgreSQL of its own, with a page to open in two windows. Ctrl-C leaves nothing behind.

  --simulate         a lively crowd writes all the time
  --port <port>      where the page is; without it the first free one from 4000 up
  --program <path>   a curia-realtime that is built already; without it the service is built first";

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    simulate: bool,
    port: Option<u16>,
    /// Served as it is; without one it is built.
    program: Option<PathBuf>,
}

impl Arguments {
    /// Reads what stands behind `demo`.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--simulate" => arguments.simulate = true,
                "--port" => {
                    let port = words.next().and_then(|port| port.parse().ok()).filter(|port| *port > 0);
                    arguments.port = Some(port.ok_or("--port takes a number from 1 to 65535")?);
                }
                "--program" => {
                    let program =
                        words.next().ok_or("--program takes the path of a curia-realtime that is built already")?;
                    arguments.program = Some(program.into());
                }
                _ => return Err(format!("demo takes [--simulate] [--port <port>] [--program <path>], not {word}")),
            }
        }
        Ok(arguments)
    }
}

/// Serves until Ctrl-C, then leaves nothing behind.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    let Some(mut demo) = Demo::start(arguments, &interrupt)? else { return Ok(()) };
    if demo.answers(&interrupt)? {
        println!("\n  Open {} in two windows.\n  Ctrl-C ends it and leaves nothing behind.\n", demo.address());
        println!("{}", own_client(demo.port, &shown(&demo.program)));
    }
    while !interrupt.asked() {
        demo.lives()?;
        thread::sleep(GLANCE);
    }
    println!("\nending ...");
    demo.end()
}

/// A demo that has been started. On every way out the service ends before its database, as the fields stand here.
pub struct Demo {
    service: Keeper,
    postgres: Postgres,
    port: u16,
    program: PathBuf,
}

impl Demo {
    /// Builds the service and starts it over a database of its own; `None` when we were asked to end meanwhile.
    pub fn start(arguments: &Arguments, interrupt: &Interrupt) -> Result<Option<Self>, Box<dyn Error>> {
        let port = match arguments.port {
            Some(port) if !is_free(port) => return Err(format!("port {port} is taken; choose another: --port").into()),
            Some(port) => port,
            None => (FIRST_PORT..=u16::MAX).find(|port| is_free(*port)).ok_or("no port from 4000 up is free")?,
        };
        let program = match &arguments.program {
            Some(program) => program.clone(),
            None => match built(interrupt)? {
                Some(program) => program,
                None => return Ok(None),
            },
        };
        provide::postgres()?;
        let postgres = Postgres::start(&Options::default())?;
        let database = postgres.create_database("forum")?;

        let port_word = port.to_string();
        let mut words = vec!["demo", "--database-url", &database, "--host", "127.0.0.1", "--port", &port_word];
        words.extend(["--jwt-secret", SECRET]);
        if arguments.simulate {
            words.push("--simulate");
        }
        let service = Keeper::start(&program, words)?;
        Ok(Some(Self { service, postgres, port, program }))
    }

    /// Where its page is.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/demo", self.port)
    }

    /// Waits until it can be asked; false when we were asked to end meanwhile.
    pub fn answers(&mut self, interrupt: &Interrupt) -> Result<bool, Box<dyn Error>> {
        let until = Instant::now() + ANSWER_WITHIN;
        while !interrupt.asked() {
            self.lives()?;
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(true);
            }
            if Instant::now() > until {
                return Err(format!("the service does not answer on port {}", self.port).into());
            }
            thread::sleep(GLANCE);
        }
        Ok(false)
    }

    fn lives(&mut self) -> Result<(), Box<dyn Error>> {
        match self.service.ended()? {
            Some(status) => Err(format!("the service ended by itself ({status}); the reason stands above").into()),
            None => Ok(()),
        }
    }

    /// Ends both and waits until they are gone.
    pub fn end(mut self) -> Result<(), Box<dyn Error>> {
        self.service.end()?;
        Ok(self.postgres.stop()?)
    }
}

/// How to try a client of one's own: whoever develops a front end has the library already.
fn own_client(port: u16, program: &str) -> String {
    format!(
        "  A client of your own, as Ada (npm install socket.io-client; node own.mjs):
    import {{ io }} from \"socket.io-client\";
    const socket = io(\"http://127.0.0.1:{port}\", {{ auth: {{ token: process.env.TOKEN }} }});
    socket.onAny(console.log).emit(\"feed:join\", {{}}, console.log);
  with the token, good for an hour, from
    export TOKEN=$({program} token --user ada --community lantern --jwt-secret {SECRET})
"
    )
}

/// As somebody types it who stands where we do.
fn shown(program: &Path) -> String {
    let here = env::current_dir().ok().and_then(|here| program.strip_prefix(here).map(Path::to_path_buf).ok());
    here.unwrap_or_else(|| program.to_owned()).display().to_string()
}

/// Builds the service, which then lies where cargo built us; `None` when we were asked to end meanwhile.
fn built(interrupt: &Interrupt) -> Result<Option<PathBuf>, Box<dyn Error>> {
    println!("building the service (the first time takes a few minutes) ...");
    let mut build = Command::new(env!("CARGO"));
    let (status, _) = step::run(build.args(["build", "--quiet", "--bin", "curia-realtime"]), interrupt)?;
    if interrupt.asked() {
        return Ok(None);
    }
    if !status.success() {
        return Err(format!("cargo build failed ({status})").into());
    }
    Ok(Some(env::current_exe()?.with_file_name("curia-realtime")))
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(words: &str) -> Result<Arguments, String> {
        Arguments::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read_or_named() {
        assert_eq!(parse(""), Ok(Arguments::default()));
        let port = Some(4100);
        assert_eq!(parse("--port 4100 --simulate"), Ok(Arguments { simulate: true, port, program: None }));
        let program = Some("target/release/curia-realtime".into());
        let of_release = Arguments { program, ..Arguments::default() };
        assert_eq!(parse("--program target/release/curia-realtime"), Ok(of_release));
        assert!(parse("--program").is_err());
        assert!(parse("--port").is_err() && parse("--port 0").is_err() && parse("--port 70000").is_err());
        assert!(parse("--fast").unwrap_err().contains("--fast"));
    }
}
