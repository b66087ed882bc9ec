//! What each fuzz target does with its input: a small call of the public API, and what has to hold of the answer. The tests of the
//! project include this file and feed it every seed, so that an input which once went wrong never does again.
//!
//! Inputs are lines of text, for a person to read and write. What a target expects of them stands at its function; anything else is
//! an input too.

use std::{collections::BTreeSet, time::Duration};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use curia_realtime::{
    access::{BoardFacts, CommunityFacts, RoleRule, decide},
    actor::Actor,
    batch,
    change::OutboxRow,
    circle::{Heard, Word},
    command::Command,
    config::{
        Config, Sources,
        dotenv::{self as file, DotEnv},
    },
    contract::Features,
    event::{Needs, Rows, Told, tell},
    excerpt::{self, Extent, Gist},
    http::AllowedOrigins,
    ids::{BoardId, CommunityId, Cursor, NodeId, Place, Tick},
    jwt::{Demands, Form, KeySet, Secret, Verifier},
    presence::{Presence, Scope},
    redis::{
        circle::message::{self as said, Message as Spoken},
        facts::kept::{Odd, Seals, Shown, Taken},
        message::{Message, Relayed},
    },
    rooms::Rooms,
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};
use serde_json::Value;

/// A target's name, which is also that of its folder of seeds, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("outbox", outbox),
    ("command", command),
    ("settings", settings),
    ("token", token),
    ("claims", claims),
    ("keys", keys),
    ("cursor", cursor),
    ("content", content),
    ("dotenv", dotenv),
    ("origin", origin),
    ("relay", relay),
    ("facts", facts),
    ("circle", circle),
];

const SECRET: &str = "a secret of the fuzzer that is long enough for HS256";
const CLAIMS: &str = r#"{"sub":"u1","cid":"c1","exp":4000000000}"#;
/// Any moment will do.
const NOW: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).unwrap();

/// Outbox rows, two lines each: `kind board_id post_id row_id`, where what is no number is NULL, and `data`, where nothing is NULL.
pub fn outbox(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let mut rows = Vec::new();
    for (seq, head) in (1..).zip(std::iter::from_fn(|| lines.next().map(|head| (head, lines.next())))) {
        let (head, data) = head;
        let mut words = head.split(' ');
        let kind = words.next().unwrap_or_default().to_owned();
        let mut id = || words.next().and_then(|word| word.parse().ok());
        let (board_id, post_id, row_id) = (id(), id(), id());
        let data = data.filter(|data| !data.is_empty()).map(str::to_owned);
        rows.push(OutboxRow { seq, at: NOW, kind, board_id, post_id, row_id, data });
    }
    let (entries, poison) = batch::read(&rows, 0);
    assert!(entries.len() <= rows.len() && rows.len() <= entries.len() + poison.len(), "no row is lost");
    assert!(entries.is_sorted_by(|one, other| one.ordinal < other.ordinal), "order is kept");
    for error in &poison {
        assert!(error.to_string().starts_with("outbox row "), "{error}");
    }
    Needs::of(entries.iter().map(|entry| &entry.change));
    for entry in &entries {
        for told in tell(&entry.change, &Rows::default()) {
            if let Told::Event { event, .. } = told {
                event.encode().expect("an event is JSON");
            }
        }
    }
    batch::fence_of(&entries, &Default::default()).shut(
        &Default::default(),
        &mut Rooms::new(1),
        Place::before(Tick(0)),
    );
}

/// What a client sends: the event's name in the first line, its argument as JSON behind it.
pub fn command(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (event, argument) = text.split_once('\n').unwrap_or((&text, ""));
    let argument = serde_json::from_str(argument).unwrap_or(Value::Null);
    if let Err(failure) = Command::read(event, &argument) {
        assert!(!failure.message.is_empty(), "a refusal says why");
    }
}

