//! `cargo xtask demo` as a newcomer ends it.

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use curia_scratch::Port;

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

type Outcome = Result<(), Box<dyn Error>>;

/// A demo that serves, with a folder for whatever it makes.
struct Demo {
    child: Child,
    port: Port,
    folder: PathBuf,
}

impl Demo {
    /// In a process group of its own, as a terminal starts it.
    fn start(name: &str) -> Result<Self, Box<dyn Error>> {
        let folder = PathBuf::from(format!("/tmp/curia-xtask-{name}-{}", process::id()));
        fs::create_dir(&folder)?;
        // As temporary folders are: root's servers run as somebody else.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777))?;
        let (xtask, port) = (Path::new(env!("CARGO_BIN_EXE_xtask")), Port::free()?);
        let mut child = Command::new(xtask)
            .args(["demo", "--simulate", "--port", &port.number().to_string(), "--program"])
            .arg(xtask.with_file_name("curia-realtime"))
            .env("TMPDIR", &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let said = BufReader::new(child.stdout.take().ok_or("its output")?);
        let demo = Self { child, port, folder };
        let address = format!("http://127.0.0.1:{}/demo", demo.port.number());
        let mut lines = said.lines();
        while !lines.next().ok_or("it ended before it said where its page is")??.contains(&address) {}
        // What it says later has to go somewhere.
        thread::spawn(move || lines.for_each(drop));
        assert!(demo.page()?.starts_with("HTTP/1.1 200"), "the page is there");
        assert!(demo.has_files()?, "a server's files are there");
        Ok(demo)
    }

    fn page(&self) -> Result<String, Box<dyn Error>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.number()))?;
        stream.write_all(b"GET /demo HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// To the process, or to all that the terminal would tell.
    fn signal(&self, name: &str, whom: &str) -> Outcome {
        let to = format!("{whom}{}", self.child.id());
        let status = Command::new("/bin/sh").args(["-c", "kill -s \"$1\" -- \"$2\"", "kill", name, &to]).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill said {status}").into()) }
    }

    fn has_files(&self) -> Result<bool, Box<dyn Error>> {
        Ok(fs::read_dir(&self.folder)?.next().is_some())
    }

    /// Waits until nothing of it is there any longer: nobody who listens, no file, and no program that was started with one.
    fn leaves_nothing(self) -> Outcome {
        let until = Instant::now() + PATIENCE;
        let number = self.port.number();
        // Where a server listens nobody else can.
        while self.has_files()? || TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_err() || self.is_named()? {
            assert!(Instant::now() < until, "something of it stays in {} or on port {number}", self.folder.display());
            thread::sleep(GLANCE);
        }
        Ok(fs::remove_dir(&self.folder)?)
    }

    /// Whether the folder stands in the command of any process.
    fn is_named(&self) -> Result<bool, Box<dyn Error>> {
        let output = Command::new("ps").args(["-A", "-o", "args="]).output()?;
        let folder = self.folder.display().to_string();
        Ok(String::from_utf8_lossy(&output.stdout).lines().any(|line| line.contains(&folder)))
    }
}

#[test]
fn ctrl_c_ends_the_demo_and_leaves_nothing_behind() -> Outcome {
    let mut demo = Demo::start("ctrl-c")?;
    demo.signal("INT", "-")?;
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = demo.child.try_wait()? {
            break status;
        }
        assert!(Instant::now() < until, "it goes on");
        thread::sleep(GLANCE);
    };
    assert!(status.success(), "{status}");
    assert!(!demo.has_files()?, "everything is gone by then");
    demo.leaves_nothing()
}

#[test]
fn a_demo_that_is_killed_leaves_nothing_behind_either() -> Outcome {
    let mut demo = Demo::start("kill")?;
    demo.signal("KILL", "")?;
    demo.child.wait()?;
    demo.leaves_nothing()
}
