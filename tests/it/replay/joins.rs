//! Joins while much is written: each finds the seam between what was missed and what is live.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{cursor, post, token};
use crate::support::{postgres::Forum, service::Service, wire::Frames};

/// Tells hanging from working. Where a machine can't commit so much beside its other work, nothing would be shown.
const PATIENCE: Duration = Duration::from_secs(120);
/// In each of them something is committed between the question and the answer.
const JOINS: u32 = 200;
/// Commits a second that are promised to do no harm.
const RATE: f64 = 500.0;
const WRITERS: u32 = 6;
/// Of each writer; together they write a little more than that.
const PACE: Duration = Duration::from_millis(10);

/// The title of the last post.
const END: &str = "end";

/// Sessions that write posts on board 1 by the clock, and as fast as it takes what they are behind with.
struct Writers {
    committed: Arc<AtomicU32>,
    began: Instant,
    stop: CancellationToken,
    writing: JoinSet<(u32, u32)>,
}

impl Writers {
    /// Their titles are `<writer>.<number>`, each writer's numbered from 1.
    fn start(pool: &PgPool) -> Self {
        let (committed, stop) = (Arc::<AtomicU32>::default(), CancellationToken::new());
        let mut writing = JoinSet::new();
        for writer in 0..WRITERS {
            let (pool, committed, stop) = (pool.clone(), Arc::clone(&committed), stop.clone());
            writing.spawn(async move {
                let mut pace = interval(PACE);
                let mut written = 0;
                while stop.run_until_cancelled(pace.tick()).await.is_some() {
                    written += 1;
                    post(&pool, &format!("{writer}.{written}")).await;
                    committed.fetch_add(1, Ordering::Relaxed);
                }
                (writer, written)
            });
        }
        Self { committed, began: Instant::now(), stop, writing }
    }

    fn committed(&self) -> u32 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Commits a second since they began.
    fn rate(&self) -> f64 {
        f64::from(self.committed()) / self.began.elapsed().as_secs_f64()
    }

    /// Waits until they have written as much as is promised: on a busy machine whoever joins waits for them.
    async fn keep_up(&self) {
        let waiting = async {
            while self.rate() < RATE {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("a machine on which so much is written");
    }

    /// How many posts each has written.
    async fn stop(self) -> BTreeMap<u32, u32> {
        self.stop.cancel();
        self.writing.join_all().await.into_iter().collect()
    }
}

/// Writer and number in the title of a new post, of a frame of the protocol.
fn number(frame: &str) -> Option<(u32, u32)> {
    let event: Value = serde_json::from_str(frame.strip_prefix("42")?).expect("JSON");
    let (writer, number) = event[1]["post"]["title"].as_str()?.split_once('.')?;
    Some((writer.parse().ok()?, number.parse().ok()?))
}

/// Joins with a cursor, to the answer's own.
async fn join(frames: &mut Frames, since: &Value, seen: &mut Vec<(u32, u32)>) -> Value {
    frames.send(format!("4277{}", json!(["board:join", {"boardId": 1, "since": since}]))).await;
    loop {
        let frame = frames.next().await.expect("an answer");
        if let Some(answer) = frame.strip_prefix("4377") {
            let answer = serde_json::from_str::<Value>(answer).expect("JSON")[0].clone();
            assert_eq!(answer["recovered"], json!(true), "{answer}");
            return answer["cursor"].clone();
        }
        seen.extend(number(&frame));
    }
}

/// Reads one event, to its cursor.
async fn see(frames: &mut Frames, seen: &mut Vec<(u32, u32)>) -> Value {
    let frame = frames.next().await.expect("an event");
    seen.extend(number(&frame));
    cursor(&serde_json::from_str(&frame[2..]).expect("JSON"))
}

/// Waits as [`Writers::keep_up`] does and reads meanwhile: whoever is behind writes more at once than anybody is told who has missed it.
async fn keep_up(writers: &Writers, frames: &mut Frames, since: &mut Value, seen: &mut Vec<(u32, u32)>) {
    let keeping_up = writers.keep_up();
    tokio::pin!(keeping_up);
    loop {
        tokio::select! {
            biased;
            () = &mut keeping_up => return,
            newest = see(frames, seen) => *since = newest,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_joins_under_500_writes_a_second_have_no_hole_and_nothing_twice() {
    let forum = Forum::captured().await;
    // How much a busy machine writes at once, and keeps waiting, is not what this is about.
    let flags = [
        ("rate-join", "1000/1s"),
        ("rate-connect", "1000/1s"),
        ("replay-limit", "50000"),
        ("max-pending-frames", "100000"),
    ];
    let service = Service::start_with(&forum.url(), &flags).await;
    let mut frames = Frames::connected(&service.url, &token("ada")).await;
    let mut since = frames.ask("board:join", json!(1)).await["cursor"].clone();
    let writers = Writers::start(&forum.pool);
    let mut seen = Vec::new();
    // The joins, those in which something was committed meanwhile, how much, and the time they took.
    let (mut round, mut under, mut meanwhile, mut joining) = (0, 0, 0, Duration::ZERO);
    while under < JOINS {
        round += 1;
        // Reads on for a little, breaks off in the middle of whatever comes, and comes back with the last cursor.
        for _ in 0..round % 4 {
            since = see(&mut frames, &mut seen).await;
        }
        keep_up(&writers, &mut frames, &mut since, &mut seen).await;
        drop(frames);
        let (before, began) = (writers.committed(), Instant::now());
        frames = Frames::connected(&service.url, &token("ada")).await;
        since = join(&mut frames, &since, &mut seen).await;
        let committed = writers.committed() - before;
        under += u32::from(committed > 0);
        (meanwhile, joining) = (meanwhile + committed, joining + began.elapsed());
    }
    writers.keep_up().await;
    let (committed, rate) = (writers.committed(), writers.rate());
    println!(
        "{committed} commits, {rate:.0} a second; {meanwhile} in the {joining:?} of {round} joins, in {under} of which there were some"
    );

    let written = writers.stop().await;
    post(&forum.pool, END).await;
    let end = format!(r#""title":"{END}""#);
    loop {
        let frame = frames.next().await.expect("an event");
        if frame.contains(&end) {
            break;
        }
        seen.extend(number(&frame));
    }
    for (writer, written) in written {
        let seen: Vec<u32> = seen.iter().filter(|(of, _)| *of == writer).map(|(_, number)| *number).collect();
        assert_eq!(seen, (1..=written).collect::<Vec<_>>(), "writer {writer}");
    }
    service.stop().await;
}
