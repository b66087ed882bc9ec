//! Reads settings one by one and goes on after a problem, so that all of them are told at once.

use std::fmt;

use url::Url;

use super::{
    setting::{Setting, Shown},
    source::{Provenance, SourceError, Sources},
};
use crate::{postgres::database_url::without_password, redis::url::RedisUrl};

/// A setting as it counts, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The environment variable.
    pub variable: &'static str,
    /// Secrets and passwords are masked; `None` where it is not set.
    pub shown: Option<String>,
    /// Where it came from.
    pub from: Provenance,
}

/// What is wrong with the configuration, a line for each setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}", .problems.iter().map(Problem::to_string).chain(unread.clone()).collect::<Vec<_>>().join("\n"))]
    Settings {
        problems: Vec<Problem>,
        /// What is missing may stand in lines of `.env` that could not be read.
        unread: Option<String>,
    },
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// One setting that is missing or can't be used.
#[derive(Debug)]
pub struct Problem {
    setting: &'static Setting,
    /// Where it was found and, where that is no secret, what it was.
    found: Option<(Provenance, Option<String>)>,
    /// What is wrong, where that is not simply another text than what the setting takes.
    why: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { variable, flag, takes, .. } = self.setting;
        write!(f, "{variable} (or --{flag}) ")?;
        match &self.found {
            None => write!(f, "is not set")?,
            Some((from, Some(value))) => write!(f, "is {value:?} ({from})")?,
            Some((from, None)) => write!(f, "can't be used as it is ({from})")?,
        }
        match &self.why {
            None => write!(f, "; it takes {takes}"),
            Some(why) => write!(f, "; {why}"),
        }
    }
}

/// The setting is among the reader's problems.
#[derive(Debug)]
pub(super) struct Refused;

/// What was seen on the way.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) effective: Vec<Effective>,
    pub(super) warnings: Vec<String>,
}

pub(super) struct Reader<'a> {
    sources: &'a Sources,
    problems: Vec<Problem>,
    notes: Notes,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        Self { sources, problems: Vec::new(), notes: Notes::default() }
    }

    /// What was made of the settings, or their problems.
    pub(super) fn finish<T>(self, made: Result<T, Refused>) -> Result<(T, Notes), ConfigError> {
        match made {
            Ok(made) if self.problems.is_empty() => Ok((made, self.notes)),
            _ => Err(ConfigError::Settings { problems: self.problems, unread: self.sources.unread() }),
        }
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.notes.warnings.push(text.into());
    }

    /// A setting that reads well and can't be used nevertheless.
    pub(super) fn refuse(&mut self, setting: &'static Setting, why: String) -> Refused {
        let found = self.sources.find(setting).map(|(text, from)| (from, told(setting, text)));
        self.problems.push(Problem { setting, found, why: Some(why) });
        Refused
    }

    pub(super) fn required<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Refused> {
        let value = self.optional(setting, parse)?;
        value.ok_or_else(|| {
            self.problems.push(Problem { setting, found: None, why: None });
            Refused
        })
    }

    pub(super) fn optional<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        let variable = setting.variable;
        let Some((text, from)) = self.sources.find(setting) else {
            self.notes.effective.push(Effective { variable, shown: None, from: Provenance::Default });
            return Ok(None);
        };
        let Some(value) = parse(text) else {
            self.problems.push(Problem { setting, found: Some((from, told(setting, text))), why: None });
            return Err(Refused);
        };
        if from == Provenance::File && text.contains('$') {
            self.warn(format!(
                "{variable} in .env holds a $, which is taken as it stands; if the forum's runtime expands it, set \
                 {variable} in the environment"
            ));
        }
        self.notes.effective.push(Effective { variable, shown: Some(shown(setting, text)), from });
        Ok(Some(value))
    }
}

/// The value as a complaint may quote it.
fn told(setting: &Setting, text: &str) -> Option<String> {
    (setting.shown == Shown::Plain).then(|| text.to_owned())
}

fn shown(setting: &Setting, text: &str) -> String {
    match setting.shown {
        Shown::Plain => text.to_owned(),
        Shown::Secret => "[secret]".to_owned(),
        Shown::Url => match (Url::parse(text), text.parse::<RedisUrl>()) {
            (Ok(url), _) => without_password(&url),
            // Of several servers, which is no URL to others.
            (Err(_), Ok(url)) => url.shown().to_owned(),
            (Err(_), Err(_)) => "[secret]".to_owned(),
        },
    }
}
