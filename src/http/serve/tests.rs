use std::sync::atomic::{AtomicU32, Ordering};

use axum::{
    body::Bytes,
    extract::Extension,
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use super::*;

/// Long enough to tell hanging from working.
const HANGS: Duration = Duration::from_secs(30);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), ServeError>>,
}

async fn run(app: Router, options: ServeOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(serve(listener, app, options, shutdown.clone()));
    Running { address, shutdown, served }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request and returns everything until the server closes.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut client = self.connect().await;
        client.write_all(request).await.unwrap();
        read_to_end(&mut client).await
    }

    async fn stop(self) -> Result<(), ServeError> {
        self.shutdown.cancel();
        timeout(HANGS, self.served).await.expect("the server goes on").unwrap()
    }
}

/// What the server sent until it closed; a reset ends it too.
async fn read_to_end(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = timeout(HANGS, client.read_to_end(&mut answer)).await.expect("the server keeps the connection open");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn read_head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(HANGS, client.read_u8()).await.expect("no answer").unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// `/endless` answers for ever; the link of each connection that asks is sent out.
fn endless() -> (Router, mpsc::UnboundedReceiver<Arc<Link>>) {
    let (asked, links) = mpsc::unbounded_channel();
    let answer = move |Extension(link): Extension<Arc<Link>>| async move {
        asked.send(link).unwrap();
        let block = Bytes::from(vec![7; 16 * 1024]);
        Body::from_stream(stream::repeat(block).map(Ok::<_, Infallible>))
    };
    (Router::new().route("/endless", get(answer)), links)
}

const ENDLESS: &[u8] = b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n";
const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

fn hello() -> Router {
    Router::new().route("/hello", get(|| async { "hello" }))
}

#[tokio::test]
async fn a_request_is_answered_over_its_link() {
    let answer =
        |Extension(link): Extension<Arc<Link>>| async move { format!("{} {}", link.peer(), link.bytes_read()) };
    let server = run(Router::new().route("/link", get(answer)), ServeOptions::default()).await;
    let mut client = server.connect().await;
    let request = b"GET /link HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let answer = read_to_end(&mut client).await;
    let expected = format!("{} {}", client.local_addr().unwrap(), request.len());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&expected), "{answer}");
    assert_eq!(server.stop().await, Ok(()));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off_by_the_kernel() {
    let (app, mut links) = endless();
    let tcp = TcpOptions { user_timeout: Duration::from_secs(1), ..TcpOptions::default() };
    let server = run(app, ServeOptions { tcp, ..ServeOptions::default() }).await;
    let mut client = server.connect().await;
    client.write_all(ENDLESS).await.unwrap();
    let link = links.recv().await.unwrap();
    timeout(HANGS, link.closed()).await.expect("the client is still served");
    assert!(!link.is_killed() && link.bytes_written() > 0, "{link:?}");
    drop(client);
    assert_eq!(server.stop().await, Ok(()));
}

#[tokio::test]
async fn a_kill_ends_a_connection_that_answers_for_ever() {
    let (app, mut links) = endless();
    // Not to be ended by the kernel in our place.
    let tcp = TcpOptions { user_timeout: HANGS * 10, ..TcpOptions::default() };
    let server = run(app, ServeOptions { tcp, ..ServeOptions::default() }).await;
    let mut client = server.connect().await;
    client.write_all(ENDLESS).await.unwrap();
    let link = links.recv().await.unwrap();
    link.kill();
    timeout(HANGS, link.closed()).await.expect("the client is still served");
    assert_eq!(server.stop().await, Ok(()));
}

#[tokio::test]
async fn a_kill_ends_a_handler_that_would_never_answer_while_input_waits() {
    let (asked, mut links) = mpsc::unbounded_channel();
    let never = move |Extension(link): Extension<Arc<Link>>| async move {
        asked.send(link).unwrap();
        std::future::pending::<()>().await
    };
    let server = run(Router::new().route("/never", get(never)), ServeOptions::default()).await;
    let mut client = server.connect().await;
    // The second request stands in hyper's buffer, which therefore reads no more.
    client.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\nGET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let link = links.recv().await.unwrap();
    link.kill();
    timeout(HANGS, link.closed()).await.expect("the connection is still open");
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(server.stop().await, Ok(()));
}

