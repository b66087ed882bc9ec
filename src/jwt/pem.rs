//! Public keys as PEM: one block, or several while the forum changes its key.

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, Jwk},
};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::keys::{Key, KeyError, KeySet, Where, base64url};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Every block of the file is a public key that is known, or the file is refused: a key that was passed over would only be
/// noticed by those whose tokens it signed.
pub(super) fn read(text: &[u8]) -> Result<KeySet, KeyError> {
    let blocks = pem::parse_many(text).map_err(|_| KeyError::NotPem)?;
    let begun = text.windows(BEGIN.len()).filter(|window| *window == BEGIN).count();
    if blocks.is_empty() || blocks.len() != begun {
        return Err(KeyError::NotPem);
    }
    let keys = blocks.iter().zip(1..).map(|(block, number)| key(block, Where { what: "block", number }));
    KeySet::of_keys(keys.collect::<Result<_, _>>()?)
}

const BEGIN: &[u8] = b"-----BEGIN ";

fn key(block: &pem::Pem, at: Where) -> Result<Key, KeyError> {
    match block.tag() {
        tag if tag.contains("PRIVATE KEY") => Err(KeyError::Private(at)),
        tag if tag.contains("CERTIFICATE") => Err(KeyError::Certificate(at)),
        "PUBLIC KEY" => {
            let info = SubjectPublicKeyInfoRef::try_from(block.contents()).map_err(|_| KeyError::Malformed(at))?;
            let bits = info.subject_public_key.as_bytes().ok_or(KeyError::Malformed(at))?;
            match info.algorithm.oid {
                RSA => rsa(bits, at),
                EC if info.algorithm.parameters_oid() == Ok(P256) => Key::p256(None, bits, at),
                ED25519 => Key::ed25519(None, bits, at),
                _ => Err(KeyError::Unknown(at)),
            }
        }
        "RSA PUBLIC KEY" => rsa(block.contents(), at),
        _ => Err(KeyError::Unknown(at)),
    }
}

/// As PKCS #1 has it.
fn rsa(der: &[u8], at: Where) -> Result<Key, KeyError> {
    let jwk = Jwk::from_decoding_key(&DecodingKey::from_rsa_der(der), None).map_err(|_| KeyError::Malformed(at))?;
    let AlgorithmParameters::RSA(numbers) = jwk.algorithm else { return Err(KeyError::Malformed(at)) };
    let (n, e) = base64url(&numbers.n).zip(base64url(&numbers.e)).ok_or(KeyError::Malformed(at))?;
    Key::rsa(None, &n, &e, at)
}
