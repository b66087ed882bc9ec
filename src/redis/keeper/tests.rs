use std::{collections::VecDeque, future::pending, io};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::*;

const CARRIED_FOR: Duration = Duration::from_secs(1);

/// What comes of a try.
#[derive(Clone, Copy)]
enum Try {
    Refused,
    /// Connects, and fails without having been of use.
    Useless,
    Works,
    /// Works and goes on.
    Stays,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Tried(Duration),
    Lost { log: bool },
    Took(u8),
    Left,
}

struct Script {
    tries: VecDeque<Try>,
    began: Instant,
    here: Here,
    comes: mpsc::UnboundedReceiver<u8>,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Kept for Script {
    type Way = Try;
    type Error = io::Error;

    async fn connect(&mut self) -> Result<Try, io::Error> {
        let _ = self.seen.send(Seen::Tried(self.began.elapsed()));
        match self.tries.pop_front() {
            Some(Try::Refused) => Err(io::ErrorKind::ConnectionRefused.into()),
            Some(way) => Ok(way),
            None => pending().await,
        }
    }

    async fn carry(&mut self, way: &mut Try, worked: &mut Worked) -> io::Error {
        let _here = self.here.begin();
        if matches!(way, Try::Works | Try::Stays) {
            worked.did();
        }
        if matches!(way, Try::Stays) {
            pending::<()>().await;
        }
        sleep(CARRIED_FOR).await;
        io::ErrorKind::BrokenPipe.into()
    }

    async fn lost(&mut self, _: io::Error, log: bool) {
        assert!(!self.here.is(), "it is here only while it is carried");
        let _ = self.seen.send(Seen::Lost { log });
    }

    async fn meanwhile(&mut self) -> Infallible {
        while let Some(came) = self.comes.recv().await {
            let _ = self.seen.send(Seen::Took(came));
        }
        pending().await
    }

    async fn leave(&mut self, _: Try) {
        let _ = self.seen.send(Seen::Left);
    }
}

struct Keeping {
    seen: mpsc::UnboundedReceiver<Seen>,
    comes: mpsc::UnboundedSender<u8>,
    here: Here,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn keeping(tries: &[Try]) -> Keeping {
    let (sending, seen) = mpsc::unbounded_channel();
    let (comes, coming) = mpsc::unbounded_channel();
    let (here, shutdown) = (Here::new(None), CancellationToken::new());
    let tries = tries.iter().copied().collect();
    let script = Script { tries, began: Instant::now(), here: here.clone(), comes: coming, seen: sending };
    let task = tokio::spawn(keep(script, shutdown.clone()));
    Keeping { seen, comes, here, shutdown, task }
}

impl Keeping {
    async fn tried(&mut self) -> Duration {
        loop {
            match self.seen.recv().await {
                Some(Seen::Tried(at)) => return at,
                Some(_) => {}
                None => panic!("it ended"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_for_the_log_once_and_not_before_a_new_way_fails_as_well() {
    let tries = [Try::Refused, Try::Useless, Try::Works, Try::Useless, Try::Refused, Try::Works, Try::Works];
    let mut keeping = keeping(&tries);
    let mut logged = Vec::new();
    while logged.len() < tries.len() {
        if let Some(Seen::Lost { log }) = keeping.seen.recv().await {
            logged.push(log);
        }
    }
    assert_eq!(logged, [true, false, false, true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_the_longest_and_begin_anew_once_it_worked() {
    let tries = [[Try::Refused; 12].as_slice(), &[Try::Works, Try::Refused]].concat();
    let mut keeping = keeping(&tries);
    let mut at = Vec::new();
    for _ in 0..15 {
        at.push(keeping.tried().await);
    }
    let pauses: Vec<Duration> = at.windows(2).map(|at| at[1] - at[0]).collect();
    assert!(pauses[0] < Duration::from_millis(300), "{pauses:?}");
    assert!(pauses[..12].iter().all(|pause| *pause <= 2 * Script::LONGEST_PAUSE), "{pauses:?}");
    assert!(pauses[8..12].iter().all(|pause| *pause >= Script::LONGEST_PAUSE), "{pauses:?}");
    assert!(pauses[12] < CARRIED_FOR + Duration::from_millis(300), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_it_is_away_is_taken_at_once() {
    let mut keeping = keeping(&[Try::Refused]);
    assert!(matches!(keeping.seen.recv().await, Some(Seen::Tried(_))));
    assert_eq!(keeping.seen.recv().await, Some(Seen::Lost { log: true }));
    let before = Instant::now();
    keeping.comes.send(7).unwrap();
    assert_eq!(keeping.seen.recv().await, Some(Seen::Took(7)));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_says_the_last_word_where_there_is_a_way() {
    let mut keeping = keeping(&[Try::Stays]);
    keeping.tried().await;
    sleep(CARRIED_FOR).await;
    assert!(keeping.here.is());
    keeping.shutdown.cancel();
    assert_eq!(keeping.seen.recv().await, Some(Seen::Left));
    keeping.task.await.unwrap();
    assert!(!keeping.here.is());
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_stops_wherever_it_waits() {
    for tries in [[].as_slice(), &[Try::Refused; 20]] {
        let mut keeping = keeping(tries);
        keeping.tried().await;
        keeping.shutdown.cancel();
        keeping.task.await.unwrap();
    }
}
