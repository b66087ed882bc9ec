//! Redis: the way on which nodes that share a database tell each other what they read there.

pub mod channel;
pub mod limits;
pub mod message;
pub mod url;
