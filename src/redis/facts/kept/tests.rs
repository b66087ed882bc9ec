//! What is kept is read as it was written, by nodes of the same secret alone, and nothing else is.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::contract::Features;

const HELD: Span = Span { epoch: Epoch(7), since: Tick(40), upto: Tick(44) };

fn seals(secrets: &[&str]) -> Seals {
    Seals::of_secrets(secrets.iter().map(|secret| secret.as_bytes())).unwrap()
}

fn board(rule: RoleRule) -> BoardFacts {
    BoardFacts { board: BoardId(5), community: Some("reef".into()), rule, importers: BTreeSet::from(["c2".into()]) }
}

fn any_of(roles: &[&str]) -> RoleRule {
    RoleRule::AnyOf(roles.iter().map(|role| RoleId::from(*role)).collect())
}

fn actor(roles: &[&str]) -> Actor {
    Actor {
        user: "ada".into(),
        community: "reef".into(),
        roles: roles.iter().map(|role| RoleId::from(*role)).collect(),
        admin: false,
        name: None,
        picture: None,
        device: None,
        expires_at: DateTime::UNIX_EPOCH,
    }
}

fn stored(values: &[String]) -> Vec<Option<Vec<u8>>> {
    values.iter().map(|value| Some(value.clone().into_bytes())).collect()
}

/// Whether it comes back as it was; its values.
fn comes_back<K: Taken + Clone + PartialEq + std::fmt::Debug>(of: &K::Of, fact: &K) -> Vec<String> {
    let seals = seals(&["one"]);
    let values = seals.close(of, fact, HELD).unwrap();
    assert_eq!(values.len(), K::FIELDS.len() + STAMP.len());
    assert_eq!(seals.open::<K>(of, stored(&values)), Ok((fact.clone(), HELD)));
    values
}

