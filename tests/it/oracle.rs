//! Every delivery and every refusal, against the rule written once more in SQL and asked of the database at that very position.
//!
//! One writer makes random changes of who may see what and random posts, one transaction after the other, each in a tick of its own. After
//! each step everybody's events and answers have to be exactly those that the statement in [`OPEN`] gives for him.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{postgres::Forum, service::Service, wire::Frames};

/// For a board, a community, roles and `adm`: whether the community is shown the board, and whether it is open.
const OPEN: &str = "
    SELECT shown, shown AND ($4 OR (
        SELECT bool_and(CASE
            WHEN rule IS NULL THEN true
            WHEN jsonb_typeof(rule) <> 'array' THEN false
            ELSE jsonb_array_length(rule) = 0 OR rule ?| $3::text[]
        END)
        FROM (VALUES (c.settings #> '{permissions,allowedRoles}'), (b.settings #> '{permissions,allowedRoles}')) AS rules (rule)
    ))
    FROM boards AS b
    CROSS JOIN communities AS c
    CROSS JOIN LATERAL (
        SELECT b.community_id = $2 OR EXISTS (
            SELECT FROM imported_boards AS i
            WHERE i.source_board_id = b.id AND i.importing_community_id = $2 AND i.is_active
        ) AS shown
    ) AS one
    WHERE b.id = $1 AND c.id = $2";
const FORUM: &str = "
    INSERT INTO communities (id, name) VALUES ('c3', 'Delta'), ('cw', 'Witness');
    INSERT INTO boards (id, community_id, name) VALUES (4, 'c3', 'Silt'), (90, 'cw', 'Witnessed');
    INSERT INTO posts (id, author_user_id, title, content, board_id)
    VALUES (31, 'cy', 'Of three', '', 3), (41, 'cy', 'Of four', '', 4)";
const BOARDS: [i32; 4] = [1, 2, 3, 4];
const POSTS: [i32; 4] = [1, 2, 31, 41];
const COMMUNITIES: [&str; 3] = ["c1", "c2", "c3"];
const ROLES: [&str; 2] = ["crew", "pilot"];
const STEPS: usize = 60;

#[derive(Clone, Debug)]
enum Step {
    BoardRoles(i32, Vec<&'static str>),
    CommunityRoles(&'static str, Vec<&'static str>),
    Import(i32, &'static str, bool),
    Give(i32, &'static str),
    Move(i32, i32),
    Post(i32),
    Comment(i32),
    Vote(i32),
    Malformed(i32),
    Refresh(usize, Vec<&'static str>, bool),
    JoinBoard(usize, i32),
    JoinPost(usize, i32),
}

fn any_step(people: usize) -> impl Strategy<Value = Step> {
    let board = || proptest::sample::select(&BOARDS[..]);
    let post = || proptest::sample::select(&POSTS[..]);
    let community = || proptest::sample::select(&COMMUNITIES[..]);
    let roles = || proptest::sample::subsequence(&ROLES[..], 0..=2);
    prop_oneof![
        3 => (board(), roles()).prop_map(|(board, roles)| Step::BoardRoles(board, roles)),
        2 => (community(), roles()).prop_map(|(community, roles)| Step::CommunityRoles(community, roles)),
        2 => (board(), community(), any::<bool>()).prop_map(|(board, to, active)| Step::Import(board, to, active)),
        1 => (board(), community()).prop_map(|(board, to)| Step::Give(board, to)),
        1 => (post(), board()).prop_map(|(post, to)| Step::Move(post, to)),
        3 => board().prop_map(Step::Post),
        3 => post().prop_map(Step::Comment),
        2 => post().prop_map(Step::Vote),
        1 => board().prop_map(Step::Malformed),
        2 => (0..people, roles(), any::<bool>()).prop_map(|(who, roles, admin)| Step::Refresh(who, roles, admin)),
        2 => (0..people, board()).prop_map(|(who, board)| Step::JoinBoard(who, board)),
        2 => (0..people, post()).prop_map(|(who, post)| Step::JoinPost(who, post)),
    ]
}

/// One browser with a feed, and what its token says.
struct Person {
    frames: Frames,
    user: String,
    community: &'static str,
    roles: Vec<&'static str>,
    admin: bool,
    /// Whose rooms he sits in.
    posts: BTreeSet<i32>,
}

impl Person {
    async fn enter(service: &Service, number: usize) -> Self {
        let (user, community) = (format!("p{number}"), COMMUNITIES[number % 3]);
        let (roles, admin) = (ROLES[..number / 3].to_vec(), false);
        let token = Service::token(&user, community, &roles, admin);
        let frames = Frames::connected(&service.url, &token).await;
        let mut person = Self { frames, user, community, roles, admin, posts: BTreeSet::new() };
        assert_eq!(person.ask("feed:join", json!({})).await.1["ok"], json!(true));
        person
    }

    /// The answer, and every event before it.
    async fn ask(&mut self, event: &str, argument: Value) -> (Vec<(String, Value)>, Value) {
        self.frames.send(format!("4277{}", json!([event, argument]))).await;
        let mut events = Vec::new();
        loop {
            let frame = self.frames.next().await.expect("a connection that stays");
            if let Some(answer) = frame.strip_prefix("4377") {
                return (events, serde_json::from_str::<Value>(answer).expect("an answer")[0].clone());
            }
            let event: Vec<Value> = serde_json::from_str(frame.strip_prefix("42").expect("an event")).expect("JSON");
            events.push((event[0].as_str().expect("a name").to_owned(), event[1].clone()));
        }
    }

    /// Whether his community is shown the board, and whether it is open to him.
    async fn may(&self, pool: &PgPool, board: i32) -> (bool, bool) {
        let roles: Vec<String> = self.roles.iter().map(|role| (*role).to_owned()).collect();
        let asked = sqlx::query_as(OPEN).bind(board).bind(self.community).bind(roles).bind(self.admin);
        let (shown, open): (bool, Option<bool>) = asked.fetch_one(pool).await.expect("an answer");
        (shown, open == Some(true))
    }

    async fn open(&self, pool: &PgPool) -> BTreeSet<i32> {
        let mut open = BTreeSet::new();
        for board in BOARDS {
            if self.may(pool, board).await.1 {
                open.insert(board);
            }
        }
        open
    }
}

fn settings(roles: &[&str]) -> Value {
    json!({"permissions": {"allowedRoles": roles}})
}

async fn change(pool: &PgPool, step: &Step) {
    let done = match step {
        Step::BoardRoles(board, roles) => {
            let set = sqlx::query("UPDATE boards SET settings = $2 WHERE id = $1").bind(board).bind(settings(roles));
            set.execute(pool).await
        }
        Step::CommunityRoles(community, roles) => {
            let set = sqlx::query("UPDATE communities SET settings = $2 WHERE id = $1");
            set.bind(community).bind(settings(roles)).execute(pool).await
        }
        Step::Import(board, to, active) => {
            let import = "INSERT INTO imported_boards
                (source_board_id, source_community_id, importing_community_id, imported_by_user_id, is_active)
                SELECT id, community_id, $2, 'ada', $3 FROM boards WHERE id = $1
                ON CONFLICT (importing_community_id, source_board_id) DO UPDATE SET is_active = EXCLUDED.is_active";
            sqlx::query(import).bind(board).bind(to).bind(active).execute(pool).await
        }
        Step::Give(board, to) => {
            sqlx::query("UPDATE boards SET community_id = $2 WHERE id = $1").bind(board).bind(to).execute(pool).await
        }
        Step::Move(post, to) => {
            sqlx::query("UPDATE posts SET board_id = $2 WHERE id = $1").bind(post).bind(to).execute(pool).await
        }
        Step::Post(board) => {
            let insert = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'New', '', $1)";
            sqlx::query(insert).bind(board).execute(pool).await
        }
        Step::Comment(post) => {
            let insert = "INSERT INTO comments (post_id, author_user_id, content) VALUES ($1, 'cy', 'Text')";
            sqlx::query(insert).bind(post).execute(pool).await
        }
        Step::Vote(post) => {
            let vote = "UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = $1";
            sqlx::query(vote).bind(post).execute(pool).await
        }
        Step::Malformed(board) => {
            let set = "UPDATE boards SET settings = $2 WHERE id = $1";
            sqlx::query(set).bind(board).bind(json!({"permissions": {"allowedRoles": "crew"}})).execute(pool).await
        }
        Step::Refresh(..) | Step::JoinBoard(..) | Step::JoinPost(..) => return,
    };
    done.unwrap_or_else(|error| panic!("{step:?}: {error}"));
}

async fn board_of(pool: &PgPool, post: i32) -> i32 {
    sqlx::query_scalar("SELECT board_id FROM posts WHERE id = $1").bind(post).fetch_one(pool).await.expect("a board")
}

/// What a join has to be answered.
fn expected((shown, open): (bool, bool)) -> Value {
    match (shown, open) {
        (false, _) => json!("not_found"),
        (true, false) => json!("forbidden"),
        (true, true) => Value::Null,
    }
}

/// All that is committed has been told when the witness has seen its post.
async fn told(pool: &PgPool, witness: &mut Person) {
    change(pool, &Step::Post(90)).await;
    while witness.frames.next().await.is_some_and(|frame| !frame.contains("board:newPost")) {}
}

/// The boards that events of these names tell of.
fn boards_in(events: &[(String, Value)], name: &str) -> Vec<i32> {
    let told = events.iter().filter(|(told, _)| told == name);
    let board = |payload: &Value| payload["boardId"].as_i64().or(payload["post"]["board_id"].as_i64());
    told.map(|(_, payload)| board(payload).and_then(|id| i32::try_from(id).ok()).expect("a board")).collect()
}

async fn run(seed: u64) {
    let forum = Forum::captured().await;
    forum.run(FORUM).await;
    let service = Service::start_with(
        &forum.url(),
        // Counts all but at once: what a step brings is heard before the next.
        &[
            ("merge-window", "1ms"),
            ("rate-join", "10000/1s"),
            ("rate-session-refresh", "1000/1s"),
            ("rate-other", "10000/1s"),
        ],
    )
    .await;
    let mut people = Vec::new();
    for number in 0..9 {
        people.push(Person::enter(&service, number).await);
    }
    let mut witness = Person { community: "cw", ..Person::enter(&service, 0).await };
    witness.frames = Frames::connected(&service.url, &Service::token("witness", "cw", &[], false)).await;
    assert_eq!(witness.ask("board:join", json!(90)).await.1["ok"], json!(true));

    let random =
        TestRng::from_seed(RngAlgorithm::ChaCha, &std::array::from_fn::<u8, 32, _>(|at| seed.to_le_bytes()[at % 8]));
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let steps =
        proptest::collection::vec(any_step(people.len()), STEPS).new_tree(&mut runner).expect("steps").current();
    for (number, step) in steps.iter().enumerate() {
        let at = format!("seed {seed}, step {number}, {step:?}");
        let mut before = Vec::new();
        for person in &people {
            before.push(person.open(&forum.pool).await);
        }
        let from = if let Step::Move(post, _) = step { Some(board_of(&forum.pool, *post).await) } else { None };
        change(&forum.pool, step).await;
        let mut answers: BTreeMap<usize, Vec<(String, Value)>> = BTreeMap::new();
        match step {
            Step::Refresh(who, roles, admin) => {
                let person = &mut people[*who];
                (person.roles, person.admin) = (roles.clone(), *admin);
                let token = Service::token(&person.user, person.community, roles, *admin);
                let (events, answer) = person.ask("session:refresh", json!({"token": token})).await;
                assert_eq!(answer["ok"], json!(true), "{at}: {answer}");
                answers.insert(*who, events);
            }
            Step::JoinBoard(who, board) => {
                let person = &mut people[*who];
                let may = person.may(&forum.pool, *board).await;
                let (events, answer) = person.ask("board:join", json!(board)).await;
                assert_eq!(answer["error"]["code"], expected(may), "{at}: {answer}");
                answers.insert(*who, events);
            }
            Step::JoinPost(who, post) => {
                let person = &mut people[*who];
                let may = person.may(&forum.pool, board_of(&forum.pool, *post).await).await;
                let (events, answer) = person.ask("post:join", json!(post)).await;
                assert_eq!(answer["error"]["code"], expected(may), "{at}: {answer}");
                if may == (true, true) {
                    person.posts.insert(*post);
                }
                answers.insert(*who, events);
            }
            _ => told(&forum.pool, &mut witness).await,
        }
        let mut stands = BTreeMap::new();
        for post in POSTS {
            stands.insert(post, board_of(&forum.pool, post).await);
        }
        for (who, person) in people.iter_mut().enumerate() {
            let could = &before[who];
            let can = person.open(&forum.pool).await;
            let mut events = answers.remove(&who).unwrap_or_default();
            events.extend(person.ask("board:leave", json!(999)).await.0);
            let at = format!(
                "{at}, {} of {} with {:?} {}: {events:?}",
                person.user, person.community, person.roles, person.admin
            );
            let set = |boards: Vec<i32>| {
                let unique: BTreeSet<i32> = boards.iter().copied().collect();
                assert_eq!(unique.len(), boards.len(), "told once, {at}");
                unique
            };
            assert_eq!(set(boards_in(&events, "board:accessRevoked")), could - &can, "{at}");
            assert_eq!(set(boards_in(&events, "board:accessGranted")), &can - could, "{at}");
            let (mut new, mut gone) = (Vec::new(), Vec::new());
            match (step, from) {
                (Step::Post(board), _) => new.push(*board),
                (Step::Move(_, to), Some(from)) if from != *to => {
                    new.push(*to);
                    gone.push(from);
                }
                _ => {}
            }
            let seen = |boards: Vec<i32>| boards.into_iter().filter(|board| can.contains(board)).collect::<Vec<_>>();
            assert_eq!(boards_in(&events, "board:newPost"), seen(new), "{at}");
            let deleted = boards_in(&events, "board:postDeleted");
            // Who was in the room of a post that moved out of his reach is told that it is gone, too.
            assert!(seen(gone.clone()).iter().all(|board| deleted.contains(board)), "{at}");
            assert!(deleted.len() <= 1 && deleted.iter().all(|board| gone.contains(board)), "{at}");
            // A post takes its room along, without those to whom the board in which it stands now is closed.
            let posts: BTreeSet<i32> =
                person.posts.iter().copied().filter(|post| can.contains(&stands[post])).collect();
            person.posts = posts;
            let commented = if let Step::Comment(post) = step { Some(*post) } else { None };
            let heard = commented.filter(|post| person.posts.contains(post)).map(|post| stands[&post]);
            assert_eq!(boards_in(&events, "post:newComment"), Vec::from_iter(heard), "{at}");
            let counted = commented.map(|post| stands[&post]).filter(|board| can.contains(board));
            assert_eq!(boards_in(&events, "post:commentCountChanged"), Vec::from_iter(counted), "{at}");
            let voted = if let Step::Vote(post) = step { Some(stands[post]) } else { None };
            let voted = voted.filter(|board| can.contains(board));
            assert_eq!(boards_in(&events, "post:voteChanged"), Vec::from_iter(voted), "{at}");
            let changed = boards_in(&events, "board:settingsChanged");
            assert!(changed.iter().all(|board| can.contains(board)), "{at}");
        }
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_and_every_refusal_is_what_the_rule_says_of_the_database_at_that_position() {
    for seed in 1..=4 {
        run(seed).await;
    }
}
