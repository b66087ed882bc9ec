//! A way over which nodes hear each other: channels that are published to and listened to.
//!
//! Invariants:
//! - every question is answered within the time that the bus was made with, or it has failed: a server that stalls without
//!   closing anything is noticed by whoever asks it;
//! - what is heard is handed over without waiting;
//! - a bus that failed once is of no more use, what was subscribed to is gone with it, and messages may be.
//!
//! It is one connection, in a Cluster too, to the server that answers first: what is published on one is heard on all. (Spread
//! over the slots of its channels, a subscription would be held twice, and each message heard twice, once its slot moved.)
//! The library's task that drives the connection ends with this value.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::select_ok};
use redis::{PushInfo, PushKind, ToRedisArgs, Value, aio::MultiplexedConnection, cmd};
use tokio::{sync::Notify, time::timeout};

use super::{
    link::{CONNECT_WITHIN, LinkError, config, of_cluster, primary, server_connection},
    url::{RedisUrl, Servers},
};

/// See the module.
pub struct Bus {
    connection: MultiplexedConnection,
    closed: Arc<Notify>,
    within: Duration,
}

impl Bus {
    /// Connects. What is heard, with the channel it came on, goes to `heard`, which must not wait.
    pub async fn connect(
        url: &RedisUrl,
        within: Duration,
        heard: impl Fn(&[u8], Vec<u8>) + Send + Sync + 'static,
    ) -> Result<Self, LinkError> {
        let (servers, in_cluster) = match url.servers() {
            Servers::One(server) => (std::slice::from_ref(&**server), false),
            Servers::Cluster(servers) => (servers.as_slice(), true),
        };
        let heard = Arc::new(heard);
        let connecting = servers.iter().map(|server| {
            // One for each: a connection that is not taken is closed.
            let (closed, heard) = (Arc::new(Notify::new()), Arc::clone(&heard));
            let config = config(within).set_push_sender({
                let closed = Arc::clone(&closed);
                move |push| pushed(push, heard.as_ref(), &closed)
            });
            async move {
                let connection = server_connection(server, url.authorities(), &config).await?;
                let connection = if in_cluster { of_cluster(connection).await? } else { primary(connection).await? };
                Ok::<_, LinkError>((connection, closed))
            }
            .boxed()
        });
        let connected = timeout(CONNECT_WITHIN, select_ok(connecting)).await.map_err(LinkError::from).flatten();
        let ((connection, closed), _) = connected.map_err(|error| error.by(url))?;
        Ok(Self { connection, closed, within })
    }

    /// Begins to listen to these channels.
    pub async fn subscribe(&mut self, channels: impl ToRedisArgs) -> Result<(), LinkError> {
        Ok(timeout(self.within, self.connection.subscribe(channels)).await??)
    }

    /// Listens to these no longer.
    pub async fn unsubscribe(&mut self, channels: impl ToRedisArgs) -> Result<(), LinkError> {
        Ok(timeout(self.within, self.connection.unsubscribe(channels)).await??)
    }

    /// Sends to everybody who listens.
    pub async fn publish(&mut self, channel: &str, message: &[u8]) -> Result<(), LinkError> {
        let publish = cmd("PUBLISH").arg(channel).arg(message).to_owned();
        timeout(self.within, publish.query_async::<u64>(&mut self.connection)).await??;
        Ok(())
    }

    /// Finds out whether the connection still lives.
    pub async fn ping(&mut self) -> Result<(), LinkError> {
        timeout(self.within, cmd("PING").query_async::<Value>(&mut self.connection)).await??;
        Ok(())
    }

    /// Waits for the end of the connection. Cancelling it loses nothing.
    pub async fn closed(&self) -> LinkError {
        self.closed.notified().await;
        LinkError::Closed
    }
}

/// Never an error: it would end the connection.
fn pushed(push: PushInfo, heard: &impl Fn(&[u8], Vec<u8>), closed: &Notify) -> Result<(), Infallible> {
    match push.kind {
        PushKind::Message => {
            let mut data = push.data.into_iter();
            if let (Some(Value::BulkString(channel)), Some(Value::BulkString(message))) = (data.next(), data.next()) {
                heard(&channel, message);
            }
        }
        PushKind::Disconnection => closed.notify_one(),
        _ => {}
    }
    Ok(())
}
