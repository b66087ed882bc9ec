//! Contract section 3 as a pure rule in two steps: [`facts_needed`] names what must be read, [`decide`] answers with a
//! [`Permit`], without which no room can be joined, or with the clause that denies.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    actor::Actor,
    contract::{Features, RevokeReason},
    ids::{BoardId, CommunityId, RoleId},
};

/// `settings.permissions.allowedRoles` of a board or a community.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleRule {
    /// Absent or empty: everybody.
    Open,
    /// Whoever has one of these.
    AnyOf(BTreeSet<RoleId>),
    /// It can't be read as the forum writes it; nobody but admins.
    Malformed,
}

impl RoleRule {
    /// Reads the rule out of a `settings` column. Whatever is not absent, null, empty or an array of strings is malformed.
    pub fn of_settings(settings: Option<&Value>) -> Self {
        let permissions = match settings {
            None | Some(Value::Null) => return Self::Open,
            Some(Value::Object(settings)) => settings.get("permissions"),
            Some(_) => return Self::Malformed,
        };
        let roles = match permissions {
            None | Some(Value::Null) => return Self::Open,
            Some(Value::Object(permissions)) => permissions.get("allowedRoles"),
            Some(_) => return Self::Malformed,
        };
        match roles {
            None | Some(Value::Null) => Self::Open,
            Some(Value::Array(roles)) if roles.is_empty() => Self::Open,
            Some(Value::Array(roles)) => roles
                .iter()
                .map(|role| role.as_str().map(RoleId::from))
                .collect::<Option<BTreeSet<_>>>()
                .map_or(Self::Malformed, Self::AnyOf),
            Some(_) => Self::Malformed,
        }
    }

    fn admits(&self, roles: &BTreeSet<RoleId>) -> bool {
        match self {
            Self::Open => true,
            Self::AnyOf(allowed) => !allowed.is_disjoint(roles),
            Self::Malformed => false,
        }
    }
}

/// What the rule asks of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardFacts {
    pub board: BoardId,
    /// The community it belongs to. Without one it is open through imports alone.
    pub community: Option<CommunityId>,
    pub rule: RoleRule,
    /// The communities with an active import of it.
    pub importers: BTreeSet<CommunityId>,
}

impl BoardFacts {
    /// Whether the community owns it, or imports it.
    pub fn is_shown_in(&self, community: &CommunityId) -> bool {
        self.community.as_ref() == Some(community) || self.importers.contains(community)
    }

    /// The communities that own or import it, each once.
    pub fn shown_in(&self) -> impl Iterator<Item = &CommunityId> {
        let owner = self.community.as_ref();
        owner.into_iter().chain(self.importers.iter().filter(move |importer| Some(*importer) != owner))
    }
}

/// What the rule asks of the actor's community.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommunityFacts {
    pub community: CommunityId,
    pub rule: RoleRule,
    pub features: Features,
}

impl Features {
    /// What a community without settings has.
    pub const ALL_ON: Self = Self {
        enabled: true,
        votes: true,
        comments: true,
        posts: true,
        presence: true,
        typing: true,
        notifications: true,
    };

    /// Reads `settings.realtime`. A flag is off only where it is `false`: a flag is no right, so what can't be read is on.
    pub fn of_settings(settings: Option<&Value>) -> Self {
        let flags = settings.and_then(|settings| settings.get("realtime"));
        let on = |flag: &str| flags.and_then(|flags| flags.get(flag)).and_then(Value::as_bool).unwrap_or(true);
        Self {
            enabled: on("enabled"),
            votes: on("votes"),
            comments: on("comments"),
            posts: on("posts"),
            presence: on("presence"),
            typing: on("typing"),
            notifications: on("notifications"),
        }
    }
}

/// What must be known before [`decide`] can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsNeeded {
    pub board: BoardId,
    /// The actor's own community: the roles in his token are its roles, also on a board it imported.
    pub community: CommunityId,
}

/// Names the facts that a decision about `actor` and `board` rests on.
pub fn facts_needed(actor: &Actor, board: BoardId) -> FactsNeeded {
    FactsNeeded { board, community: actor.community.clone() }
}

/// The right to be in the rooms of one board, as of the facts it was decided on. Only [`decide`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    board: BoardId,
}

impl Permit {
    /// The board it opens.
    pub fn board(&self) -> BoardId {
        self.board
    }
}

/// The clause that closes a board to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denied {
    /// Clause 1: to this community the board does not exist.
    NotOfCommunity,
    /// Clause 2, or the community itself is gone.
    CommunityRoles,
    /// Clause 3.
    BoardRoles,
}

impl Denied {
    /// The reason as the one shut out is told it.
    pub fn reason(self) -> RevokeReason {
        match self {
            Self::NotOfCommunity => RevokeReason::Import,
            Self::CommunityRoles => RevokeReason::CommunityRoles,
            Self::BoardRoles => RevokeReason::BoardRoles,
        }
    }
}

/// Contract section 3. `board` and `community` are `None` where the database has no such row.
pub fn decide(actor: &Actor, board: Option<&BoardFacts>, community: Option<&CommunityFacts>) -> Result<Permit, Denied> {
    let board = board.ok_or(Denied::NotOfCommunity)?;
    if !board.is_shown_in(&actor.community) {
        return Err(Denied::NotOfCommunity);
    }
    let community = community.ok_or(Denied::CommunityRoles)?;
    if !actor.admin && !community.rule.admits(&actor.roles) {
        return Err(Denied::CommunityRoles);
    }
    if !actor.admin && !board.rule.admits(&actor.roles) {
        return Err(Denied::BoardRoles);
    }
    Ok(Permit { board: board.board })
}

#[cfg(test)]
mod tests;
