use std::{future::poll_fn, net::SocketAddr, time::Duration};

use socketioxide::{SendError, SocketError, SocketIo, extract::SocketRef, socket::DisconnectReason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::*;
use crate::http::{ServeOptions, serve, stream::TcpOptions};

/// Long enough to tell hanging from working.
const HANGS: Duration = Duration::from_secs(30);

/// A server with Socket.IO on it, and what happens to its sockets.
struct Server {
    address: SocketAddr,
    links: Arc<Links>,
    connected: mpsc::UnboundedReceiver<SocketRef>,
    gone: mpsc::UnboundedReceiver<DisconnectReason>,
    /// A message for each request that the library doesn't answer at once.
    waiting: mpsc::UnboundedReceiver<()>,
    shutdown: CancellationToken,
}

impl Server {
    async fn start() -> Self {
        let (socket_io, io) = SocketIo::builder()
            .max_buffer_size(8)
            // Nothing here is to be ended by the library in our place, nor below by the kernel.
            .ping_interval(HANGS * 10)
            .ping_timeout(HANGS * 10)
            .upgrade_timeout(HANGS * 10)
            .connect_timeout(HANGS * 10)
            .build_layer();
        let (connect, connected) = mpsc::unbounded_channel();
        let (leave, gone) = mpsc::unbounded_channel();
        io.ns("/", async move |socket: SocketRef| {
            socket.on_disconnect(async move |reason: DisconnectReason| {
                let _ = leave.send(reason);
            });
            let _ = connect.send(socket);
        });
        let links = Arc::<Links>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (wait, waiting) = mpsc::unbounded_channel();
        let app = links.track(Router::new().layer(socket_io).layer(from_fn_with_state(wait, report_waiting)));
        let tcp = TcpOptions { user_timeout: HANGS * 10, ..TcpOptions::default() };
        tokio::spawn(serve(listener, app, ServeOptions { tcp, ..ServeOptions::default() }, shutdown.clone()));
        Self { address, links, connected, gone, waiting, shutdown }
    }

    async fn socket(&mut self) -> SocketRef {
        timeout(HANGS, self.connected.recv()).await.expect("no socket connected").unwrap()
    }

    async fn farewell(&mut self) -> DisconnectReason {
        timeout(HANGS, self.gone.recv()).await.expect("the socket is still there").unwrap()
    }

    async fn http(&self, method: &str, query: &str, body: &str) -> String {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}",
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(HANGS, client.read_to_string(&mut answer)).await.expect("no answer").unwrap();
        answer
    }

    /// Opens a session by long polling.
    async fn open_polling(&self) -> String {
        let answer = self.http("GET", "transport=polling", "").await;
        let (_, packet) = answer.split_once("\"sid\":\"").unwrap_or_else(|| panic!("no open packet: {answer}"));
        packet[..16].to_owned()
    }

    /// Connects the session to the namespace.
    async fn connect_polling(&mut self, sid: &str) -> SocketRef {
        let query = format!("transport=polling&sid={sid}");
        assert!(self.http("POST", &query, "40").await.ends_with("ok"));
        self.socket().await
    }

    /// Asks for a WebSocket and returns its connection and the head of the answer.
    async fn websocket(&self, query: &str) -> (TcpStream, String) {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(HANGS, client.read_u8()).await.expect("no answer").unwrap());
        }
        (client, String::from_utf8(head).unwrap())
    }

    fn entries(&self) -> usize {
        self.links.sessions().by_sid.len()
    }
}

