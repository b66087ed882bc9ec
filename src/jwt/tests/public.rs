//! Public keys, as PEM and as JWK set.

use jsonwebtoken::jwk::Jwk;

use super::*;
use crate::jwt::keys::Where;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/", $name))
    };
}

const RSA: &str = fixture!("rsa.pub.pem");
const P256: &str = fixture!("p256.pub.pem");
const ED25519: &str = fixture!("ed25519.pub.pem");

/// A private key that belongs to one of the public ones.
fn private(text: &str, algorithm: Algorithm) -> EncodingKey {
    let der = ::pem::parse(text).unwrap().into_contents();
    match algorithm {
        Algorithm::RS256 | Algorithm::RS512 | Algorithm::PS256 => EncodingKey::from_rsa_der(&der),
        Algorithm::ES256 => EncodingKey::from_ec_der(&der),
        _ => EncodingKey::from_ed_der(&der),
    }
}

fn signed_with(text: &str, algorithm: Algorithm, kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, &claims(json!({})), &private(text, algorithm)).unwrap()
}

fn of_pem(text: &str) -> Verifier {
    Verifier::new(Form::Pem.parse(text.as_bytes()).unwrap(), Demands::default())
}

fn of_jwks(keys: &[Value]) -> Verifier {
    Verifier::new(jwks(keys).unwrap(), Demands::default())
}

fn jwks(keys: &[Value]) -> Result<KeySet, KeyError> {
    Form::Jwks.parse(json!({"keys": keys}).to_string().as_bytes())
}

/// The public half as a JWK, with what stands in `with` beside it.
fn jwk(text: &str, algorithm: Algorithm, with: Value) -> Value {
    let jwk = Jwk::from_encoding_key(&private(text, algorithm), algorithm).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    for (name, value) in with.as_object().unwrap() {
        match value {
            Value::Null => drop(jwk.as_object_mut().unwrap().remove(name)),
            value => jwk[name] = value.clone(),
        }
    }
    jwk
}

const PAIRS: [(&str, &str, Algorithm); 3] = [
    (fixture!("rsa.pem"), RSA, Algorithm::RS256),
    (fixture!("p256.pem"), P256, Algorithm::ES256),
    (fixture!("ed25519.pem"), ED25519, Algorithm::EdDSA),
];

fn outcome(verifier: &Verifier, token: &str) -> Result<(), TokenError> {
    verifier.verify(token, at(NOW)).map(drop)
}

#[test]
fn each_kind_of_key_verifies_what_its_private_half_signed() {
    let rotating = of_pem(&[RSA, P256, ED25519, fixture!("rsa-other.pub.pem")].concat());
    for (private, public, algorithm) in PAIRS {
        let token = signed_with(private, algorithm, None);
        assert_eq!(outcome(&of_pem(public), &token), Ok(()), "{algorithm:?}");
        assert_eq!(outcome(&rotating, &token), Ok(()), "{algorithm:?}");
        assert_eq!(outcome(&of_jwks(&[jwk(private, algorithm, json!({}))]), &token), Ok(()), "{algorithm:?}");
        // What the header names is a hint among several keys, and PEM has no names.
        assert_eq!(outcome(&rotating, &signed_with(private, algorithm, Some("k1"))), Ok(()), "{algorithm:?}");
        let (head, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{head}.{other}{}", &signature[1..]);
        assert_eq!(outcome(&rotating, &forged), Err(Flaw::Signature.into()), "{algorithm:?}");
    }
    assert_eq!(outcome(&of_pem(fixture!("rsa.pkcs1.pub.pem")), &signed_with(PAIRS[0].0, PAIRS[0].2, None)), Ok(()));
    let strange = signed_with(fixture!("rsa-other.pem"), Algorithm::RS256, None);
    assert_eq!(outcome(&of_pem(RSA), &strange), Err(Flaw::Signature.into()));
}

#[test]
fn a_public_key_is_never_a_secret() {
    for (_, public, _) in PAIRS {
        let der = ::pem::parse(public).unwrap().into_contents();
        for secret in [public.as_bytes(), public.trim_end().as_bytes(), der.as_slice()] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let key = EncodingKey::from_secret(secret);
                let token = jsonwebtoken::encode(&Header::new(algorithm), &claims(json!({})), &key).unwrap();
                assert_eq!(outcome(&of_pem(public), &token), Err(Flaw::Algorithm.into()));
            }
        }
    }
}

