//! Tokens: the one place where a claim becomes an [`Actor`].
//!
//! The algorithm follows from the configured keys, never from the token. Time is a parameter: the library's own checks,
//! which read the system clock and grant a minute, are off, and a token is worth nothing from its `exp` on.

use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde_json::{Map, Value, json};

use crate::{
    actor::Actor,
    ids::{CommunityId, DeviceId, RoleId, UserId},
};

/// A longer token is refused unread.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What must not be shown: there is no `Display`, and `Debug` keeps it to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Where the keys come from that a signature may fit.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// HS256 with any of these: more than one while the forum changes its secret.
    Secrets(Vec<Secret>),
}

/// Why a token makes nobody an [`Actor`]. No text of the token is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// None was sent.
    #[error("no token was sent; put it into auth.token or an Authorization: Bearer header")]
    Missing,
    /// It can't be trusted or can't be understood.
    #[error("the token is refused: {0}")]
    Invalid(#[from] Flaw),
    /// It was good until its `exp`.
    #[error("the token has expired; ask the forum for a new one")]
    Expired,
}

impl TokenError {
    /// The contract's error code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "auth_missing",
            Self::Invalid(_) => "auth_invalid",
            Self::Expired => "auth_expired",
        }
    }
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// See [`MAX_TOKEN_BYTES`].
    #[error("it is longer than 8 KiB")]
    TooLong,
    /// Not three parts of base64 with JSON objects in them.
    #[error("it is not a JWT")]
    Malformed,
    /// Not the configured one.
    #[error("it is signed with another algorithm than the configured one")]
    Algorithm,
    /// A `crit` header: whoever does not know the extension has to refuse.
    #[error("its header demands an extension that is not supported")]
    Extension,
    /// No configured key fits.
    #[error("its signature fits none of the configured keys")]
    Signature,
    /// Absent, of the wrong type, empty or with control characters.
    #[error("its claim `{0}` is missing or not of the expected form")]
    Claim(&'static str),
    /// `nbf`
    #[error("it is not valid yet")]
    NotYet,
    /// Not `JWT_ISSUER`.
    #[error("it comes from another issuer")]
    Issuer,
    /// Not `JWT_AUDIENCE`.
    #[error("it is meant for another audience")]
    Audience,
}

/// Turns tokens into actors, with the keys and demands of the configuration.
pub struct Verifier {
    keys: Vec<DecodingKey>,
    signature: Validation,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Verifier {
    /// `issuer` and `audience` are demanded of every token when given.
    pub fn new(source: &KeySource, issuer: Option<String>, audience: Option<String>) -> Self {
        let (algorithm, keys) = match source {
            KeySource::Secrets(secrets) => {
                let key = |secret: &Secret| DecodingKey::from_secret(secret.expose().as_bytes());
                (Algorithm::HS256, secrets.iter().map(key).collect())
            }
        };
        let mut signature = Validation::new(algorithm);
        signature.required_spec_claims.clear();
        signature.validate_exp = false;
        signature.validate_aud = false;
        Self { keys, signature, issuer, audience }
    }

    /// The bearer of `token`, if it is good at the moment `now`.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Actor, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Flaw::TooLong.into());
        }
        let claims = Claims(self.signed_claims(token)?);
        let expires_at = claims.time("exp")?.ok_or(Flaw::Claim("exp"))?;
        if expires_at <= now {
            return Err(TokenError::Expired);
        }
        if claims.time("nbf")?.is_some_and(|from| now < from) {
            return Err(Flaw::NotYet.into());
        }
        if self.issuer.as_deref().is_some_and(|issuer| !claims.names("iss", issuer)) {
            return Err(Flaw::Issuer.into());
        }
        if self.audience.as_deref().is_some_and(|audience| !claims.names("aud", audience)) {
            return Err(Flaw::Audience.into());
        }
        Ok(claims.into_actor(expires_at)?)
    }

    fn signed_claims(&self, token: &str) -> Result<Map<String, Value>, Flaw> {
        for key in &self.keys {
            match jsonwebtoken::decode::<Map<String, Value>>(token, key, &self.signature) {
                Ok(data) if data.header.crit.is_some() => return Err(Flaw::Extension),
                Ok(data) => return Ok(data.claims),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => continue,
                    ErrorKind::InvalidAlgorithm => return Err(Flaw::Algorithm),
                    _ => return Err(Flaw::Malformed),
                },
            }
        }
        Err(Flaw::Signature)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.keys.len())
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish()
    }
}

