//! The sessions of each user over all nodes, `{prefix}user_session:{userId}`: a sorted set with an entry for each connection, by the time
//! up to which it is taken to last. An entry names community, device, node, and when it began; never what a client could be addressed by.
//!
//! Invariants:
//! - the limit is decided in one step there, by its clock; an entry runs out [`LEASE`] after the node that has it was last heard of;
//! - nobody waits longer than [`ANSWER_WITHIN`], and nobody at all while Redis is away: then each node counts for itself;
//! - what is open here is written again after Redis was away, whatever it has lost;
//! - what waits is bounded by the number of connections: of each it is said once that it opens and once that it closes.
//!
//! One task keeps the way there ([`keep`]).

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::{pending, ready},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use chrono::{SecondsFormat, Utc};
use redis::{RedisError, cmd};
use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    keeper::{Here, Kept, Worked, keep},
    key::{part_of, short},
    link::{Link, LinkError, is_foreign},
    question::{Question, Script},
    url::RedisUrl,
};
use crate::{
    actor::Actor,
    ids::{NodeId, UserId},
    ports::{Opening, Sessions, TooManySessions},
};

/// How long a connection may wait for Redis.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// An entry lasts for so long without being renewed.
pub const LEASE: Duration = Duration::from_secs(30);
/// Each entry is renewed once in so many beats.
const PARTS: usize = 12;
const BEAT: Duration = Duration::from_secs(1);
/// Questions of one round.
const AT_ONCE: usize = 128;

/// See the module.
pub struct SharedSessions {
    node: NodeId,
    most: Option<u32>,
    next: AtomicU64,
    asks: mpsc::UnboundedSender<Ask>,
    here: Here,
}

/// Keeps the connection of [`SharedSessions`].
pub struct Keeper {
    url: RedisUrl,
    prefix: String,
    most: Option<u32>,
    script: Script,
    asked: mpsc::UnboundedReceiver<Ask>,
    here: Here,
    open: BTreeMap<UserId, BTreeSet<String>>,
    /// Whether it was said that somebody else's key is in the way.
    told: bool,
}

enum Ask {
    Open { user: UserId, session: String, reply: oneshot::Sender<Result<(), TooManySessions>> },
    Close { user: UserId, session: String },
}

/// One session, closed when dropped.
struct Held {
    of: Option<(UserId, String)>,
    asks: mpsc::UnboundedSender<Ask>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((user, session)) = self.of.take() {
            // Without a keeper the node is ending, and the entry runs out.
            let _ = self.asks.send(Ask::Close { user, session });
        }
    }
}

impl SharedSessions {
    /// Sessions of this node below `prefix`, at most so many of a user on all nodes; the keeper is to be run.
    pub fn new(url: RedisUrl, prefix: String, node: NodeId, most: Option<u32>) -> (Self, Keeper) {
        let (asks, asked) = mpsc::unbounded_channel();
        let here = Here::new(None);
        let script = Script::new(include_str!("sessions.lua"));
        let (open, told) = (BTreeMap::new(), false);
        let keeper = Keeper { url, prefix, most, script, asked, here: here.clone(), open, told };
        (Self { node, most, next: AtomicU64::new(1), asks, here }, keeper)
    }

    fn entry(&self, actor: &Actor) -> String {
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        let since = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let (community, device, node) = (&actor.community, &actor.device, self.node.to_string());
        json!({"communityId": community, "device": device, "node": node, "connection": connection, "since": since})
            .to_string()
    }
}

impl Sessions for SharedSessions {
    fn open(&self, actor: &Actor) -> Opening {
        let (user, session) = (actor.user.clone(), self.entry(actor));
        let (reply, answer) = oneshot::channel();
        let held = Held { of: Some((user.clone(), session.clone())), asks: self.asks.clone() };
        // Without a keeper the node is ending.
        let _ = self.asks.send(Ask::Open { user, session, reply });
        if self.most.is_none() || !self.here.is() {
            return Box::pin(ready(Ok(Some(Box::new(held) as Box<dyn Any + Send + Sync>))));
        }
        Box::pin(async move {
            match timeout(ANSWER_WITHIN, answer).await {
                Ok(Ok(Err(too_many))) => Err(too_many),
                // This node has counted it.
                Ok(Ok(Ok(())) | Err(_)) | Err(_) => Ok(Some(Box::new(held) as Box<dyn Any + Send + Sync>)),
            }
        })
    }
}

impl Keeper {
    /// Works until told to stop; then takes back what is open here.
    pub async fn run(self, shutdown: CancellationToken) {
        keep(self, shutdown).await;
    }

