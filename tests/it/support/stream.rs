//! Reading the outbox as the only reader.

use curia_realtime::{
    batch::Batch,
    postgres::outbox::{Found, OutboxReader},
};

/// The next page, if there is any.
pub async fn page(reader: &mut OutboxReader) -> Option<Batch> {
    match reader.next(true).await.expect("the outbox") {
        Found::Page(batch) => Some(batch),
        Found::Nothing => None,
        Found::Unticked => panic!("nobody else makes ticks"),
    }
}

/// All pages that stand behind the position.
pub async fn pages(reader: &mut OutboxReader) -> Vec<Batch> {
    let mut pages = Vec::new();
    while let Some(batch) = page(reader).await {
        pages.push(batch);
    }
    pages
}
