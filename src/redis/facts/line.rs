//! The way on which facts are asked for and kept.
//!
//! Invariants:
//! - whoever asks waits no longer than [`WAITED_FOR`], and not at all while Redis is away; what is to be kept is waited for by nobody;
//! - a round that is not answered within [`ANSWER_WITHIN`] ends the connection;
//! - what is asked and kept at one moment goes together in one round; what does not fit the queue is not asked, or not kept;
//! - an answer is of bounded size, whatever stands there;
//! - what this node wrote for a socket is withdrawn behind the tick that makes it wrong ([`written`](super::written)), some in each round
//!   beside what is asked; while Redis is away it waits, until it has run out.
//!
//! One task keeps the way there ([`keep`]).

use std::{convert::Infallible, sync::Arc, time::Duration};

use redis::{RedisResult, Value};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    kept::STAMP,
    written::{Feed, Written},
};
use crate::{
    dispatch::Reached,
    ids::SocketKey,
    redis::{
        keeper::{Asked, Here, Kept, Worked, keep},
        link::{Link, LinkError},
        question::{Question, Script},
        url::RedisUrl,
    },
    versions::Versions,
};

/// How long a question waits for Redis; then the database is asked, which answers in a fraction of that.
pub const WAITED_FOR: Duration = Duration::from_millis(50);
/// Then Redis is taken to be away.
const ANSWER_WITHIN: Duration = Duration::from_millis(150);
/// So long something is kept. That it still holds is seen by its position: this only clears up behind what nobody asks for.
pub const KEPT_FOR: Duration = Duration::from_secs(600);
/// Bytes of one thing that is kept: some thousand boards of a community.
pub const LARGEST: usize = 256 << 10;
/// Questions, and things to be kept, that wait.
const WAITING: usize = 1_024;
/// Of one round.
const AT_ONCE: usize = 64;
/// Keys of one question.
pub const MOST_KEYS: usize = 1_000;

/// A hash that is asked for.
#[derive(Debug)]
pub struct Wanted {
    pub key: String,
    /// [`STAMP`] follows them.
    pub fields: &'static [&'static str],
}

/// What stands under a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Redis gave no answer.
    Away,
    Nothing,
    /// Something that no node writes.
    Odd,
    /// Of the fields and of [`STAMP`].
    Values(Vec<Option<Vec<u8>>>),
}

/// What is to be kept.
#[derive(Debug)]
pub struct Keep {
    pub key: String,
    pub fields: &'static [&'static str],
    /// Of these fields and of [`STAMP`].
    pub values: Vec<String>,
    /// The seal of what is there and no node's, if something is.
    pub instead_of: String,
    /// For which socket, where it is withdrawn when it is wrong.
    pub feed: Option<Feed>,
}

/// Asks; the keeper answers.
#[derive(Debug)]
pub struct Line {
    prefix: String,
    asks: mpsc::Sender<Ask>,
    here: Here,
}

/// Keeps the connection of a [`Line`].
pub struct Keeper {
    url: RedisUrl,
    find: Script,
    keep: Script,
    withdraw: Script,
    asked: Asked<Ask>,
    /// Moves when something has been told.
    reached: watch::Receiver<Reached>,
    written: Written,
    here: Here,
    /// Whether it was said that something is refused.
    told: bool,
}

#[derive(Debug)]
enum Ask {
    Find { wanted: Vec<Wanted>, reply: oneshot::Sender<Vec<Found>> },
    Keep(Keep),
    Withdraw(SocketKey),
}

impl Line {
    /// Keys below `prefix`; the keeper is to be run.
    pub fn new(
        url: RedisUrl,
        prefix: String,
        versions: Arc<Versions>,
        reached: watch::Receiver<Reached>,
    ) -> (Self, Keeper) {
        let (asks, asked) = Asked::new(WAITING);
        let here = Here::new(Some("curia_facts_shared"));
        let (find, keep) = (Script::new(include_str!("find.lua")), Script::new(include_str!("keep.lua")));
        let (withdraw, written) = (Script::new(include_str!("withdraw.lua")), Written::new(versions));
        let here_too = here.clone();
        let keeper = Keeper { url, find, keep, withdraw, asked, reached, written, here: here_too, told: false };
        (Self { prefix, asks, here }, keeper)
    }

    /// Whether Redis is asked at the moment.
    pub fn is_here(&self) -> bool {
        self.here.is()
    }

    /// What stands there, for each in its order. Cancelling is safe.
    pub async fn find(&self, mut wanted: Vec<Wanted>) -> Vec<Found> {
        let away = || std::iter::repeat_with(|| Found::Away);
        let count = wanted.len();
        if !self.is_here() || count == 0 || count > MOST_KEYS {
            return away().take(count).collect();
        }
        for Wanted { key, .. } in &mut wanted {
            key.insert_str(0, &self.prefix);
        }
        let (reply, answer) = oneshot::channel();
        // What is not asked is answered below: its other end is gone.
        let _ = self.asks.try_send(Ask::Find { wanted, reply });
        let found = timeout(WAITED_FOR, answer).await.ok().and_then(Result::ok).unwrap_or_default();
        found.into_iter().chain(away()).take(count).collect()
    }

    /// Keeps it, if it can be done without waiting.
    pub fn keep(&self, mut keep: Keep) {
        if self.is_here() && keep.values.iter().map(String::len).sum::<usize>() <= LARGEST {
            keep.key.insert_str(0, &self.prefix);
            // Else it is read in the database once more.
            let _ = self.asks.try_send(Ask::Keep(keep));
        }
    }

