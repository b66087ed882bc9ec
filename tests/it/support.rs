//! What every test here stands on.

pub mod balancer;
pub mod client;
pub mod plan;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod service;
pub mod store;
pub mod stream;
pub mod wire;
