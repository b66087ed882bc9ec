//! Whether this process should be sent traffic, put together from what each of its parts says of itself.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use tokio::sync::watch;

/// How one part is doing.
///
/// The reasons are shown to whoever asks `/readyz`: they hold no secret and no address that isn't public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It works.
    Ready,
    /// It works in a lesser way, and traffic is still welcome.
    Degraded(String),
    /// Traffic should go elsewhere.
    NotReady(String),
}

/// What `/readyz` answers from. Clones share one state.
#[derive(Clone, Default)]
pub struct Readiness {
    degraded: Arc<watch::Sender<BTreeMap<&'static str, Entry>>>,
}

/// A part's own entry in [`Readiness`]; nobody else can change it.
pub struct Component {
    what: &'static str,
    readiness: Readiness,
}

#[derive(Clone)]
struct Entry {
    state: State,
    since: DateTime<Utc>,
}

/// What `/readyz` answers.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether traffic is welcome.
    pub ready: bool,
    /// What doesn't work as it should, by name.
    pub degraded: Vec<Degraded>,
}

/// One part that doesn't work as it should.
#[derive(Clone, Debug, Serialize)]
pub struct Degraded {
    /// The part.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: String,
    /// Since when it has not been in order.
    #[serde(serialize_with = "rfc3339")]
    pub since: DateTime<Utc>,
}

impl Readiness {
    /// Enters a part that begins in `state`. One that has to come up first begins as [`State::NotReady`].
    pub fn component(&self, what: &'static str, state: State) -> Component {
        if state != State::Ready {
            self.degraded.send_modify(|degraded| {
                degraded.insert(what, Entry { state, since: Utc::now() });
            });
        }
        Component { what, readiness: self.clone() }
    }

    /// The state of the whole at this moment.
    pub fn report(&self) -> Report {
        report(&self.degraded.borrow())
    }

    /// Waits until traffic is welcome (or not, for `false`).
    pub async fn until(&self, ready: bool) {
        let mut changes = self.degraded.subscribe();
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = changes.wait_for(|degraded| report(degraded).ready == ready).await;
    }
}

impl Component {
    /// Says how the part is doing now. Each change is logged once; saying the same again changes nothing.
    pub fn set(&self, state: State) {
        let what = self.what;
        self.readiness.degraded.send_if_modified(|degraded| {
            let before = degraded.get(what);
            if before.map_or(&State::Ready, |entry| &entry.state) == &state {
                return false;
            }
            // Since when is it not in order: another reason doesn't make it begin anew.
            let since = before.map_or_else(Utc::now, |entry| entry.since);
            match &state {
                State::Ready => {
                    tracing::info!(what, "in order");
                    degraded.remove(what);
                    return true;
                }
                State::Degraded(why) => tracing::warn!(what, why, "degraded"),
                State::NotReady(why) => tracing::warn!(what, why, "not ready"),
            }
            degraded.insert(what, Entry { state, since });
            true
        });
    }
}

fn report(degraded: &BTreeMap<&'static str, Entry>) -> Report {
    let entries = degraded.iter().filter_map(|(what, entry)| {
        let (State::Degraded(why) | State::NotReady(why)) = &entry.state else { return None };
        Some(Degraded { what, why: why.clone(), since: entry.since })
    });
    Report {
        ready: !degraded.values().any(|entry| matches!(entry.state, State::NotReady(_))),
        degraded: entries.collect(),
    }
}

fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(readiness: &Readiness) -> Vec<(&'static str, String)> {
        readiness.report().degraded.into_iter().map(|entry| (entry.what, entry.why)).collect()
    }

    #[test]
    fn each_part_changes_its_own_entry() {
        let readiness = Readiness::default();
        assert!(readiness.report().ready);
        let stream = readiness.component("stream", State::NotReady("starting".to_owned()));
        let redis = readiness.component("redis", State::Degraded("away".to_owned()));
        assert!(!readiness.report().ready);
        stream.set(State::Ready);
        assert!(readiness.report().ready);
        assert_eq!(names(&readiness), [("redis", "away".to_owned())]);
        redis.set(State::Ready);
        assert!(names(&readiness).is_empty());
    }

    #[test]
    fn the_same_again_is_no_change_and_another_reason_keeps_the_beginning() {
        let readiness = Readiness::default();
        let stream = readiness.component("stream", State::NotReady("starting".to_owned()));
        let mut changes = readiness.degraded.subscribe();
        let since = readiness.report().degraded[0].since;
        stream.set(State::NotReady("starting".to_owned()));
        assert!(!changes.has_changed().unwrap());
        stream.set(State::NotReady("connection refused".to_owned()));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(readiness.report().degraded[0].since, since);
        stream.set(State::Ready);
        assert!(changes.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_change_can_be_waited_for() {
        let readiness = Readiness::default();
        let stream = readiness.component("stream", State::NotReady("starting".to_owned()));
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.until(true).await }
        });
        stream.set(State::Ready);
        waiting.await.unwrap();
    }
}
