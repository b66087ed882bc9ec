//! The channel of the relay, over a connection of its own.
//!
//! Beside the ticks it carries which epochs are led. What is heard is handed over without waiting; what does not fit is left out and counted. Everything else is the [`Bus`]'s.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{bus::Bus, link::LinkError, message::LARGEST, url::RedisUrl};
use crate::ids::Epoch;

/// None of the commands waits for anything.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// See the module.
pub struct Channel {
    name: String,
    leading: String,
    bus: Bus,
}

impl Channel {
    /// Connects, below this prefix. The ticks that are heard once [`Channel::subscribe`] was called go to `heard`, and the epochs that are led,
    /// from now on, to `led`.
    pub async fn connect(
        url: &RedisUrl,
        prefix: &str,
        heard: mpsc::Sender<Vec<u8>>,
        led: mpsc::Sender<Epoch>,
    ) -> Result<Self, LinkError> {
        let (name, leading) = (format!("{prefix}ticks"), format!("{prefix}leading"));
        let of_leading = leading.clone();
        let hear = move |channel: &[u8], message: Vec<u8>| {
            if channel == of_leading.as_bytes() {
                // It is said again, and what is none is no epoch of anybody.
                if let Some(epoch) = str::from_utf8(&message).ok().and_then(|text| text.parse().ok()) {
                    let _ = led.try_send(Epoch(epoch));
                }
                return;
            }
            let kept = message.len() <= LARGEST && heard.try_send(message).is_ok();
            if !kept {
                metrics::counter!("curia_relay_messages_total", "outcome" => "left_out").increment(1);
            }
        };
        let mut bus = Bus::connect(url, ANSWER_WITHIN, hear).await?;
        bus.subscribe(&leading).await?;
        Ok(Self { name, leading, bus })
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

    /// Says which epoch is led here.
    pub async fn lead(&mut self, epoch: Epoch) -> Result<(), LinkError> {
        self.bus.publish(&self.leading, epoch.0.to_string().as_bytes()).await
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