/// Claims under a signature that fits. `null` counts as absent, as the forum's own code has it.
struct Claims(Map<String, Value>);

impl Claims {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A NumericDate: seconds, possibly with a fraction.
    fn time(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, Flaw> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let seconds = value.as_f64().ok_or(Flaw::Claim(name))?;
        // A cast saturates, and what is out of chrono's range is none of its times.
        DateTime::from_timestamp_millis((seconds * 1000.0).floor() as i64).map(Some).ok_or(Flaw::Claim(name))
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, Flaw> {
        self.get(name).map(|value| value.as_str().ok_or(Flaw::Claim(name))).transpose()
    }

    fn id(&self, name: &'static str) -> Result<Option<&str>, Flaw> {
        self.text(name)?.map(|id| printable(id).ok_or(Flaw::Claim(name))).transpose()
    }

    fn flag(&self, name: &'static str) -> Result<bool, Flaw> {
        self.get(name).map_or(Ok(false), |value| value.as_bool().ok_or(Flaw::Claim(name)))
    }

    fn roles(&self) -> Result<BTreeSet<RoleId>, Flaw> {
        const NAME: &str = "roles";
        let Some(value) = self.get(NAME) else { return Ok(BTreeSet::new()) };
        let role = |value: &Value| value.as_str().and_then(printable).map(RoleId::from).ok_or(Flaw::Claim(NAME));
        value.as_array().ok_or(Flaw::Claim(NAME))?.iter().map(role).collect()
    }

    /// Whether `wanted` is the claim or, where it is a list, one of it.
    fn names(&self, claim: &str, wanted: &str) -> bool {
        match self.get(claim) {
            Some(Value::String(text)) => text == wanted,
            Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(wanted)),
            _ => false,
        }
    }

    fn into_actor(self, expires_at: DateTime<Utc>) -> Result<Actor, Flaw> {
        Ok(Actor {
            user: UserId::from(self.id("sub")?.ok_or(Flaw::Claim("sub"))?),
            community: CommunityId::from(self.id("cid")?.ok_or(Flaw::Claim("cid"))?),
            roles: self.roles()?,
            admin: self.flag("adm")?,
            name: self.text("name")?.map(str::to_owned),
            picture: self.text("picture")?.map(str::to_owned),
            device: self.id("uid")?.map(DeviceId::from),
            expires_at,
        })
    }
}

/// Ids end up in room names, keys and log lines.
fn printable(id: &str) -> Option<&str> {
    (!id.is_empty() && !id.chars().any(char::is_control)).then_some(id)
}

/// Signing failed, which with a key in memory means that the claims could not be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("the token can't be signed")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

/// Makes tokens as the forum makes them: for the demo, for trying things out, for tests.
pub struct Signer {
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Signer {
    /// Signs with HS256; the other two are claimed when given.
    pub fn new(secret: &Secret, issuer: Option<String>, audience: Option<String>) -> Self {
        Self { key: EncodingKey::from_secret(secret.expose().as_bytes()), issuer, audience }
    }

    /// A token that says what `actor` holds, until `actor.expires_at`.
    pub fn mint(&self, actor: &Actor, issued_at: DateTime<Utc>) -> Result<String, SignError> {
        let mut claims = json!({
            "sub": actor.user,
            "cid": actor.community,
            "roles": actor.roles,
            "adm": actor.admin,
            "iat": issued_at.timestamp(),
            "exp": actor.expires_at.timestamp(),
        });
        let optional = [
            ("name", actor.name.as_deref()),
            ("picture", actor.picture.as_deref()),
            ("uid", actor.device.as_ref().map(DeviceId::as_str)),
            ("iss", self.issuer.as_deref()),
            ("aud", self.audience.as_deref()),
        ];
        for (claim, value) in optional {
            if let Some(value) = value {
                claims[claim] = value.into();
            }
        }
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)?)
    }
}

#[cfg(test)]
mod tests;
