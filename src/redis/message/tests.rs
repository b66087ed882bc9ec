use std::collections::{BTreeSet, HashMap};

use chrono::DateTime;
use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;

use super::*;
use crate::{
    access::{BoardFacts, CommunityFacts, RoleRule},
    change::{BoardWas, Change},
    contract::{Board, Comment, Features, Person, Post, PostColumn},
    event::{BoardRow, CommentRow, PostHead, PostRow},
    ids::{BoardId, CommentId, CommunityId, PostId, RoleId, UserId},
};

fn relayed(entries: Vec<Entry>, rows: Rows) -> Relayed {
    let made = Made { follows: "7:9:8".parse().unwrap(), snapshot: "8:12:9,10".parse().unwrap() };
    Relayed::Tick { epoch: Epoch(5), tick: Tick(6), made, entries, rows: Arc::new(rows) }
}

/// `format.json` is what the format says of everything that a tick can hold. Where it does not say that any longer, nodes of
/// different builds would misunderstand each other: raise `FORMAT`, then bring the file up to date.
#[test]
fn what_is_relayed_changes_only_together_with_its_number() {
    let bytes = relayed(every_change(), every_row()).encode();
    let text = String::from_utf8(bytes).unwrap();
    let (line, body) = text.split_once('\n').unwrap();
    assert_eq!(line, "curia-relay 3 5 6 7:9:8 8:12:9,10");
    let body: Value = serde_json::from_str(body).unwrap();
    let expected: Value = serde_json::from_str(include_str!("format.json")).unwrap();
    assert_eq!(body, expected, "{body:#}");
}

#[test]
fn a_tick_that_is_too_large_is_announced() {
    let post = PostRow { post: post(1, "x".repeat(LARGEST)), author: None };
    let rows = Rows { posts: HashMap::from([(PostId(1), post)]), ..Rows::default() };
    let bytes = relayed(Vec::new(), rows).encode();
    assert_eq!(bytes, b"curia-relay 3 5 6\n");
    let message = Message::read(bytes).unwrap();
    assert_eq!(message.heading, Heading { epoch: Epoch(5), tick: Tick(6), made: None });
}

