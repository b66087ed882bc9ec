//! Keeps the way to where all nodes meet, to say who is here and who writes.
//!
//! Invariants:
//! - nobody waits for Redis: what is to be said waits in a bounded queue, and where that is full everything known of other nodes is
//!   given up and read anew;
//! - what is heard reaches the dispatcher in the order in which Redis put it, and a scope that was read before anything said of it
//!   later;
//! - a node is taken to live for [`LEASE`] after its last word. One that was taken for dead begins anew;
//! - `/readyz` says that who is here is known once everything that this node minds was read, and not before; where that
//!   can't be done of some scopes it names one of them, and all others are as they were.
//!
//! One task keeps the way there ([`keep`]). It is to begin with the dispatcher: what is heard has to be taken, or the beats end.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::RedisError;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    circle::{Heard, Word},
    http::readiness::{Component, State},
    ids::NodeId,
    ports,
    redis::{
        circle::{Circle, KEPT, LEASE, PARTS, Published},
        keeper::{Kept, Worked, keep},
        link::LinkError,
        url::RedisUrl,
    },
    telemetry::chain,
};

/// How often a node says that it lives.
const BEAT: Duration = Duration::from_secs(3);
/// Steps of the dispatcher whose words may wait.
const WAITING: usize = 4_096;
/// What is published may wait.
const PUBLISHED: usize = 8_192;
// A node that dies leaves nobody here for longer than 30 s (contract section 7), whoever watches: what it says lasts for its lease, and
// where nobody watches it is kept for so long; then whoever watches by then misses the node in two beats.
const _: () = assert!(LEASE.as_secs() + 2 * BEAT.as_secs() < 30 && KEPT.as_secs() + 2 * BEAT.as_secs() < 30);
/// Scopes that are asked for together.
const AT_ONCE: usize = 16;
/// How long the last word of all may take.
const FAREWELL: Duration = Duration::from_millis(250);

/// Why nothing is heard.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("more was to be said than could be taken")]
    Overflown,
    #[error("this node was taken for dead")]
    Buried,
    #[error("it can't be told any longer which nodes live")]
    Beatless(#[source] RedisError),
}

/// Where the dispatcher says and hears.
pub struct Ends {
    pub words: Words,
    pub heard: mpsc::Receiver<Heard>,
}

/// What this node says, on its way.
pub struct Words {
    words: mpsc::Sender<Vec<Word>>,
    overflown: Arc<AtomicBool>,
}

impl ports::Circle for Words {
    fn say(&self, words: Vec<Word>) {
        if self.words.try_send(words).is_err() {
            self.overflown.store(true, Ordering::Relaxed);
        }
    }
}

/// See the module.
pub struct Meeting {
    url: RedisUrl,
    prefix: String,
    me: NodeId,
    presence: Component,
    /// For how long whoever was here when the node ends is taken to be here.
    grace: Duration,
    words: mpsc::Receiver<Vec<Word>>,
    overflown: Arc<AtomicBool>,
    heard: mpsc::Sender<Heard>,
}

impl Meeting {
    /// A way for the node `me`, below `prefix`. Whoever is here when it ends has `grace` to come to another node.
    pub fn new(url: RedisUrl, prefix: &str, me: NodeId, presence: Component, grace: Duration) -> (Self, Ends) {
        let (saying, words) = mpsc::channel(WAITING);
        let (heard, hearing) = mpsc::channel(AT_ONCE);
        let overflown = Arc::<AtomicBool>::default();
        let ends = Ends { words: Words { words: saying, overflown: Arc::clone(&overflown) }, heard: hearing };
        (Self { url, prefix: prefix.to_owned(), me, presence, grace, words, overflown, heard }, ends)
    }

