//! Flags from the table of settings: one for each variable, so that neither can be forgotten.
//!
//! clap only collects them. Its own reading of the environment would take an empty variable for a value, print values in
//! `--help` and quote a secret in a complaint.

use std::{collections::BTreeMap, marker::PhantomData};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{
    SourceError, Sources,
    setting::{OF_DATABASE, OF_SERVER, OF_TOKENS, Setting},
};

/// Which settings a command takes.
pub trait Group {
    /// In the order of `--help`.
    const SETTINGS: &'static [&'static Setting];

    /// What a setting does for this group, where that is not what it does for the service.
    fn help(setting: &Setting) -> &'static str {
        setting.help
    }
}

/// All settings.
#[derive(Debug)]
pub struct Server;

impl Group for Server {
    const SETTINGS: &'static [&'static Setting] = OF_SERVER;
}

/// Those of the database.
#[derive(Debug)]
pub struct Database;

impl Group for Database {
    const SETTINGS: &'static [&'static Setting] = OF_DATABASE;
}

/// Those of tokens.
#[derive(Debug)]
pub struct Tokens;

impl Group for Tokens {
    const SETTINGS: &'static [&'static Setting] = OF_TOKENS;

    fn help(setting: &Setting) -> &'static str {
        match setting.variable {
            "JWT_ISSUER" => "The token's issuer (`iss`)",
            "JWT_AUDIENCE" => "The token's audience (`aud`)",
            _ => setting.help,
        }
    }
}

/// The flags given for the settings of a group, unread.
pub struct Flags<G> {
    given: BTreeMap<&'static str, String>,
    group: PhantomData<G>,
}

impl<G: Group> Flags<G> {
    /// The flags, with what the environment and `.env` say beside them.
    pub fn sources(self) -> Result<Sources, SourceError> {
        Sources::of_process(self.given, G::SETTINGS)
    }
}

impl<G: Group> Args for Flags<G> {
    fn augment_args(command: Command) -> Command {
        G::SETTINGS.iter().fold(command, |command, setting| {
            let default = setting.default.filter(|value| !value.is_empty());
            let default = default.map(|value| format!(" [default: {value}]")).unwrap_or_default();
            let flag = Arg::new(setting.flag)
                .long(setting.flag)
                .value_name(setting.value_name)
                .help(format!("{} [env: {}]{default}", G::help(setting), setting.variable))
                .action(ArgAction::Set);
            command.arg(flag)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<G: Group> FromArgMatches for Flags<G> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self { given: BTreeMap::new(), group: PhantomData };
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in G::SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.flag) {
                self.given.insert(setting.flag, value.clone());
            }
        }
        Ok(())
    }
}