/// `settings` of a board or a community, as JSON.
pub fn settings(input: &[u8]) {
    let Ok(settings) = serde_json::from_slice::<Value>(input) else { return };
    let features = Features::of_settings(Some(&settings));
    let rule = RoleRule::of_settings(Some(&settings));
    let (home, elsewhere): (CommunityId, CommunityId) = ("c1".into(), "c2".into());
    let everybodys = home.clone();
    let board = BoardFacts { board: BoardId(1), community: Some(home), rule: rule.clone(), importers: BTreeSet::new() };
    let open = |actor: &Actor, of: RoleRule| {
        let community = CommunityFacts { community: actor.community.clone(), rule: of, features };
        decide(actor, Some(&board), Some(&community)).is_ok()
    };
    let actor = |admin, roles, community| Actor {
        user: "u1".into(),
        community,
        roles,
        admin,
        name: None,
        picture: None,
        device: None,
        expires_at: NOW,
    };
    let without_roles = open(&actor(false, BTreeSet::new(), everybodys.clone()), RoleRule::Open);
    assert_eq!(without_roles, rule == RoleRule::Open, "what is not open is closed to who has no role");
    assert!(open(&actor(true, BTreeSet::new(), everybodys.clone()), rule.clone()), "an admin may open his own boards");
    assert!(!open(&actor(true, BTreeSet::new(), elsewhere), RoleRule::Open), "and nobody else's");
    if let RoleRule::AnyOf(roles) = &rule {
        assert!(open(&actor(false, roles.clone(), everybodys), rule.clone()), "one of the roles opens it");
    }
}

/// A token as it comes from outside.
pub fn token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert!(verifier().verify(&text, NOW).is_err(), "nobody here knows the secret");
}

/// A token that is signed as it should be: its header in the first line, its claims behind it.
pub fn claims(input: &[u8]) {
    let header_end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, claims) = input.split_at(header_end);
    let claims = claims.get(1..).unwrap_or_default();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(message.as_bytes(), &EncodingKey::from_secret(SECRET.as_bytes()), Algorithm::HS256);
    let token = format!("{message}.{}", signature.expect("HS256 signs anything"));
    let Ok(actor) = verifier().verify(&token, NOW) else { return };
    assert!(actor.expires_at > NOW, "who has expired is nobody");
    let ids =
        [actor.user.as_str(), actor.community.as_str()].into_iter().chain(actor.roles.iter().map(|role| role.as_str()));
    for id in ids.chain(actor.device.iter().map(|device| device.as_str())) {
        assert!(!id.is_empty() && !id.chars().any(char::is_control), "{id:?} is no id");
    }
}

/// A file of public keys, of either form.
pub fn keys(input: &[u8]) {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(CLAIMS));
    // Nobody may sign with what everybody may read.
    let signature = sign(message.as_bytes(), &EncodingKey::from_secret(input), Algorithm::HS256);
    let token = format!("{message}.{}", signature.expect("HS256 signs anything"));
    for form in [Form::Pem, Form::Jwks] {
        match form.parse(input) {
            Ok(keys) => assert!(
                Verifier::new(keys, Demands::default()).verify(&token, NOW).is_err(),
                "a public key is no secret"
            ),
            Err(error) => assert!(!error.to_string().is_empty(), "a refusal says why"),
        }
    }
}

/// A cursor as a client gives it back.
pub fn cursor(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text, "a position has one text");
    }
}

/// The content of a comment.
pub fn content(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for extent in [Extent::Whole, Extent::Beginning] {
        let Gist { mentions, excerpt } = excerpt::read(&text, extent);
        assert!(mentions.len() <= 50, "a comment calls so many people and no more");
        assert!(excerpt.chars().count() <= 141 && !excerpt.contains('\n'), "{excerpt:?}");
    }
}

/// A `.env` file, with all that `serve` reads of it.
pub fn dotenv(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let DotEnv { values: file, unread } = file::parse(&text);
    let sources = Sources { file, unread, ..Sources::default() };
    if let Err(error) = Config::read(&sources) {
        assert!(!error.to_string().is_empty(), "a refusal says why");
    }
}

/// `ALLOWED_ORIGINS` in the first line, a request's `Origin` in the second, its `Host` in the third.
pub fn origin(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let allowed = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in [header::ORIGIN, header::HOST].into_iter().zip(lines) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let Ok(allowed) = allowed.parse::<AllowedOrigins>() else { return };
    if allowed.check(&headers).is_ok() && headers.contains_key(header::ORIGIN) {
        assert_ne!(headers[header::ORIGIN], "null", "a page without an origin is a stranger");
    }
}

