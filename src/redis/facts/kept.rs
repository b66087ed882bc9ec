//! What stands in Redis of rights, each thing in a hash below the prefix:
//!
//! | key | fields | what it says |
//! |---|---|---|
//! | `board_permissions:{boardId}` | `allowedRoles`, `isPublic`, `community`, `imports` | what the access rule asks of a board |
//! | `community_permissions:{communityId}` | `allowedRoles`, `isPublic`, `features` | the same of a community |
//! | `community_boards:{communityId}` | `boards` | what it asks of each board that the community owns or imports |
//! | `user_boards:{userId}` | `boardIds`, `community`, `roles`, `admin` | the boards that were open to him when he joined his feed with these claims |
//!
//! `allowedRoles` is an array of role ids, `isPublic` is `true` where they are not asked for, which a community's own rule may do
//! nevertheless; `false` with no roles is a permission that can't be read: nobody but admins. Lists are JSON.
//!
//! To each belongs for how long it held: `epoch`, and from tick `since` to tick `at`; and the `seal`, a code over key, fields and
//! these, which nobody makes who does not know `JWT_SECRET`.
//!
//! For others who read here: this is how it was at `at`, at most as long ago as the keys live. `user_boards` is withdrawn behind the tick that
//! may make it wrong, where Redis and the node that wrote it are there (`written`); the others are not withdrawn when they
//! change. It is good for showing and for warming up, not for letting somebody in: whoever wants to know what is open asks the
//! database, or this service. What others write here is not taken, and written over.

use std::collections::{BTreeSet, HashMap};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    actor::Actor,
    ids::{BoardId, CommunityId, Epoch, RoleId, Tick},
    span::Span,
    versions::Subject,
};

/// What follows the fields of every hash.
pub const STAMP: [&str; 4] = ["epoch", "since", "at", "seal"];
/// Bytes of an id that stand in a key; of what has a longer one nothing is kept.
const LONGEST_ID: usize = 128;
/// Bytes of a seal.
pub const SEAL: usize = 43;
/// A part of what is sealed, so that a seal of another layout is none; another as well where the same layout comes to hold something else, such
/// as other boards of a community: nodes of two builds, which may meet during an update, do not believe each other then.
const FORMAT: &str = "2";
/// For what the secret is used here, so that no seal is the signature of a token, nor the other way round.
const PURPOSE: &[u8] = b"curia-realtime: what is kept of rights";

/// One kind of thing that is kept.
pub trait Kept: Sized {
    /// What it is of.
    type Of;
    const FIELDS: &'static [&'static str];

    /// Below the prefix; none where the id is too long for a key.
    fn key(of: &Self::Of) -> Option<String>;

    /// Through whose changes alone it can become wrong.
    fn subject(of: &Self::Of) -> Subject<'_>;

    /// The values of its fields, in their order; none where there is no text for them.
    fn write(&self, of: &Self::Of) -> Option<Vec<String>>;
}

/// One kind that is taken from there, too.
pub trait Taken: Kept {
    /// Out of these values, in the order of the fields.
    fn read(of: &Self::Of, values: &[String]) -> Result<Self, Odd>;
}

/// No node wrote it, at least none that knows this secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd;

/// The codes that only nodes can make.
pub struct Seals {
    /// Of the newest secret first, which makes them; each is good.
    keys: Vec<hmac::Key>,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seals").finish_non_exhaustive()
    }
}

impl Seals {
    /// None without a secret.
    pub fn of_secrets<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        fn key(secret: &[u8]) -> hmac::Key {
            hmac::Key::new(hmac::HMAC_SHA256, secret)
        }
        let keys = secrets.into_iter().map(|secret| key(hmac::sign(&key(secret), PURPOSE).as_ref()));
        let keys: Vec<_> = keys.collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    fn seal(&self, message: &[u8]) -> Option<String> {
        self.keys.first().map(|key| URL_SAFE_NO_PAD.encode(hmac::sign(key, message)))
    }

    fn knows(&self, message: &[u8], seal: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(seal)
            .is_ok_and(|seal| self.keys.iter().any(|key| hmac::verify(key, message, &seal).is_ok()))
    }

    /// Values for the fields and for [`STAMP`].
    pub fn close<K: Kept>(&self, of: &K::Of, fact: &K, span: Span) -> Option<Vec<String>> {
        let mut values = fact.write(of)?;
        values.extend([span.epoch.0, span.since.0, span.upto.0].map(|number| number.to_string()));
        values.push(self.seal(&message::<K>(of, &values)?)?);
        Some(values)
    }

    /// What these values say, which stand in the fields and in [`STAMP`], and for how long it held.
    pub fn open<K: Taken>(&self, of: &K::Of, values: Vec<Option<Vec<u8>>>) -> Result<(K, Span), Odd> {
        let text = |value: Option<Vec<u8>>| String::from_utf8(value?).ok();
        let values: Vec<String> = values.into_iter().map(text).collect::<Option<_>>().ok_or(Odd)?;
        let (seal, sealed) = values.split_last().ok_or(Odd)?;
        let (fields, [epoch, since, upto]) = sealed.split_last_chunk().ok_or(Odd)?;
        if fields.len() != K::FIELDS.len()
            || !message::<K>(of, sealed).is_some_and(|message| self.knows(&message, seal))
        {
            return Err(Odd);
        }
        let number = |text: &String| text.parse::<i64>().map_err(|_| Odd);
        let span = Span { epoch: Epoch(number(epoch)?), since: Tick(number(since)?), upto: Tick(number(upto)?) };
        Ok((K::read(of, fields)?, span))
    }
}

