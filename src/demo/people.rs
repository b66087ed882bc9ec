//! The people one can be in the demo.
//!
//! A forum table names and pictures its users; what they may do (community, roles, admin) comes with the token from the
//! platform that embeds the forum. This list plays that platform.

use serde::Serialize;

/// A community of the demo.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DemoCommunity {
    /// `communities.id`, and the `cid` of its members' tokens.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `communities.community_short_id`.
    pub short_id: &'static str,
}

/// A person of the demo and what their token says.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DemoUser {
    /// `users.user_id`, and the token's `sub`.
    pub user_id: &'static str,
    /// Name as shown.
    pub name: &'static str,
    /// The token's `cid`.
    pub community_id: &'static str,
    /// The token's `roles`.
    pub roles: &'static [&'static str],
    /// The token's `adm`.
    pub admin: bool,
}

impl DemoUser {
    /// Where the portrait is served; also the token's `picture`.
    pub fn picture(&self) -> String {
        format!("/demo/portraits/{}.svg", self.user_id)
    }

    /// The person with this id among those one can be.
    pub fn by_id(user_id: &str) -> Option<&'static Self> {
        PEOPLE.iter().find(|person| person.user_id == user_id)
    }
}

/// The communities of the demo.
pub const COMMUNITIES: &[DemoCommunity] = &[
    DemoCommunity { id: "lantern", name: "Lantern Street Workshop", short_id: "lantern-street" },
    DemoCommunity { id: "fernhollow", name: "Fern Hollow Gardens", short_id: "fern-hollow" },
    DemoCommunity { id: "perseid", name: "Perseid Night Sky Club", short_id: "perseid-club" },
];

const fn person(
    user_id: &'static str,
    name: &'static str,
    community_id: &'static str,
    roles: &'static [&'static str],
) -> DemoUser {
    DemoUser { user_id, name, community_id, roles, admin: false }
}

const fn admin(
    user_id: &'static str,
    name: &'static str,
    community_id: &'static str,
    roles: &'static [&'static str],
) -> DemoUser {
    DemoUser { user_id, name, community_id, roles, admin: true }
}

/// Everybody, in the order the page lists them.
pub const PEOPLE: &[DemoUser] = &[
    admin("ada", "Ada Brandt", "lantern", &["member", "keyholder"]),
    person("bruno", "Bruno Teixeira", "lantern", &["member", "keyholder"]),
    person("chidi", "Chidi Obi", "lantern", &["member"]),
    person("dalia", "Dalia Haddad", "lantern", &["member", "treasurer"]),
    person("eero", "Eero Lindqvist", "lantern", &[]),
    admin("farah", "Farah Aziz", "fernhollow", &["gardener", "warden"]),
    person("goran", "Goran Petrov", "fernhollow", &["gardener", "warden"]),
    person("hana", "Hana Sato", "fernhollow", &["gardener"]),
    person("imani", "Imani Wanjiru", "fernhollow", &["gardener"]),
    admin("juno", "Juno Castellan", "perseid", &["fellow", "council"]),
    person("kofi", "Kofi Mensah", "perseid", &["fellow", "council"]),
    person("lena", "Lena Vogt", "perseid", &["fellow"]),
    person("mateo", "Mateo Rivas", "perseid", &["guest"]),
];

/// Members nobody can pick: the votes that are already there and the crowd of `--simulate` are theirs.
pub const REGULARS: &[DemoUser] = &[
    person("noor", "Noor Karimi", "lantern", &["member"]),
    person("tomasz", "Tomasz Wilk", "lantern", &["member"]),
    person("ines", "Inês Duarte", "lantern", &["member"]),
    person("yara", "Yara Nasser", "lantern", &["member"]),
    person("pavel", "Pavel Horák", "lantern", &["member", "keyholder"]),
    person("sunita", "Sunita Rao", "lantern", &["member"]),
    person("jonas", "Jonas Keller", "lantern", &["member"]),
    person("marisol", "Marisol Peña", "lantern", &["member"]),
    person("oskar", "Oskar Nyberg", "lantern", &["member"]),
    person("leila", "Leila Haidari", "lantern", &["member", "treasurer"]),
    person("petra", "Petra Kovač", "fernhollow", &["gardener"]),
    person("samuel", "Samuel Adeyemi", "fernhollow", &["gardener"]),
    person("birgit", "Birgit Holm", "fernhollow", &["gardener"]),
    person("rosa", "Rosa Lombardi", "fernhollow", &["gardener"]),
    person("arjun", "Arjun Pillai", "fernhollow", &["gardener"]),
    person("maeve", "Maeve Doyle", "fernhollow", &["gardener", "warden"]),
    person("dmitri", "Dmitri Orlov", "perseid", &["fellow"]),
    person("aiko", "Aiko Mori", "perseid", &["fellow"]),
    person("wren", "Wren Calloway", "perseid", &["fellow"]),
    person("hassan", "Hassan Farouk", "perseid", &["fellow", "council"]),
    person("sylvie", "Sylvie Marchand", "perseid", &["fellow"]),
    person("nils", "Nils Aakre", "perseid", &["fellow"]),
];

/// Everybody who has an account, pickable or not.
pub fn everybody() -> impl Iterator<Item = &'static DemoUser> {
    PEOPLE.iter().chain(REGULARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_belongs_to_a_community_and_has_an_id_of_their_own() {
        for person in everybody() {
            assert!(COMMUNITIES.iter().any(|community| community.id == person.community_id), "{person:?}");
            assert_eq!(everybody().filter(|other| other.user_id == person.user_id).count(), 1, "{person:?}");
        }
    }

    #[test]
    fn every_community_has_an_admin() {
        for community in COMMUNITIES {
            assert!(PEOPLE.iter().any(|person| person.community_id == community.id && person.admin));
        }
    }
}
