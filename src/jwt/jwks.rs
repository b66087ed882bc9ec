//! Public keys as a JWK set (RFC 7517). What is for another use or of another kind is passed over, since sets are made for many
//! readers; what must not stand in a set of public keys at all makes the whole file refused.

use serde::Deserialize;
use serde_json::Value;

use super::keys::{Key, KeyError, KeySet, Where, base64url};

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// A member of a set, as far as it concerns us.
#[derive(Deserialize)]
struct Member {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

pub(super) fn read(text: &[u8]) -> Result<KeySet, KeyError> {
    let set: Set = serde_json::from_slice(text).map_err(|error| KeyError::NotJwks(Some(error)))?;
    let keys = set.keys.into_iter().zip(1..).map(|(member, number)| key(member, Where { what: "key", number }));
    KeySet::of_keys(keys.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

/// `None` where it is not for us.
fn key(member: Value, at: Where) -> Result<Option<Key>, KeyError> {
    match member.get("kty").and_then(Value::as_str) {
        Some("oct") => return Err(KeyError::Symmetric(at)),
        _ if member.get("d").is_some() => return Err(KeyError::Private(at)),
        Some("RSA" | "EC" | "OKP") => {}
        _ => return Ok(None),
    }
    let member: Member = serde_json::from_value(member).map_err(|_| KeyError::Malformed(at))?;
    let for_us = |alg: &str| {
        member.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && member.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"))
            && member.alg.as_deref().is_none_or(|named| named == alg)
    };
    let bytes = |text: Option<&String>| text.and_then(|text| base64url(text)).ok_or(KeyError::Malformed(at));
    Ok(match (member.kty.as_str(), member.crv.as_deref()) {
        ("RSA", _) if for_us("RS256") => {
            Some(Key::rsa(member.kid.clone(), &bytes(member.n.as_ref())?, &bytes(member.e.as_ref())?, at)?)
        }
        ("EC", Some("P-256")) if for_us("ES256") => {
            let (x, y) = (bytes(member.x.as_ref())?, bytes(member.y.as_ref())?);
            let point = [&[UNCOMPRESSED], &x[..], &y[..]].concat();
            Some(Key::p256(member.kid.clone(), &point, at)?)
        }
        // RFC 9864 names it by its curve as well.
        ("OKP", Some("Ed25519")) if for_us("EdDSA") || for_us("Ed25519") => {
            Some(Key::ed25519(member.kid.clone(), &bytes(member.x.as_ref())?, at)?)
        }
        _ => None,
    })
}

/// How SEC 1 begins a point that is given by both its coordinates.
const UNCOMPRESSED: u8 = 4;
