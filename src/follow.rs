//! Follows the outbox: takes up the position, reads tick after tick, and goes on where it was after any error.
//!
//! One task, ended by `shutdown`. It looks every few milliseconds while there is work and less often when there was none.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    batch::Batch,
    http::readiness::{Component, State},
    ids::{Epoch, Tick},
    postgres::outbox::{OutboxError, OutboxReader},
};

const AWAKE: Duration = Duration::from_millis(3);
const IDLE: Duration = Duration::from_millis(25);
/// After so many looks without news it looks less often: some 200 ms.
const LOOKS_AWAKE: u32 = 66;
const RETRY_FROM: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

/// Hands over batches until `shutdown` or until nobody takes them; says once from which position.
pub async fn follow(
    pool: PgPool,
    content_limit: usize,
    batches: mpsc::Sender<Batch>,
    position: oneshot::Sender<(Epoch, Tick)>,
    stream: Component,
    shutdown: CancellationToken,
) {
    let mut position = Some(position);
    let mut reader = None;
    let mut pause = RETRY_FROM;
    let mut quiet = 0;
    loop {
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = step(&mut reader, &pool, content_limit) => outcome,
        };
        let wait = match outcome {
            Ok(news) => {
                stream.set(State::Ready);
                pause = RETRY_FROM;
                if let (Some(said), Some(reader)) = (position.take(), &reader) {
                    // Whoever asked may have given up.
                    let _ = said.send(reader.position());
                }
                match news {
                    Some(batch) => {
                        quiet = 0;
                        if batches.send(batch).await.is_err() {
                            return;
                        }
                        Duration::ZERO
                    }
                    None => {
                        quiet += 1;
                        if quiet > LOOKS_AWAKE { IDLE } else { AWAKE }
                    }
                }
            }
            Err(error) => {
                // Overtaken: the position is another's now. Otherwise the reader goes on where it was.
                if matches!(error, OutboxError::Overtaken { .. } | OutboxError::NoPosition) {
                    reader = None;
                }
                stream.set(State::NotReady(chain(&error)));
                pause = (pause * 2).min(RETRY_AT_MOST);
                pause
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait), if !wait.is_zero() => {}
            () = std::future::ready(()), if wait.is_zero() => {}
        }
    }
}

async fn step(
    reader: &mut Option<OutboxReader>,
    pool: &PgPool,
    content_limit: usize,
) -> Result<Option<Batch>, OutboxError> {
    match reader {
        Some(reader) => reader.next().await,
        None => {
            *reader = Some(OutboxReader::open(pool.clone(), content_limit).await?);
            Ok(None)
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
