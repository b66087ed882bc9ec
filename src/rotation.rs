//! Follows the file of public keys while the forum changes them. One task, ended by `shutdown`.
//!
//! Invariants:
//! - a file that can't be used changes nothing: the keys before it go on counting, and `/readyz` says why it can't;
//! - a token is judged by the keys of one text of the file, never of two.
//!
//! The text itself is looked at, not its date: a file that is put in another's place may be older than that one, and a second
//! is much for a clock of the disk. A session that is open stays so until its token expires, whatever becomes of the key.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    http::readiness::{Component, State},
    jwt::{KeyError, KeyFile, KeySet, Verifier},
    telemetry::chain,
};

const EVERY: Duration = Duration::from_secs(1);

/// Looks at the file every second and lets `verifier` know its keys.
pub async fn follow(file: KeyFile, verifier: Arc<Verifier>, keys: Component, shutdown: CancellationToken) {
    let following = async {
        // What was there at the start is read once more, so that a change since then is not missed.
        let mut seen = None;
        loop {
            match read(&file, seen.clone()).await {
                Ok(Some((text, set))) => {
                    if seen.is_some() {
                        tracing::info!(keys = ?set, "the file of public keys has changed");
                    }
                    verifier.replace(set);
                    seen = Some(text);
                    keys.set(State::Ready);
                }
                Ok(None) => keys.set(State::Ready),
                Err(error) => keys.set(State::Degraded(format!(
                    "the file of public keys can't be used, and those that it held before go on counting: {}",
                    chain(&error)
                ))),
            }
            sleep(EVERY).await;
        }
    };
    shutdown.run_until_cancelled(following).await;
}

/// The file's text with its keys, where it is another than `seen`.
async fn read(file: &KeyFile, seen: Option<Arc<[u8]>>) -> Result<Option<(Arc<[u8]>, KeySet)>, KeyError> {
    let file = file.clone();
    let reading = spawn_blocking(move || {
        let text = file.text()?;
        if seen.as_deref() == Some(text.as_slice()) {
            return Ok(None);
        }
        let keys = file.form.parse(&text)?;
        Ok(Some((Arc::from(text), keys)))
    });
    // It panics nowhere, and is cancelled only together with whoever waits here.
    reading.await.unwrap_or_else(|error| Err(KeyError::Unreadable(error.into())))
}
