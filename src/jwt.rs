//! Tokens: the one place where a claim becomes an [`Actor`].
//!
//! The algorithm follows from the configured keys, never from the token. Time is a parameter: the library's own checks,
//! which read the system clock and grant a minute, are off, and a token is worth nothing from its `exp` on, unless a leeway
//! is configured.
//!
//! Keys may be replaced at any moment ([`Verifier::replace`]); a token is judged by one set of them, whole.

mod claims;
mod file;
mod flaw;
mod jwks;
mod keys;
mod pem;
mod signer;

use std::{fmt, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use tokio::sync::watch;

use self::claims::Claims;
pub use self::{
    file::{Form, KeyFile},
    flaw::{Flaw, TokenError},
    keys::{KeyError, KeySet},
    signer::{SignError, Signer},
};
use crate::actor::Actor;

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

/// What is asked of every token beside its signature.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// `iss`, when given.
    pub issuer: Option<String>,
    /// `aud`, when given: it, or one of several.
    pub audience: Option<String>,
    /// For so long a token is good before its `nbf` and behind its `exp`, where clocks differ.
    pub leeway: TimeDelta,
}

/// Turns tokens into actors, with the keys and demands of the configuration.
pub struct Verifier {
    keys: watch::Sender<Arc<KeySet>>,
    demands: Demands,
}

impl Verifier {
    /// Believes whatever is signed with one of `keys` and meets `demands`.
    pub fn new(keys: KeySet, demands: Demands) -> Self {
        Self { keys: watch::Sender::new(Arc::new(keys)), demands }
    }

    /// From now on these keys count and no others.
    pub fn replace(&self, keys: KeySet) {
        self.keys.send_replace(Arc::new(keys));
    }

    /// The bearer of `token`, if it is good at the moment `now`.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Actor, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Flaw::TooLong.into());
        }
        let Demands { issuer, audience, leeway } = &self.demands;
        let claims = Claims(self.signed_claims(token)?);
        let expires_at = claims.time("exp")?.ok_or(Flaw::Claim("exp"))?;
        let expires_at = expires_at.checked_add_signed(*leeway).ok_or(Flaw::Claim("exp"))?;
        if expires_at <= now {
            return Err(TokenError::Expired);
        }
        if claims.time("nbf")?.is_some_and(|from| now + *leeway < from) {
            return Err(Flaw::NotYet.into());
        }
        if issuer.as_deref().is_some_and(|issuer| !claims.names("iss", issuer)) {
            return Err(Flaw::Issuer.into());
        }
        if audience.as_deref().is_some_and(|audience| !claims.names("aud", audience)) {
            return Err(Flaw::Audience.into());
        }
        Ok(claims.into_actor(expires_at)?)
    }

    fn signed_claims(&self, token: &str) -> Result<Map<String, Value>, Flaw> {
        let keys = Arc::clone(&self.keys.borrow());
        keys.claims_of(token)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("keys", &*self.keys.borrow()).field("demands", &self.demands).finish()
    }
}

#[cfg(test)]
mod tests;