/// What is sealed: nothing of it can be moved to another key, field or position.
fn message<K: Kept>(of: &K::Of, values: &[String]) -> Option<Vec<u8>> {
    let key = K::key(of)?;
    let mut message = Vec::new();
    for part in [FORMAT, &key].into_iter().chain(values.iter().map(String::as_str)) {
        message.extend(part.len().to_le_bytes());
        message.extend(part.as_bytes());
    }
    Some(message)
}

fn key(kind: &str, id: &str) -> Option<String> {
    (id.len() <= LONGEST_ID).then(|| format!("{kind}:{id}"))
}

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn of_json<T: DeserializeOwned>(text: &str) -> Result<T, Odd> {
    serde_json::from_str(text).map_err(|_| Odd)
}

/// `allowedRoles` and `isPublic`.
fn of_rule(rule: &RoleRule) -> Option<[String; 2]> {
    let none = BTreeSet::new();
    let (roles, public) = match rule {
        RoleRule::Open => (&none, true),
        RoleRule::AnyOf(roles) => (roles, false),
        RoleRule::Malformed => (&none, false),
    };
    Some([json(roles)?, public.to_string()])
}

fn rule(roles: &str, public: &str) -> Result<RoleRule, Odd> {
    let roles: BTreeSet<RoleId> = of_json(roles)?;
    match (public, roles.is_empty()) {
        ("true", true) => Ok(RoleRule::Open),
        ("false", false) => Ok(RoleRule::AnyOf(roles)),
        ("false", true) => Ok(RoleRule::Malformed),
        _ => Err(Odd),
    }
}

impl Kept for BoardFacts {
    type Of = BoardId;
    const FIELDS: &'static [&'static str] = &["allowedRoles", "isPublic", "community", "imports"];

    fn key(of: &BoardId) -> Option<String> {
        Some(format!("board_permissions:{of}"))
    }

    fn subject(of: &BoardId) -> Subject<'_> {
        Subject::Board(*of)
    }

    fn write(&self, _: &BoardId) -> Option<Vec<String>> {
        let [roles, public] = of_rule(&self.rule)?;
        Some(vec![roles, public, self.community.as_ref()?.as_str().to_owned(), json(&self.importers)?])
    }
}

impl Taken for BoardFacts {
    fn read(of: &BoardId, values: &[String]) -> Result<Self, Odd> {
        let [roles, public, community, imports] = values else { return Err(Odd) };
        let community = Some(community.as_str().into());
        Ok(Self { board: *of, community, rule: rule(roles, public)?, importers: of_json(imports)? })
    }
}

impl Kept for CommunityFacts {
    type Of = CommunityId;
    const FIELDS: &'static [&'static str] = &["allowedRoles", "isPublic", "features"];

    fn key(of: &CommunityId) -> Option<String> {
        key("community_permissions", of.as_str())
    }

    fn subject(of: &CommunityId) -> Subject<'_> {
        Subject::Community(of)
    }

    fn write(&self, _: &CommunityId) -> Option<Vec<String>> {
        let [roles, public] = of_rule(&self.rule)?;
        Some(vec![roles, public, json(&self.features)?])
    }
}

impl Taken for CommunityFacts {
    fn read(of: &CommunityId, values: &[String]) -> Result<Self, Odd> {
        let [roles, public, features] = values else { return Err(Odd) };
        Ok(Self { community: of.clone(), rule: rule(roles, public)?, features: of_json(features)? })
    }
}

/// The boards that a community owns or imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(pub HashMap<BoardId, BoardFacts>);

impl Shown {
    /// Those of these boards that the community owns or imports.
    pub fn of(community: &CommunityId, boards: &HashMap<BoardId, BoardFacts>) -> Self {
        let shown = boards.values().filter(|facts| facts.is_shown_in(community));
        Self(shown.map(|facts| (facts.board, facts.clone())).collect())
    }
}

impl Kept for Shown {
    type Of = CommunityId;
    const FIELDS: &'static [&'static str] = &["boards"];

    fn key(of: &CommunityId) -> Option<String> {
        key("community_boards", of.as_str())
    }

    fn subject(of: &CommunityId) -> Subject<'_> {
        Subject::Community(of)
    }

    fn write(&self, _: &CommunityId) -> Option<Vec<String>> {
        Some(vec![json(&self.0.values().collect::<Vec<_>>())?])
    }
}

impl Taken for Shown {
    fn read(_: &CommunityId, values: &[String]) -> Result<Self, Odd> {
        let [boards] = values else { return Err(Odd) };
        let boards: Vec<BoardFacts> = of_json(boards)?;
        Ok(Self(boards.into_iter().map(|facts| (facts.board, facts)).collect()))
    }
}

/// The boards that are open to an actor, for others to see. It is taken by no node: those of the community's boards are at hand where it is
/// asked for, once for all who ask, and an answer of its own for each user would be a decision to believe instead of facts to decide on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open(pub BTreeSet<BoardId>);

impl Kept for Open {
    type Of = Actor;
    const FIELDS: &'static [&'static str] = &["boardIds", "community", "roles", "admin"];

    fn key(of: &Actor) -> Option<String> {
        key("user_boards", of.user.as_str())
    }

    fn subject(of: &Actor) -> Subject<'_> {
        Subject::Community(&of.community)
    }

    fn write(&self, of: &Actor) -> Option<Vec<String>> {
        Some(vec![json(&self.0)?, of.community.as_str().to_owned(), json(&of.roles)?, of.admin.to_string()])
    }
}

#[cfg(test)]
mod tests;
