use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ids::{DeviceId, RoleId};

mod public;

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

fn verifier(secrets: &[&str]) -> Verifier {
    let secrets: Vec<Secret> = secrets.iter().map(|text| secret(text)).collect();
    Verifier::new(KeySet::of_secrets(&secrets), Demands::default())
}

fn signed(header: &Header, claims: &Value, key: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

fn hs256(claims: &Value) -> String {
    signed(&Header::new(Algorithm::HS256), claims, "right")
}

/// What the forum signs, changed by `with`; a `null` takes the claim out.
fn claims(with: Value) -> Value {
    let mut claims = json!({"sub": "u1", "cid": "c1", "iat": NOW, "exp": NOW + 3600});
    for (name, value) in with.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn a_token_of_the_forum_names_its_actor() {
    let token = hs256(&claims(json!({
        "roles": ["member", "mod"], "adm": true, "name": "Ada", "picture": "/a.png", "uid": "tab-1",
        "communityShortId": "short", "pluginId": "plugin",
    })));
    let actor = verifier(&["right"]).verify(&token, at(NOW)).unwrap();
    assert_eq!(
        actor,
        Actor {
            user: "u1".into(),
            community: "c1".into(),
            roles: ["member".into(), "mod".into()].into(),
            admin: true,
            name: Some("Ada".into()),
            picture: Some("/a.png".into()),
            device: Some("tab-1".into()),
            expires_at: at(NOW + 3600),
        }
    );
}

#[test]
fn claims_are_taken_or_refused() {
    let refused = |claim| Err(TokenError::Invalid(Flaw::Claim(claim)));
    let table = [
        (json!({}), Ok(())),
        (json!({"roles": null, "adm": null, "name": null, "picture": null, "uid": null}), Ok(())),
        (json!({"roles": []}), Ok(())),
        (json!({"exp": NOW as f64 + 0.5}), Ok(())),
        (json!({"nbf": NOW}), Ok(())),
        (json!({"iss": "anyone", "aud": ["anything"]}), Ok(())),
        (json!({"sub": null}), refused("sub")),
        (json!({"sub": ""}), refused("sub")),
        (json!({"sub": "a\nb"}), refused("sub")),
        (json!({"sub": 7}), refused("sub")),
        (json!({"cid": null}), refused("cid")),
        (json!({"cid": "\u{7f}"}), refused("cid")),
        (json!({"cid": ["c1"]}), refused("cid")),
        (json!({"roles": [1, 2]}), refused("roles")),
        (json!({"roles": ["member", 2]}), refused("roles")),
        (json!({"roles": [""]}), refused("roles")),
        (json!({"roles": "member"}), refused("roles")),
        (json!({"roles": {"member": true}}), refused("roles")),
        (json!({"adm": "true"}), refused("adm")),
        (json!({"adm": 1}), refused("adm")),
        (json!({"name": 1}), refused("name")),
        (json!({"picture": {}}), refused("picture")),
        (json!({"uid": 3}), refused("uid")),
        (json!({"uid": ""}), refused("uid")),
        (json!({"exp": null}), refused("exp")),
        (json!({"exp": "tomorrow"}), refused("exp")),
        (json!({"exp": 1e300}), refused("exp")),
        (json!({"nbf": "today"}), refused("nbf")),
        (json!({"nbf": NOW + 1}), Err(TokenError::Invalid(Flaw::NotYet))),
        (json!({"exp": NOW}), Err(TokenError::Expired)),
        (json!({"exp": -1}), Err(TokenError::Expired)),
        (json!({"exp": NOW - 1, "sub": 7}), Err(TokenError::Expired)),
    ];
    for (with, expected) in table {
        let outcome = verifier(&["right"]).verify(&hs256(&claims(with.clone())), at(NOW)).map(drop);
        assert_eq!(outcome, expected, "{with}");
    }
}

#[test]
fn there_is_no_leeway() {
    let token = hs256(&claims(json!({})));
    let verifier = verifier(&["right"]);
    assert!(verifier.verify(&token, at(NOW + 3599)).is_ok());
    assert_eq!(verifier.verify(&token, at(NOW + 3600)), Err(TokenError::Expired));
}

#[test]
fn a_leeway_is_for_both_ends() {
    let leeway = TimeDelta::seconds(30);
    let verifier = Verifier::new(KeySet::of_secrets(&[secret("right")]), Demands { leeway, ..Demands::default() });
    let token = hs256(&claims(json!({"nbf": NOW})));
    assert_eq!(verifier.verify(&token, at(NOW + 3629)).map(|actor| actor.expires_at), Ok(at(NOW + 3630)));
    assert_eq!(verifier.verify(&token, at(NOW + 3630)), Err(TokenError::Expired));
    assert!(verifier.verify(&token, at(NOW - 30)).is_ok());
    assert_eq!(verifier.verify(&token, at(NOW - 31)), Err(Flaw::NotYet.into()));
}

#[test]
fn every_secret_counts_while_rotating() {
    let token = hs256(&claims(json!({})));
    assert!(verifier(&["new", "right"]).verify(&token, at(NOW)).is_ok());
    assert!(verifier(&["right", "new"]).verify(&token, at(NOW)).is_ok());
    assert_eq!(verifier(&["new", "newer"]).verify(&token, at(NOW)), Err(Flaw::Signature.into()));
}

#[test]
fn the_token_does_not_choose_its_algorithm() {
    let claims = claims(json!({}));
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = signed(&Header::new(algorithm), &claims, "right");
        assert_eq!(verifier(&["right"]).verify(&token, at(NOW)), Err(Flaw::Algorithm.into()));
    }
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    for (header, flaw) in [
        (json!({"alg": "none"}), Flaw::Malformed),
        (json!({"alg": "None", "typ": "JWT"}), Flaw::Malformed),
        (json!({"alg": "RS256"}), Flaw::Algorithm),
        (json!({"alg": "HS256"}), Flaw::Signature),
    ] {
        let token = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(verifier(&["right"]).verify(&token, at(NOW)), Err(flaw.into()), "{header}");
    }
}

#[test]
fn an_extension_that_must_be_understood_is_refused() {
    let header = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) };
    let token = signed(&header, &claims(json!({})), "right");
    assert_eq!(verifier(&["right"]).verify(&token, at(NOW)), Err(Flaw::Extension.into()));
}

