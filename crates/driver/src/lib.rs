//! The service as the program that is deployed ([`Service`]), and a browser's side of it ([`Client`]).

mod client;
mod error;
mod service;

pub use client::{Client, Event, Heard, Joined};
pub use error::DriverError;
pub use service::{Person, SECRET, Service, program, token};
