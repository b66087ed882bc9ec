//! An event as it is sent: encoded once, whoever receives it and however often.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    contract::{Meta, ServerEvent},
    ids::Cursor,
};

/// The name and the arguments of one event, as JSON text.
#[derive(Clone, Debug)]
pub struct Frame {
    pub event: &'static str,
    pub payload: Arc<RawValue>,
    /// The second argument of a durable event.
    pub meta: Option<Arc<RawValue>>,
}

impl Frame {
    /// An event that is never sent again.
    pub fn ephemeral(event: &ServerEvent) -> Option<Self> {
        encoded(event.name(), event.encode()).map(|payload| Self { event: event.name(), payload, meta: None })
    }

    /// An event at its place in the stream.
    pub fn durable(event: &ServerEvent, cursor: Cursor, at: DateTime<Utc>) -> Option<Self> {
        Self::ephemeral(event)?.at(cursor, at)
    }

    /// The same event at another place.
    pub fn at(self, cursor: Cursor, at: DateTime<Utc>) -> Option<Self> {
        let meta = encoded(self.event, to_raw_value(&Meta { cursor: cursor.to_string(), at }))?;
        Some(Self { meta: Some(meta), ..self })
    }

    /// Bytes of JSON text.
    pub fn size(&self) -> usize {
        self.payload.get().len() + self.meta.as_ref().map_or(0, |meta| meta.get().len())
    }
}

/// The types of the contract have no map with keys that are not text, which is all that JSON could refuse.
fn encoded(event: &'static str, text: Result<Box<RawValue>, serde_json::Error>) -> Option<Arc<RawValue>> {
    text.inspect_err(|error| tracing::error!(%error, event, "an event could not be encoded")).ok().map(Arc::from)
}
