//! Limits over all nodes: what each has taken of a user stands in Redis, `{prefix}rate_limit:{userId}:{event}`. Events that share one
//! budget share one key, which names their family ([`Class::name`]).
//!
//! Invariants:
//! - memory is asked first, and what it refuses is refused: this node's share alone is too much, or Redis said until when. So a
//!   flood costs Redis one question;
//! - one question a command, decided in one step there, by its clock; those that come meanwhile go together in the next round;
//! - nobody waits longer than [`ANSWER_WITHIN`], and nobody at all while Redis is away: this node's memory decides then, which
//!   knows all that was taken here, before and meanwhile;
//! - what Redis refuses this node's memory does not count, what it takes counts there at least as long as here.
//!
//! One task keeps the connection and ends with `shutdown`; it connects anew after any error, with pauses.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use redis::RedisError;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    key::short,
    link::{Link, LinkError},
    question::{Question, Script},
    url::RedisUrl,
};
use crate::{
    ids::UserId,
    limiter::{InMemory, Taken},
    limits::{Class, Rate, TooMany},
    ports::{Limits, Verdict},
};

/// How long a command may wait for Redis.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Questions that wait; what does not fit is decided by memory.
const WAITING: usize = 1_024;
/// Questions of one round.
const AT_ONCE: usize = 128;
const SCRIPT: &str = include_str!("take.lua");

/// See the module.
pub struct SharedLimits {
    memory: InMemory,
    prefix: String,
    asks: mpsc::Sender<Ask>,
    here: Arc<AtomicBool>,
}

/// Keeps the connection of [`SharedLimits`].
pub struct Keeper {
    url: RedisUrl,
    script: Script,
    asked: mpsc::Receiver<Ask>,
    here: Arc<AtomicBool>,
    /// Whether it was said that somebody else's key is in the way.
    told: bool,
}

/// One question.
struct Ask {
    key: String,
    rate: Rate,
    class: Class,
    taken: Taken,
    reply: oneshot::Sender<Result<(), TooMany>>,
}

impl SharedLimits {
    /// Limits below `prefix` over what `memory` knows; the keeper is to be run.
    pub fn new(memory: InMemory, url: RedisUrl, prefix: String) -> (Self, Keeper) {
        let (asks, asked) = mpsc::channel(WAITING);
        let here = Arc::<AtomicBool>::default();
        let keeper = Keeper { url, script: Script::new(SCRIPT), asked, here: Arc::clone(&here), told: false };
        (Self { memory, prefix, asks, here }, keeper)
    }

    /// Whether Redis is asked at the moment.
    pub fn is_shared(&self) -> bool {
        self.here.load(Ordering::Relaxed)
    }
}

impl Limits for SharedLimits {
    fn take(&self, user: &UserId, class: Class) -> Result<Verdict, TooMany> {
        let taken = self.memory.note(user, class)?;
        if !self.is_shared() {
            return Ok(Box::pin(ready(Ok(()))));
        }
        let (reply, answer) = oneshot::channel();
        let key = format!("{}rate_limit:{}:{}", self.prefix, short(user.as_str()), class.name());
        let rate = self.memory.rates().of(class);
        // What is not asked is answered below: its other end is gone.
        let _ = self.asks.try_send(Ask { key, rate, class, taken, reply });
        Ok(Box::pin(async move {
            match timeout(ANSWER_WITHIN, answer).await {
                Ok(Ok(verdict)) => verdict,
                // Memory has taken it.
                Ok(Err(_)) | Err(_) => Ok(()),
            }
        }))
    }
}

impl Keeper {
    /// Works until told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.keep()).await;
        self.here.store(false, Ordering::Relaxed);
    }

    async fn keep(&mut self) {
        let mut pauses = pauses();
        let mut told = false;
        loop {
            let error = match Link::connect(&self.url, ANSWER_WITHIN).await {
                Ok(link) => {
                    self.is_here(true);
                    let mut worked = false;
                    let error = self.carry(link, &mut worked).await;
                    if worked {
                        (pauses, told) = (self::pauses(), false);
                    }
                    error
                }
                Err(error) => error,
            };
            self.is_here(false);
            if !std::mem::replace(&mut told, true) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "users are limited on each node for itself until Redis is back");
            }
            // Both without an end.
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            // Memory decides what was asked meanwhile.
            let forget = async {
                while self.asked.recv().await.is_some() {}
                std::future::pending::<()>().await;
            };
            let _ = timeout(pause, forget).await;
        }
    }

    fn is_here(&self, here: bool) {
        self.here.store(here, Ordering::Relaxed);
        metrics::gauge!("curia_rate_limits_shared").set(f64::from(u8::from(here)));
    }

    /// Said once: he may ask as often as his node lets him.
    fn is_foreign(&mut self, error: &RedisError, class: Class) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                %error,
                class = class.name(),
                "what stands in Redis as a user's limit was written by none of our nodes, so he is limited on each node for itself; does somebody else use this prefix?"
            );
        }
    }

    /// Answers questions until the connection fails; `worked` where it has answered any.
    async fn carry(&mut self, mut link: Link, worked: &mut bool) -> LinkError {
        let mut asks = Vec::with_capacity(AT_ONCE);
        loop {
            if self.asked.recv_many(&mut asks, AT_ONCE).await == 0 {
                // Nobody is left to ask.
                std::future::pending::<()>().await;
            }
            let questions: Vec<Question> = asks.iter().map(|ask| ask.question(&self.script)).collect();
            let answers = match link.ask_each::<i64>(&questions).await {
                Ok(answers) => answers,
                Err(error) => return error,
            };
            let mut useless = None;
            for (ask, answer) in asks.drain(..).zip(answers) {
                match answer {
                    Ok(wait) => {
                        ask.settle(wait);
                        *worked = true;
                    }
                    // Somebody else's key is in the way of this user alone.
                    Err(error) if error.code() == Some("WRONGTYPE") => self.is_foreign(&error, ask.class),
                    // Its user is limited on each node for himself, and the others are not.
                    Err(error) if link.is_of_one_server(&error) => {
                        tracing::debug!(%error, "one server gives no answer")
                    }
                    Err(error) => useless = Some(error),
                }
            }
            if let Some(error) = useless {
                return link.failure(error);
            }
        }
    }
}

impl Ask {
    fn question(&self, script: &Script) -> Question {
        let within = u64::try_from(self.rate.within.as_millis()).unwrap_or(u64::MAX);
        script.on(&self.key).arg(self.rate.count).arg(within)
    }

    fn settle(self, wait: i64) {
        let Self { class, taken, reply, .. } = self;
        let verdict = match u64::try_from(wait) {
            Ok(0) | Err(_) => {
                taken.confirm();
                Ok(())
            }
            Ok(wait) => Err(taken.refuse(class, TooMany { retry_after: Duration::from_millis(wait) })),
        };
        // Who does not wait any longer was served.
        let _ = reply.send(verdict);
    }
}

/// Between two tries, growing and without an end.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}
