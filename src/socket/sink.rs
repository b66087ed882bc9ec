//! The only emit. A socket whose buffer is full is closed at once and is sent nothing more: it comes back with its cursor.
//!
//! Invariants: a member is here from before the dispatcher hears of it until it has left; a doomed one gets no frame after
//! the one it missed.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Serialize, Serializer, ser::SerializeTuple};
use socketioxide::{SendError, SocketError, extract::SocketRef};

use crate::{frame::Frame, ids::SocketKey, ports::EffectSink, socket::links::EngineSession};

/// After so many sockets others get a turn.
const SLICE: usize = 256;

/// The sockets of this node by key.
#[derive(Clone, Default)]
pub struct Members(Arc<RwLock<HashMap<SocketKey, Arc<Member>>>>);

pub(super) struct Member {
    socket: SocketRef,
    session: Option<Arc<EngineSession>>,
    doomed: AtomicBool,
}

impl Member {
    pub(super) fn new(socket: SocketRef, session: Option<Arc<EngineSession>>) -> Self {
        Self { socket, session, doomed: AtomicBool::new(false) }
    }

    /// Ends the connection without its cooperation, once.
    fn doom(&self) {
        if self.doomed.swap(true, Ordering::AcqRel) {
            return;
        }
        match &self.session {
            Some(session) => session.kill(),
            // Not served over our own stream: only the library's farewell is left.
            None => drop(self.socket.clone().disconnect()),
        }
    }
}

impl Members {
    pub(super) fn add(&self, key: SocketKey, member: Member) {
        self.write().insert(key, Arc::new(member));
    }

    pub(super) fn remove(&self, key: SocketKey) {
        self.write().remove(&key);
    }

    /// Ends a connection without its cooperation.
    pub(super) fn close(&self, key: SocketKey) {
        if let Some(member) = self.find(key) {
            member.doom();
        }
    }

    fn find(&self, key: SocketKey) -> Option<Arc<Member>> {
        self.read().get(&key).cloned()
    }

    // Each change is a single call: a panic elsewhere can't have left the map half changed.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<SocketKey, Arc<Member>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<SocketKey, Arc<Member>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the dispatcher emits through.
pub struct SocketSink(pub Members);

impl EffectSink for SocketSink {
    async fn emit(&self, to: &[SocketKey], frame: &Frame) {
        for slice in to.chunks(SLICE) {
            for key in slice {
                let Some(member) = self.0.find(*key) else { continue };
                if member.doomed.load(Ordering::Acquire) {
                    continue;
                }
                if let Err(SendError::Socket(SocketError::InternalChannelFull)) =
                    member.socket.emit(frame.event, &Arguments(frame))
                {
                    metrics::counter!("curia_sockets_closed_slow_total").increment(1);
                    member.doom();
                }
            }
            if to.len() > SLICE {
                tokio::task::yield_now().await;
            }
        }
    }

    fn close(&self, key: SocketKey) {
        self.0.close(key);
    }
}

/// The arguments of an event as the parser spreads them.
struct Arguments<'a>(&'a Frame);

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