#[test]
fn what_is_kept_comes_back_and_can_be_read_as_the_blueprint_has_it() {
    let values = comes_back(&BoardId(5), &board(any_of(&["role1", "role2"])));
    assert_eq!(values[..4], [r#"["role1","role2"]"#, "false", "reef", r#"["c2"]"#]);
    assert_eq!(comes_back(&BoardId(5), &board(RoleRule::Open))[..2], ["[]", "true"]);
    assert_eq!(comes_back(&BoardId(5), &board(RoleRule::Malformed))[..2], ["[]", "false"]);
    let features = Features { votes: false, ..Features::ALL_ON };
    comes_back(&"reef".into(), &CommunityFacts { community: "reef".into(), rule: any_of(&["a"]), features });
    comes_back(&"reef".into(), &Shown(HashMap::from([(BoardId(5), board(RoleRule::Malformed))])));
    comes_back(&"reef".into(), &Shown(HashMap::new()));
    let open = Open(BTreeSet::from([BoardId(5), BoardId(7)]));
    let values = seals(&["one"]).close(&actor(&["a"]), &open, HELD).unwrap();
    assert_eq!(values[..7], ["[5,7]", "reef", r#"["a"]"#, "false", "7", "40", "44"]);
}

#[test]
fn nothing_of_it_can_be_changed_or_moved() {
    let seals = seals(&["one"]);
    let closed = board(any_of(&["crew"]));
    let values = seals.close(&BoardId(5), &closed, HELD).unwrap();
    for place in 0..values.len() {
        let others = ["true", "[]", "reef", "c2", "7", "40", "44", "45", "044", "9223372036854775807", "", "ä"];
        for other in others.map(str::to_owned).iter().filter(|other| **other != values[place]) {
            let mut changed = values.clone();
            changed[place].clone_from(other);
            assert_eq!(seals.open::<BoardFacts>(&BoardId(5), stored(&changed)), Err(Odd), "{changed:?}");
        }
        let mut without = stored(&values);
        without[place] = None;
        assert_eq!(seals.open::<BoardFacts>(&BoardId(5), without), Err(Odd));
    }
    assert_eq!(seals.open::<BoardFacts>(&BoardId(6), stored(&values)), Err(Odd), "of another board");
    let community = CommunityFacts { community: "5".into(), rule: RoleRule::Open, features: Features::ALL_ON };
    let values = seals.close(&"5".into(), &community, HELD).unwrap();
    assert_eq!(seals.open::<Shown>(&"5".into(), stored(&values[2..])), Err(Odd), "of another kind");
}

/// Where this fails, the layout is another: it takes another format, under which these codes are others.
#[test]
fn what_the_format_seals_stays_as_it_is() {
    let of_none = BoardFacts { community: None, ..board(any_of(&["crew"])) };
    let community = CommunityFacts { community: "reef".into(), rule: RoleRule::Open, features: Features::ALL_ON };
    let shown = Shown(HashMap::from([(BoardId(5), of_none)]));
    let seals = seals(&["one"]);
    let codes = [
        seals.close(&BoardId(5), &board(RoleRule::Malformed), HELD).unwrap().pop(),
        seals.close(&"reef".into(), &community, HELD).unwrap().pop(),
        seals.close(&"reef".into(), &shown, HELD).unwrap().pop(),
        seals.close(&actor(&["a"]), &Open(BTreeSet::from([BoardId(5)])), HELD).unwrap().pop(),
    ];
    let codes = codes.map(Option::unwrap);
    assert_eq!(codes[0], "jgvtDvSHaQ38LInQxIZnnqhNatsQ4kHqdIJ6_mqZyAk");
    assert_eq!(codes[1], "AWlu2YwORIpX4pq5CMYJzaGFha1W7vS0UpnfYH9Pfdc");
    assert_eq!(codes[2], "s6G2RTmlkJ2IklHz5uJLfIP7tj-FImpKJmsePtBDDwI");
    assert_eq!(codes[3], "5aqXBWgYX67I-YdJ_OJoFEo9FpjFQzotehRWVCCW3iE");
}

#[test]
fn while_secrets_change_those_of_either_count() {
    let written = |secrets: &[&str]| stored(&seals(secrets).close(&BoardId(5), &board(RoleRule::Open), HELD).unwrap());
    let taken = |secrets: &[&str], values| seals(secrets).open::<BoardFacts>(&BoardId(5), values).is_ok();
    assert!(taken(&["new", "old"], written(&["old"])) && taken(&["new", "old"], written(&["new", "old"])));
    assert!(!taken(&["old"], written(&["new", "old"])) && !taken(&["other"], written(&["old"])));
    assert!(Seals::of_secrets([]).is_none());
    assert!(!format!("{:?}", seals(&["hunter2"])).contains("hunter2"));
}

#[test]
fn of_what_has_no_short_id_nothing_is_kept() {
    let long = CommunityId::from("x".repeat(LONGEST_ID + 1));
    assert_eq!(seals(&["one"]).close(&long, &Shown(HashMap::new()), HELD), None);
    assert_eq!(<Shown as Kept>::key(&long), None);
}

proptest! {
    #[test]
    fn no_garbage_is_taken_or_makes_it_panic(
        values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
    ) {
        let seals = seals(&["one"]);
        prop_assert_eq!(seals.open::<BoardFacts>(&BoardId(5), values.clone()), Err(Odd));
        prop_assert_eq!(seals.open::<Shown>(&"reef".into(), values), Err(Odd));
    }

    /// Behind the seal, too: another build may write otherwise.
    #[test]
    fn no_texts_make_the_reading_panic(values in proptest::collection::vec(r#"[\[\]{}",:0-9a-z]{0,20}"#, 0..6)) {
        let _ = BoardFacts::read(&BoardId(5), &values);
        let _ = CommunityFacts::read(&"reef".into(), &values);
        let _ = Shown::read(&"reef".into(), &values);
    }
}
