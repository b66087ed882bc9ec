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
//! One task keeps the way there ([`keep`]).

use std::{convert::Infallible, future::ready, time::Duration};

use redis::RedisError;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    keeper::{Asked, Here, Kept, Worked, keep},
    key::short,
    link::{Link, LinkError, is_foreign},
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
    here: Here,
}

/// Keeps the connection of [`SharedLimits`].
pub struct Keeper {
    url: RedisUrl,
    script: Script,
    asked: Asked<Ask>,
    here: Here,
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
        let (asks, asked) = Asked::new(WAITING);
        let here = Here::new(Some("curia_rate_limits_shared"));
        let keeper = Keeper { url, script: Script::new(SCRIPT), asked, here: here.clone(), told: false };
        (Self { memory, prefix, asks, here }, keeper)
    }

    /// Whether Redis is asked at the moment.
    pub fn is_shared(&self) -> bool {
        self.here.is()
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
    pub async fn run(self, shutdown: CancellationToken) {
        keep(self, shutdown).await;
    }

    /// Answers a round of questions.
    async fn round(&mut self, link: &mut Link, asks: &mut Vec<Ask>, worked: &mut Worked) -> Result<(), LinkError> {
        let questions: Vec<Question> = asks.iter().map(|ask| ask.question(&self.script)).collect();
        let mut useless = None;
        for (ask, answer) in asks.drain(..).zip(link.ask_each::<i64>(&questions).await?) {
            match answer {
                Ok(wait) => {
                    ask.settle(wait);
                    worked.did();
                }
                // Its user is limited on each node for himself, and the others are not.
                Err(error) => match link.of_one(error) {
                    Ok(error) => self.is_of_one(&error, ask.class),
                    Err(error) => useless = Some(error),
                },
            }
        }
        useless.map_or(Ok(()), Err)
    }

    /// That somebody else's key is in the way is said once: its user may ask as often as his node lets him.
    fn is_of_one(&mut self, error: &RedisError, class: Class) {
        let class = class.name();
        if is_foreign(error) && !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                %error,
                class,
                "what stands in Redis as a user's limit was written by none of our nodes, so he is limited on each node for itself; does somebody else use this prefix?"
            );
        } else {
            tracing::debug!(%error, class, "a user is limited on each node for itself");
        }
    }
}

impl Kept for Keeper {
    type Way = Link;
    type Error = LinkError;

    const BACK: Option<&'static str> = Some("Redis is back: users are limited over all nodes again");

    async fn connect(&mut self) -> Result<Link, LinkError> {
        Link::connect(&self.url, ANSWER_WITHIN).await
    }

    async fn carry(&mut self, link: &mut Link, worked: &mut Worked) -> LinkError {
        let _here = self.here.begin();
        let mut asks = Vec::with_capacity(AT_ONCE);
        loop {
            self.asked.round(&mut asks, AT_ONCE).await;
            if let Err(error) = self.round(link, &mut asks, worked).await {
                return error;
            }
        }
    }

    async fn lost(&mut self, error: LinkError, log: bool) {
        if log {
            tracing::warn!(
                error = error.with_causes(),
                "users are limited on each node for itself until Redis is back"
            );
        }
    }

    /// Memory decides what is asked.
    async fn meanwhile(&mut self) -> Infallible {
        self.asked.refuse(drop).await
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
