//! `user_boards`: what a node wrote there for its sockets is withdrawn when it may be wrong.

use std::sync::Arc;

use chrono::TimeDelta;
use curia_realtime::{
    actor::Actor,
    dispatch::Reached,
    ids::{BoardId, Epoch, Place, SocketKey, Tick},
    ports::FactStore,
    postgres::facts::PostgresFacts,
    redis::facts::{Keeper, Shared, SharedFacts, kept::Seals},
    span::Span,
    versions::{Subject, Versions},
};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use tokio_util::sync::CancellationToken;

use super::{
    facts::{connection, hears, kept, sharing, signal},
    *,
};

fn key(user: &str) -> String {
    format!("curia:user_boards:{user}")
}

fn token_of(user: &str, community: &str, roles: &[&str]) -> String {
    Service::token(user, community, roles, false)
}

/// One that has a feed, whose list stands in Redis; with its boards.
async fn with_feed(
    redis: &mut MultiplexedConnection,
    node: &Serving,
    (user, community, roles): (&str, &str, &[&str]),
) -> (Frames, String) {
    let mut frames = Frames::connected(&node.url, &token_of(user, community, roles)).await;
    joins_feed(&mut frames).await;
    let boards = kept(redis, &key(user)).await["boardIds"].clone();
    (frames, boards)
}

async fn joins_feed(frames: &mut Frames) {
    assert_eq!(frames.ask("feed:join", json!(null)).await["ok"], json!(true));
}

async fn is_there(redis: &mut MultiplexedConnection, user: &str) -> bool {
    redis.exists(key(user)).await.expect("an answer")
}

async fn until_withdrawn(redis: &mut MultiplexedConnection, user: &str) {
    let asking = async {
        while is_there(redis, user).await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("the boards of {user} are not withdrawn"));
}

