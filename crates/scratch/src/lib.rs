//! Throw-away servers: a private PostgreSQL or Redis on a free port of the loopback interface, gone with whoever started it.
//!
//! Invariants:
//! - A server and its directory never outlive the process that started them, not even one killed with SIGKILL: each runs under a small
//!   shell script ([`Keeper`]) that waits for the end of a pipe only we hold open.
//! - Nothing on the machine is shared or changed: no system service is used or relied on, no well-known port, no home directory.
//! - Every wait has a bound, and every failure says what to do next.
//!
//! Reading order: [`Postgres`], [`Redis`] and [`RedisCluster`], the [`Keeper`] under both, then [`provide`], which brings programs that are missing.

#![cfg(unix)]

mod account;
mod directory;
mod error;
mod keeper;
mod locate;
mod port;
mod postgres;
pub mod provide;
mod redis;
mod redis_cluster;
mod script;
mod wire;

pub use error::ScratchError;
pub use keeper::Keeper;
pub use locate::{PostgresPrograms, chromium, haproxy, program, redis_server};
pub use port::{Port, is_free};
pub use postgres::{Options, Postgres};
pub use redis::{Certificate, Redis, RedisOptions};
pub use redis_cluster::RedisCluster;
