//! The node that makes the ticks dies, is stuck, or is slow for a while.

use super::*;

/// A node that vanished is stood in for 0.8 s behind the change that another found without a tick; 0.7 s before that it may have
/// gone on waiting for the relay. Twice the sum, for what else this machine does.
const STOOD_IN_WITHIN: Duration = Duration::from_secs(3);
/// Each way: making a tick takes at least three questions, and so more than those 0.8 s. Two questions take less than the two
/// seconds for which the session of the lease waits.
const SLOW: Duration = Duration::from_millis(250);
/// Who waits for another looks around however long this is.
const NO_SAFETY_POLL: [&str; 2] = ["--safety-poll", "1h"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_ticking_node_is_killed_another_goes_on_within_two_seconds() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (mut leader, follower) = two_nodes(&forum, &redis.url()).await;
    let before = lease_held(&forum.pool, None).await;
    let (mut client, _) = joined(&follower, None).await;
    let reading = tokio::spawn(async move {
        let (mut all, mut gap, mut last) = (Vec::new(), Duration::ZERO, None);
        while all.last().is_none_or(|seen: &Seen| seen.title != END) {
            all.push(next(&mut client).await);
            let now = Instant::now();
            gap = last.replace(now).map_or(gap, |last| gap.max(now - last));
        }
        (all, gap)
    });
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    let killed = Instant::now();
    leader.kill().await;
    lease_held(&forum.pool, Some(before)).await;
    let taken_over = killed.elapsed();
    writer.writes(100).await;
    let written = writer.stop().await;
    let (told, gap) = timeout(PATIENCE, reading).await.expect("the last post").expect("a reader");
    println!("the lease was taken over within {taken_over:?}; the longest time without an event was {gap:?}");
    assert_eq!(titles(&told), written);
    assert!(taken_over < Duration::from_secs(2), "taken over after {taken_over:?}");
    assert!(gap < Duration::from_secs(2), "silent for {gap:?}");
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticking_node_that_is_stuck_is_stood_in_for_and_catches_up() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let (leader, follower) = two_nodes(&forum, &redis.url()).await;
    let one = read(joined(&leader, None).await.0);
    let other = read(joined(&follower, None).await.0);
    let mut writer = Writer::start(&forum);
    takes(&follower, 5.0).await;
    leader.signal("-STOP");
    let stopped = Instant::now();
    let before = follower.metric(MADE).await.unwrap_or_default();
    let asking = async {
        while follower.metric(MADE).await.unwrap_or_default() < before + 20.0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("ticks of the other");
    println!("20 ticks were made by the other {:?} after the first was stuck", stopped.elapsed());
    leader.signal("-CONT");
    writer.writes(100).await;
    let written = writer.stop().await;
    let told = all(one).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(other).await, told);
    assert!(stopped.elapsed() < PATIENCE);
    leader.stop().await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_in_for_a_node_that_is_stuck_keeps_the_outbox_small() {
    let forum = Forum::captured().await;
    let flags = ["--drain", "100ms", "--retention", "1s"];
    let leader = Serving::start(&forum.url(), &flags).await;
    lease_held(&forum.pool, None).await;
    let follower = Serving::start(&forum.url(), &flags).await;
    let (mut client, _) = joined(&follower, None).await;
    leader.signal("-STOP");
    post(&forum.pool, "alone").await;
    assert_eq!(timeout(PATIENCE, next(&mut client)).await.expect("a node that stands in").title, "alone");
    let cut = async {
        let rows = "SELECT count(*) FROM curia_realtime.outbox";
        while sqlx::query_scalar::<_, i64>(rows).fetch_one(&forum.pool).await.expect("a count") > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, cut).await.expect("what was told to be cut");
    leader.signal("-CONT");
    leader.stop().await;
    follower.stop().await;
}

async fn made(node: &Serving) -> f64 {
    node.metric(MADE).await.unwrap_or_default()
}

/// Waits until one makes so many ticks while the other makes none.
async fn makes_alone(one: &Serving, other: &Serving, ticks: f64) {
    let asking = async {
        let (mut from, mut still) = (made(one).await, made(other).await);
        loop {
            let (by_one, by_other) = (made(one).await, made(other).await);
            if by_other != still {
                (from, still) = (by_one, by_other);
            } else if by_one >= from + ticks {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("one that makes the ticks alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_node_is_stood_in_for_until_it_is_quick_again() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let nodes = Vanishing::start(&forum, Some(&redis), &[]).await;
    let one = read(joined(&nodes.leader, None).await.0);
    let other = read(joined(&nodes.follower, None).await.0);
    let mut writer = Writer::start(&forum);
    makes_alone(&nodes.leader, &nodes.follower, 50.0).await;

    nodes.to_postgres.delay(SLOW);
    makes_alone(&nodes.follower, &nodes.leader, 50.0).await;
    nodes.to_postgres.delay(Duration::ZERO);
    let quick = Instant::now();
    makes_alone(&nodes.leader, &nodes.follower, 50.0).await;
    takes(&nodes.follower, 5.0).await;
    println!("the first made 50 ticks alone {:?} after its link was quick again", quick.elapsed());
    assert_eq!(lease_held(&forum.pool, None).await, nodes.lease, "it was not taken over but stood in for");

    writer.writes(50).await;
    let written = writer.stop().await;
    let told = all(one).await;
    assert_eq!(titles(&told), written);
    assert_eq!(all(other).await, told);
    nodes.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_longest_poll_interval_a_node_is_not_stood_in_for() {
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let url = redis.url();
    let flags = ["--redis-url", &url, "--drain", "100ms", "--poll-interval", "250ms"];
    let leader = Serving::start(&forum.url(), &flags).await;
    lease_held(&forum.pool, None).await;
    let follower = Serving::start(&forum.url(), &flags).await;
    let writer = Writer::start(&forum);
    takes(&follower, 1.0).await;
    let before = made(&follower).await;
    makes_alone(&leader, &follower, 16.0).await;
    assert_eq!(made(&follower).await, before, "not once");
    writer.stop().await;
    leader.stop().await;
    follower.stop().await;
}

fn words(flags: &[String]) -> Vec<&str> {
    ["--drain", "100ms"].into_iter().chain(flags.iter().map(String::as_str)).collect()
}

/// Two nodes, of which the first makes the ticks and can be made to vanish.
struct Vanishing {
    leader: Serving,
    follower: Serving,
    lease: i32,
    to_postgres: Proxy,
    to_redis: Option<Proxy>,
}

impl Vanishing {
    /// With these flags for the other.
    async fn start(forum: &Forum, redis: Option<&Redis>, more: &[&str]) -> Self {
        let to_postgres = Proxy::before(&forum.url()).await;
        let behind = to_postgres.url.replacen("http://", "postgres://postgres@", 1);
        let mut to_redis = None;
        let (mut leads, mut follows) = (Vec::new(), more.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>());
        if let Some(redis) = redis {
            let proxy = to_redis.insert(Proxy::before(&redis.url()).await);
            leads.extend(["--redis-url".to_owned(), proxy.url.replacen("http://", "redis://", 1)]);
            follows.extend(["--redis-url".to_owned(), redis.url()]);
        }
        let leader = Serving::start(&format!("{behind}/{}", forum.name), &words(&leads)).await;
        let lease = lease_held(&forum.pool, None).await;
        let follower = Serving::start(&forum.url(), &words(&follows)).await;
        Self { leader, follower, lease, to_postgres, to_redis }
    }

    /// What others see of a machine that loses power: its sessions stay open, and nothing comes. PostgreSQL keeps its lease for as long
    /// as something at the other end takes what it sends, as the proxy does.
    fn vanish(&self) -> Instant {
        self.to_redis.iter().for_each(Proxy::fall_silent);
        self.lose_postgres()
    }

    /// The first still says to the others how far it is.
    fn lose_postgres(&self) -> Instant {
        self.to_postgres.fall_silent();
        Instant::now()
    }

    /// Behind the first change that was told.
    async fn assert_stood_in(&self, forum: &Forum, vanished: Instant) {
        let stood_in = vanished.elapsed();
        println!("what was written behind the silence was told {stood_in:?} after it began");
        assert_eq!(lease_held(&forum.pool, None).await, self.lease, "it was not taken over but stood in for");
        assert!(stood_in < STOOD_IN_WITHIN, "silent for {stood_in:?}");
    }

    async fn end(mut self) {
        self.leader.kill().await;
        self.follower.stop().await;
    }
}

/// However the first falls silent.
async fn is_stood_in_for_amid_writes(redis: Option<&Redis>, falls_silent: impl FnOnce(&Vanishing) -> Instant) {
    let forum = Forum::captured().await;
    let nodes = Vanishing::start(&forum, redis, &NO_SAFETY_POLL).await;
    let (mut client, _) = joined(&nodes.follower, None).await;
    let mut writer = Writer::start(&forum);
    let mut told = vec![next(&mut client).await];
    writer.writes(50).await;

    let vanished = falls_silent(&nodes);
    // One may be on its way, and one that was written just before may have its tick.
    let behind = *writer.written.borrow() + 2;
    let reading = async {
        while told.last().is_none_or(|seen| seen.title.parse::<u32>().expect("a number") < behind) {
            told.push(next(&mut client).await);
        }
    };
    timeout(PATIENCE, reading).await.expect("a node that stands in");
    nodes.assert_stood_in(&forum, vanished).await;
    writer.writes(50).await;
    let written = writer.stop().await;
    told.extend(all(read(client)).await);
    assert_eq!(titles(&told), written);
    nodes.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_vanishes_amid_writes_is_stood_in_for() {
    let redis = Redis::start().expect("a Redis");
    is_stood_in_for_amid_writes(Some(&redis), Vanishing::vanish).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_loses_postgresql_alone_is_stood_in_for_though_it_is_still_heard() {
    let redis = Redis::start().expect("a Redis");
    is_stood_in_for_amid_writes(Some(&redis), Vanishing::lose_postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_node_that_vanishes_amid_writes_is_stood_in_for() {
    is_stood_in_for_amid_writes(None, Vanishing::vanish).await;
}

/// Asks until somebody has asked writers to ring.
async fn parked(pool: &PgPool) {
    let asking = async {
        let held = "SELECT EXISTS (SELECT FROM pg_locks
             WHERE locktype = 'advisory' AND classid = 1129665097 AND objid::int = 1 AND mode = 'ExclusiveLock'
               AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        while !sqlx::query_scalar::<_, bool>(held).fetch_one(pool).await.expect("the locks") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("a node that is parked");
}

/// The other hears one bell.
async fn vanishes_in_the_quiet(redis: Option<&Redis>) {
    let forum = Forum::captured().await;
    let nodes = Vanishing::start(&forum, redis, &NO_SAFETY_POLL).await;
    let (mut client, _) = joined(&nodes.follower, None).await;
    post(&forum.pool, "before").await;
    assert_eq!(next(&mut client).await.title, "before");
    parked(&forum.pool).await;

    let vanished = nodes.vanish();
    post(&forum.pool, "alone").await;
    let alone = timeout(PATIENCE, next(&mut client)).await.expect("a node that stands in");
    assert_eq!(alone.title, "alone");
    nodes.assert_stood_in(&forum, vanished).await;
    nodes.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_change_behind_a_node_that_vanished_is_told_though_nobody_rings_again() {
    let redis = Redis::start().expect("a Redis");
    vanishes_in_the_quiet(Some(&redis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_one_change_behind_a_node_that_vanished_is_told_though_nobody_rings_again() {
    vanishes_in_the_quiet(None).await;
}

/// Its session ends with it, so that nobody has asked the writer to ring.
async fn is_killed_in_the_quiet(redis: Option<&Redis>) {
    let forum = Forum::captured().await;
    let mut nodes = Vanishing::start(&forum, redis, &NO_SAFETY_POLL).await;
    let (mut client, _) = joined(&nodes.follower, None).await;
    post(&forum.pool, "before").await;
    assert_eq!(next(&mut client).await.title, "before");
    parked(&forum.pool).await;

    nodes.leader.kill().await;
    let killed = Instant::now();
    lease_held(&forum.pool, Some(nodes.lease)).await;
    post(&forum.pool, "alone").await;
    assert_eq!(timeout(PATIENCE, next(&mut client)).await.expect("a node that takes over").title, "alone");
    let taken_over = killed.elapsed();
    println!("what was written behind the killing was told {taken_over:?} after it");
    assert!(taken_over < STOOD_IN_WITHIN, "silent for {taken_over:?}");
    nodes.follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_killed_in_the_quiet_is_succeeded_at_once() {
    let redis = Redis::start().expect("a Redis");
    is_killed_in_the_quiet(Some(&redis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_who_is_killed_in_the_quiet_is_succeeded_at_once() {
    is_killed_in_the_quiet(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_the_lease_and_who_loses_it_says_so_once() {
    const LEASE: &str = "curia_lease_held";
    const TAKEN: &str = "this node makes the ticks now";
    const LOST: &str = "this node has lost the lease";
    let forum = Forum::captured().await;
    let one = Serving::start(&forum.url(), &[]).await;
    one.until_said(TAKEN).await;
    one.until_metric(LEASE, 1.0).await;
    let other = Serving::start(&forum.url(), &[]).await;
    other.until_ready().await;
    assert_eq!((other.metric(LEASE).await, other.said(TAKEN)), (Some(0.0), 0));
    let holder = lease_held(&forum.pool, None).await;
    // Who was asked to end comes back, and finds the lease taken.
    one.signal("-STOP");
    let end = sqlx::query("SELECT pg_terminate_backend($1, 10000)").bind(holder);
    end.execute(&forum.pool).await.expect("an end");
    other.until_said(TAKEN).await;
    one.signal("-CONT");
    one.until_said(LOST).await;
    one.until_metric(LEASE, 0.0).await;
    other.until_metric(LEASE, 1.0).await;
    assert_eq!((one.said(TAKEN), one.said(LOST)), (1, 1));
    assert_eq!((other.said(TAKEN), other.said(LOST)), (1, 0));
    for node in [&one, &other] {
        let until = node.metric("curia_stream_read_until_timestamp_seconds").await.expect("a time");
        let behind = chrono::Utc::now().timestamp_millis() as f64 / 1e3 - until;
        assert!((-1.0..30.0).contains(&behind), "{behind}");
    }
    one.stop().await;
    other.stop().await;
}
