//! Socket.IO.

pub mod links;