    async fn carried(&mut self, link: &mut Link, worked: &mut Worked) -> Result<Infallible, LinkError> {
        self.renew(link, 0, 1).await?;
        let _here = self.here.begin();
        worked.did();
        let (mut beat, mut beats, mut asks) = (interval(BEAT), 0, Vec::with_capacity(AT_ONCE));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    beats += 1;
                    self.renew(link, beats % PARTS, PARTS).await?;
                }
                count = self.asked.recv_many(&mut asks, AT_ONCE) => {
                    if count == 0 {
                        // Nobody is left to ask.
                        pending::<()>().await;
                    }
                    self.round(link, &mut asks).await?;
                }
            }
        }
    }

    async fn round(&mut self, link: &mut Link, asks: &mut Vec<Ask>) -> Result<(), LinkError> {
        let questions: Vec<Question> = asks.iter().map(|ask| self.question(ask)).collect();
        for ask in asks.iter() {
            if let Ask::Open { user, session, .. } = ask {
                // Should this be the last round, its answer is not waited for.
                self.open.entry(user.clone()).or_default().insert(session.clone());
            }
        }
        // Where a Cluster hears them in another order, an entry that was closed before it opened runs out.
        let answers = match link.ask_each::<i64>(&questions).await {
            Ok(answers) => answers,
            Err(error) => {
                asks.drain(..).for_each(|ask| self.note(ask));
                return Err(error);
            }
        };
        let mut useless = None;
        for (ask, answer) in asks.drain(..).zip(answers) {
            match (ask, answer) {
                (Ask::Open { user, session, reply }, Ok(0)) => {
                    metrics::counter!("curia_connections_refused_total", "by" => "user").increment(1);
                    // Who does not wait any longer was let in, and is counted as soon as his entry is renewed.
                    if reply.send(Err(TooManySessions(self.most.unwrap_or_default()))).is_ok() {
                        self.forget(&user, &session);
                    }
                }
                (ask, answer) => {
                    let of_all = answer.err().and_then(|error| self.of_all(link, error));
                    useless = useless.or(of_all);
                    self.note(ask);
                }
            }
        }
        useless.map_or(Ok(()), Err)
    }

    fn question(&self, ask: &Ask) -> Question {
        match ask {
            Ask::Open { user, session, .. } => {
                self.script.on(&self.key(user)).arg(self.most.unwrap_or(0)).arg(millis(LEASE)).arg(session)
            }
            Ask::Close { user, session } => Question::from(cmd("ZREM").arg(self.key(user)).arg(session).to_owned()),
        }
    }

    /// Renews a part of what is open here.
    async fn renew(&mut self, link: &mut Link, part: usize, of: usize) -> Result<(), LinkError> {
        let renew = |(user, sessions): (&UserId, &BTreeSet<String>)| {
            let question = self.script.on(&self.key(user)).arg(0).arg(millis(LEASE));
            sessions.iter().fold(question, |question, session| question.arg(session))
        };
        let of_part = self.open.iter().filter(|(user, _)| part_of(user.as_str(), of) == part);
        let questions: Vec<Question> = of_part.map(renew).collect();
        for questions in questions.chunks(AT_ONCE) {
            for answer in link.ask_each::<i64>(questions).await? {
                if let Some(error) = answer.err().and_then(|error| self.of_all(link, error)) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, ask: Ask) {
        match ask {
            Ask::Open { user, session, reply } => {
                self.open.entry(user).or_default().insert(session);
                // As above.
                let _ = reply.send(Ok(()));
            }
            Ask::Close { user, session } => self.forget(&user, &session),
        }
    }

    fn forget(&mut self, user: &UserId, session: &str) {
        if let Some(sessions) = self.open.get_mut(user) {
            sessions.remove(session);
            if sessions.is_empty() {
                self.open.remove(user);
            }
        }
    }

    /// What an error says of all, if it does: else one user alone is counted on each node for itself. That somebody else's key is in his
    /// way is said once.
    fn of_all(&mut self, link: &Link, error: RedisError) -> Option<LinkError> {
        match link.of_one(error) {
            Err(error) => Some(error),
            Ok(error) => {
                if is_foreign(&error) && !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(
                        %error,
                        prefix = self.prefix,
                        "what stands in Redis as a user's sessions was written by none of our nodes, so he is counted on each node for itself; does somebody else use this prefix?"
                    );
                }
                None
            }
        }
    }

    fn key(&self, user: &UserId) -> String {
        format!("{}user_session:{}", self.prefix, short(user.as_str()))
    }
}

impl Kept for Keeper {
    type Way = Link;
    type Error = LinkError;

    const BACK: Option<&'static str> = Some("Redis is back: connections of a user are counted over all nodes again");

    async fn connect(&mut self) -> Result<Link, LinkError> {
        Link::connect(&self.url, ANSWER_WITHIN).await
    }

    async fn carry(&mut self, link: &mut Link, worked: &mut Worked) -> LinkError {
        match self.carried(link, worked).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn lost(&mut self, error: LinkError, log: bool) {
        if log {
            tracing::warn!(
                error = error.with_causes(),
                "connections of a user are counted on each node for itself until Redis is back"
            );
        }
    }

    /// This node has counted whoever comes.
    async fn meanwhile(&mut self) -> Infallible {
        while let Some(ask) = self.asked.recv().await {
            self.note(ask);
        }
        pending().await
    }

    /// The node ends: its users' places are free at once. What can't be taken back in time runs out.
    async fn leave(&mut self, mut link: Link) {
        let close = |(user, sessions): (&UserId, &BTreeSet<String>)| {
            let sessions: Vec<&String> = sessions.iter().collect();
            Question::from(cmd("ZREM").arg(self.key(user)).arg(sessions).to_owned())
        };
        let questions: Vec<Question> = self.open.iter().map(close).collect();
        let closing = async {
            for questions in questions.chunks(AT_ONCE) {
                link.ask_each::<i64>(questions).await?;
            }
            Ok::<(), LinkError>(())
        };
        let _ = timeout(ANSWER_WITHIN, closing).await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
