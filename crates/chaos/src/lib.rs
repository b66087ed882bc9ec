//! A chaos run: nodes, clients and writers under random faults, and an accounting of what each client was told.
//!
//! Reading order: [`plan`] (what a seed decides), [`run`] (one run), [`work`] and [`client`] (who writes and who looks), [`history`]
//! (what the database says was committed), [`account`] (what was promised and not kept), [`report`].

pub mod account;
pub mod client;
mod error;
pub mod history;
pub mod log;
pub mod people;
pub mod plan;
pub mod proxy;
pub mod report;
pub mod run;
pub mod work;
pub mod world;

pub use error::ChaosError;
