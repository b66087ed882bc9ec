//! How far back is asked, and what is asked again: against an outbox and a dispatcher that answer as each case has it.

use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::*;
use crate::{dispatch::Patience, event::Rows, history::Bounds, ids::Epoch};

const EPOCH: Epoch = Epoch(7);

/// Notes from which tick on it was asked; the first questions fail.
#[derive(Clone, Default)]
struct Past {
    asked: Arc<Mutex<Vec<i64>>>,
    fails: usize,
}

impl Archive for Past {
    async fn stretch(&self, epoch: Epoch, from: Tick, upto: Tick, _: usize) -> Result<Option<Stretch>, FactsError> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(from.0);
        if asked.len() <= self.fails {
            return Err(FactsError("the connection was lost".into()));
        }
        let (from, upto) = (Place::end_of(from), Place::end_of(upto));
        Ok(Some(Stretch { epoch, from, upto, changes: Vec::new(), rows: Rows::default(), as_of: Tick(100) }))
    }
}

/// Takes in what begins behind this tick, and nothing that is older.
fn takes_from(tick: i64, mut requests: mpsc::Receiver<Request>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let Request::Extend { older, reply, .. } = request else { panic!("{request:?}") };
            let _ = reply.send(older.floor() >= Place::end_of(Tick(tick)));
        }
    })
}

/// What the outbox is asked when somebody who has seen tick 80 comes back twice, where memory begins behind tick 90 and has room for
/// what was told since `room`.
async fn asked(fails: usize, room: i64) -> Vec<i64> {
    let archive = Past { fails, ..Past::default() };
    let asked = Arc::clone(&archive.asked);
    let (requests, taken) = mpsc::channel(1);
    let dispatcher = takes_from(room, taken);
    let reached = Reached { epoch: EPOCH, told: Place::end_of(Tick(100)), floor: Place::end_of(Tick(90)) };
    let (_reached, reached) = watch::channel(reached);
    let history = Bounds { records: 100, size: 1 << 20, missed: 100 };
    let patience = Patience { offline_grace: Duration::ZERO, typing_silence: Duration::ZERO };
    let options = Options { max_rooms: 10, merge_window: Duration::ZERO, history, patience };
    let (comes, waiting) = mpsc::channel(1);
    let recall = tokio::spawn(Recall { archive, requests, reached, options }.run(waiting, CancellationToken::new()));
    for _ in 0..2 {
        let (done, told) = oneshot::channel();
        comes.send(Recalled { cursor: Cursor::end_of(EPOCH, Tick(80)), done }).await.unwrap();
        told.await.unwrap();
    }
    drop(comes);
    recall.await.unwrap();
    dispatcher.await.unwrap();
    let asked = asked.lock().unwrap();
    asked.clone()
}

#[tokio::test(start_paused = true)]
async fn twice_as_far_is_asked_first() {
    assert_eq!(asked(0, 70).await, [70, 70], "once for each who comes, as memory here stays as it is");
}

#[tokio::test(start_paused = true)]
async fn where_twice_as_far_does_not_fit_what_was_asked_is_taken_in() {
    assert_eq!(asked(0, 80).await, [70, 80, 70, 80], "and he who comes next is not refused");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_fits_it_is_not_asked_again_for_a_while() {
    assert_eq!(asked(0, 81).await, [70, 80]);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_not_asked_again_for_a_while() {
    assert_eq!(asked(usize::MAX, 70).await, [70]);
}
