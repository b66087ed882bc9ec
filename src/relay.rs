//! Keeps the connection to Redis on which nodes hand each other the ticks they made.
//!
//! Invariants:
//! - nobody waits for Redis: what is to be sent waits in a bounded queue, and what does not fit is left out. Whoever misses
//!   a tick reads it in PostgreSQL;
//! - a tick is sent only after it was recorded, and in the order in which this node went through them;
//! - the node that holds the lease says every [`BEAT`] how far it is, so that the others notice a message that was lost and
//!   a way that carries nothing any more;
//! - it listens to ticks only while another makes them: it would hear nothing but itself. Which epochs are led it always hears
//!   ([`neighbours`]).
//!
//! One task keeps the way there ([`keep`]), and says in `/readyz` how it stands.

mod neighbours;

use std::{convert::Infallible, future::pending, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use self::neighbours::Neighbours;
use crate::{
    batch::Batch,
    http::readiness::{Component, State},
    ids::{Epoch, Tick},
    redis::{
        channel::Channel,
        keeper::{Kept, Worked, keep},
        link::LinkError,
        message::Relayed,
        url::RedisUrl,
    },
    telemetry::chain,
};

/// How often the leading node says how far it is.
pub const BEAT: Duration = Duration::from_millis(200);
/// A connection that is not used otherwise is tried out this often.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Ticks that wait to be sent, and messages that wait to be taken. At 250 ticks a second a quarter of one.
const WAITING: usize = 64;
/// Epochs that are said to be led, which wait to be heard.
const LED: usize = 16;
const NEIGHBOURS: &str = "another database is followed below the same REDIS_PREFIX in this Redis: who is online in one forum is told in the other, and what a user may do counts for both; give each database a REDIS_PREFIX of its own, and start its nodes anew with it";

/// Where a node hands over what it read, and what it hears of others.
#[derive(Debug)]
pub struct Ends {
    pub told: Told,
    pub heard: mpsc::Receiver<Vec<u8>>,
}

/// The way to the other nodes, or none.
#[derive(Clone, Debug, Default)]
pub struct Told(Option<mpsc::Sender<Relayed>>);

impl Told {
    /// Says how far this node is.
    pub fn stands(&self, (epoch, tick): (Epoch, Tick)) {
        self.send(Relayed::At { epoch, tick });
    }

    /// Hands the batch to the other nodes. To be called once it is recorded, in order; never waits.
    pub fn tell(&self, batch: &Batch) {
        if self.0.is_some() && batch.last {
            self.send(Relayed::of(batch));
        }
    }

    fn send(&self, relayed: Relayed) {
        if self.0.as_ref().is_some_and(|relay| relay.try_send(relayed).is_err()) {
            metrics::counter!("curia_relay_sent_total", "outcome" => "left_out").increment(1);
        }
    }
}

/// See the module.
pub struct Relay {
    url: RedisUrl,
    prefix: String,
    redis: Component,
    leads: watch::Receiver<bool>,
    told: mpsc::Receiver<Relayed>,
    heard: mpsc::Sender<Vec<u8>>,
    /// For each way that is made, and what comes over it.
    leading: mpsc::Sender<Epoch>,
    led: mpsc::Receiver<Epoch>,
    neighbours: Neighbours,
    /// The last tick that this node went through, to be said again.
    at: Option<Relayed>,
}

impl Relay {
    /// A relay below `prefix`; `leads` says whether this node holds the lease.
    pub fn new(url: RedisUrl, prefix: &str, redis: Component, leads: watch::Receiver<bool>) -> (Self, Ends) {
        let (telling, told) = mpsc::channel(WAITING);
        let (heard, hearing) = mpsc::channel(WAITING);
        let (leading, led) = mpsc::channel(LED);
        let (prefix, neighbours) = (prefix.to_owned(), Neighbours::default());
        let relay = Self { url, prefix, redis, leads, told, heard, leading, led, neighbours, at: None };
        (relay, Ends { told: Told(Some(telling)), heard: hearing })
    }

    /// Works until told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        keep(self, shutdown).await;
    }
}

impl Kept for Relay {
    type Way = Channel;
    type Error = LinkError;

    async fn connect(&mut self) -> Result<Channel, LinkError> {
        Channel::connect(&self.url, &self.prefix, self.heard.clone(), self.leading.clone()).await
    }

    async fn carry(&mut self, channel: &mut Channel, worked: &mut Worked) -> LinkError {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listens = false;
        let (mut answered, mut led_at) = (Instant::now(), None::<Instant>);
        loop {
            let leads = *self.leads.borrow_and_update();
            let done = if leads == listens {
                listens = !leads;
                if listens { channel.subscribe().await } else { channel.unsubscribe().await }
            } else {
                tokio::select! {
                    biased;
                    relayed = self.told.recv() => match relayed {
                        Some(relayed) => {
                            self.at = Some(relayed.announced());
                            // Who follows has nothing to say that the others do not know.
                            match relayed {
                                Relayed::Tick { .. } => publish(channel, &relayed).await,
                                Relayed::At { .. } if leads => publish(channel, &relayed).await,
                                Relayed::At { .. } => continue,
                            }
                        }
                        // The follower is gone; so will be this task.
                        None => pending().await,
                    },
                    error = channel.closed() => Err(error),
                    _ = self.leads.changed() => continue,
                    Some(led) = self.led.recv() => {
                        if let Some(own) = self.at.as_ref().map(Relayed::epoch) {
                            self.neighbours.hear(led, own);
                        }
                        Ok(())
                    }
                    _ = beat.tick() => match &self.at {
                        Some(at) if leads && led_at.is_none_or(|said| said.elapsed() >= neighbours::EVERY) => {
                            led_at = Some(Instant::now());
                            match channel.lead(at.epoch()).await {
                                Ok(()) => channel.publish(&at.encode()).await,
                                failed => failed,
                            }
                        }
                        Some(at) if leads => channel.publish(&at.encode()).await,
                        _ if answered.elapsed() >= PING_EVERY => channel.ping().await,
                        _ => continue,
                    },
                }
            };
            if let Err(error) = done {
                return error;
            }
            answered = Instant::now();
            worked.did();
            let alone = !self.neighbours.are_there();
            self.redis.set(if alone { State::Ready } else { State::Degraded(NEIGHBOURS.to_owned()) });
        }
    }

    async fn lost(&mut self, error: LinkError, _: bool) {
        // Which logs each reason once.
        let cause = chain(&error);
        let (cause, until) = (cause.trim_end_matches('.'), error.until());
        self.redis.set(State::Degraded(format!("{cause}; changes are read from PostgreSQL {until}")));
    }

    /// The others read it where it stands.
    async fn meanwhile(&mut self) -> Infallible {
        while let Some(relayed) = self.told.recv().await {
            self.at = Some(relayed.announced());
        }
        pending().await
    }
}

async fn publish(channel: &mut Channel, relayed: &Relayed) -> Result<(), LinkError> {
    let message = relayed.encode();
    channel.publish(&message).await?;
    metrics::counter!("curia_relay_sent_total", "outcome" => "sent").increment(1);
    metrics::counter!("curia_relay_sent_bytes_total").increment(message.len() as u64);
    Ok(())
}
