//! Keeps the way to where all nodes meet, to say who is here and who writes.
//!
//! Invariants:
//! - nobody waits for Redis: what is to be said waits in a bounded queue, and where that is full everything known of other nodes is
//!   given up and read anew;
//! - what is heard reaches the dispatcher in the order in which Redis put it, and a scope that was read before anything said of it
//!   later;
//! - a node is taken to live for [`LEASE`] after its last word. One that was taken for dead begins anew;
//! - `/readyz` says that who is here is known once everything that this node minds was read, and not before.
//!
//! One task keeps the way there ([`keep`]). It is to begin with the dispatcher: what is heard has to be taken, or the beats end.

use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    circle::{Heard, Word},
    http::readiness::{Component, State},
    ids::NodeId,
    ports,
    presence::Scope,
    redis::{
        circle::{Circle, LEASE, Published},
        keeper::{Kept, Worked, keep},
        link::LinkError,
        url::RedisUrl,
    },
    telemetry::chain,
};

/// How often a node says that it lives.
const BEAT: Duration = Duration::from_secs(3);
/// Scopes, and users, are gone through once in so many beats.
const PARTS: usize = 2;
/// Steps of the dispatcher whose words may wait.
const WAITING: usize = 4_096;
/// What is published may wait.
const PUBLISHED: usize = 8_192;
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
        circle.beat(LEASE).await?;
        self.overflown.store(false, Ordering::Relaxed);
        self.hear(Heard::Here).await;
        let (mut beat, mut beats, mut scopes) = (interval(BEAT), 0, BTreeSet::new());
        let mut queue = VecDeque::new();
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            if self.overflown.load(Ordering::Relaxed) {
                return Err(Broken::Overflown);
            }
            tokio::select! {
                biased;
                _ = beat.tick() => {
                    let lives = circle.beat(LEASE).await?;
                    if !lives.lived {
                        return Err(Broken::Buried);
                    }
                    beats += 1;
                    let mut heard = vec![Heard::Nodes(lives.living)];
                    let of_part = scopes.iter().filter(|scope| circle.part_of(scope, PARTS) == beats % PARTS);
                    for scopes in of_part.cloned().collect::<Vec<_>>().chunks(AT_ONCE) {
                        heard.extend(circle.stand(scopes).await?);
                    }
                    circle.keep(beats % PARTS, PARTS).await?;
                    // What led there was published before.
                    while let Ok(published) = published.try_recv() {
                        self.hear_published(circle, published).await;
                    }
                    for heard in heard {
                        self.hear(heard).await;
                    }
                    worked.did();
                }
                // One after the other: however much there is to be said, the beats go on.
                () = ready(()), if !queue.is_empty() => self.say(circle, &mut queue, &mut scopes).await?,
                words = self.words.recv() => match words {
                    Some(words) => queue.extend(words),
                    // The dispatcher is gone; so will be this task.
                    None => pending().await,
                },
                Some(published) = published.recv() => self.hear_published(circle, published).await,
                error = circle.closed() => return Err(error.into()),
            }
        }
    }

    /// Says the next of what is to be said; scopes that are to be watched together.
    async fn say(
        &mut self,
        circle: &mut Circle,
        words: &mut VecDeque<Word>,
        scopes: &mut BTreeSet<Scope>,
    ) -> Result<(), Broken> {
        match words.pop_front() {
            Some(Word::Watch(scope)) => {
                let mut new = vec![scope];
                while let Some(Word::Watch(scope)) = words.front().filter(|_| new.len() < AT_ONCE) {
                    new.push(scope.clone());
                    words.pop_front();
                }
                scopes.extend(new.iter().cloned());
                for heard in circle.watch(new).await? {
                    self.hear(heard).await;
                }
            }
            Some(Word::Unwatch(scope)) => {
                scopes.remove(&scope);
                circle.unwatch(&scope).await?;
            }
            Some(Word::Read(scope)) => {
                for heard in circle.read(vec![scope]).await? {
                    self.hear(heard).await;
                }
            }
            Some(Word::Say { scope, node, said }) => circle.say(&scope, node, &said).await?,
            Some(Word::All) => self.presence.set(State::Ready),
            Some(Word::Seats(seats)) => circle.sit(seats).await?,
            Some(Word::Typing(heard)) => circle.write(&heard).await?,
            None => {}
        }
        Ok(())
    }

    async fn hear_published(&self, circle: &Circle, published: Published) {
        if let Some(heard) = circle.hear(published) {
            self.hear(heard).await;
        }
    }

    async fn hear(&self, heard: Heard) {
        // Without a dispatcher the service is stopping.
        let _ = self.heard.send(heard).await;
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