    /// Works until told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        keep(self, shutdown).await;
    }

    /// Says and hears until something fails.
    async fn meet(
        &mut self,
        circle: &mut Circle,
        published: &mut mpsc::Receiver<Published>,
        worked: &mut Worked,
    ) -> Result<Infallible, Broken> {
        // Others have to know that it lives before it says anything.
        circle.beat(LEASE).await?.map_err(Broken::Beatless)?;
        self.overflown.store(false, Ordering::Relaxed);
        self.hear(Heard::Here).await;
        let (mut beat, mut course) = (interval(BEAT), Course::new());
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            if self.overflown.load(Ordering::Relaxed) {
                return Err(Broken::Overflown);
            }
            tokio::select! {
                biased;
                _ = beat.tick() => {
                    self.beat(circle, published, &mut course).await?;
                    worked.did();
                }
                // One after the other: however much there is to be said, the beats go on.
                () = ready(()), if !course.words.is_empty() => self.say(circle, &mut course).await?,
                words = self.words.recv() => match words {
                    Some(words) => course.words.extend(words),
                    // The dispatcher is gone; so will be this task.
                    None => pending().await,
                },
                Some(published) = published.recv() => self.hear_published(circle, published).await,
                error = circle.closed() => return Err(error.into()),
            }
        }
    }

    /// Says that this node lives, hears which do, and looks where a part of the scopes stand.
    async fn beat(
        &mut self,
        circle: &mut Circle,
        published: &mut mpsc::Receiver<Published>,
        course: &mut Course,
    ) -> Result<(), Broken> {
        let mut heard = Vec::new();
        match circle.beat(LEASE).await? {
            Ok(beat) if beat.lived => {
                course.lived = Instant::now();
                course.beatless = None;
                heard.push(Heard::Nodes(beat.living));
            }
            Ok(_) => return Err(Broken::Buried),
            // By then the dead would be taken to be here.
            Err(error) if course.lived.elapsed() > LEASE => return Err(Broken::Beatless(error)),
            Err(error) => course.beatless = Some(error.to_string()),
        }
        course.beats += 1;
        for scopes in circle.due(course.beats).chunks(AT_ONCE) {
            heard.extend(circle.stand(scopes).await?);
        }
        circle.keep(course.beats % PARTS, PARTS).await?;
        // What led there was published before.
        while let Ok(published) = published.try_recv() {
            self.hear_published(circle, published).await;
        }
        for heard in heard {
            self.hear(heard).await;
        }
        for heard in circle.read_lost(AT_ONCE).await? {
            self.hear(heard).await;
        }
        self.report(circle, course);
        Ok(())
    }

    /// Says the next of what is to be said; scopes that are to be watched together.
    async fn say(&mut self, circle: &mut Circle, course: &mut Course) -> Result<(), Broken> {
        let Some(word) = course.words.pop_front() else { return Ok(()) };
        let heard = match word {
            Word::Watch(scope) => {
                let mut new = vec![scope];
                while let Some(Word::Watch(scope)) = course.words.front().filter(|_| new.len() < AT_ONCE) {
                    new.push(scope.clone());
                    course.words.pop_front();
                }
                circle.watch(new).await?
            }
            Word::Unwatch(scope) => {
                circle.unwatch(&scope).await?;
                Vec::new()
            }
            Word::Read(scope) => circle.read(vec![scope]).await?,
            Word::Say { scope, node, said } => circle.say(&scope, node, &said).await?.into_iter().collect(),
            Word::Seats(seats) => {
                circle.sit(seats).await?;
                Vec::new()
            }
            Word::Typing(heard) => {
                circle.write(&heard).await?;
                Vec::new()
            }
            Word::All => {
                course.has_read_all = true;
                self.report(circle, course);
                Vec::new()
            }
        };
        let is_lost = heard.iter().any(|heard| matches!(heard, Heard::Unknown(_)));
        for heard in heard {
            self.hear(heard).await;
        }
        if is_lost {
            self.report(circle, course);
        }
        Ok(())
    }

    /// Says in `/readyz` how it stands.
    fn report(&self, circle: &Circle, course: &Course) {
        if !course.has_read_all {
            return;
        }
        self.presence.set(match (circle.lost(), &course.beatless) {
            (None, None) => State::Ready,
            (Some((count, why)), _) => State::Degraded(format!(
                "who is here is not known of {count} boards or communities until they can be read; of all others it is; {why}"
            )),
            (None, Some(why)) => {
                State::Degraded(format!("it can't be told at the moment which nodes live; who is here is known; {why}"))
            }
        });
    }

    async fn hear_published(&self, circle: &mut Circle, published: Published) {
        if let Some(heard) = circle.hear(published) {
            self.hear(heard).await;
        }
    }

    async fn hear(&self, heard: Heard) {
        // Without a dispatcher the service is stopping.
        let _ = self.heard.send(heard).await;
    }
}

/// How far one way has come.
struct Course {
    /// Still to be said.
    words: VecDeque<Word>,
    beats: usize,
    /// When it was last known to be taken to live, and why not since.
    lived: Instant,
    beatless: Option<String>,
    /// Whether everything that this node minded at first was read, or found to be lost.
    has_read_all: bool,
}

impl Course {
    fn new() -> Self {
        Self { words: VecDeque::new(), beats: 0, lived: Instant::now(), beatless: None, has_read_all: false }
    }
}

impl Kept for Meeting {
    /// And what is published there.
    type Way = (Circle, mpsc::Receiver<Published>);
    type Error = Broken;

    /// With the pause that chance adds less than others wait before they take a node for dead.
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);

    async fn connect(&mut self) -> Result<Self::Way, Broken> {
        let (published, coming) = mpsc::channel(PUBLISHED);
        Ok((Circle::connect(&self.url, &self.prefix, self.me, published).await?, coming))
    }

    async fn carry(&mut self, (circle, published): &mut Self::Way, worked: &mut Worked) -> Broken {
        match self.meet(circle, published, worked).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    async fn lost(&mut self, error: Broken, _: bool) {
        // Which logs each reason once.
        let cause = chain(&error);
        self.presence.set(State::Degraded(format!("{cause}; who is here is not known until it is back")));
        self.hear(Heard::Away).await;
    }

    /// Nobody hears what is said.
    async fn meanwhile(&mut self) -> Infallible {
        while self.words.recv().await.is_some() {}
        pending().await
    }

    /// Whoever was here goes with this node, unless he comes to another in time.
    async fn leave(&mut self, (mut circle, _): Self::Way) {
        // Else the lease runs out.
        let _ = timeout(FAREWELL, circle.beat(self.grace.min(LEASE))).await;
    }
}