#[test]
fn a_key_has_one_algorithm() {
    let (private, public, _) = PAIRS[0];
    for algorithm in [Algorithm::RS512, Algorithm::PS256] {
        let token = signed_with(private, algorithm, None);
        assert_eq!(outcome(&of_pem(public), &token), Err(Flaw::Algorithm.into()), "{algorithm:?}");
    }
    let secrets = verifier(&["right"]);
    assert_eq!(outcome(&secrets, &signed_with(private, Algorithm::RS256, None)), Err(Flaw::Algorithm.into()));
}

#[test]
fn a_token_that_names_its_key_is_checked_with_that_one() {
    let (private, _, algorithm) = PAIRS[0];
    let (mine, other) = (
        jwk(private, algorithm, json!({"kid": "mine"})),
        jwk(fixture!("rsa-other.pem"), algorithm, json!({"kid": "other"})),
    );
    let verifier = of_jwks(&[other.clone(), mine.clone()]);
    for (kid, expected) in [
        (None, Ok(())),
        (Some("mine"), Ok(())),
        (Some("other"), Err(Flaw::Signature.into())),
        (Some("gone"), Err(Flaw::Signature.into())),
    ] {
        assert_eq!(outcome(&verifier, &signed_with(private, algorithm, kid)), expected, "{kid:?}");
    }
    let unnamed = of_jwks(&[other, jwk(private, algorithm, json!({"kid": null}))]);
    assert_eq!(outcome(&unnamed, &signed_with(private, algorithm, Some("mine"))), Ok(()));
}

#[test]
fn what_a_set_holds_for_others_is_passed_over() {
    let (private, _, algorithm) = PAIRS[0];
    let mine = jwk(private, algorithm, json!({}));
    let others = [
        json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "AA"}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
        json!({}),
        jwk(private, algorithm, json!({"use": "enc"})),
        jwk(private, algorithm, json!({"key_ops": ["encrypt"]})),
        jwk(private, algorithm, json!({"alg": "RSA-OAEP-256"})),
        jwk(private, algorithm, json!({"alg": "PS256"})),
    ];
    for other in &others {
        assert!(matches!(jwks(std::slice::from_ref(other)), Err(KeyError::NoKey)), "{other}");
    }
    let keys = [&others[..], std::slice::from_ref(&mine)].concat();
    assert_eq!(outcome(&of_jwks(&keys), &signed_with(private, algorithm, None)), Ok(()));
    let for_us = jwk(private, algorithm, json!({"use": "sig", "key_ops": ["verify"], "alg": "RS256"}));
    assert_eq!(outcome(&of_jwks(&[for_us]), &signed_with(private, algorithm, None)), Ok(()));
    let by_its_curve = jwk(PAIRS[2].0, Algorithm::EdDSA, json!({"alg": "Ed25519"}));
    assert_eq!(outcome(&of_jwks(&[by_its_curve]), &signed_with(PAIRS[2].0, Algorithm::EdDSA, None)), Ok(()));
}

