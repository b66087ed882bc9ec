//! The PostgreSQL edge: the outbox in ticks, the rows of a tick, the facts that the access rule asks for.

pub mod archive;
pub mod capture;
pub mod connect;
pub mod database_url;
pub mod departed;
pub mod doctor;
mod epoch;
pub mod facts;
pub mod migrations;
pub mod outbox;
pub mod pool;
mod reading;
pub mod retention;
mod rows;
mod said;
pub mod schema;
pub mod tls;
pub mod wake;
pub mod why;