#[test]
fn another_format_is_left_alone_and_nonsense_is_odd() {
    let read = |text: &str| Message::read(text.as_bytes().to_vec()).map(|message| message.heading);
    for line in ["curia-relay 4 5 6\n", "curia-relay 3.1 whatever it is\n", "curia-relay 03 5 6\n"] {
        assert_eq!(read(line), Err(NotUnderstood::Foreign), "{line}");
    }
    for line in [
        "",
        "\n",
        "curia-relay 3 5 6",
        "curia-relay 3 5\n",
        "curia-relay 3 5 -6\n",
        "curia-relay 3 5 6 7:9:8\n",
        "curia 1 5 6\n",
        "curia-relay 3 5 6 7:9:8 9:8:\n",
        "curia-relay 3 5 6 7:9:8 8:9: more\n",
        "curia-relay 3 5 99999999999999999999\n",
        "curia-relay 3 5 6 \n",
    ] {
        assert_eq!(read(line), Err(NotUnderstood::Odd), "{line}");
    }
    assert_eq!(Message::read(vec![b'\n'; LARGEST + 1]).map(|message| message.heading), Err(NotUnderstood::Odd));
    for body in ["", "{}", "[]", r#"{"entries": [], "rows": {}}"#, r#"{"entries": [{"ordinal": 1}], "rows": {}}"#] {
        let message = Message::read(format!("curia-relay 3 5 6 7:9:8 8:12:\n{body}").into_bytes()).unwrap();
        assert_eq!(message.batch().err(), Some(NotUnderstood::Odd), "{body}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(entries in vec(change(), 0..20), rows in rows()) {
        let entries: Vec<Entry> = (1..).zip(entries).map(|(ordinal, (change, micros))| {
            Entry { ordinal, at: DateTime::from_timestamp_micros(micros).unwrap(), change }
        }).collect();
        let message = Message::read(relayed(entries.clone(), rows.clone()).encode()).unwrap();
        let batch = message.batch().unwrap();
        prop_assert_eq!((batch.epoch, batch.tick, batch.last), (Epoch(5), Tick(6), true));
        prop_assert_eq!(&batch.entries, &entries);
        prop_assert_eq!(batch.rows.as_ref(), &rows);
        let rights = entries.iter().filter(|entry| entry.change.touches_access()).count();
        prop_assert_eq!(batch.fence.changes.len(), rights, "its rights are found anew");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let headed = [b"curia-relay 3 5 6 7:9:8 8:12:\n".to_vec(), bytes.clone()].concat();
        for bytes in [bytes, headed] {
            if let Ok(message) = Message::read(bytes) {
                let _ = message.batch();
            }
        }
    }
}

fn post(id: i32, content: String) -> Post {
    Post {
        id: PostId(id),
        author_user_id: Some("ada".into()),
        title: Some("Tide".to_owned()),
        content: Some(content),
        content_truncated: true,
        tags: Some(vec!["sea".to_owned()]),
        upvote_count: 2,
        comment_count: 1,
        board_id: Some(BoardId(3)),
        lock_id: None,
        created_at: Some(DateTime::UNIX_EPOCH),
        updated_at: None,
    }
}

fn every_change() -> Vec<Entry> {
    let (post, board, comment) = (PostId(1), BoardId(3), CommentId(2));
    let community = || CommunityId::from("reef");
    let settings = || serde_json::json!({"permissions": {"allowedRoles": ["crew"]}});
    let changes = [
        Change::PostCreated { post, board: Some(board) },
        Change::PostUpdated { post, board: None, columns: vec![PostColumn::Title, PostColumn::LockId] },
        Change::PostMoved { post, from: None, to: Some(board) },
        Change::PostCounted { post, votes: true, comments: false },
        Change::PostDeleted { post, board: Some(board) },
        Change::VoteAdded { post },
        Change::VoteRemoved { post },
        Change::CommentCreated { comment, post },
        Change::CommentUpdated { comment, post },
        Change::CommentDeleted { comment, post },
        Change::BoardCreated { board },
        Change::BoardUpdated {
            board,
            was: BoardWas { community: Some(community()), settings: settings() },
            told: true,
        },
        Change::BoardDeleted { board, was: BoardWas { community: Some(community()), settings: settings() } },
        Change::CommunityUpdated { community: community(), settings_was: settings() },
        Change::CommunityCreated { community: community() },
        Change::CommunityDeleted { community: community(), settings_was: settings() },
        Change::ImportChanged { board, community: community(), active_was: true, with_board: true },
        Change::UserDeleted { user: "ada".into() },
        Change::Reset { table: "posts".to_owned() },
    ];
    let entry = |(ordinal, change)| Entry { ordinal, at: DateTime::UNIX_EPOCH, change };
    (1..).zip(changes).map(entry).collect()
}

fn every_row() -> Rows {
    let person = || Some(Person { user_id: "ada".into(), name: Some("Ada".to_owned()), profile_picture_url: None });
    let facts = || BoardFacts {
        board: BoardId(3),
        community: Some("reef".into()),
        rule: RoleRule::AnyOf(BTreeSet::from([RoleId::from("crew")])),
        importers: BTreeSet::from(["bay".into()]),
    };
    let board = Board {
        id: BoardId(3),
        community_id: Some("reef".into()),
        name: None,
        description: Some("Low water".to_owned()),
        settings: Some(Value::Null),
        created_at: None,
        updated_at: None,
    };
    let comment = Comment {
        id: CommentId(2),
        post_id: PostId(1),
        author_user_id: None,
        parent_comment_id: None,
        content: None,
        content_truncated: false,
        created_at: None,
        updated_at: None,
    };
    let head = PostHead { board: None, upvotes: 2, comments: 1, author: Some("ada".into()) };
    let comment = CommentRow {
        comment,
        author: person(),
        parent_author: None,
        mentions: vec!["bo".into()],
        excerpt: "Low".to_owned(),
    };
    let community = CommunityFacts { community: "reef".into(), rule: RoleRule::Malformed, features: Features::ALL_ON };
    Rows {
        heads: HashMap::from([(PostId(1), head)]),
        posts: HashMap::from([(PostId(1), PostRow { post: post(1, "Slack".to_owned()), author: None })]),
        comments: HashMap::from([(CommentId(2), comment)]),
        boards: HashMap::from([(BoardId(3), BoardRow { board, facts: facts() })]),
        communities: HashMap::from([("reef".into(), community)]),
        facts: HashMap::from([(BoardId(3), facts())]),
        ..Rows::default()
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn micros() -> impl Strategy<Value = i64> {
    -60_000_000_000_000_000..200_000_000_000_000_000_i64
}

fn change() -> impl Strategy<Value = (Change, i64)> {
    let changes =
        (any::<i32>(), option::of(any::<i32>()), ".{0,12}", json()).prop_flat_map(|(id, other, text, settings)| {
            let (post, board, other) = (PostId(id), BoardId(id), other.map(BoardId));
            let community = CommunityId::from(text.as_str());
            prop_oneof![
                Just(Change::PostCreated { post, board: other }),
                Just(Change::PostMoved { post, from: other, to: Some(board) }),
                Just(Change::VoteAdded { post }),
                Just(Change::CommentCreated { comment: CommentId(id), post }),
                Just(Change::BoardUpdated {
                    board,
                    was: BoardWas { community: Some(community.clone()), settings: settings.clone() },
                    told: false,
                }),
                Just(Change::CommunityUpdated { community: community.clone(), settings_was: settings }),
                Just(Change::ImportChanged { board, community, active_was: false, with_board: false }),
                Just(Change::Reset { table: text }),
            ]
        });
    (changes, micros())
}

fn rows() -> impl Strategy<Value = Rows> {
    let text = || option::of(".{0,20}");
    let post = (any::<i32>(), text(), text(), any::<bool>(), option::of(vec(".{0,5}", 0..3)), option::of(micros()));
    let post = post.prop_map(|(id, title, content, content_truncated, tags, at)| {
        let at = at.and_then(DateTime::from_timestamp_micros);
        let post =
            Post { title, content_truncated, tags, created_at: at, ..self::post(id, content.unwrap_or_default()) };
        let author = Person { user_id: UserId::from("bo"), name: None, profile_picture_url: post.title.clone() };
        (PostId(id), PostRow { post, author: Some(author) })
    });
    let rule = prop_oneof![
        Just(RoleRule::Open),
        Just(RoleRule::Malformed),
        vec(".{0,5}", 1..4).prop_map(|roles| RoleRule::AnyOf(roles.into_iter().map(RoleId::from).collect())),
    ];
    let board =
        (any::<i32>(), rule, option::of(json()), option::of(".{0,9}")).prop_map(|(id, rule, settings, community)| {
            let community = community.map(CommunityId::from);
            let facts =
                BoardFacts { board: BoardId(id), community: community.clone(), rule, importers: BTreeSet::new() };
            let board = Board {
                id: BoardId(id),
                community_id: community,
                name: None,
                description: None,
                settings,
                created_at: None,
                updated_at: None,
            };
            (BoardId(id), BoardRow { board, facts })
        });
    (vec(post, 0..4), vec(board, 0..4)).prop_map(|(posts, boards)| Rows {
        posts: posts.into_iter().collect(),
        facts: boards.iter().map(|(id, row)| (*id, row.facts.clone())).collect(),
        boards: boards.into_iter().collect(),
        ..Rows::default()
    })
}
