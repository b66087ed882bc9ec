//! The PostgreSQL edge: the outbox in ticks, the rows of a tick, the facts that the access rule asks for.

pub mod facts;
pub mod outbox;
mod rows;