    /// Withdraws what was kept for the socket, without waiting.
    pub fn withdraw(&self, socket: SocketKey) {
        // Else it is withdrawn with the next change of rights, or runs out.
        let _ = self.asks.try_send(Ask::Withdraw(socket));
    }
}

impl Keeper {
    /// Works until told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        keep(self, shutdown).await;
    }

    /// Withdraws some of what is wrong, answers a round of what was asked, and keeps what is to be kept. Whether Redis was asked.
    async fn round(&mut self, link: &mut Link, asks: &mut Vec<Ask>) -> Result<bool, LinkError> {
        // Before anything is noted: what is written in this round is found wrong in a later one.
        let wrong = self.written.wrong(AT_ONCE);
        let mut questions: Vec<Question> = wrong.map(|list| self.withdraw.on(&list.key).arg(&list.seal)).collect();
        let withdrawn = questions.len();
        asks.retain(|ask| self.is_due(ask));
        questions.extend(asks.iter().flat_map(|ask| self.questions(ask)));
        if questions.is_empty() {
            return Ok(false);
        }
        let mut answers = link.ask_each::<Value>(&questions).await?.into_iter();
        self.written.withdrew(withdrawn);
        for error in answers.by_ref().take(withdrawn).filter_map(Result::err) {
            self.refused(&error);
        }
        for ask in asks.drain(..) {
            match ask {
                Ask::Find { wanted, reply } => {
                    let found = answers.by_ref().take(wanted.len()).map(|answer| self.found(answer)).collect();
                    // As above.
                    let _ = reply.send(found);
                }
                Ask::Keep(_) => {
                    if let Some(Err(error)) = answers.next() {
                        self.refused(&error);
                    }
                }
                Ask::Withdraw(_) => {}
            }
        }
        Ok(true)
    }

    /// Whether Redis is to be asked for it.
    fn is_due(&mut self, ask: &Ask) -> bool {
        match ask {
            // Who does not wait any longer has asked the database.
            Ask::Find { reply, .. } => !reply.is_closed(),
            Ask::Keep(Keep { key, values, feed, .. }) => {
                let seal = values.last().map_or("", String::as_str);
                feed.as_ref().is_none_or(|feed| self.written.note(feed, key, seal))
            }
            Ask::Withdraw(socket) => {
                self.written.withdraw(*socket);
                false
            }
        }
    }

    fn questions(&self, ask: &Ask) -> Vec<Question> {
        match ask {
            Ask::Find { wanted, .. } => {
                let find = |wanted: &Wanted| self.find.on(&wanted.key).arg(LARGEST).arg(wanted.fields).arg(&STAMP[..]);
                wanted.iter().map(find).collect()
            }
            Ask::Keep(Keep { key, fields, values, instead_of, .. }) => {
                let kept_for = u64::try_from(KEPT_FOR.as_millis()).unwrap_or(u64::MAX);
                // Of the stamp: epoch, and the tick up to which it holds.
                let [.., epoch, _, at, _] = values.as_slice() else { return Vec::new() };
                let question = self.keep.on(key).arg(kept_for).arg(epoch).arg(at).arg(instead_of);
                let fields = fields.iter().chain(&STAMP).zip(values);
                vec![fields.fold(question, |question, (field, value)| question.arg(*field).arg(value))]
            }
            Ask::Withdraw(_) => Vec::new(),
        }
    }

    fn found(&mut self, answer: RedisResult<Value>) -> Found {
        match answer {
            Ok(answer) => found(answer),
            Err(error) => {
                self.refused(&error);
                Found::Away
            }
        }
    }

    /// A replica that can't be written to, a memory that is full: the other questions are answered nevertheless.
    fn refused(&mut self, error: &redis::RedisError) {
        metrics::counter!("curia_facts_refused_total").increment(1);
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(%error, "Redis refuses to keep or to give what nodes know of rights; the database is asked");
        }
    }
}

impl Kept for Keeper {
    type Way = Link;
    type Error = LinkError;

    const BACK: Option<&'static str> =
        Some("Redis is back: what one node reads of rights is taken by the others again");

    async fn connect(&mut self) -> Result<Link, LinkError> {
        Link::connect(&self.url, ANSWER_WITHIN).await
    }

    async fn carry(&mut self, link: &mut Link, worked: &mut Worked) -> LinkError {
        let _here = self.here.begin();
        let mut asks = Vec::with_capacity(AT_ONCE);
        loop {
            tokio::select! {
                biased;
                () = self.asked.round(&mut asks, AT_ONCE) => {}
                () = async {}, if self.written.is_left() => {}
                Ok(()) = self.reached.changed() => {}
            }
            match self.round(link, &mut asks).await {
                Ok(true) => worked.did(),
                Ok(false) => {}
                Err(error) => return error,
            }
        }
    }

    async fn lost(&mut self, error: LinkError, log: bool) {
        if log {
            tracing::warn!(
                error = error.with_causes(),
                "each node asks the database for what others know of rights until Redis is back"
            );
        }
    }

    /// Whoever asks hears at once that there is no answer.
    async fn meanwhile(&mut self) -> Infallible {
        let written = &mut self.written;
        let refused = |ask| {
            if let Ask::Withdraw(socket) = ask {
                written.withdraw(socket);
            }
        };
        self.asked.refuse(refused).await
    }
}

/// An answer of `find.lua`.
fn found(answer: Value) -> Found {
    let text = |value| match value {
        Value::BulkString(text) => Some(text),
        _ => None,
    };
    match answer {
        Value::Nil => Found::Nothing,
        Value::Array(values) => Found::Values(values.into_iter().map(text).collect()),
        _ => Found::Odd,
    }
}
