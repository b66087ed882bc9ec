//! The Socket.IO edge. The library carries frames; who sits where it is not asked.

mod asked;
mod farewell;
mod guests;
mod handlers;
pub mod links;
mod proxies;
mod session;
mod sink;
mod tasks;

use std::{sync::Arc, time::Duration};

use axum::Router;
use socketioxide::SocketIo;
use tower::Layer;

pub use guests::{Guests, Places};
pub use handlers::{Doors, Entry};
pub use proxies::{Networks, TrustedProxies};
pub use sink::{Members, Pending, SocketSink};
pub use tasks::SocketTasks;

/// The bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// The longest message from a client, in bytes; a longer one ends its connection.
    pub message_bytes: usize,
    /// How long a connection may go without entering the namespace.
    pub connect_within: Duration,
    pub ping_every: Duration,
    pub pong_within: Duration,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            connect_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            pong_within: Duration::from_secs(20),
        }
    }
}

/// Puts Socket.IO before `pages` and lets `doors` answer whoever comes.
pub fn layer<F: crate::ports::FactStore>(pages: Router, doors: Doors<F>, limits: SocketLimits) -> Router {
    let links = Arc::clone(&doors.links);
    let (layer, io) = SocketIo::builder()
        .max_payload(limits.message_bytes as u64)
        .ws_max_message_size(limits.message_bytes)
        .ws_max_frame_size(limits.message_bytes)
        .max_buffer_size(doors.members.frames())
        .connect_timeout(limits.connect_within)
        .ping_interval(limits.ping_every)
        .ping_timeout(limits.pong_within)
        .build_layer();
    handlers::open(&io, doors);
    // A service, not a layer of the router: that would be laid anew around a fallback handler for each request, and every
    // laying is an Engine.IO with sessions of its own.
    links.track(Router::new().fallback_service(layer.layer(pages)))
}
