//! Redis: the way on which nodes that share a database tell each other what they read there.
//!
//! Everybody has his connection from [`link`] (to ask) or [`bus`] (to hear the others), one server or a Cluster of them.

pub mod authorities;
pub mod bus;
pub mod channel;
pub mod circle;
mod cluster;
pub mod doctor;
pub mod facts;
pub mod keeper;
mod key;
pub mod limits;
pub mod link;
pub mod message;
pub mod question;
pub mod sessions;
pub mod url;
