//! The only emit. A socket for which too much waits is closed at once and is sent nothing more: it comes back with its cursor.
//!
//! Invariants:
//! - a member is here from before the dispatcher hears of it until it has left;
//! - a doomed one gets no frame after the one it missed;
//! - what waits for a member is bounded in frames, by the library's buffer, and in bytes;
//! - once the members are shut whoever is added is sent away at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde::{Serialize, Serializer, ser::SerializeTuple};
use socketioxide::{SendError, SocketError, extract::SocketRef};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    contract::Empty,
    frame::{Frame, Text},
    ids::SocketKey,
    ports::EffectSink,
    socket::{guests::Held, handlers::Kept, links::EngineSession},
};

/// After so many sockets others get a turn.
const SLICE: usize = 256;
/// A count with its cursor takes more.
const SMALLEST_FRAME: u64 = 128;

/// What may wait for one socket before it is closed.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    pub bytes: u64,
    pub frames: usize,
}

/// The sockets of this node by key. Clones share them.
#[derive(Clone)]
pub struct Members(Arc<Present>);

struct Present {
    sockets: RwLock<HashMap<SocketKey, Arc<Member>>>,
    max_pending: Pending,
    shut: CancellationToken,
    left: Notify,
    /// Found once: by its name it would be looked up for each frame of a replay.
    delivered: metrics::Counter,
}

pub(super) struct Member {
    socket: SocketRef,
    session: Option<Arc<EngineSession>>,
    /// Ends with it, but for its places.
    kept: Arc<Kept>,
    doomed: AtomicBool,
    /// Its session took a frame no longer.
    gone: AtomicBool,
    /// Where [`EngineSession::taken`] is at least when all that was emitted has been taken.
    due: AtomicU64,
}

impl Member {
    pub(super) fn new(socket: SocketRef, session: Option<Arc<EngineSession>>, kept: Arc<Kept>) -> Self {
        Self {
            socket,
            session,
            kept,
            doomed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            due: AtomicU64::new(0),
        }
    }

    /// Queues a frame, and says whether it did; a member that can't take it is doomed.
    fn send(&self, frame: &Frame, max_pending: Pending) -> bool {
        if self.doomed.load(Ordering::Acquire) {
            return false;
        }
        let Some(text) = frame.text() else { return false };
        let too_much = if self.overflows(bytes(frame.name(), text), max_pending.bytes) {
            "bytes"
        } else {
            match self.socket.emit(frame.name(), &Arguments(text)) {
                Err(SendError::Socket(SocketError::InternalChannelFull)) => "frames",
                Err(SendError::Socket(SocketError::Closed)) => {
                    self.gone.store(true, Ordering::Release);
                    return false;
                }
                Err(_) => return false,
                Ok(()) => return true,
            }
        };
        metrics::counter!("curia_sockets_closed_slow_total", "waiting" => too_much).increment(1);
        tracing::debug!(what = too_much, "closed a socket for which too much waits");
        self.doom(EngineSession::kill);
        false
    }

    /// Counts a frame as waiting, unless more would wait then than may. One frame alone may be of any size.
    ///
    /// Reckoned low, so that nobody is closed by mistake: without the protocols' own bytes, and what was taken beside the
    /// frames (answers, pings) counts as taken of them. It is right again whenever nothing waits.
    fn overflows(&self, bytes: u64, max_pending: u64) -> bool {
        let Some(session) = &self.session else { return false };
        let taken = session.taken();
        let due = self.due.fetch_max(taken, Ordering::Relaxed).max(taken);
        let overflows = due > taken && due - taken + bytes > max_pending;
        if !overflows {
            self.due.fetch_add(bytes, Ordering::Relaxed);
        }
        overflows
    }

    /// Whether so much may be queued at once. Half of what may wait is left for what is told meanwhile; frames that wait are reckoned
    /// from their bytes, as small as they can be.
    fn takes(&self, frames: usize, bytes: usize, max_pending: Pending) -> bool {
        let Some(session) = &self.session else { return true };
        let waiting = self.due.load(Ordering::Relaxed).saturating_sub(session.taken());
        let frames = frames as u64 + waiting / SMALLEST_FRAME;
        waiting + bytes as u64 <= max_pending.bytes / 2 && frames <= max_pending.frames as u64 / 2
    }

    /// What may outlast it: its session, and the places that are held for that.
    pub(super) fn leave(&self) -> (Option<&Arc<EngineSession>>, Arc<Held>) {
        (self.session.as_ref(), Arc::clone(&self.kept.held))
    }

    /// Nothing is sent behind it.
    fn expire(&self) {
        if self.doomed.swap(true, Ordering::AcqRel) {
            return;
        }
        let told = self.socket.emit("session:expired", &Empty {}).is_ok();
        // Where the library's buffer is full neither gets in.
        let gone = self.socket.clone().disconnect().is_ok() && told;
        if let (false, Some(session)) = (gone, &self.session) {
            session.kill();
        }
    }

    /// Ends the connection without its cooperation, once, so that the client comes back by itself.
    fn doom(&self, end: impl FnOnce(&EngineSession)) {
        if self.doomed.swap(true, Ordering::AcqRel) {
            return;
        }
        match &self.session {
            Some(session) => end(session),
            // Not served over our own stream: only the library's farewell is left.
            None => drop(self.socket.clone().disconnect()),
        }
    }
}

