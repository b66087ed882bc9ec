//! The protocols below socket.io-client, for what it would never send.

use std::{net::SocketAddr, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderName, Method, Request, Response, StatusCode, header},
};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);

/// Engine.IO's packets without content.
const CLOSE: &str = "1";
const PING: &str = "2";
const PONG: &str = "3";

/// An Engine.IO connection by WebSocket, on which any frame can be sent.
pub struct Frames(WebSocketStream<TcpStream>);

impl Frames {
    /// Asks for an upgrade with a header; whoever is refused gets the answer's status.
    pub async fn upgrade(url: &str, with: Option<(HeaderName, &str)>) -> Result<Self, StatusCode> {
        Self::upgrade_over(connect(url).await, url, with).await
    }

    async fn upgrade_over(stream: TcpStream, url: &str, with: Option<(HeaderName, &str)>) -> Result<Self, StatusCode> {
        let address = format!("{}/socket.io/?EIO=4&transport=websocket", url.replacen("http", "ws", 1));
        let mut request = address.into_client_request().expect("a request");
        if let Some((name, value)) = with {
            request.headers_mut().insert(name, value.parse().expect("a header"));
        }
        match client_async(request, stream).await {
            Ok((frames, _)) => Ok(Self(frames)),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status()),
            Err(error) => panic!("neither upgraded nor refused: {error}"),
        }
    }

    /// One that has been told the session's id, and nothing more.
    pub async fn open(url: &str) -> Self {
        Self::open_over(connect(url).await, url).await
    }

    async fn open_over(stream: TcpStream, url: &str) -> Self {
        let mut frames = Self::upgrade_over(stream, url, None).await.expect("an upgrade");
        let opened = frames.next().await.expect("a session");
        assert!(opened.starts_with(r#"0{"sid":""#), "{opened}");
        frames
    }

    /// One that has entered the namespace and been told `session:ready`.
    pub async fn connected(url: &str, token: &str) -> Self {
        Self::open(url).await.enter(token).await
    }

    /// As [`Frames::connected`], for which the kernel takes next to nothing while it does not read.
    pub async fn connected_narrowly(url: &str, token: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 * 1024).expect("a small buffer");
        let stream = socket.connect(host(url).parse().expect("an address")).await.expect("a service that listens");
        Self::open_over(stream, url).await.enter(token).await
    }

    async fn enter(mut self, token: &str) -> Self {
        let frames = &mut self;
        frames.send(format!("40{}", json!({"token": token}))).await;
        for expected in ["40{", r#"42["session:ready","#] {
            let frame = frames.next().await;
            assert!(frame.as_deref().is_some_and(|frame| frame.starts_with(expected)), "{expected}: {frame:?}");
        }
        self
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.expect("a connection");
    }

    pub async fn send_bytes(&mut self, bytes: &'static [u8]) {
        self.0.send(Message::binary(bytes)).await.expect("a connection");
    }

    /// The next frame of text but for pings, which are answered; `None` when the server has closed the connection.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            return match timeout(PATIENCE, self.0.next()).await.expect("a frame, or the end") {
                Some(Ok(Message::Text(text))) if text.as_str() == PING => {
                    // A connection that ends meanwhile is noticed by the next read.
                    let _ = self.0.send(Message::text(PONG)).await;
                    continue;
                }
                // Announced; the end itself is what counts.
                Some(Ok(Message::Text(text))) if text.as_str() == CLOSE => continue,
                Some(Ok(Message::Text(text))) => Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => None,
                Some(Ok(_)) => continue,
            };
        }
    }

    /// Says goodbye, where the server has not closed the connection already, and waits for its end.
    pub async fn close(mut self) {
        let _ = self.0.send(Message::text(CLOSE)).await;
        while self.next().await.is_some() {}
    }

    /// Asks with a callback, and reads on to the answer.
    pub async fn ask(&mut self, event: &str, argument: Value) -> Value {
        self.send(format!("4277{}", json!([event, argument]))).await;
        loop {
            let frame = self.next().await.expect("an answer");
            if let Some(answer) = frame.strip_prefix("4377") {
                return serde_json::from_str::<Value>(answer).expect("JSON")[0].clone();
            }
        }
    }
}

/// One HTTP request on a connection of its own, with its whole answer.
pub async fn http(url: &str, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Response<String> {
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connect(url).await)).await.expect("a connection");
    let serving = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, host(url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body)).expect("a request");
    let answer = timeout(PATIENCE, client.send_request(request)).await.expect("an answer").expect("a whole answer");
    let (parts, body) = answer.into_parts();
    let body = timeout(PATIENCE, to_bytes(Body::new(body), 1 << 20)).await.expect("an end").expect("a body");
    serving.abort();
    Response::from_parts(parts, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

/// An Engine.IO session by long polling.
pub struct Polling {
    url: String,
    path: String,
}

impl Polling {
    pub async fn open(url: &str) -> Self {
        Self::open_with(url, &[]).await
    }

    /// Whose first request has these headers.
    pub async fn open_with(url: &str, headers: &[(&str, &str)]) -> Self {
        let path = "/socket.io/?EIO=4&transport=polling".to_owned();
        let answer = http(url, Method::GET, &path, headers, String::new()).await;
        let opened: Value = serde_json::from_str(&answer.body()[1..]).expect("an open packet");
        let sid = opened["sid"].as_str().expect("an id");
        Self { url: url.to_owned(), path: format!("{path}&sid={sid}") }
    }

    /// One that has entered the namespace and been told `session:ready`.
    pub async fn connected(url: &str, token: &str) -> Self {
        let polling = Self::open(url).await;
        assert_eq!(polling.send(format!("40{}", json!({"token": token}))).await, StatusCode::OK);
        let mut told = String::new();
        while !told.contains("session:ready") {
            told = polling.poll().await.into_body();
        }
        polling
    }

    /// The session's id, which speaks for whoever has it.
    pub fn id(&self) -> &str {
        self.path.rsplit_once('=').expect("an id").1
    }

    pub async fn poll(&self) -> Response<String> {
        http(&self.url, Method::GET, &self.path, &[], String::new()).await
    }

    pub async fn send(&self, packets: String) -> StatusCode {
        http(&self.url, Method::POST, &self.path, &[("content-type", "text/plain")], packets).await.status()
    }
}

fn host(url: &str) -> &str {
    url.strip_prefix("http://").expect("plain HTTP")
}

async fn connect(url: &str) -> TcpStream {
    let address: SocketAddr = host(url).parse().expect("an address");
    TcpStream::connect(address).await.expect("a service that listens")
}
