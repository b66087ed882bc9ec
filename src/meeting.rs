//! Keeps the way to where all nodes meet, to say who is here and who writes.
//!
//! Invariants:
//! - nobody waits for Redis: what is to be said waits in a bounded queue, and where that is full everything known of other nodes is
//!   given up and read anew;
//! - who writes waits in a queue of its own, beside all that, and is left out where that is full: nobody keeps it, and it ends by itself;
//! - no beat waits for the dispatcher: while it is behind nothing more is said or taken of what is published, and the beats go on;
//! - nor for what is said, looked at, kept or read, however much it is and however long a round trip takes: between two of them a beat may
//!   come, and what each brings is looked at a part at a time, in turn with what is to be said;
//! - what is heard reaches the dispatcher in the order in which Redis put it, and a scope that was read before anything said of it
//!   later;
//! - a node is taken to live for [`LEASE`] after its last word. One that was taken for dead begins anew;
//! - `/readyz` says that who is here is known once everything that this node minds was read, and not before; where that
//!   can't be done of some scopes it names one of them, and all others are as they were.
//!
//! One task keeps the way there ([`keep`]).

mod backlog;
mod carrying;
mod round;

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::RedisError;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use self::backlog::Backlog;
use crate::{
    circle::{Heard, Word},
    http::readiness::{Component, State},
    ids::NodeId,
    ports,
    presence::{REMEMBERED, SAID_AGAIN},
    redis::{
        circle::{Circle, KEPT, LEASE, PARTS, Published},
        keeper::{Kept, Worked, keep},
        link::LinkError,
        url::RedisUrl,
    },
    telemetry::chain,
    typing,
};

/// How often a node says that it lives.
const BEAT: Duration = Duration::from_secs(3);
/// Steps of the dispatcher whose words may wait.
const WAITING: usize = 4_096;
/// Of which are taken at once.
const STEPS: usize = 256;
/// What is published may wait.
const PUBLISHED: usize = 8_192;
// A node that dies leaves nobody here for longer than 30 s (contract section 7), whoever watches, and since when. Whoever watches, or comes
// to watch before what it said is forgotten, misses it in two beats behind its lease, or behind the reading where he never heard that it
// lived. What it said is forgotten [`KEPT`] after it last looked, whoever else looks; whoever misses the node by then finds that, and
// one beat later nobody there is waited for. A scope that others keep is watched by them.
const _: () = assert!(LEASE.as_secs() + 3 * BEAT.as_secs() < 30 && KEPT.as_secs() + 2 * BEAT.as_secs() < 30);
// It is remembered who has died until nothing names him: whoever keeps a scope reads it before it would be forgotten, and misses him.
const _: () = assert!(REMEMBERED as u64 * BEAT.as_secs() > 2 * KEPT.as_secs() + 2 * BEAT.as_secs());
// A node that lives looks at each scope in which it has people long before it would be forgotten.
const _: () = assert!(2 * LOOKED_AT_ALL + BEAT.as_secs() < KEPT.as_secs());
// Nor where what was said was lost: that is found at the second look, and then the others have some beats to say it again. By then they
// have come back, or found it themselves, which is no later than it takes to look at all.
const LOOKED_AT_ALL: u64 = PARTS as u64 * BEAT.as_secs();
const _: () = assert!(2 * LOOKED_AT_ALL + SAID_AGAIN as u64 * BEAT.as_secs() < 30);
const SAY_AGAIN: u64 = (SAID_AGAIN as u64 - 1) * BEAT.as_secs();
const _: () = assert!(SAY_AGAIN > LOOKED_AT_ALL && SAY_AGAIN > 3 * Meeting::LONGEST_PAUSE.as_secs());
/// What is said of who writes may wait: more is old by the time it could be said.
const WRITTEN: usize = 2_048;
/// Of which so much is said in one round.
const TYPED: usize = 512;
/// Scopes that are read together: of each a page may come at once.
const AT_ONCE: usize = 16;
/// Scopes that are watched no longer, together: nothing comes of them.
const UNWATCHED: usize = 512;
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

impl Broken {
    /// As [`LinkError::until`].
    fn until(&self) -> &'static str {
        match self {
            Self::Link(error) => error.until(),
            _ => "until it is back",
        }
    }
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
    typed: mpsc::Sender<typing::Heard>,
}

impl ports::Circle for Words {
    fn say(&self, words: Vec<Word>) {
        if self.words.try_send(words).is_err() {
            self.overflown.store(true, Ordering::Relaxed);
        }
    }

    fn write(&self, heard: Vec<typing::Heard>) {
        for heard in heard {
            if self.typed.try_send(heard).is_err() {
                metrics::counter!("curia_typing_left_out_total").increment(1);
            }
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
    typed: mpsc::Receiver<typing::Heard>,
    backlog: Backlog,
}

impl Meeting {
    /// A way for the node `me`, below `prefix`. Whoever is here when it ends has `grace` to come to another node.
    pub fn new(url: RedisUrl, prefix: &str, me: NodeId, presence: Component, grace: Duration) -> (Self, Ends) {
        let (saying, words) = mpsc::channel(WAITING);
        let (writing, typed) = mpsc::channel(WRITTEN);
        let (heard, hearing) = mpsc::channel(AT_ONCE);
        let overflown = Arc::<AtomicBool>::default();
        let words_to = Words { words: saying, overflown: Arc::clone(&overflown), typed: writing };
        let ends = Ends { words: words_to, heard: hearing };
        (
            Self {
                url,
                prefix: prefix.to_owned(),
                me,
                presence,
                grace,
                words,
                overflown,
                typed,
                backlog: Backlog::new(heard),
            },
            ends,
        )
    }

    /// Works until told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        keep(self, shutdown).await;
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
        let (cause, until) = (cause.trim_end_matches('.'), error.until());
        self.presence.set(State::Degraded(format!("{cause}; who is here is not known {until}")));
        self.backlog.give_up();
    }

    /// Nobody hears what is said.
    async fn meanwhile(&mut self) -> Infallible {
        loop {
            tokio::select! {
                words = self.words.recv() => if words.is_none() {
                    return pending().await;
                },
                Some(_) = self.typed.recv() => {}
                () = self.backlog.hand_over() => {}
            }
        }
    }

    /// Whoever was here goes with this node, unless he comes to another in time.
    async fn leave(&mut self, (mut circle, _): Self::Way) {
        // Else the lease runs out.
        let _ = timeout(FAREWELL, circle.beat(self.grace.min(LEASE))).await;
    }
}
