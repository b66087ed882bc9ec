//! An event as it is sent: encoded once, whoever receives it and however often.

use std::sync::Arc;

use serde_json::value::RawValue;

/// The name and the arguments of one event, as JSON text.
#[derive(Clone, Debug)]
pub struct Frame {
    pub event: &'static str,
    pub payload: Arc<RawValue>,
    /// The second argument of a durable event.
    pub meta: Option<Arc<RawValue>>,
}

impl Frame {
    /// Bytes of JSON text.
    pub fn size(&self) -> usize {
        self.payload.get().len() + self.meta.as_ref().map_or(0, |meta| meta.get().len())
    }
}
