//! Cursors that are none of ours, or no longer of use: answered, and next to nothing is asked of the database for them.

use std::time::Duration;

use curia_realtime::{ids::Cursor, postgres::retention::Retention};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{post, token};
use crate::{
    crowd::Watched,
    support::{
        client::Client,
        plan::{Plan, steps},
        program::Serving,
    },
};

/// So many rows a node takes into memory, and counts at most.
const KEPT: usize = 1_000;
/// Rows of an outbox that nobody wants to see read for a cursor.
const MANY: i64 = 50_000;
/// How the one question begins that a cursor of this stream may cost which reaches further back than memory.
const LOOKED_UP: &str = "-- Whether ticks $2 and $3 of epoch $1 are kept";

/// Cursors of which none says anything about a stream whose newest is `ours`.
fn odd(ours: &str) -> Vec<Value> {
    let (epoch, rest) = ours.split_once('.').expect("a cursor");
    let other_epoch = format!("{:x}.{rest}", u64::from_str_radix(epoch, 16).expect("hex") ^ 1);
    vec![
        json!("garbage"),
        json!(""),
        json!("9".repeat(60_000)),
        json!(-5),
        json!(1e300),
        json!({"a": 1}),
        json!([ours]),
        json!("-1.2.3.4"),
        json!(format!("{ours}.")),
        json!(other_epoch),
        json!(format!("0.{rest}")),
        json!(format!("{:x}.0.0.0", i64::MAX)),
        // Of the future: waited for, since another node may have been quicker.
        json!(format!("{epoch}.{:x}.1.0", i64::MAX)),
        json!(format!("{epoch}.3e8.1.0.{:x}", i64::MAX)),
        json!(format!("{epoch}.3e8.1.0.0")),
    ]
}

/// Three clients, each of which joins in a way of its own.
struct Joining([Client; 3]);

impl Joining {
    async fn at(service: &Serving) -> Self {
        let client = async || Client::connected(&service.url, &token("ada"), "websocket").await;
        Self([client().await, client().await, client().await])
    }

    /// What all three are answered at the same time.
    async fn join(&mut self, since: &Value) -> Vec<Value> {
        let joins = [
            ("board:join", json!({"boardId": 1, "since": since})),
            ("post:join", json!({"postId": 1, "since": since})),
            ("feed:join", json!({"since": since})),
        ];
        join_all(self.0.iter_mut().zip(joins).map(|(client, (event, argument))| client.ask(event, argument))).await
    }

    /// As above, and none is told anything but to load the state.
    async fn find_nothing(&mut self, since: &Value) {
        for answer in self.join(since).await {
            let outcome = (&answer["ok"], &answer["recovered"]);
            assert_eq!(outcome, (&json!(true), &json!(false)), "{:.80}: {answer}", since.to_string());
        }
    }
}

async fn serving(watched: &Watched) -> Serving {
    let kept = KEPT.to_string();
    let flags = ["--replay-events", &kept, "--rate-join", "1000/1s", "--drain", "100ms"];
    let service = Serving::start(&watched.url(), &flags).await;
    service.until_ready().await;
    service
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_none_of_ours_is_answered_and_nothing_is_asked_for_it() {
    let watched = Watched::start().await;
    let service = serving(&watched).await;
    let mut joining = Joining::at(&service).await;
    let ours = joining.join(&json!(null)).await[0]["cursor"].as_str().expect("a cursor").to_owned();
    let before = watched.statements();
    assert!(!before.is_empty(), "what is asked is seen");
    for since in odd(&ours) {
        joining.find_nothing(&since).await;
    }
    assert_eq!(watched.statements()[before.len()..], [""; 0]);
    post(&watched.pool, "Live").await;
    for client in [0, 2] {
        assert_eq!(joining.0[client].next().await[1]["post"]["title"], "Live");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_older_than_what_is_kept_is_looked_up_once_and_never_read_for() {
    let watched = Watched::start().await;
    let service = serving(&watched).await;
    let mut joining = Joining::at(&service).await;
    let cut = joining.join(&json!(null)).await[0]["cursor"].clone();
    post(&watched.pool, "Gone").await;
    joining.0[0].next().await;
    let retention = Retention { pool: watched.pool.clone(), keep: Duration::ZERO, max_size: u64::MAX };
    retention.sweep().await.expect("a sweep");
    post(&watched.pool, "Kept").await;
    let kept = joining.0[0].next().await[2]["cursor"].clone();
    fill(&watched.pool).await;
    joining.0[0].next().await;
    service.stop().await;

    // A node that knows nothing but where the stream stands.
    let service = serving(&watched).await;
    let mut joining = Joining::at(&service).await;
    let now = joining.join(&json!(null)).await[0]["cursor"].as_str().expect("a cursor").to_owned();
    let held_since_then = json!(format!("{now}.0"));
    for since in [&held_since_then, &cut, &kept] {
        let before = watched.statements().len();
        joining.find_nothing(since).await;
        let asked = watched.statements().split_off(before);
        // As far back as that, and twice as far, whoever asks.
        assert!((1..=2).contains(&asked.len()), "{since}: {asked:?}");
        assert!(asked.iter().all(|statement| statement.starts_with(LOOKED_UP)), "{since}: {asked:?}");
    }
    service.stop().await;

    let place = |cursor: &str| cursor.parse::<Cursor>().expect("a cursor");
    let (epoch, now) = (place(&now).epoch.0, place(&now).place.tick.0);
    let tick = |cursor: &Value| place(cursor.as_str().expect("a text")).place.tick.0;
    let limit = i64::try_from(KEPT).expect("a number") + 1;
    for (from, at_most) in [(tick(&cut), 0), (tick(&kept), limit), (-1, 0), (i64::MAX, 0)] {
        let visited = visited(&watched.pool, [epoch, from, now, limit]).await;
        assert!(visited.iter().all(|(_, rows)| *rows <= at_most.max(2)), "tick {from}: {visited:?}");
    }
}

/// Rows of which nobody is told, and at last a post.
async fn fill(pool: &PgPool) {
    let rows = "INSERT INTO curia_realtime.outbox (kind, board_id, post_id)
                SELECT 'post_deleted', 3, 1000000 + n FROM generate_series(1, $1) AS n";
    sqlx::query(rows).bind(MANY).execute(pool).await.expect("rows");
    post(pool, "Behind them").await;
}

/// The tables that the look-up for a cursor visits, as it is planned for whatever it is asked, and how many rows of each.
async fn visited(pool: &PgPool, asked: [i64; 4]) -> Vec<(String, i64)> {
    let looked_up = include_str!("../../../sql/outbox/stretch_size.sql");
    let steps = steps(pool, looked_up, Plan::Generic, &asked).await;
    assert!(steps.iter().all(|step| step.kind != "Seq Scan"), "{steps:?}");
    let visited: Vec<_> = steps.into_iter().filter_map(|step| Some((step.table?, step.rows))).collect();
    assert!(visited.iter().any(|(table, _)| table == "outbox"), "{visited:?}");
    visited
}
