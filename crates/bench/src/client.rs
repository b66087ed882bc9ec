//! A browser's side of Socket.IO over a WebSocket: as much of it as a benchmark needs.
//!
//! Engine.IO 4 in text frames: `0` open, `2` ping, `3` pong, `4` message; within a message Socket.IO 5: `0` connect, `2` event,
//! `3` acknowledgement, `4` refused.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::error::BenchError;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Where everybody comes back at once, one is the last.
const RESUMED_WITHIN: Duration = Duration::from_secs(60);

/// A connected client.
pub struct Client(WebSocketStream<TcpStream>);

/// An event, and when its frame had been read.
pub struct Heard {
    pub at: Instant,
    pub name: String,
    pub payload: Value,
}

/// The answer to a join.
pub struct Joined {
    pub cursor: String,
    pub recovered: bool,
    /// Sent before the answer.
    pub events: u32,
}

impl Client {
    /// Connects to the service on this port of the loopback interface, enters the namespace and waits for `session:ready`.
    pub async fn connect(port: u16, token: &str) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(BenchError::io("connect to the service"))?;
        stream.set_nodelay(true).map_err(BenchError::io("set TCP_NODELAY"))?;
        let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = client_async(url, stream).await.map_err(BenchError::socket("open a WebSocket"))?;
        let mut client = Self(stream);
        client.expect("0", "the opening of Engine.IO").await?;
        client.send(format!("40{}", json!({ "token": token }))).await?;
        client.expect("40", "the namespace to let it in").await?;
        client.expect("42[\"session:ready\"", "session:ready").await?;
        Ok(client)
    }

    /// Joins a board and waits for the answer.
    pub async fn join_board(&mut self, board: i32) -> Result<(), BenchError> {
        self.send(format!("420{}", json!(["board:join", board]))).await?;
        let said = self.expect("430", "the answer to board:join").await?;
        if said.contains("\"ok\":true") {
            return Ok(());
        }
        Err(BenchError::Protocol { expected: "to join the board", said })
    }

    /// Joins a board, from this cursor on, and waits for the answer.
    pub async fn resume_board(&mut self, board: i32, since: Option<&str>) -> Result<Joined, BenchError> {
        self.send(format!("420{}", json!(["board:join", { "boardId": board, "since": since }]))).await?;
        let mut events = 0;
        let wait = async {
            loop {
                let (_, text) = self.receive().await?;
                match text.strip_prefix("430") {
                    Some(answer) => return Ok::<_, BenchError>(answer.to_owned()),
                    None => events += 1,
                }
            }
        };
        let expected = "the answer to board:join";
        let late = |_| BenchError::Protocol { expected, said: format!("nothing within {RESUMED_WITHIN:?}") };
        let said = timeout(RESUMED_WITHIN, wait).await.map_err(late)??;
        let answer: Value = serde_json::from_str(&said).unwrap_or_default();
        match (answer[0]["cursor"].as_str(), answer[0]["recovered"].as_bool()) {
            (Some(cursor), Some(recovered)) => Ok(Joined { cursor: cursor.to_owned(), recovered, events }),
            _ => Err(BenchError::Protocol { expected, said }),
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Result<Heard, BenchError> {
        loop {
            let (at, text) = self.receive().await?;
            let Some(event) = text.strip_prefix("42") else { continue };
            return match serde_json::from_str::<Vec<Value>>(event).map(|event| <[Value; 3]>::try_from(pad(event))) {
                Ok(Ok([Value::String(name), payload, _])) => Ok(Heard { at, name, payload }),
                _ => Err(BenchError::Protocol { expected: "an event", said: text }),
            };
        }
    }

    /// The first message that begins like this; events before it are passed over.
    async fn expect(&mut self, start: &str, expected: &'static str) -> Result<String, BenchError> {
        let wait = async {
            loop {
                let (_, text) = self.receive().await?;
                if text.starts_with(start) {
                    return Ok(text);
                }
                if !text.starts_with("42") {
                    return Err(BenchError::Protocol { expected, said: text });
                }
            }
        };
        let late = |_| BenchError::Protocol { expected, said: format!("nothing within {ANSWER_WITHIN:?}") };
        timeout(ANSWER_WITHIN, wait).await.map_err(late)?
    }

    /// The next text frame that is not a ping, which is answered.
    async fn receive(&mut self) -> Result<(Instant, String), BenchError> {
        loop {
            let message = self.0.next().await;
            let at = Instant::now();
            match message {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3".to_owned()).await?,
                Some(Ok(Message::Text(text))) => return Ok((at, text.as_str().to_owned())),
                Some(Ok(Message::Close(_))) | None => {
                    return Err(BenchError::Protocol {
                        expected: "a frame",
                        said: "the connection was closed".to_owned(),
                    });
                }
                Some(Ok(_)) => {}
                Some(Err(source)) => return Err(BenchError::socket("read a frame")(source)),
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), BenchError> {
        self.0.send(Message::text(text)).await.map_err(BenchError::socket("send a frame"))
    }
}

/// An event of three parts: name, payload, and `meta`, which an ephemeral one does not have.
fn pad(mut event: Vec<Value>) -> Vec<Value> {
    event.resize(3, Value::Null);
    event
}
