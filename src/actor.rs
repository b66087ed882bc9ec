//! Who speaks: what a verified token said, and nothing that it did not.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::ids::{CommunityId, DeviceId, RoleId, UserId};

/// The bearer of a token that was verified. Only [`crate::jwt`] makes one from outside input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `sub`
    pub user: UserId,
    /// `cid`
    pub community: CommunityId,
    /// `roles`, none when absent.
    pub roles: BTreeSet<RoleId>,
    /// `adm`, false when absent.
    pub admin: bool,
    /// `name`
    pub name: Option<String>,
    /// `picture`
    pub picture: Option<String>,
    /// `uid`
    pub device: Option<DeviceId>,
    /// `exp`: from this moment on the actor has no rights.
    pub expires_at: DateTime<Utc>,
}
