//! The tasks of sockets: one that serves it as long as it is there, one that sees it off where its connection stays.
//!
//! Invariants:
//! - each ends with the service, which does not end before them;
//! - one that panics is named in the log and counted, and drops what it held: its socket is closed, its places are given back. The others go
//!   on: what one client sent must not end the rest.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Their owner. Clones own the same.
#[derive(Clone)]
pub struct SocketTasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl SocketTasks {
    /// None yet; they end with `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), shutdown }
    }

    /// Resolves when the service ends and with it the last of them.
    pub async fn run(self) {
        self.shutdown.cancelled().await;
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Runs a task to its end, or to that of the service. It is dropped in any case before anybody hears of its end.
    pub(super) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move {
            let task = AssertUnwindSafe(shutdown.run_until_cancelled_owned(task));
            if task.catch_unwind().await.is_err() {
                panicked(name);
            }
        });
    }
}

/// Names what panicked; whoever calls it closes the socket.
pub(super) fn panicked(task: &'static str) {
    metrics::counter!("curia_socket_tasks_panicked_total").increment(1);
    tracing::error!(task, "a socket's task panicked: this is a mistake of the server; its socket is closed");
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_service_ends_behind_the_last_of_its_sockets_tasks() {
        let tasks = SocketTasks::new(CancellationToken::new());
        let (held, dropped) = oneshot::channel::<()>();
        tasks.spawn("waiting", async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        tasks.shutdown.cancel();
        tasks.clone().run().await;
        assert!(dropped.await.is_err(), "what it held is dropped with it");
        // One that comes late ends too.
        tasks.spawn("late", std::future::pending());
        tasks.run().await;
    }

    #[tokio::test]
    async fn one_that_panics_drops_what_it_held_and_leaves_the_others_alone() {
        let tasks = SocketTasks::new(CancellationToken::new());
        let (held, dropped) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        tasks.spawn("broken", async move {
            let _held = held;
            panic!("on purpose");
        });
        assert!(dropped.await.is_err());
        tasks.spawn("other", async move { done.send(()).expect("somebody who waits") });
        is_done.await.expect("a task that runs");
        tasks.shutdown.cancel();
        tasks.run().await;
    }
}
