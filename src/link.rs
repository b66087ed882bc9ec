//! One accepted connection, as everybody but its reader and writer sees it: who it is, what it carried, how to end it.
//!
//! Ending a connection must not need its cooperation. A peer that stops reading leaves the writer waiting on a flush that
//! nothing else can interrupt; [`Link::kill`] makes that wait fail. The stream itself is [`crate::http::stream::Accepted`].

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::Context,
};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

/// One accepted connection. It outlives its stream, so that what is asked of a connection already gone has an answer.
pub struct Link {
    peer: SocketAddr,
    read: AtomicU64,
    written: AtomicU64,
    killed: AtomicBool,
    /// With what the kernel still holds for the peer.
    discarded: AtomicBool,
    closed: AtomicBool,
    // A WebSocket is read and written by two tasks, each of which must be woken.
    reader: AtomicWaker,
    writer: AtomicWaker,
    changed: Notify,
}

impl Link {
    /// The link of a connection from `peer` that has carried nothing yet.
    pub fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            discarded: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            changed: Notify::new(),
        }
    }

    /// The other end of the TCP connection: a proxy, where one stands in front.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Bytes received from the peer so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes handed to the kernel so far; the peer need not have taken them.
    pub fn bytes_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Ends the connection: from now on each read and write fails, also one that is waiting already. What the kernel holds
    /// for the peer is thrown away.
    pub fn kill(&self) {
        self.discarded.store(true, Ordering::SeqCst);
        self.hang_up();
    }

    /// As [`Link::kill`], but what the kernel holds still goes to the peer, whom an orderly end follows.
    pub fn hang_up(&self) {
        // Before the wake-ups, so that whoever they wake sees it.
        self.killed.store(true, Ordering::SeqCst);
        self.reader.wake();
        self.writer.wake();
        self.changed.notify_waiters();
    }

    /// Whether [`Link::kill`] or [`Link::hang_up`] was called.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Whether [`Link::kill`] was called: nothing more is for the peer.
    pub(crate) fn is_discarded(&self) -> bool {
        self.discarded.load(Ordering::SeqCst)
    }

    /// Whether the stream is gone, for whatever reason.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Resolves once the connection is killed or hung up.
    pub async fn killed(&self) {
        self.reached(|| self.is_killed()).await;
    }

    /// Resolves once the stream is gone.
    pub async fn closed(&self) {
        self.reached(|| self.is_closed()).await;
    }

    /// Waits for a state that never reverts and whose change is notified.
    fn reached(&self, state: impl Fn() -> bool) -> impl Future<Output = ()> {
        // A `Notified` hears every notification from its creation on, so it is made before the state is read.
        let changed = self.changed.notified();
        async move {
            let mut changed = std::pin::pin!(changed);
            while !state() {
                changed.as_mut().await;
                changed.set(self.changed.notified());
            }
        }
    }

    pub(crate) fn count_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Remembers who waits to read; the caller looks at [`Link::is_killed`] afterwards, or a kill in between is missed.
    pub(crate) fn wake_reader(&self, cx: &Context<'_>) {
        self.reader.register(cx.waker());
    }

    /// As [`Link::wake_reader`], for the writer.
    pub(crate) fn wake_writer(&self, cx: &Context<'_>) {
        self.writer.register(cx.waker());
    }

    pub(crate) fn mark_closed(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer)
            .field("bytes_read", &self.bytes_read())
            .field("bytes_written", &self.bytes_written())
            .field("killed", &self.is_killed())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
