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
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{channel::ChannelError, url::RedisUrl};
use crate::{
    ids::UserId,
    limiter::{InMemory, Taken},
    limits::{Class, Rate, TooMany},
    ports::{Limits, Verdict},
};

/// How long a command may wait for Redis.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(250);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Questions that wait; what does not fit is decided by memory.
const WAITING: usize = 1_024;
/// Questions of one round.
const AT_ONCE: usize = 128;
/// Bytes of a user's id that stand in a key.
const LONGEST_ID: usize = 128;
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
    asked: mpsc::Receiver<Ask>,
    here: Arc<AtomicBool>,
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
        let keeper = Keeper { url, asked, here: Arc::clone(&here) };
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
        let key = format!("{}rate_limit:{}:{}", self.prefix, short(user), class.name());
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
            let error = match connect(&self.url).await {
                Ok((connection, script)) => {
                    self.is_here(true);
                    let mut worked = false;
                    let error = self.carry(connection, &script, &mut worked).await;
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
            let pause = pauses.next().unwrap_or(CONNECT_WITHIN);
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

    /// Answers questions until the connection fails; `worked` where it has answered any.
    async fn carry(&mut self, mut connection: MultiplexedConnection, script: &str, worked: &mut bool) -> ChannelError {
        let mut asks = Vec::with_capacity(AT_ONCE);
        loop {
            if self.asked.recv_many(&mut asks, AT_ONCE).await == 0 {
                // Nobody is left to ask.
                std::future::pending::<()>().await;
            }
            let round = round(&asks, script);
            let answers: Vec<Result<i64, RedisError>> =
                match timeout(ANSWER_WITHIN, round.query_async(&mut connection)).await {
                    Ok(Ok(answers)) => answers,
                    Ok(Err(error)) => return error.into(),
                    Err(silent) => return silent.into(),
                };
            let mut useless = None;
            for (ask, answer) in asks.drain(..).zip(answers) {
                match answer {
                    Ok(wait) => {
                        ask.settle(wait);
                        *worked = true;
                    }
                    // Somebody else's key is in the way of this user alone.
                    Err(error) if error.code() == Some("WRONGTYPE") => {
                        tracing::warn!(%error, class = ask.class.name(), "a user is limited on each node for itself");
                    }
                    Err(error) => useless = Some(error),
                }
            }
            if let Some(error) = useless {
                return error.into();
            }
        }
    }
}

impl Ask {
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

async fn connect(url: &RedisUrl) -> Result<(MultiplexedConnection, String), ChannelError> {
    let client = Client::open(url.connection()).map_err(ChannelError::Connect)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = timeout(CONNECT_WITHIN, connecting).await?.map_err(ChannelError::Connect)?;
    let load = cmd("SCRIPT").arg("LOAD").arg(SCRIPT).to_owned();
    let script = timeout(CONNECT_WITHIN, load.query_async(&mut connection)).await??;
    Ok((connection, script))
}

fn round(asks: &[Ask], script: &str) -> Pipeline {
    let mut round = Pipeline::with_capacity(asks.len());
    round.ignore_errors();
    for Ask { key, rate, .. } in asks {
        let within = u64::try_from(rate.within.as_millis()).unwrap_or(u64::MAX);
        round.cmd("EVALSHA").arg(script).arg(1).arg(key).arg(rate.count).arg(within);
    }
    round
}

/// The id, or of a long one its beginning and a number that tells it from others.
fn short(user: &UserId) -> String {
    let id = user.as_str();
    if id.len() <= LONGEST_ID {
        return id.to_owned();
    }
    // FNV-1a, the same on every node.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let beginning: String = id.char_indices().take_while(|(at, _)| *at < LONGEST_ID / 2).map(|(_, c)| c).collect();
    format!("{beginning}~{hash:016x}")
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ids_make_short_keys_of_their_own() {
        let long = |end: &str| UserId::from(format!("{}{end}", "ä".repeat(5_000)));
        assert_eq!(short(&UserId::from("ada")), "ada");
        let (one, other) = (short(&long("1")), short(&long("2")));
        assert!(one != other && one.len() <= LONGEST_ID && one == short(&long("1")), "{one}");
    }
}