#[test]
fn what_does_not_belong_into_a_file_of_public_keys_is_named() {
    let pem = |text: &str| Form::Pem.parse(text.as_bytes()).unwrap_err().to_string();
    let broken = RSA.replacen("MIIB", "MIIA", 1);
    for (text, part) in [
        ("", "not PEM"),
        ("hello", "not PEM"),
        (&RSA[..300], "not PEM"),
        (&[RSA, "-----BEGIN PUBLIC KEY-----"].concat(), "not PEM"),
        (&[RSA, fixture!("rsa.pem")].concat(), "block 2 is a private key"),
        (fixture!("p256.pem"), "block 1 is a private key"),
        (fixture!("certificate.pem"), "block 1 is a certificate"),
        (fixture!("rsa-1024.pub.pem"), "block 1 is an RSA key of 1024 bits"),
        (fixture!("p384.pub.pem"), "block 1 is no public key that is known here"),
        (fixture!("x25519.pub.pem"), "block 1 is no public key that is known here"),
        (&broken, "block 1 can't be read"),
        (&RSA.repeat(65), "more than 64 keys"),
    ] {
        assert!(pem(text).contains(part), "{part}: {}", pem(text));
    }
    let (private, _, algorithm) = PAIRS[0];
    for (key, part) in [
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "key 1 is a secret"),
        (jwk(private, algorithm, json!({"d": "AA"})), "key 1 is a private key"),
        (jwk(private, algorithm, json!({"n": "_w"})), "key 1 is an RSA key of 8 bits"),
        (jwk(private, algorithm, json!({"n": "/+"})), "key 1 can't be read"),
        (jwk(private, algorithm, json!({"n": 5})), "key 1 can't be read"),
        (jwk(private, algorithm, json!({"e": "Ag"})), "key 1 can't be read"),
        (jwk(private, algorithm, json!({"e": null})), "key 1 can't be read"),
        (json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), "key 1 can't be read"),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), "key 1 can't be read"),
    ] {
        let refused = jwks(std::slice::from_ref(&key)).unwrap_err().to_string();
        assert!(refused.contains(part), "{part}: {refused}");
    }
    for text in ["", "[]", "{}", r#"{"keys": {}}"#, r#"{"keys": "#] {
        assert!(matches!(Form::Jwks.parse(text.as_bytes()), Err(KeyError::NotJwks(_))), "{text}");
    }
    let at = Where { what: "key", number: 3 };
    assert!(!KeyError::Symmetric(at).to_string().contains("c2VjcmV0"));
}

#[test]
fn keys_that_are_replaced_no_longer_count() {
    let verifier = of_pem(RSA);
    let (rsa, p256) = (signed_with(PAIRS[0].0, PAIRS[0].2, None), signed_with(PAIRS[1].0, PAIRS[1].2, None));
    assert_eq!((outcome(&verifier, &rsa), outcome(&verifier, &p256)), (Ok(()), Err(Flaw::Algorithm.into())));
    verifier.replace(Form::Pem.parse(P256.as_bytes()).unwrap());
    assert_eq!((outcome(&verifier, &rsa), outcome(&verifier, &p256)), (Err(Flaw::Algorithm.into()), Ok(())));
}

proptest! {
    #[test]
    fn any_text_is_a_file_or_is_refused(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = (Form::Pem.parse(&text), Form::Jwks.parse(&text));
    }

    #[test]
    fn any_block_is_a_key_or_is_refused(tag in "[A-Z ]{0,20}|PUBLIC KEY|RSA PUBLIC KEY", der in prop::collection::vec(any::<u8>(), 0..400)) {
        let block = ::pem::encode(&::pem::Pem::new(tag, der));
        let _ = Form::Pem.parse(block.as_bytes());
    }

    #[test]
    fn a_key_with_changed_bytes_is_a_key_or_is_refused(at in 0usize..300, to: u8, nth in 0usize..3) {
        let mut der = ::pem::parse(PAIRS[nth].1).unwrap().into_contents();
        let place = at % der.len();
        der[place] = to;
        let _ = Form::Pem.parse(::pem::encode(&::pem::Pem::new("PUBLIC KEY", der)).as_bytes());
    }

    #[test]
    fn any_member_is_a_key_or_is_refused(
        values in prop::collection::vec((prop::sample::select(vec!["kty", "crv", "n", "e", "x", "y", "use", "alg", "kid"]),
            super::json_value()), 0..4), nth in 0usize..3,
    ) {
        let (private, _, algorithm) = PAIRS[nth];
        let mut key = jwk(private, algorithm, json!({}));
        for (name, value) in values {
            key[name] = value;
        }
        let _ = jwks(&[key]);
    }
}