/// The first makes the ticks.
async fn leading_and_following(forum: &Forum, redis: &Redis) -> [Serving; 2] {
    let leader = sharing(&forum.url(), &redis.url()).await;
    lease_held(&forum.pool, None).await;
    [leader, sharing(&forum.url(), &redis.url()).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_was_closed_or_opened_is_no_longer_as_it_was_in_what_both_nodes_wrote_of_those_who_see_it() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let nodes = leading_and_following(&forum, &redis).await;
    let (ada, boards) = with_feed(&mut there, &nodes[0], ("ada", "c1", &[])).await;
    let (bo, of_bo) = with_feed(&mut there, &nodes[1], ("bo", "c1", &[])).await;
    let (_cy, _) = with_feed(&mut there, &nodes[0], ("cy", "c2", &[])).await;
    assert_eq!((&*boards, &*of_bo), ("[1,2]", "[1,2]"));
    let mut both = [("ada", ada), ("bo", bo)];
    for closed in [true, false] {
        let settings = if closed { r#"{"permissions": {"allowedRoles": ["crew"]}}"# } else { "{}" };
        let update = sqlx::query("UPDATE boards SET settings = $1::text::jsonb WHERE id = 1").bind(settings);
        update.execute(&forum.pool).await.expect("an update");
        for (user, frames) in &mut both {
            hears(frames, closed).await;
            until_withdrawn(&mut there, user).await;
        }
        for (user, frames) in &mut both {
            joins_feed(frames).await;
            let expected = if closed { "[2]" } else { "[1,2]" };
            assert_eq!(kept(&mut there, &key(user)).await["boardIds"], expected, "{user}");
        }
        assert!(is_there(&mut there, "cy").await, "whose community it does not concern");
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_changes_the_boards_of_a_community_withdraws_what_was_written_of_them() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let [leader, follower] = leading_and_following(&forum, &redis).await;
    let (mut ada, _) = with_feed(&mut there, &follower, ("ada", "c1", &[])).await;
    for change in [
        r#"UPDATE communities SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 'c1'"#,
        "UPDATE communities SET settings = '{}' WHERE id = 'c1'",
        "INSERT INTO boards (id, name, community_id) VALUES (77, 'new', 'c1')",
        "UPDATE boards SET community_id = 'c2' WHERE id = 77",
        "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
         VALUES (77, 'c2', 'c1', 'ada')",
        "DELETE FROM imported_boards WHERE source_board_id = 77",
        "UPDATE boards SET community_id = 'c1' WHERE id = 77",
        "DELETE FROM boards WHERE id = 77",
    ] {
        sqlx::query(change).execute(&forum.pool).await.expect(change);
        until_withdrawn(&mut there, "ada").await;
        joins_feed(&mut ada).await;
        kept(&mut there, &key("ada")).await;
    }
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_of_a_socket_goes_with_it_and_with_its_token() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let node = sharing(&forum.url(), &redis.url()).await;
    let (mut ada, _) = with_feed(&mut there, &node, ("ada", "c1", &["crew"])).await;
    let (bo, _) = with_feed(&mut there, &node, ("bo", "c1", &[])).await;
    let (_cy, _) = with_feed(&mut there, &node, ("cy", "c1", &[])).await;
    let refreshed = ada.ask("session:refresh", json!({"token": token_of("ada", "c1", &[])})).await;
    assert_eq!(refreshed["ok"], json!(true), "{refreshed}");
    until_withdrawn(&mut there, "ada").await;
    // Not with the socket.
    joins_feed(&mut ada).await;
    bo.close().await;
    until_withdrawn(&mut there, "bo").await;
    assert!(is_there(&mut there, "cy").await);
    forum.run("DELETE FROM users WHERE user_id = 'cy'").await;
    until_withdrawn(&mut there, "cy").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_withdrawn_while_redis_stalled_is_withdrawn_behind_it() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let node = sharing(&forum.url(), &redis.url()).await;
    let (mut ada, _) = with_feed(&mut there, &node, ("ada", "c1", &[])).await;
    let (bo, _) = with_feed(&mut there, &node, ("bo", "c2", &[])).await;
    let process = signal(&mut there, "-STOP", None).await;
    forum.run(r#"UPDATE boards SET settings = '{"permissions": {"allowedRoles": ["crew"]}}' WHERE id = 1"#).await;
    hears(&mut ada, true).await;
    // So long that the connection is given up.
    node.until_metric("curia_facts_shared", 0.0).await;
    bo.close().await;
    signal(&mut there, "-CONT", Some(process)).await;
    until_withdrawn(&mut there, "ada").await;
    // Not with the socket.
    joins_feed(&mut ada).await;
    until_withdrawn(&mut there, "bo").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_the_node_itself_wrote_is_withdrawn() {
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let mut withdraw = async |seal: &str| -> bool {
        let script = include_str!("../../../src/redis/facts/withdraw.lua");
        redis::cmd("EVAL").arg(script).arg(1).arg("list").arg(seal).query_async(&mut there).await.expect("an answer")
    };
    assert!(!withdraw("a").await, "nothing");
    redis.ask("SET list a").expect("an answer");
    assert!(!withdraw("a").await, "what is no hash");
    redis.ask("DEL list").expect("an answer");
    redis.ask("HSET list seal a").expect("an answer");
    assert!(!withdraw("b").await, "another's");
    assert!(withdraw("a").await && !withdraw("a").await);
}

/// A node of a single thread, which has told up to `tick`: nobody has a turn where nothing is waited for.
struct Alone {
    versions: Arc<Versions>,
    reached: watch::Sender<Reached>,
    facts: SharedFacts<PostgresFacts>,
}

impl Alone {
    async fn begun(forum: &Forum, redis: &Redis, tick: i64) -> (Self, Keeper) {
        let versions = Arc::new(Versions::default());
        versions.begin(Epoch(7), Tick(tick));
        let (reached, watched) = watch::channel(Self::at(tick));
        let seals = Seals::of_secrets([b"secret".as_slice()]).expect("a secret");
        let url = redis.url().parse().expect("an address");
        let (shared, keeper) = Shared::new(url, "curia:".to_owned(), seals, Arc::clone(&versions), watched.clone());
        let database = PostgresFacts { pool: forum.pool.clone(), reached: watched };
        (Self { versions, reached, facts: SharedFacts::new(database, Some(shared)) }, keeper)
    }

    fn at(tick: i64) -> Reached {
        let told = Place::end_of(Tick(tick));
        Reached { epoch: Epoch(7), told, floor: told }
    }

    fn span(&self, actor: &Actor) -> Option<Span> {
        self.versions.span(Subject::Community(&actor.community))
    }

    fn opens(&self, socket: u64, actor: &Actor) {
        self.facts.opened(SocketKey(socket), actor, [BoardId(1)].into(), self.span(actor));
    }

    /// A tick that changes rights of the actor's community.
    fn tells(&self, tick: i64, actor: &Actor) {
        self.versions.bump(Subject::Community(&actor.community), Tick(tick));
        self.versions.told(Tick(tick));
        self.reached.send_replace(Self::at(tick));
    }
}

#[tokio::test]
async fn a_list_of_before_the_tick_that_comes_behind_it_does_not_come_back() {
    let forum = Forum::bare().await;
    let redis = Redis::start().expect("a Redis");
    let mut there = connection(&redis).await;
    let (node, keeper) = Alone::begun(&forum, &redis, 40).await;
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(keeper.run(stop.clone()));
    let [ada, bo, cy] = [("ada", "c1"), ("bo", "c1"), ("cy", "c2")]
        .map(|(user, community)| Service::actor(user, community, &[], false, TimeDelta::hours(1)));
    let writing = async {
        while !is_there(&mut there, "bo").await {
            node.opens(1, &bo);
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, writing).await.expect("a list");

    // Decided and on its way when the tick is told, and decided before it and said behind it.
    let before = node.span(&ada);
    node.opens(2, &ada);
    node.tells(41, &ada);
    node.facts.opened(SocketKey(2), &ada, [BoardId(1)].into(), before);
    // Behind both.
    node.opens(3, &cy);
    kept(&mut there, &key("cy")).await;
    until_withdrawn(&mut there, "bo").await;
    assert!(!is_there(&mut there, "ada").await);

    // What is decided behind the tick is there again.
    node.opens(2, &ada);
    kept(&mut there, &key("ada")).await;
    stop.cancel();
    keeping.await.expect("its end");
}
