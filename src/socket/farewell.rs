//! How a socket leaves, and what is seen to afterwards.
//!
//! Invariant: the places of a socket are held until the Engine.IO session that it came by has ended. The library ends a socket
//! without its session: when the client says so, and behind the server's own farewell. Then the session has [`GRACE`] to end by
//! itself, as the official client's does at once; what is still there is hung up on, whoever has come by it meanwhile.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use socketioxide::{extract::SocketRef, socket::DisconnectReason};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    ids::SocketKey,
    ports::FactStore,
    socket::{guests::Held, handlers::Doors, links::EngineSession, sink::Members},
};

/// Enough for what was said last to reach the client, and for its answer.
const GRACE: Duration = Duration::from_secs(5);

/// Closes a socket that nobody serves any longer, whatever ended who did: nobody else would see to the end of its token.
pub(super) struct Served {
    pub(super) members: Members,
    pub(super) key: SocketKey,
    pub(super) socket: SocketRef,
}

impl Drop for Served {
    fn drop(&mut self) {
        // One that has left is seen off, and one that has been told of its end is not told again.
        if self.socket.connected() {
            self.members.close(self.key);
        }
    }
}

/// Said once or more. Without a reason its session may be there or not.
pub(super) async fn farewell<F: FactStore>(doors: &Doors<F>, key: SocketKey, reason: Option<DisconnectReason>) {
    if let Some(member) = doors.members.remove(key)
        && outlived(reason)
        && let (Some(session), held) = member.leave()
    {
        // Not waited for: the library keeps the socket, and thus its session, until this has been said.
        doors.tasks.spawn("seeing off", see_off(Arc::downgrade(session), session.ended(), held));
    }
    // Without a dispatcher there is no seat to give up.
    let _ = doors.gateway.disconnect(key).await;
}

/// Whether the session can be there when its socket has ended.
fn outlived(reason: Option<DisconnectReason>) -> bool {
    use DisconnectReason::{ClientNSDisconnect, ServerNSDisconnect};
    matches!(reason, None | Some(ClientNSDisconnect | ServerNSDisconnect))
}

/// Ends with the session. One that is hung up on ends at once as a WebSocket, else with its next poll or unanswered ping.
async fn see_off(session: Weak<EngineSession>, ended: CancellationToken, held: Arc<Held>) {
    if timeout(GRACE, ended.cancelled()).await.is_err() {
        if let Some(session) = session.upgrade() {
            session.hang_up();
        }
        ended.cancelled().await;
    }
    drop(held);
}

#[cfg(test)]
mod tests;
