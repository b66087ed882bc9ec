//! The forum's own check of who may read a board.
//!
//! A simple second formulation on purpose: the demo stands for the forum and shares no code with the service beside it.

use serde_json::Value;

use super::people::DemoUser;

/// The role ids a board or community admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// No list, or an empty one.
    Everybody,
    /// One of these.
    Roles(Vec<String>),
    /// The setting can't be read; then nobody but an admin enters.
    Nobody,
}

impl Admission {
    /// Reads `permissions.allowedRoles` of a row's `settings`.
    pub fn of(settings: Option<&Value>) -> Self {
        let Some(settings) = present(settings) else { return Self::Everybody };
        let Value::Object(settings) = settings else { return Self::Nobody };
        let Some(permissions) = present(settings.get("permissions")) else { return Self::Everybody };
        let Value::Object(permissions) = permissions else { return Self::Nobody };
        let Some(roles) = present(permissions.get("allowedRoles")) else { return Self::Everybody };
        let Value::Array(roles) = roles else { return Self::Nobody };
        let roles: Option<Vec<String>> = roles.iter().map(|role| role.as_str().map(str::to_owned)).collect();
        match roles {
            Some(roles) if roles.is_empty() => Self::Everybody,
            Some(roles) => Self::Roles(roles),
            None => Self::Nobody,
        }
    }

    /// Whether this person is admitted.
    pub fn admits(&self, person: &DemoUser) -> bool {
        person.admin
            || match self {
                Self::Everybody => true,
                Self::Roles(roles) => person.roles.iter().any(|held| roles.iter().any(|role| role == held)),
                Self::Nobody => false,
            }
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn person(roles: &'static [&'static str], admin: bool) -> DemoUser {
        DemoUser { user_id: "p", name: "P", community_id: "c", roles, admin }
    }

    #[test]
    fn an_absent_or_empty_list_admits_everybody() {
        for settings in
            [json!(null), json!({}), json!({"permissions": {}}), json!({"permissions": {"allowedRoles": []}})]
        {
            assert_eq!(Admission::of(Some(&settings)), Admission::Everybody, "{settings}");
        }
        assert_eq!(Admission::of(None), Admission::Everybody);
    }

    #[test]
    fn a_malformed_list_admits_admins_only() {
        for roles in [json!("warden"), json!([1, 2]), json!(["warden", 3]), json!({"warden": true})] {
            let admission = Admission::of(Some(&json!({"permissions": {"allowedRoles": roles}})));
            assert_eq!(admission, Admission::Nobody, "{roles}");
            assert!(!admission.admits(&person(&["warden"], false)));
            assert!(admission.admits(&person(&[], true)));
        }
    }

    #[test]
    fn a_list_admits_those_who_hold_one_of_its_roles() {
        let admission = Admission::of(Some(&json!({"permissions": {"allowedRoles": ["warden", "council"]}})));
        assert!(admission.admits(&person(&["gardener", "council"], false)));
        assert!(!admission.admits(&person(&["gardener"], false)));
        assert!(!admission.admits(&person(&[], false)));
    }
}
