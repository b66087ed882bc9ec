//! The channel of the relay, over a connection of its own.
//!
//! What is heard is handed over without waiting; what does not fit is left out and counted. Everything else is the [`Bus`]'s.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{bus::Bus, link::LinkError, message::LARGEST, url::RedisUrl};

/// None of the commands waits for anything.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// See the module.
pub struct Channel {
    name: String,
    bus: Bus,
}

impl Channel {
    /// Connects. What is heard once [`Channel::subscribe`] was called goes to `heard`.
    pub async fn connect(url: &RedisUrl, name: String, heard: mpsc::Sender<Vec<u8>>) -> Result<Self, LinkError> {
        let hear = move |_: &[u8], message: Vec<u8>| {
            let kept = message.len() <= LARGEST && heard.try_send(message).is_ok();
            if !kept {
                metrics::counter!("curia_relay_messages_total", "outcome" => "left_out").increment(1);
            }
        };
        Ok(Self { name, bus: Bus::connect(url, ANSWER_WITHIN, hear).await? })
    }

    /// Begins to listen.
    pub async fn subscribe(&mut self) -> Result<(), LinkError> {
        self.bus.subscribe(&self.name).await
    }

    /// Listens no longer.
    pub async fn unsubscribe(&mut self) -> Result<(), LinkError> {
        self.bus.unsubscribe(&self.name).await
    }

    /// Sends to everybody who listens.
    pub async fn publish(&mut self, message: &[u8]) -> Result<(), LinkError> {
        self.bus.publish(&self.name, message).await
    }

    /// Finds out whether the connection still lives.
    pub async fn ping(&mut self) -> Result<(), LinkError> {
        self.bus.ping().await
    }

    /// Waits for the end of the connection. Cancelling it loses nothing.
    pub async fn closed(&self) -> LinkError {
        self.bus.closed().await
    }
}
