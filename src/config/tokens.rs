//! Whose tokens are good.

use chrono::TimeDelta;

use super::{
    reader::{ConfigError, Reader, Refused},
    setting::{self as settings, Setting},
    source::Sources,
    value as read,
};
use crate::{
    jwt::{Demands, Form, KeyFile, KeySet, Secret, Signer, Verifier},
    telemetry::chain,
};

/// Shorter than the hash and a secret can be guessed from one token (RFC 7518, section 3.2).
const SHORT_SECRET: usize = 32;

/// Which signatures are believed, and what else is asked of a token.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    keys: KeySet,
    source: KeySource,
    demands: Demands,
}

/// Where keys come from.
#[derive(Clone, Debug)]
enum KeySource {
    /// The newest first.
    Secrets(Vec<Secret>),
    File(KeyFile),
}

impl TokenConfig {
    /// For commands that sign tokens, and need nothing else.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(sources);
        let config = Self::of(&mut reader, "it takes the forum's secret; with public keys alone nothing can be signed");
        reader.finish(config).map(|(config, _)| config)
    }

    /// Verifies with every configured key, as it stood when the configuration was read.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(self.keys.clone(), self.demands.clone())
    }

    /// Signs with the first secret: the newest while they change. `None` where only public keys are known.
    pub fn signer(&self) -> Option<Signer> {
        let newest = self.secrets().first()?;
        Some(Signer::new(newest, self.demands.issuer.clone(), self.demands.audience.clone()))
    }

    /// The newest first; none where only public keys are known.
    pub fn secrets(&self) -> &[Secret] {
        match &self.source {
            KeySource::Secrets(secrets) => secrets,
            KeySource::File(_) => &[],
        }
    }

    /// The file that the keys come from, to be read again when it changes.
    pub fn key_file(&self) -> Option<&KeyFile> {
        match &self.source {
            KeySource::File(file) => Some(file),
            KeySource::Secrets(_) => None,
        }
    }

    pub(super) fn from_reader(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let [secret, pem, jwks] = [&settings::JWT_SECRET, &settings::JWT_PUBLIC_KEY_FILE, &settings::JWT_JWKS_FILE];
        let without = format!(
            "it takes {}; or give the forum's public keys instead, as {} or {}",
            secret.takes, pem.variable, jwks.variable
        );
        Self::of(reader, &without)
    }

    /// `without` is what to do where nothing is given.
    fn of(reader: &mut Reader<'_>, without: &str) -> Result<Self, Refused> {
        let keys = keys(reader, without);
        let issuer = reader.optional(&settings::JWT_ISSUER, read::text);
        let audience = reader.optional(&settings::JWT_AUDIENCE, read::text);
        let leeway = reader.required(&settings::JWT_LEEWAY, read::leeway);
        let (source, keys) = keys?;
        // At most five minutes.
        let leeway = TimeDelta::from_std(leeway?).unwrap_or_default();
        Ok(Self { keys, source, demands: Demands { issuer: issuer?, audience: audience?, leeway } })
    }
}

/// From the one setting of three that is given.
fn keys(reader: &mut Reader<'_>, without: &str) -> Result<(KeySource, KeySet), Refused> {
    let secrets = reader.optional(&settings::JWT_SECRET, read::secrets);
    let pem = reader.optional(&settings::JWT_PUBLIC_KEY_FILE, read::path);
    let jwks = reader.optional(&settings::JWT_JWKS_FILE, read::path);
    match (secrets?, pem?, jwks?) {
        (Some(secrets), None, None) => {
            if secrets.iter().any(|secret| secret.expose().len() < SHORT_SECRET) {
                reader.warn("JWT_SECRET holds fewer than 32 bytes: it can be guessed from a single token; let the forum use a longer one");
            }
            let keys = KeySet::of_secrets(&secrets);
            Ok((KeySource::Secrets(secrets), keys))
        }
        (None, Some(path), None) => in_file(reader, &settings::JWT_PUBLIC_KEY_FILE, KeyFile { path, form: Form::Pem }),
        (None, None, Some(path)) => in_file(reader, &settings::JWT_JWKS_FILE, KeyFile { path, form: Form::Jwks }),
        (None, None, None) => Err(reader.refuse(&settings::JWT_SECRET, without.to_owned())),
        (secrets, pem, _) => {
            let (first, second) = match (secrets, pem) {
                (Some(_), Some(_)) => (&settings::JWT_SECRET, &settings::JWT_PUBLIC_KEY_FILE),
                (Some(_), None) => (&settings::JWT_SECRET, &settings::JWT_JWKS_FILE),
                (None, _) => (&settings::JWT_PUBLIC_KEY_FILE, &settings::JWT_JWKS_FILE),
            };
            let why = format!(
                "{} is set as well, and one of them alone says whose tokens are good; take one out",
                first.variable
            );
            Err(reader.refuse(second, why))
        }
    }
}

fn in_file(reader: &mut Reader<'_>, setting: &'static Setting, file: KeyFile) -> Result<(KeySource, KeySet), Refused> {
    match file.keys() {
        Ok(keys) => Ok((KeySource::File(file), keys)),
        Err(error) => Err(reader.refuse(setting, chain(&error))),
    }
}
