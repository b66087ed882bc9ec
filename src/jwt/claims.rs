//! Claims -> [`Actor`].

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Flaw;
use crate::{
    actor::Actor,
    ids::{CommunityId, DeviceId, RoleId, UserId},
};

/// Claims under a signature that fits. `null` counts as absent, as the forum's own code has it.
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A NumericDate: seconds, possibly with a fraction.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, Flaw> {
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
    pub(super) fn names(&self, claim: &str, wanted: &str) -> bool {
        match self.get(claim) {
            Some(Value::String(text)) => text == wanted,
            Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(wanted)),
            _ => false,
        }
    }

    pub(super) fn into_actor(self, expires_at: DateTime<Utc>) -> Result<Actor, Flaw> {
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
