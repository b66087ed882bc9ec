//! Tokens as the forum signs them.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::Secret;
use crate::{actor::Actor, ids::DeviceId};

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
