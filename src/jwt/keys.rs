//! The keys that a signature may fit. Each has the one algorithm that goes with it, so that a token has no say in how it is
//! checked: with a public key nothing is ever taken for a secret.

use std::{fmt, io};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, crypto, decode, decode_header, errors::ErrorKind};
use serde_json::{Map, Value};

use super::{Flaw, Secret};

/// The library verifies with nothing longer.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// More keys are a mistake, and each costs a try.
const KEYS_AT_MOST: usize = 64;

/// Why keys can't be used. Nothing of a key is in here.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the file can't be read")]
    Unreadable(#[source] io::Error),
    #[error("it is not a plain file")]
    NotAFile,
    #[error("the file is larger than 1 MiB, which no set of public keys is")]
    TooLarge,
    #[error("the file holds more than {KEYS_AT_MOST} keys; take out those that are no longer used")]
    TooMany,
    #[error("the file is not PEM, whose blocks go from -----BEGIN PUBLIC KEY----- to -----END PUBLIC KEY-----")]
    NotPem,
    #[error("the file is not a JWK set, a JSON object with a list `keys`")]
    NotJwks(#[source] Option<serde_json::Error>),
    #[error(
        "{0} is a private key; whoever verifies needs the public one alone, such as `openssl pkey -in private.pem -pubout` prints"
    )]
    Private(Where),
    #[error(
        "{0} is a certificate; give the public key in it, such as `openssl x509 -in certificate.pem -pubkey -noout` prints"
    )]
    Certificate(Where),
    #[error("{0} is a secret (`kty` is \"oct\"), which does not belong among public keys; give secrets as JWT_SECRET")]
    Symmetric(Where),
    #[error("{0} is an RSA key of {1} bits; it takes one of 2048 to 4096")]
    RsaSize(Where, usize),
    #[error("{0} is no public key that is known here; it takes RSA, an elliptic curve P-256, or Ed25519")]
    Unknown(Where),
    #[error("{0} can't be read as the key that it says it is")]
    Malformed(Where),
    #[error("the file holds no key for signatures by RS256, ES256 or EdDSA")]
    NoKey,
}

/// Which key of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where {
    pub what: &'static str,
    /// From 1.
    pub number: usize,
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.number)
    }
}

/// One key with its algorithm.
#[derive(Clone)]
pub(super) struct Key {
    /// By which a token may name it.
    id: Option<String>,
    decoding: DecodingKey,
    algorithm: Algorithm,
}

impl Key {
    /// From the big-endian bytes of modulus and exponent.
    pub(super) fn rsa(id: Option<String>, n: &[u8], e: &[u8], at: Where) -> Result<Self, KeyError> {
        let n = without_zeros(n);
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::RsaSize(at, bits));
        }
        let e = without_zeros(e);
        // An even one fits no key; the library takes none of more than 33 bits.
        let odd = e.last().is_some_and(|last| last % 2 == 1) && e != [1];
        let fits = e.len() < 5 || (e.len() == 5 && e[0] == 1);
        if !odd || !fits {
            return Err(KeyError::Malformed(at));
        }
        Self::checked(id, DecodingKey::from_rsa_raw_components(n, e), Algorithm::RS256, at)
    }

    /// From a point on P-256 as SEC 1 has it.
    pub(super) fn p256(id: Option<String>, point: &[u8], at: Where) -> Result<Self, KeyError> {
        Self::checked(id, DecodingKey::from_ec_der(point), Algorithm::ES256, at)
    }

    /// From the 32 bytes of the key.
    pub(super) fn ed25519(id: Option<String>, bytes: &[u8], at: Where) -> Result<Self, KeyError> {
        // The library looks at the first 32 bytes, unasked whether there are as many.
        if bytes.len() != 32 {
            return Err(KeyError::Malformed(at));
        }
        Self::checked(id, DecodingKey::from_ed_der(bytes), Algorithm::EdDSA, at)
    }

    /// The library reads a key when it is used: once now.
    fn checked(id: Option<String>, decoding: DecodingKey, algorithm: Algorithm, at: Where) -> Result<Self, KeyError> {
        crypto::verify("", b"", &decoding, algorithm).map_err(|_| KeyError::Malformed(at))?;
        Ok(Self { id, decoding, algorithm })
    }

    /// A key without a name contradicts none.
    fn may_be(&self, id: Option<&str>) -> bool {
        id.is_none() || self.id.is_none() || self.id.as_deref() == id
    }
}

/// All keys that count at a time.
#[derive(Clone)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// HS256 with any of these: more than one while the forum changes its secret.
    pub fn of_secrets(secrets: &[Secret]) -> Self {
        let key = |secret: &Secret| Key {
            id: None,
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
            algorithm: Algorithm::HS256,
        };
        Self(secrets.iter().map(key).collect())
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of_keys(keys: Vec<Key>) -> Result<Self, KeyError> {
        match keys.len() {
            0 => Err(KeyError::NoKey),
            1..=KEYS_AT_MOST => Ok(Self(keys)),
            _ => Err(KeyError::TooMany),
        }
    }

    /// The claims of a token whose signature fits one of the keys.
    pub(super) fn claims_of(&self, token: &str) -> Result<Map<String, Value>, Flaw> {
        let header = decode_header(token).map_err(|_| Flaw::Malformed)?;
        let mut flaw = Flaw::Algorithm;
        for key in self.0.iter().filter(|key| key.algorithm == header.alg) {
            flaw = Flaw::Signature;
            if !key.may_be(header.kid.as_deref()) {
                continue;
            }
            match decode::<Map<String, Value>>(token, &key.decoding, &signature(key.algorithm)) {
                Ok(_) if header.crit.is_some() => return Err(Flaw::Extension),
                Ok(data) => return Ok(data.claims),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(_) => return Err(Flaw::Malformed),
            }
        }
        Err(flaw)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |key: &Key| match &key.id {
            Some(id) => format!("{:?} {id:?}", key.algorithm),
            None => format!("{:?}", key.algorithm),
        };
        f.write_str(&self.0.iter().map(named).collect::<Vec<_>>().join(", "))
    }
}

/// The signature and nothing else.
fn signature(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len())..]
}

/// Base64 as a JWK has it.
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