async fn report_waiting(State(waits): State<mpsc::UnboundedSender<()>>, request: Request, next: Next) -> Response {
    let mut answer = std::pin::pin!(next.run(request));
    let mut waits = Some(waits);
    poll_fn(|cx| {
        let polled = answer.as_mut().poll(cx);
        if let (true, Some(waits)) = (polled.is_pending(), waits.take()) {
            let _ = waits.send(());
        }
        polled
    })
    .await
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Sends a short text frame, masked with zeroes.
async fn send(client: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    client.write_all(&frame).await.unwrap();
}

/// Reads a short text frame.
async fn receive(client: &mut TcpStream) -> String {
    let read = async {
        assert_eq!(client.read_u8().await.unwrap(), 0x81);
        let mut text = vec![0; client.read_u8().await.unwrap().into()];
        client.read_exact(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    };
    timeout(HANGS, read).await.expect("no frame")
}

async fn is_cut_off(client: &mut TcpStream) -> bool {
    timeout(HANGS, client.read_to_end(&mut Vec::new())).await.is_ok()
}

/// Emits until the client's window, our send buffer and the socket's own buffer are full.
async fn fill(socket: &SocketRef) {
    let block = "x".repeat(64 * 1024);
    loop {
        match socket.emit("block", &block) {
            Ok(()) => tokio::task::yield_now().await,
            Err(SendError::Socket(SocketError::InternalChannelFull)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn session(socket: &SocketRef) -> Arc<EngineSession> {
    EngineSession::of(&socket.req_parts().extensions).unwrap().clone()
}

#[tokio::test]
async fn a_websocket_that_does_not_read_is_ended_though_its_buffer_is_full() {
    let mut server = Server::start().await;
    let (mut client, _) = server.websocket("").await;
    send(&mut client, "40").await;
    let socket = server.socket().await;
    fill(&socket).await;
    // This is what the kill is for.
    assert!(matches!(socket.clone().disconnect(), Err(SocketError::InternalChannelFull)));
    session(&socket).kill();
    server.farewell().await;
    assert!(is_cut_off(&mut client).await);
}

#[tokio::test]
async fn a_session_is_ended_by_its_id_once_registered() {
    let mut server = Server::start().await;
    let (mut client, _) = server.websocket("").await;
    send(&mut client, "40").await;
    let socket = server.socket().await;
    assert!(!server.links.kill(socket.id));
    server.links.register(socket.id, &session(&socket));
    assert!(server.links.kill(socket.id));
    server.farewell().await;
    assert!(is_cut_off(&mut client).await);
}

#[tokio::test]
async fn a_kill_ends_a_waiting_poll_and_the_session() {
    let mut server = Server::start().await;
    let sid = server.open_polling().await;
    let socket = server.connect_polling(&sid).await;
    let query = format!("transport=polling&sid={sid}");
    let mut waiting = std::mem::replace(&mut server.waiting, mpsc::unbounded_channel().1);
    while waiting.try_recv().is_ok() {} // of the requests answered so far
    let kill = async {
        waiting.recv().await.unwrap();
        assert!(server.links.kill(socket.id));
    };
    // The first polls bring what was sent at the beginning; one of those after them waits.
    let poll = async {
        loop {
            let answer = server.http("GET", &query, "").await;
            if !answer.starts_with("HTTP/1.1 200") {
                return answer;
            }
        }
    };
    let (answer, ()) = timeout(HANGS, async { tokio::join!(poll, kill) }).await.expect("the poll still waits");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("Session ID unknown"), "{answer}");
    assert_eq!(server.farewell().await, DisconnectReason::TransportClose);
    drop(socket);
    assert!(server.http("POST", &query, "3").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_killed_polling_session_with_a_full_buffer_gets_nothing_more() {
    let mut server = Server::start().await;
    let sid = server.open_polling().await;
    let socket = server.connect_polling(&sid).await;
    fill(&socket).await;
    session(&socket).kill();
    let answer = server.http("GET", &format!("transport=polling&sid={sid}"), "").await;
    assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("block"), "{answer}");
    assert_eq!(server.farewell().await, DisconnectReason::TransportClose);
}

#[tokio::test]
async fn a_kill_reaches_the_websocket_that_a_polling_session_upgraded_to() {
    let mut server = Server::start().await;
    let sid = server.open_polling().await;
    let socket = server.connect_polling(&sid).await;
    let (mut client, _) = server.websocket(&format!("&sid={sid}")).await;
    send(&mut client, "2probe").await;
    assert_eq!(receive(&mut client).await, "3probe");
    send(&mut client, "5").await;
    while !receive(&mut client).await.starts_with("40") {} // a ping may come before
    // Somebody who has the id can't put himself in the place of the connection that carries the session.
    let (mut intruder, head) = server.websocket(&format!("&sid={sid}")).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(is_cut_off(&mut intruder).await);
    fill(&socket).await;
    assert!(server.links.kill(socket.id));
    server.farewell().await;
    assert!(is_cut_off(&mut client).await);
}

#[tokio::test]
async fn attempts_at_an_upgrade_are_bounded_and_ended_with_the_session() {
    let mut server = Server::start().await;
    let sid = server.open_polling().await;
    let socket = server.connect_polling(&sid).await;
    let query = format!("&sid={sid}");
    let mut attempts = Vec::new();
    for _ in 0..MOST_LINKS {
        let (client, head) = server.websocket(&query).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        attempts.push(client);
    }
    let (_, head) = server.websocket(&query).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    session(&socket).kill();
    for client in &mut attempts {
        assert!(is_cut_off(client).await);
    }
}

#[tokio::test]
async fn guessed_ids_leave_no_trace() {
    let server = Server::start().await;
    for sid in ["AAAAAAAAAAAAAAAA", "short", ""] {
        server.http("GET", &format!("transport=polling&sid={sid}"), "").await;
        let (mut client, _) = server.websocket(&format!("&sid={sid}")).await;
        drop(client.shutdown().await);
    }
    server.http("GET", "transport=carrier-pigeon", "").await;
    server.http("GET", "", "").await;
    assert_eq!(server.entries(), 0);
}

#[tokio::test]
async fn sessions_that_ended_are_forgotten() {
    let links = Links::default();
    let kept: Vec<_> = (0..10).map(|_| (Sid::new(), Arc::<EngineSession>::default())).collect();
    for (sid, session) in &kept {
        links.register(*sid, session);
    }
    for _ in 0..10_000 {
        links.register(Sid::new(), &Arc::default());
    }
    assert!(links.sessions().by_sid.len() <= PURGE_FROM);
    for (sid, session) in kept {
        assert!(links.kill(sid) && session.is_killed());
        drop(session);
        assert!(!links.kill(sid));
    }
}

#[tokio::test]
async fn a_connection_that_joins_a_killed_session_is_killed() {
    let session = EngineSession::default();
    session.kill();
    let link = Arc::new(Link::new(SocketAddr::from(([127, 0, 0, 1], 1))));
    session.attach(link.clone());
    assert!(link.is_killed());
}

#[tokio::test]
async fn the_session_ends_with_the_socket_that_holds_its_request() {
    let mut server = Server::start().await;
    let sid = server.open_polling().await;
    let socket = server.connect_polling(&sid).await;
    let session = Arc::downgrade(&session(&socket));
    drop(socket);
    assert!(server.http("POST", &format!("transport=polling&sid={sid}"), "1").await.ends_with("ok"));
    assert_eq!(server.farewell().await, DisconnectReason::TransportClose);
    let gone = async {
        while session.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANGS, gone).await.expect("the session is still held");
}

#[test]
fn requests_are_read_as_the_library_reads_them() {
    let sid: Sid = "AAAAAAAAAAAAAAHs".parse().unwrap();
    let polling = Asked::Continue { sid, websocket: false };
    let websocket = Asked::Continue { sid, websocket: true };
    for (uri, expected) in [
        ("/socket.io/?EIO=4&transport=polling", Asked::Open),
        ("/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAHs", polling),
        ("/socket.io?EIO=4&sid=AAAAAAAAAAAAAAHs&transport=websocket&sid=other", websocket),
        ("/socket.io/?EIO=4&transport=polling&sid=", Asked::Other),
        ("/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAH!", Asked::Other),
        ("/socket.io/", Asked::Other),
        ("/socket.iox/?EIO=4&transport=polling", Asked::Other),
        ("/healthz?sid=AAAAAAAAAAAAAAHs", Asked::Other),
    ] {
        assert_eq!(Asked::read(&uri.parse().unwrap()), expected, "{uri}");
    }
}