impl Members {
    /// Nobody yet. A socket for which more than `max_pending` waits is closed.
    pub fn new(max_pending: Pending) -> Self {
        let (sockets, shut, left) = (RwLock::default(), CancellationToken::new(), Notify::new());
        let delivered = metrics::counter!("curia_events_delivered_total");
        Self(Arc::new(Present { sockets, max_pending, shut, left, delivered }))
    }

    /// From now on no session is opened, and whoever was on his way in is sent away. Those who are here stay; their keys,
    /// who came first foremost.
    pub fn shut(&self) -> Vec<SocketKey> {
        // Before the look: whoever is added after it finds the door shut.
        self.0.shut.cancel();
        let mut keys: Vec<SocketKey> = self.read().keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Queues a frame for one, as [`EffectSink::emit`] does.
    pub fn tell(&self, key: SocketKey, frame: &Frame) {
        self.tell_each(&[key], frame);
    }

    fn tell_each(&self, to: &[SocketKey], frame: &Frame) {
        let max_pending = self.0.max_pending;
        let took = |key: &&SocketKey| self.find(**key).is_some_and(|member| member.send(frame, max_pending));
        self.0.delivered.increment(to.iter().filter(took).count() as u64);
    }

    /// Ends a connection behind what was written to it, without its cooperation. The client comes back by itself.
    pub fn hang_up(&self, key: SocketKey) {
        if let Some(member) = self.find(key) {
            member.doom(EngineSession::hang_up);
        }
    }

    /// Resolves once there is nobody.
    pub async fn empty(&self) {
        loop {
            let left = self.0.left.notified();
            if self.read().is_empty() {
                return;
            }
            left.await;
        }
    }

    /// How many are here.
    pub fn count(&self) -> usize {
        self.read().len()
    }

    /// How many frames the library is to keep for one.
    pub(super) fn frames(&self) -> usize {
        self.0.max_pending.frames
    }

    /// Cancelled once the members are shut.
    pub(super) fn is_shut(&self) -> &CancellationToken {
        &self.0.shut
    }

    pub(super) fn add(&self, key: SocketKey, member: Member) {
        let member = Arc::new(member);
        let count = {
            let mut sockets = self.write();
            sockets.insert(key, Arc::clone(&member));
            sockets.len()
        };
        metrics::gauge!("curia_sockets").set(count as f64);
        if self.0.shut.is_cancelled() {
            member.doom(EngineSession::hang_up);
        }
    }

    /// Whoever was there until now.
    pub(super) fn remove(&self, key: SocketKey) -> Option<Arc<Member>> {
        let (member, count) = {
            let mut sockets = self.write();
            (sockets.remove(&key), sockets.len())
        };
        metrics::gauge!("curia_sockets").set(count as f64);
        self.0.left.notify_waiters();
        member
    }

    /// Whether it has left, or its session has ended as far as frames tell.
    pub(super) fn is_gone(&self, key: SocketKey) -> bool {
        self.find(key).is_none_or(|member| member.gone.load(Ordering::Acquire))
    }

    /// Ends a session for good: it is told so, with the server's own farewell behind it, after which the official client waits for its
    /// page to connect with another token.
    pub(super) fn expire(&self, key: SocketKey) {
        if let Some(member) = self.find(key) {
            member.expire();
        }
    }

    /// Ends a connection without its cooperation.
    pub(super) fn close(&self, key: SocketKey) {
        if let Some(member) = self.find(key) {
            member.doom(EngineSession::kill);
        }
    }

    /// As [`EffectSink::takes`]; one that is gone takes anything.
    fn takes(&self, key: SocketKey, frames: usize, bytes: usize) -> bool {
        self.find(key).is_none_or(|member| member.takes(frames, bytes, self.0.max_pending))
    }

    /// As [`EffectSink::waiting`].
    fn waiting(&self, key: SocketKey) -> Option<u64> {
        let member = self.find(key)?;
        let session = member.session.as_ref()?;
        Some(member.due.load(Ordering::Relaxed).saturating_sub(session.taken()))
    }

    fn find(&self, key: SocketKey) -> Option<Arc<Member>> {
        self.read().get(&key).cloned()
    }

    // Each change is a single call: a panic elsewhere can't have left the map half changed.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<SocketKey, Arc<Member>>> {
        self.0.sockets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<SocketKey, Arc<Member>>> {
        self.0.sockets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the dispatcher emits through.
pub struct SocketSink(pub Members);

impl EffectSink for SocketSink {
    async fn emit(&self, to: &[SocketKey], frame: &Frame) {
        for slice in to.chunks(SLICE) {
            self.0.tell_each(slice, frame);
            if to.len() > SLICE {
                tokio::task::yield_now().await;
            }
        }
    }

    fn takes(&self, key: SocketKey, frames: usize, bytes: usize) -> bool {
        self.0.takes(key, frames, bytes)
    }

    fn waiting(&self, key: SocketKey) -> Option<u64> {
        self.0.waiting(key)
    }

    fn expire(&self, key: SocketKey) {
        self.0.expire(key);
    }

    fn close(&self, key: SocketKey) {
        self.0.close(key);
    }
}

/// What a frame says, without the protocols around it.
fn bytes(name: &str, text: &Text) -> u64 {
    (name.len() + text.size()) as u64
}

/// The arguments of an event as the parser spreads them.
struct Arguments<'a>(&'a Text);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let meta = self.0.meta.as_deref();
        let mut arguments = serializer.serialize_tuple(1 + usize::from(meta.is_some()))?;
        arguments.serialize_element(&*self.0.payload)?;
        if let Some(meta) = meta {
            arguments.serialize_element(meta)?;
        }
        arguments.end()
    }
}
