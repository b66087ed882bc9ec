//! One connection to Redis, over which a channel is published to and listened to.
//!
//! Invariants:
//! - every question is answered within [`ANSWER_WITHIN`], or the connection has failed: a server that stalls without closing
//!   anything is noticed by whoever asks it;
//! - what is heard is handed over without waiting; what does not fit is left out and counted;
//! - a connection that failed once is of no more use, its subscription is gone with it.
//!
//! The library's task that drives the connection ends with this value.

use std::{sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{Notify, mpsc},
    time::{error::Elapsed, timeout},
};

use super::{message::LARGEST, url::RedisUrl};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// None of the commands waits for anything.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Why Redis is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("Redis can't be reached")]
    Connect(#[source] RedisError),
    #[error("the connection to Redis failed")]
    Lost(#[from] RedisError),
    #[error("the connection to Redis was closed")]
    Closed,
    #[error("Redis gives no answer")]
    Silent(#[from] Elapsed),
}

/// See the module.
pub struct Channel {
    name: String,
    connection: MultiplexedConnection,
    closed: Arc<Notify>,
}

impl Channel {
    /// Connects. What is heard once [`Channel::subscribe`] was called goes to `heard`.
    pub async fn connect(url: &RedisUrl, name: String, heard: mpsc::Sender<Vec<u8>>) -> Result<Self, ChannelError> {
        let client = Client::open(url.connection()).map_err(ChannelError::Connect)?;
        let closed = Arc::new(Notify::new());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_push_sender({
                let closed = Arc::clone(&closed);
                move |push| pushed(push, &heard, &closed)
            });
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(CONNECT_WITHIN, connecting).await?.map_err(ChannelError::Connect)?;
        Ok(Self { name, connection, closed })
    }

    /// Begins to listen.
    pub async fn subscribe(&mut self) -> Result<(), ChannelError> {
        Ok(timeout(ANSWER_WITHIN, self.connection.subscribe(&self.name)).await??)
    }

    /// Listens no longer.
    pub async fn unsubscribe(&mut self) -> Result<(), ChannelError> {
        Ok(timeout(ANSWER_WITHIN, self.connection.unsubscribe(&self.name)).await??)
    }

    /// Sends to everybody who listens.
    pub async fn publish(&mut self, message: &[u8]) -> Result<(), ChannelError> {
        let publish = cmd("PUBLISH").arg(&self.name).arg(message).to_owned();
        timeout(ANSWER_WITHIN, publish.query_async::<u64>(&mut self.connection)).await??;
        Ok(())
    }

    /// Finds out whether the connection still lives.
    pub async fn ping(&mut self) -> Result<(), ChannelError> {
        timeout(ANSWER_WITHIN, cmd("PING").query_async::<Value>(&mut self.connection)).await??;
        Ok(())
    }

    /// Waits for the end of the connection. Cancelling it loses nothing.
    pub async fn closed(&self) -> ChannelError {
        self.closed.notified().await;
        ChannelError::Closed
    }
}

/// Never an error: it would end the connection.
fn pushed(push: PushInfo, heard: &mpsc::Sender<Vec<u8>>, closed: &Notify) -> Result<(), std::convert::Infallible> {
    match push.kind {
        PushKind::Message => {
            if let Some(Value::BulkString(message)) = push.data.into_iter().nth(1) {
                let kept = message.len() <= LARGEST && heard.try_send(message).is_ok();
                if !kept {
                    metrics::counter!("curia_relay_messages_total", "outcome" => "left_out").increment(1);
                }
            }
        }
        PushKind::Disconnection => closed.notify_one(),
        _ => {}
    }
    Ok(())
}