#[test]
fn issuer_and_audience_are_demanded_when_configured() {
    let demands =
        Demands { issuer: Some("forum".into()), audience: Some("realtime".into()), leeway: TimeDelta::zero() };
    let verifier = Verifier::new(KeySet::of_secrets(&[secret("right")]), demands);
    let table = [
        (json!({"iss": "forum", "aud": "realtime"}), Ok(())),
        (json!({"iss": "forum", "aud": ["other", "realtime"]}), Ok(())),
        (json!({"iss": "forum"}), Err(Flaw::Audience)),
        (json!({"iss": "forum", "aud": []}), Err(Flaw::Audience)),
        (json!({"aud": "realtime"}), Err(Flaw::Issuer)),
        (json!({"iss": "Forum", "aud": "realtime"}), Err(Flaw::Issuer)),
        (json!({"iss": 1, "aud": "realtime"}), Err(Flaw::Issuer)),
    ];
    for (with, expected) in table {
        let outcome = verifier.verify(&hs256(&claims(with.clone())), at(NOW)).map(drop);
        assert_eq!(outcome, expected.map_err(TokenError::Invalid), "{with}");
    }
}

#[test]
fn nothing_and_too_much_are_refused_unread() {
    let verifier = verifier(&["right"]);
    assert_eq!(verifier.verify("", at(NOW)), Err(TokenError::Missing));
    let long = hs256(&claims(json!({"name": "n".repeat(MAX_TOKEN_BYTES)})));
    assert_eq!(verifier.verify(&long, at(NOW)), Err(Flaw::TooLong.into()));
    for text in ["x", ".", "..", "...", "a.b.c", "\u{0}.\u{0}.\u{0}", "e30.e30.e30"] {
        assert_eq!(verifier.verify(text, at(NOW)), Err(Flaw::Malformed.into()), "{text:?}");
    }
}

#[test]
fn codes_are_those_of_the_contract() {
    assert_eq!(TokenError::Missing.code().as_str(), "auth_missing");
    assert_eq!(TokenError::Invalid(Flaw::Signature).code().as_str(), "auth_invalid");
    assert_eq!(TokenError::Expired.code().as_str(), "auth_expired");
}

#[test]
fn a_secret_keeps_to_itself() {
    let keys = KeySet::of_secrets(&[secret("hunter2")]);
    let shown = format!("{:?} {keys:#?} {:?}", secret("hunter2"), Verifier::new(keys.clone(), Demands::default()));
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        prop_assert!(verifier(&["right"]).verify(&text, at(NOW)).is_err());
    }

    #[test]
    fn any_bytes_are_answered(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..5)) {
        let token = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect::<Vec<_>>().join(".");
        prop_assert!(verifier(&["right"]).verify(&token, at(NOW)).is_err());
    }

    #[test]
    fn any_signed_claims_are_answered(
        values in prop::collection::vec((prop::sample::select(vec!["sub", "cid", "roles", "adm", "name", "picture", "uid",
            "exp", "nbf", "iss", "aud"]), json_value()), 0..6),
    ) {
        let mut claims = claims(json!({}));
        for (name, value) in values {
            claims[name] = value;
        }
        if let Ok(actor) = verifier(&["right"]).verify(&hs256(&claims), at(NOW)) {
            prop_assert!(actor.expires_at > at(NOW) && !actor.user.as_str().is_empty());
        }
    }

    #[test]
    fn what_is_minted_is_verified(
        user in "[^\\pC]{1,20}", community in "[^\\pC]{1,20}", roles in prop::collection::btree_set("[^\\pC]{1,8}", 0..4),
        admin: bool, name in prop::option::of(".{0,20}"), device in prop::option::of("[^\\pC]{1,8}"), ttl in 1..100_000i64,
    ) {
        let actor = Actor {
            user: user.into(),
            community: community.into(),
            roles: roles.into_iter().map(RoleId::from).collect(),
            admin,
            name,
            picture: None,
            device: device.map(DeviceId::from),
            expires_at: at(NOW + ttl),
        };
        let (issuer, audience) = (Some("forum".to_owned()), Some("realtime".to_owned()));
        let token = Signer::new(&secret("right"), issuer.clone(), audience.clone()).mint(&actor, at(NOW)).unwrap();
        let demands = Demands { issuer, audience, leeway: TimeDelta::zero() };
        let verifier = Verifier::new(KeySet::of_secrets(&[secret("right")]), demands);
        prop_assert_eq!(verifier.verify(&token, at(NOW)), Ok(actor));
    }
}