/// A message of another node, as Redis hands it over.
pub fn relay(input: &[u8]) {
    let Ok(message) = Message::read(input.to_vec()) else { return };
    let Ok(batch) = message.batch() else { return };
    assert!(batch.entries.is_sorted_by(|one, other| one.ordinal < other.ordinal), "order is kept");
    for entry in &batch.entries {
        for told in tell(&entry.change, &batch.rows) {
            if let Told::Event { event, .. } = told {
                event.encode().expect("an event is JSON");
            }
        }
    }
    batch.fence.shut(&Default::default(), &mut Rooms::new(1), Place::before(batch.tick));
    let again = batch::Batch { made: message.heading.made.map(Box::new), ..batch };
    let written = Message::read(Relayed::of(&again).encode()).expect("what is written can be read");
    // Where it takes more bytes than before it may only be announced.
    if written.heading.made.is_some() {
        let read = written.batch().expect("what is written can be read");
        assert_eq!((&read.entries, read.rows), (&again.entries, again.rows), "nothing changes on the way");
    }
}

/// Values of a hash in Redis, a line each.
pub fn facts(input: &[u8]) {
    let seals = Seals::of_secrets([SECRET.as_bytes()]).expect("a secret");
    let stored = || input.split(|byte| *byte == b'\n').map(|value| Some(value.to_vec())).collect();
    let community = || "c1".into();
    assert_eq!(seals.open::<BoardFacts>(&BoardId(1), stored()).err(), Some(Odd), "nobody seals by chance");
    assert_eq!(seals.open::<CommunityFacts>(&community(), stored()).err(), Some(Odd), "nobody seals by chance");
    // As behind a seal of another build.
    let text = String::from_utf8_lossy(input);
    let values: Vec<String> = text.split('\n').map(str::to_owned).collect();
    comes_back::<BoardFacts>(&BoardId(1), &values);
    comes_back::<CommunityFacts>(&community(), &values);
    comes_back::<Shown>(&community(), &values);
}

/// What stands in Redis of who is in a board, and what is published of it: fields of a hash, `name value`, and messages, which begin with a
/// brace, a line each and in any order.
pub fn circle(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (messages, fields): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('{'));
    let fields = fields.iter().filter_map(|line| line.split_once(' '));
    let fields = fields.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let fields: Vec<(Vec<u8>, Vec<u8>)> = fields.collect();
    let scope = Scope::Board(BoardId(1));
    let mut presence = Presence::among(Duration::ZERO, NodeId(1));
    presence.hear(Heard::Here);
    presence.watch(&scope);
    assert_eq!(presence.take_words(), [Word::All, Word::Watch(scope.clone(), None)]);
    let value = |of: &str| fields.iter().find(|(name, _)| name == of.as_bytes()).map(|(_, value)| value.as_slice());
    if let Some(stamp) = said::stamp(value("generation"), value("version")) {
        let mut reading = said::Reading::new(scope.clone(), stamp);
        reading.take(&fields);
        presence.hear(reading.heard());
        assert!(presence.knows(&scope));
    }
    for message in messages {
        if let Some(Spoken::Said { stamp, node, said }) = Spoken::parse(message.as_bytes()) {
            presence.hear(Heard::Said { scope: scope.clone(), stamp, node, said });
        }
    }
    presence.hear(Heard::Nodes(BTreeSet::new()));
    if let Ok(listed) = presence.list(&scope, usize::MAX, |_| true) {
        assert_eq!(listed.users.len(), listed.count, "who is counted is listed");
        assert!(listed.users.is_sorted_by(|one, other| one.user_id < other.user_id));
    }
}

/// What can be read is read again as it was.
fn comes_back<K: Taken + PartialEq + std::fmt::Debug>(of: &K::Of, values: &[String]) {
    let Ok(fact) = K::read(of, values) else { return };
    let written = fact.write(of).expect("a text");
    assert_eq!(K::read(of, &written), Ok(fact));
}

fn verifier() -> Verifier {
    Verifier::new(KeySet::of_secrets(&[Secret::from(SECRET.to_owned())]), Demands::default())
}
