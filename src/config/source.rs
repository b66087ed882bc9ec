//! Where values come from: a flag counts before the environment, that before `.env`, that before the default.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::Path,
};

use super::{
    dotenv::{self, DotEnv},
    setting::{OWN_PREFIX, Setting},
};

/// The file that may hold settings, looked for in the working directory.
pub const FILE: &str = ".env";

/// Which of them a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The command line.
    Flag,
    /// The process environment.
    Environment,
    /// The file `.env`.
    File,
    /// Our own.
    Default,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => FILE,
            Self::Default => "default",
        })
    }
}

/// A place that settings can't be read from.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A name without its value: the bytes may be a secret.
    #[error("{variable} in the environment is not UTF-8; set it anew")]
    NotText { variable: &'static str },
    #[error("{FILE} in the working directory can't be read ({0}); make it readable UTF-8 text or move it away")]
    File(#[source] io::Error),
}

/// What the user gave, unread.
#[derive(Default)]
pub struct Sources {
    /// By flag, without dashes.
    pub flags: BTreeMap<&'static str, String>,
    /// By variable.
    pub environment: BTreeMap<String, String>,
    /// By variable.
    pub file: BTreeMap<String, String>,
    /// Lines of the file that say nothing that could be read.
    pub unread: Vec<usize>,
    /// Names in the environment that begin as ours do and belong to none of the settings. What they hold is not read.
    pub strange: BTreeSet<String>,
}

impl Sources {
    /// The flags, the process environment and `.env` in the working directory, as far as they tell of `settings`.
    pub fn of_process(flags: BTreeMap<&'static str, String>, settings: &[&Setting]) -> Result<Self, SourceError> {
        let mut environment = BTreeMap::new();
        for variable in settings.iter().map(|setting| setting.variable) {
            if let Some(value) = std::env::var_os(variable) {
                let value = value.into_string().map_err(|_| SourceError::NotText { variable })?;
                environment.insert(variable.to_owned(), value);
            }
        }
        let DotEnv { values: file, unread } = match std::fs::read_to_string(Path::new(FILE)) {
            Ok(text) => dotenv::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => DotEnv::default(),
            Err(error) => return Err(SourceError::File(error)),
        };
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let is_strange = |name: &String| {
            name.starts_with(OWN_PREFIX) && !settings.iter().any(|setting| setting.variable == name.as_str())
        };
        Ok(Self { flags, environment, file, unread, strange: names.filter(is_strange).collect() })
    }

    /// What to say of lines that could not be read, without a word of what they hold.
    pub(super) fn unread(&self) -> Option<String> {
        let lines = match self.unread.as_slice() {
            [] => return None,
            [line] => format!("line {line}"),
            [lines @ .., last] => {
                let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
                format!("lines {} and {last}", lines.join(", "))
            }
        };
        Some(format!(
            "{lines} of {FILE} can't be read, and nothing is taken from there; an assignment is NAME=value, a comment begins with #"
        ))
    }

    /// The value that counts. An empty variable is an unset one; an empty flag was meant.
    pub fn find(&self, setting: &Setting) -> Option<(&str, Provenance)> {
        let filled = |value: &&String| !value.is_empty();
        let flag = self.flags.get(setting.flag).map(|value| (value, Provenance::Flag));
        let environment =
            || self.environment.get(setting.variable).filter(filled).map(|value| (value, Provenance::Environment));
        let file = || self.file.get(setting.variable).filter(filled).map(|value| (value, Provenance::File));
        let given = flag.or_else(environment).or_else(file);
        given
            .map(|(value, provenance)| (value.as_str(), provenance))
            .or_else(|| setting.default.map(|value| (value, Provenance::Default)))
    }
}
