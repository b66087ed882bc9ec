//! `curia-realtime token`

use std::time::Duration;

use chrono::Utc;
use clap::{Args, error::ErrorKind};

use super::{
    CliError,
    flags::{Flags, Tokens},
    print,
};
use crate::{actor::Actor, config};

/// Who the token is to name.
#[derive(Args)]
pub(super) struct Wanted {
    /// The user id (`sub`)
    #[arg(long, value_name = "ID")]
    user: String,
    /// The community id (`cid`)
    #[arg(long, value_name = "ID")]
    community: String,
    /// A role id, as often as there are roles
    #[arg(long = "role", value_name = "ID")]
    roles: Vec<String>,
    /// An admin of the community (`adm`)
    #[arg(long)]
    admin: bool,
    /// The name that others see
    #[arg(long)]
    name: Option<String>,
    /// The picture that others see
    #[arg(long, value_name = "URL")]
    picture: Option<String>,
    /// The device id (`uid`): one browser tab or frame
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    #[command(flatten)]
    settings: Flags<Tokens>,
}

fn ttl(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or("expected a duration such as 10s, 5m, 1h, at most 7d")
}

/// Prints a token. Whether it would be believed is checked with the verifier that `serve` uses.
pub(super) fn run(wanted: Wanted) -> Result<(), CliError> {
    let tokens = config::TokenConfig::read(&wanted.settings.sources()?)?;
    let now = Utc::now();
    let actor = Actor {
        user: wanted.user.into(),
        community: wanted.community.into(),
        roles: wanted.roles.into_iter().map(Into::into).collect(),
        admin: wanted.admin,
        name: wanted.name,
        picture: wanted.picture,
        device: wanted.device.map(Into::into),
        expires_at: now + wanted.ttl,
    };
    let token = tokens.signer().ok_or(CliError::NoSecret)?.mint(&actor, now)?;
    if let Err(error) = tokens.verifier().verify(&token, now) {
        let text = format!(
            "{error}; give --user, --community, --role and --device without control characters and not empty\n"
        );
        clap::Error::raw(ErrorKind::ValueValidation, text).exit();
    }
    print(&format!("{token}\n"))
}
