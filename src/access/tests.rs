use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ids::UserId;

fn actor(community: &str, roles: &[&str], admin: bool) -> Actor {
    Actor {
        user: UserId::from("ada"),
        community: community.into(),
        roles: roles.iter().map(|role| RoleId::from(*role)).collect(),
        admin,
        name: None,
        picture: None,
        device: None,
        expires_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn board(community: &str, settings: Value, importers: &[&str]) -> BoardFacts {
    BoardFacts {
        board: BoardId(1),
        community: Some(community.into()),
        rule: RoleRule::of_settings(Some(&settings)),
        importers: importers.iter().map(|id| CommunityId::from(*id)).collect(),
    }
}

fn community(id: &str, settings: Value) -> CommunityFacts {
    CommunityFacts {
        community: id.into(),
        rule: RoleRule::of_settings(Some(&settings)),
        features: Features::of_settings(Some(&settings)),
    }
}

fn allowed(roles: Value) -> Value {
    json!({"permissions": {"allowedRoles": roles}})
}

#[test]
fn the_rule_of_the_contract_case_by_case() {
    use Denied::*;
    let cases: Vec<(&str, Actor, BoardFacts, CommunityFacts, Option<Denied>)> = vec![
        ("open board", actor("a", &[], false), board("a", json!({}), &[]), community("a", json!({})), None),
        ("no settings at all", actor("a", &[], false), board("a", Value::Null, &[]), community("a", Value::Null), None),
        (
            "role met",
            actor("a", &["x", "y"], false),
            board("a", allowed(json!(["y"])), &[]),
            community("a", json!({})),
            None,
        ),
        (
            "role missed",
            actor("a", &["x"], false),
            board("a", allowed(json!(["y"])), &[]),
            community("a", json!({})),
            Some(BoardRoles),
        ),
        (
            "empty list is open",
            actor("a", &[], false),
            board("a", allowed(json!([])), &[]),
            community("a", json!({})),
            None,
        ),
        (
            "community closed",
            actor("a", &["x"], false),
            board("a", json!({}), &[]),
            community("a", allowed(json!(["m"]))),
            Some(CommunityRoles),
        ),
        (
            "admin passes roles",
            actor("a", &[], true),
            board("a", allowed(json!(["y"])), &[]),
            community("a", allowed(json!(["m"]))),
            None,
        ),
        (
            "admin stays in his community",
            actor("a", &[], true),
            board("b", json!({}), &[]),
            community("a", json!({})),
            Some(NotOfCommunity),
        ),
        ("import opens", actor("a", &[], false), board("b", json!({}), &["a"]), community("a", json!({})), None),
        (
            "import keeps the board's roles",
            actor("a", &[], false),
            board("b", allowed(json!(["y"])), &["a"]),
            community("a", json!({})),
            Some(BoardRoles),
        ),
        (
            "string instead of array",
            actor("a", &["y"], false),
            board("a", allowed(json!("y")), &[]),
            community("a", json!({})),
            Some(BoardRoles),
        ),
        (
            "number in array",
            actor("a", &["y"], false),
            board("a", allowed(json!(["y", 7])), &[]),
            community("a", json!({})),
            Some(BoardRoles),
        ),
        (
            "permissions no object",
            actor("a", &["y"], false),
            board("a", json!({"permissions": "none"}), &[]),
            community("a", json!({})),
            Some(BoardRoles),
        ),
        (
            "malformed opens to admins",
            actor("a", &[], true),
            board("a", allowed(json!({"y": true})), &[]),
            community("a", json!({})),
            None,
        ),
    ];
    for (name, actor, board, community, denied) in cases {
        let decision = decide(&actor, Some(&board), Some(&community));
        assert_eq!(decision.as_ref().err().copied(), denied, "{name}");
        if let Ok(permit) = decision {
            assert_eq!(permit.board(), board.board, "{name}");
        }
    }
}

#[test]
fn what_is_not_there_is_closed() {
    let (ada, open) = (actor("a", &[], true), board("a", json!({}), &[]));
    assert_eq!(decide(&ada, None, Some(&community("a", json!({})))), Err(Denied::NotOfCommunity));
    assert_eq!(decide(&ada, Some(&open), None), Err(Denied::CommunityRoles));
}

#[test]
fn a_flag_is_off_only_where_it_says_false() {
    assert_eq!(Features::of_settings(None), Features::ALL_ON);
    assert_eq!(Features::of_settings(Some(&json!({"realtime": "off"}))), Features::ALL_ON);
    assert_eq!(
        Features::of_settings(Some(&json!({"realtime": {"votes": false, "posts": "no", "typing": null}}))),
        Features { votes: false, ..Features::ALL_ON }
    );
}

/// The second formulation: the contract's sentences, one after the other, straight on the JSON.
fn naive(actor: &Actor, board: (&str, &Value, &[String]), community: &Value) -> bool {
    fn meets(settings: &Value, actor: &Actor) -> bool {
        if !(settings.is_object() || settings.is_null()) {
            return false;
        }
        let permissions = &settings["permissions"];
        if permissions.is_null() {
            return true;
        }
        if !permissions.is_object() {
            return false;
        }
        let roles = &permissions["allowedRoles"];
        if roles.is_null() {
            return true;
        }
        let Some(list) = roles.as_array() else { return false };
        if list.iter().any(|role| !role.is_string()) {
            return false;
        }
        list.is_empty() || list.iter().any(|role| actor.roles.iter().any(|mine| Some(mine.as_str()) == role.as_str()))
    }
    let (owner, settings, importers) = board;
    let cid = actor.community.as_str();
    let shown = owner == cid || importers.iter().any(|id| id == cid);
    shown && (actor.admin || (meets(community, actor) && meets(settings, actor)))
}

fn any_settings() -> impl Strategy<Value = Value> {
    let role = prop_oneof![8 => "[xyz]".prop_map(Value::from), 1 => Just(json!(1)), 1 => Just(Value::Null)];
    let roles = prop_oneof![
        6 => proptest::collection::vec(role, 0..4).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!("x")),
        1 => Just(json!({})),
    ];
    prop_oneof![
        8 => roles.prop_map(allowed),
        1 => Just(json!({})),
        1 => Just(json!({"permissions": null})),
        1 => Just(json!({"permissions": []})),
        1 => Just(Value::Null),
        1 => Just(json!("{}")),
        1 => Just(json!([])),
    ]
}

proptest! {
    #[test]
    fn the_rule_equals_its_naive_formulation(
        cid in "[ab]", owner in "[ab]", importers in proptest::collection::vec("[abc]", 0..3),
        roles in proptest::collection::vec("[xyz]", 0..3), admin: bool,
        board_settings in any_settings(), community_settings in any_settings(),
    ) {
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        let actor = actor(&cid, &roles, admin);
        let importing: Vec<&str> = importers.iter().map(String::as_str).collect();
        let facts = board(&owner, board_settings.clone(), &importing);
        let decision = decide(&actor, Some(&facts), Some(&community(&cid, community_settings.clone())));
        prop_assert_eq!(decision.is_ok(), naive(&actor, (&owner, &board_settings, &importers), &community_settings));
    }

    #[test]
    fn no_settings_make_the_rule_panic(text in ".{0,200}") {
        let value = serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text));
        RoleRule::of_settings(Some(&value));
        Features::of_settings(Some(&value));
    }
}
