//! Sessions where there is one node: it counts the connections itself, and nobody else has any.

use std::future::ready;

use crate::{
    actor::Actor,
    ports::{Opening, Sessions},
};

/// See the module.
pub struct Alone;

impl Sessions for Alone {
    fn open(&self, _: &Actor) -> Opening {
        Box::pin(ready(Ok(None)))
    }
}
