//! How far back is asked, and what is asked again: against an outbox and a dispatcher that answer as each case has it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::{task::JoinHandle, time::sleep};

use super::*;
use crate::{dispatch::Patience, event::Rows, history::Bounds};

const EPOCH: Epoch = Epoch(7);
/// Everything up to this tick has been told, and what is behind [`FLOOR`] is in memory.
const TOLD: i64 = 100;
const FLOOR: i64 = 90;

/// How the outbox answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Read as of this tick.
    AsOf(i64),
    Restless,
    Away,
    Never,
}

/// Notes from which tick on it was asked.
#[derive(Clone, Default)]
struct Outbox {
    asked: Arc<Mutex<Vec<i64>>>,
    /// One after the other, then as of what has been told.
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Archive for Outbox {
    async fn stretch(&self, epoch: Epoch, from: Tick, upto: Tick, _: usize) -> Result<Past, FactsError> {
        self.asked.lock().unwrap().push(from.0);
        let answer = self.answers.lock().unwrap().pop_front();
        let as_of = match answer {
            Some(Answer::Never) => return std::future::pending().await,
            Some(Answer::Away) => return Err(FactsError("the connection was lost".into())),
            Some(Answer::Restless) => return Ok(Past::Restless(Tick(TOLD))),
            Some(Answer::AsOf(tick)) => Tick(tick),
            None => Tick(TOLD),
        };
        let (from, upto) = (Place::end_of(from), Place::end_of(upto));
        let stretch = Stretch { epoch, from, upto, changes: Vec::new(), rows: Rows::default(), as_of };
        Ok(Past::Whole(Box::new(stretch)))
    }
}

/// Takes in what begins behind this tick, and nothing that is older; counts what was handed over. Memory stays as it is.
fn takes_from(tick: i64, mut requests: mpsc::Receiver<Request>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut handed = 0;
        while let Some(request) = requests.recv().await {
            let Request::Extend { older, reply, .. } = request else { panic!("{request:?}") };
            handed += 1;
            let _ = reply.send(older.floor() >= Place::end_of(Tick(tick)));
        }
        handed
    })
}

struct Case {
    outbox: Outbox,
    reached: watch::Sender<Reached>,
    comes: mpsc::Sender<Recalled>,
    dispatcher: JoinHandle<usize>,
    recall: JoinHandle<()>,
}

impl Case {
    /// Memory has room for what was told since `room`.
    fn new(answers: &[Answer], room: i64) -> Self {
        let outbox = Outbox { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Outbox::default() };
        let (requests, taken) = mpsc::channel(1);
        let (told, floor) = (Place::end_of(Tick(TOLD)), Place::end_of(Tick(FLOOR)));
        let reached = watch::Sender::new(Reached { epoch: EPOCH, told, floor });
        let history = Bounds { records: 100, size: 1 << 20, missed: 100 };
        let patience = Patience { offline_grace: Duration::ZERO, typing_silence: Duration::ZERO, told_a_second: 1 };
        let options = Options { max_rooms: 10, merge_window: Duration::ZERO, history, patience };
        let (comes, waiting) = mpsc::channel(10);
        let recall = Recall { archive: outbox.clone(), requests, reached: reached.subscribe(), options };
        let recall = tokio::spawn(recall.run(waiting, CancellationToken::new()));
        Self { outbox, reached, comes, dispatcher: takes_from(room, taken), recall }
    }

    /// Somebody comes who has seen everything up to this tick.
    async fn comes(&self, tick: i64) -> oneshot::Receiver<()> {
        let (done, told) = oneshot::channel();
        self.comes.send(Recalled { cursor: Cursor::end_of(EPOCH, Tick(tick)), done }).await.unwrap();
        told
    }

    async fn served(&self, tick: i64) {
        self.comes(tick).await.await.unwrap();
    }

    fn tells(&self, tick: i64) {
        self.reached.send_modify(|reached| reached.told = Place::end_of(Tick(tick)));
    }

    fn asked(&self) -> Vec<i64> {
        self.outbox.asked.lock().unwrap().clone()
    }

    /// From where the outbox was asked, and how often something was handed over.
    async fn end(self) -> (Vec<i64>, usize) {
        let Self { outbox, comes, dispatcher, recall, .. } = self;
        drop(comes);
        recall.await.unwrap();
        let handed = dispatcher.await.unwrap();
        let asked = outbox.asked.lock().unwrap();
        (asked.clone(), handed)
    }
}

/// Until nothing goes on but the waiting for rights.
async fn while_it_waits() {
    sleep(APPLIED_WITHIN / 2).await;
}

/// What is asked when somebody who has seen this tick comes back twice.
async fn asked_twice(answers: &[Answer], room: i64, tick: i64) -> Vec<i64> {
    let case = Case::new(answers, room);
    case.served(tick).await;
    case.served(tick).await;
    case.end().await.0
}

