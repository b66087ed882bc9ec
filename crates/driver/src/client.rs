//! A browser's side of Socket.IO over a WebSocket: as much of it as a benchmark or a chaos run needs.
//!
//! Engine.IO 4 in text frames: `0` open, `2` ping, `3` pong, `4` message; within a message Socket.IO 5: `0` connect, `2` event,
//! `3` acknowledgement, `4` refused.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::error::DriverError;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Where everybody comes back at once, one is the last.
const RESUMED_WITHIN: Duration = Duration::from_secs(60);

/// A connected client. Ends with this value, without a farewell.
pub struct Client(WebSocketStream<TcpStream>);

/// What a client is sent.
#[derive(Debug)]
pub enum Heard {
    Event(Event),
    /// The acknowledgement of the command with this number.
    Answer {
        number: u32,
        answer: Value,
    },
}

/// An event, and when its frame had been read.
#[derive(Debug)]
pub struct Event {
    pub at: Instant,
    pub name: String,
    pub payload: Value,
    /// `{cursor, at}`; null where the event is ephemeral.
    pub meta: Value,
}

/// The answer to a join.
#[derive(Debug)]
pub struct Joined {
    pub cursor: String,
    pub recovered: bool,
    /// Sent before the answer.
    pub events: u32,
}

impl Client {
    /// Connects to the service on this port of the loopback interface, enters the namespace and waits for `session:ready`.
    pub async fn connect(port: u16, token: &str) -> Result<Self, DriverError> {
        let stream =
            TcpStream::connect(("127.0.0.1", port)).await.map_err(DriverError::io("connect to the service"))?;
        stream.set_nodelay(true).map_err(DriverError::io("set TCP_NODELAY"))?;
        let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = client_async(url, stream).await.map_err(DriverError::socket("open a WebSocket"))?;
        let mut client = Self(stream);
        client.expect("0", "the opening of Engine.IO").await?;
        client.send(format!("40{}", json!({ "token": token }))).await?;
        client.expect("40", "the namespace to let it in").await?;
        client.expect("42[\"session:ready\"", "session:ready").await?;
        Ok(client)
    }

    /// Sends a command; its answer is heard later, with this number.
    pub async fn emit(&mut self, number: u32, event: &str, argument: &Value) -> Result<(), DriverError> {
        self.send(format!("42{number}{}", json!([event, argument]))).await
    }

    /// Joins a board and waits for the answer; events before it are passed over.
    pub async fn join_board(&mut self, board: i32) -> Result<(), DriverError> {
        self.emit(0, "board:join", &json!(board)).await?;
        let said = self.expect("430", "the answer to board:join").await?;
        if said.contains("\"ok\":true") {
            return Ok(());
        }
        Err(DriverError::Protocol { expected: "to join the board", said })
    }

    /// Joins a board, from this cursor on, and waits for the answer.
    pub async fn resume_board(&mut self, board: i32, since: Option<&str>) -> Result<Joined, DriverError> {
        let expected = "the answer to board:join";
        self.emit(0, "board:join", &json!({ "boardId": board, "since": since })).await?;
        let mut events = 0;
        let wait = async {
            loop {
                match self.next().await? {
                    Heard::Answer { answer, .. } => return Ok::<_, DriverError>(answer),
                    Heard::Event(_) => events += 1,
                }
            }
        };
        let late = |_| DriverError::Protocol { expected, said: format!("nothing within {RESUMED_WITHIN:?}") };
        let answer = timeout(RESUMED_WITHIN, wait).await.map_err(late)??;
        match (answer["cursor"].as_str(), answer["recovered"].as_bool()) {
            (Some(cursor), Some(recovered)) => Ok(Joined { cursor: cursor.to_owned(), recovered, events }),
            _ => Err(DriverError::Protocol { expected, said: answer.to_string() }),
        }
    }

    /// The next event or answer. Cancelling loses nothing.
    pub async fn next(&mut self) -> Result<Heard, DriverError> {
        loop {
            let (at, text) = self.receive().await?;
            let heard = if let Some(event) = text.strip_prefix("42") {
                serde_json::from_str(event).ok().and_then(|event| read_event(at, event)).map(Heard::Event)
            } else if let Some(answer) = text.strip_prefix("43") {
                read_answer(answer)
            } else {
                continue;
            };
            return heard.ok_or(DriverError::Protocol { expected: "an event or an answer", said: text });
        }
    }

    /// The next event; answers before it are passed over.
    pub async fn next_event(&mut self) -> Result<Event, DriverError> {
        loop {
            if let Heard::Event(event) = self.next().await? {
                return Ok(event);
            }
        }
    }

    /// The first message that begins like this; events before it are passed over.
    async fn expect(&mut self, start: &str, expected: &'static str) -> Result<String, DriverError> {
        let wait = async {
            loop {
                let (_, text) = self.receive().await?;
                if text.starts_with(start) {
                    return Ok(text);
                }
                if !text.starts_with("42") {
                    return Err(DriverError::Protocol { expected, said: text });
                }
            }
        };
        let late = |_| DriverError::Protocol { expected, said: format!("nothing within {ANSWER_WITHIN:?}") };
        timeout(ANSWER_WITHIN, wait).await.map_err(late)?
    }

    /// The next text frame that is not a ping, which is answered.
    async fn receive(&mut self) -> Result<(Instant, String), DriverError> {
        loop {
            let message = self.0.next().await;
            let at = Instant::now();
            match message {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3".to_owned()).await?,
                Some(Ok(Message::Text(text))) => return Ok((at, text.as_str().to_owned())),
                Some(Ok(Message::Close(_))) | None => {
                    return Err(DriverError::Protocol {
                        expected: "a frame",
                        said: "the connection was closed".to_owned(),
                    });
                }
                Some(Ok(_)) => {}
                Some(Err(source)) => return Err(DriverError::socket("read a frame")(source)),
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), DriverError> {
        self.0.send(Message::text(text)).await.map_err(DriverError::socket("send a frame"))
    }
}

/// Name, payload, and `meta`, which an ephemeral event does not have.
fn read_event(at: Instant, mut parts: Vec<Value>) -> Option<Event> {
    parts.resize(3, Value::Null);
    match <[Value; 3]>::try_from(parts) {
        Ok([Value::String(name), payload, meta]) => Some(Event { at, name, payload, meta }),
        _ => None,
    }
}

/// A number and an array with the one answer in it.
fn read_answer(text: &str) -> Option<Heard> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    let answer = serde_json::from_str::<Vec<Value>>(&text[digits..]).ok()?.into_iter().next()?;
    Some(Heard::Answer { number, answer })
}