#[tokio::test]
async fn heads_are_bounded_in_time_and_size() {
    let server =
        run(hello(), ServeOptions { head_within: Duration::from_millis(200), ..ServeOptions::default() }).await;
    let answer = server.exchange(b"GET /hello HTTP/1.1\r\nHost: x\r\nX-Slow:").await;
    assert!(!answer.contains("200 OK"), "{answer}");
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000));
    let answer = server.exchange(long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let many = format!("GET /hello HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    let answer = server.exchange(many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(server.stop().await, Ok(()));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = Router::new().route("/hello", post(|body: Bytes| async move { body }));
    let server = run(app, ServeOptions { answer_within: Duration::from_millis(200), ..ServeOptions::default() }).await;
    let answer = server.exchange(b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    assert_eq!(server.stop().await, Ok(()));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let server = run(hello(), ServeOptions { connections: 1, ..ServeOptions::default() }).await;
    let mut first = server.connect().await;
    first.write_all(HELLO).await.unwrap();
    read_head(&mut first).await;
    assert_eq!(read_to_end(&mut server.connect().await).await, "");
    drop(first);
    // The slot is free once the server has seen the first connection close.
    let again = async {
        loop {
            let answer = server.exchange(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            if !answer.is_empty() {
                return answer;
            }
        }
    };
    let answer = timeout(HANGS, again).await.expect("the slot was not given back");
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(server.stop().await, Ok(()));
}

#[tokio::test]
async fn stopping_lets_a_request_finish_and_ends_idle_connections() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let may_end = Arc::new(Semaphore::new(0));
    let gate = may_end.clone();
    let slow = move || async move {
        begun.send(()).unwrap();
        drop(gate.acquire().await.unwrap());
        "finished"
    };
    let server =
        run(hello().route("/slow", get(slow)), ServeOptions { end_within: HANGS, ..ServeOptions::default() }).await;
    let mut idle = server.connect().await;
    idle.write_all(HELLO).await.unwrap();
    read_head(&mut idle).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    has_begun.recv().await.unwrap();
    server.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "hello");
    may_end.add_permits(1);
    let answer = read_to_end(&mut busy).await;
    assert!(answer.ends_with("finished"), "{answer}");
    let address = server.address;
    assert_eq!(server.stop().await, Ok(()));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn stopping_cuts_off_what_does_not_end_also_after_an_upgrade() {
    let (app, mut links) = endless();
    let (upgraded, mut upgraded_links) = mpsc::unbounded_channel();
    let upgrade = move |mut request: Request| async move {
        let link = request.extensions().get::<Arc<Link>>().unwrap().clone();
        let taken = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(taken.await.unwrap());
            upgraded.send(link).unwrap();
            stream.read_u8().await
        });
        (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "test")])
    };
    let app = app.route("/upgrade", get(upgrade));
    let server = run(app, ServeOptions { end_within: Duration::from_millis(50), ..ServeOptions::default() }).await;
    let mut endless = server.connect().await;
    endless.write_all(ENDLESS).await.unwrap();
    let endless_link = links.recv().await.unwrap();
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n")
        .await
        .unwrap();
    let upgraded_link = upgraded_links.recv().await.unwrap();
    assert!(!upgraded_link.is_closed());
    assert_eq!(server.stop().await, Ok(()));
    assert!(endless_link.is_closed() && upgraded_link.is_closed());
}

/// Fails as a process without file descriptors does, then accepts.
struct Starved {
    failures: u32,
    accepts: Arc<AtomicU32>,
    listener: TcpListener,
}

impl Accept for Starved {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        if self.accepts.fetch_add(1, Ordering::SeqCst) < self.failures {
            return Err(io::Error::from_raw_os_error(24));
        }
        self.listener.accept().await
    }
}

#[tokio::test]
async fn failing_accepts_are_spaced_out_and_survived() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepts = Arc::new(AtomicU32::new(0));
    let starved = Starved { failures: 3, accepts: accepts.clone(), listener };
    let shutdown = CancellationToken::new();
    let started = std::time::Instant::now();
    let served = tokio::spawn(serve_from(starved, hello(), ServeOptions::default(), shutdown.clone()));
    let server = Running { address, shutdown, served };
    let answer = server.exchange(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(started.elapsed() >= Duration::from_millis(10 + 20 + 40));
    // The three that failed, the one that did not, and the one that waits.
    assert!(accepts.load(Ordering::SeqCst) <= 5);
    assert_eq!(server.stop().await, Ok(()));
}

#[test]
fn the_wait_between_failing_accepts_doubles_up_to_a_second() {
    let mut backoff = AcceptBackoff::default();
    let error = io::Error::from_raw_os_error(24);
    let waits: Vec<_> = (0..10).map(|_| backoff.failed(&error).as_millis()).collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
    backoff.succeeded();
    assert_eq!(backoff.failed(&error).as_millis(), 10);
    backoff.failures = u32::MAX;
    assert_eq!(backoff.failed(&error), AcceptBackoff::LONGEST);
}