#[tokio::test(start_paused = true)]
async fn twice_as_far_is_asked_first() {
    assert_eq!(asked_twice(&[], 70, 80).await, [70, 70], "once for each who comes, as memory here stays as it is");
}

#[tokio::test(start_paused = true)]
async fn where_twice_as_far_does_not_fit_what_was_asked_is_taken_in() {
    assert_eq!(asked_twice(&[], 80, 80).await, [70, 80, 70, 80], "and he who comes next is not refused");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_fits_it_is_not_asked_again_for_a_while() {
    assert_eq!(asked_twice(&[], 81, 80).await, [70, 80]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_to_those_alone_who_want_it_or_more() {
    let case = Case::new(&[], 85);
    case.served(80).await;
    case.served(79).await;
    case.served(86).await;
    assert_eq!(case.end().await.0, [70, 80, 82, 86]);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_nothing_older_it_is_read_once() {
    assert_eq!(asked_twice(&[], 1, 0).await, [0], "twice as far is no further than from the beginning");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_not_asked_again_for_a_while() {
    assert_eq!(asked_twice(&[Answer::Away; 4], 70, 80).await, [70]);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_rights_are_late_for_is_not_tried_nearer() {
    let case = Case::new(&[Answer::AsOf(TOLD + 1); 4], 70);
    case.served(80).await;
    assert_eq!(case.end().await, (vec![70], 0));
}

#[tokio::test(start_paused = true)]
async fn while_rights_are_late_nobody_asks_or_waits_and_then_all_are_served() {
    let case = Case::new(&[Answer::AsOf(TOLD + 2)], 70);
    let began = Instant::now();
    let waiting = [case.comes(80).await, case.comes(80).await, case.comes(89).await];
    for told in waiting {
        told.await.unwrap();
    }
    assert_eq!(began.elapsed(), APPLIED_WITHIN, "one waited, for all");
    case.tells(TOLD + 1);
    sleep(REFUSED_FOR * 2).await;
    case.served(80).await;
    assert_eq!(case.asked(), [70], "however long it takes");
    case.tells(TOLD + 2);
    case.served(80).await;
    assert_eq!(case.end().await, (vec![70, 70], 1), "at once, and not when a time has passed");
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_applied_in_time_are_waited_for() {
    let case = Case::new(&[Answer::AsOf(TOLD + 1)], 70);
    let mut told = case.comes(80).await;
    while_it_waits().await;
    assert!(told.try_recv().is_err(), "before they are");
    case.tells(TOLD + 1);
    told.await.unwrap();
    case.served(80).await;
    assert_eq!(case.end().await, (vec![70, 70], 2), "it was taken in, and nobody is refused");
}

#[tokio::test(start_paused = true)]
async fn a_reading_amid_a_change_of_rights_is_made_again_once_that_is_told() {
    let case = Case::new(&[Answer::Restless], 70);
    let mut told = case.comes(80).await;
    while_it_waits().await;
    assert!(told.try_recv().is_err(), "while it is not told");
    case.tells(TOLD + 1);
    told.await.unwrap();
    assert_eq!(case.end().await, (vec![70, 70], 1));
}

#[tokio::test(start_paused = true)]
async fn while_rights_never_come_to_rest_the_database_is_asked_twice_and_no_more() {
    let case = Case::new(&[Answer::Restless; 9], 70);
    let told = case.comes(80).await;
    while_it_waits().await;
    case.tells(TOLD + 1);
    told.await.unwrap();
    assert_eq!(case.end().await, (vec![70, 70], 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_in_an_epoch_that_has_ended_is_not_taken_in() {
    let case = Case::new(&[Answer::AsOf(TOLD + 1)], 70);
    let told = case.comes(80).await;
    while_it_waits().await;
    let began = Instant::now();
    let told_by_then = Place::end_of(Tick(TOLD + 1));
    case.reached.send_replace(Reached { epoch: Epoch(8), told: told_by_then, floor: told_by_then });
    told.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits for it");
    assert_eq!(case.end().await, (vec![70], 0));
}

#[tokio::test(start_paused = true)]
async fn a_past_that_is_never_read_keeps_nobody_waiting_and_is_asked_for_again() {
    let case = Case::new(&[Answer::Never], 0);
    let began = Instant::now();
    let (one, other) = (case.comes(80).await, case.comes(20).await);
    one.await.unwrap();
    assert_eq!(began.elapsed(), FOUND_WITHIN);
    other.await.unwrap();
    assert_eq!(began.elapsed(), FOUND_WITHIN, "nor does he try the same");
    sleep(REFUSED_FOR).await;
    case.served(80).await;
    assert_eq!(case.end().await, (vec![70, 70], 1));
}
