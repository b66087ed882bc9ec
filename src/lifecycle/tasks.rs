//! The tasks of a service. A service without one of them would go on in silence, so none dies alone.
//!
//! Invariant: whichever task ends before it was told to, by a panic or otherwise, its name is logged and everything is told to end.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// See the module.
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    died: Arc<OnceLock<&'static str>>,
}

impl Tasks {
    /// None yet; `stop` is what they are told to end by, and what ends everybody when one dies.
    pub fn new(stop: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), stop, died: Arc::default() }
    }

    /// Runs a task until it has heeded `stop`.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, died) = (self.stop.clone(), Arc::clone(&self.died));
        self.tracker.spawn(async move {
            // What the task held is dropped with it: nobody sees it half changed.
            let panicked = AssertUnwindSafe(task).catch_unwind().await.is_err();
            if panicked || !stop.is_cancelled() {
                tracing::error!(
                    task = name,
                    panicked,
                    "a task ended before it was told to, and the service ends with it"
                );
                // The first is the cause of the others.
                let _ = died.set(name);
                stop.cancel();
            }
        });
    }

    /// Waits until all have ended; names the first that ended before it was told to.
    pub async fn ended(&self) -> Option<&'static str> {
        self.tracker.close();
        self.tracker.wait().await;
        self.died()
    }

    /// The first that ended before it was told to.
    pub fn died(&self) -> Option<&'static str> {
        self.died.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_ends_the_others_and_is_named() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("waiting", tasks.stop.clone().cancelled_owned());
        tasks.spawn("broken", async { panic!("on purpose") });
        assert_eq!(tasks.ended().await, Some("broken"));
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_ends_the_others_and_is_named() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("waiting", tasks.stop.clone().cancelled_owned());
        tasks.spawn("tired", async {});
        assert_eq!(tasks.ended().await, Some("tired"));
    }

    #[tokio::test]
    async fn whoever_ends_when_told_to_is_not_named() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("waiting", tasks.stop.clone().cancelled_owned());
        tasks.stop.cancel();
        assert_eq!(tasks.ended().await, None);
    }
}
