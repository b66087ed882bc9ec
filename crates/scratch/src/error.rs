use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a throw-away server could not be had.
#[derive(Debug)]
pub enum ScratchError {
    /// A program is not on this machine; `remedy` is what brings it.
    Missing { what: &'static str, remedy: String },
    /// The operating system refused something.
    Io { doing: String, source: io::Error },
    /// A program ran and failed; `said` is the end of what it printed.
    Failed { program: String, outcome: String, said: String },
    /// A server was started and does not answer.
    Silent { server: &'static str, after: Duration, said: String },
    /// PostgreSQL refused a statement.
    Refused { statement: String, message: String },
    /// PostgreSQL sent something that this minimal client does not understand.
    Protocol { doing: String, detail: String },
    /// We are root, PostgreSQL refuses to run as root, and there is no other account.
    NoAccount,
    /// No folder for the server that its account could enter.
    NoFolder { tried: Vec<PathBuf> },
}

impl ScratchError {
    /// For `map_err`: names what was being done when the operating system refused.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl fmt::Display for ScratchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what, remedy } => write!(f, "{what} is not on this machine; {remedy}"),
            Self::Io { doing, source } => write!(f, "could not {doing}: {source}"),
            Self::Failed { program, outcome, said } => write!(f, "{program} failed ({outcome}){}", Quoted(said)),
            Self::Silent { server, after, said } => {
                write!(f, "{server} was started and did not answer within {} s{}", after.as_secs(), Quoted(said))
            }
            Self::Refused { statement, message } => write!(f, "PostgreSQL refused `{statement}`: {message}"),
            Self::Protocol { doing, detail } => write!(f, "could not {doing}: {detail}"),
            Self::NoAccount => f.write_str(
                "PostgreSQL refuses to run as root and neither `postgres` nor `nobody` is in /etc/passwd; \
                 run this as an ordinary user, or create one: useradd --system postgres",
            ),
            Self::NoFolder { tried } => {
                f.write_str(
                    "no folder for temporary files that the server's account may enter; set TMPDIR to one (tried",
                )?;
                for folder in tried {
                    write!(f, " {}", folder.display())?;
                }
                f.write_str(")")
            }
        }
    }
}

impl std::error::Error for ScratchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What a program printed, on lines of its own, or nothing.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.trim().is_empty() {
            return f.write_str("; it printed nothing");
        }
        f.write_str("; it printed:")?;
        self.0.trim_end().lines().try_for_each(|line| write!(f, "\n    {line}"))
    }
}
