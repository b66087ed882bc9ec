//! The loop that accepts connections and serves HTTP/1.1 on them until told to stop.
//!
//! Every connection holds a slot from the accept to the drop of its stream, also when a WebSocket has taken it over: that
//! bounds how many there are, and it is how the end of the loop knows who is left.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, http::StatusCode, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tower::Service;

use super::stream::{Accepted, TcpOptions};
use crate::link::Link;

/// How long killed connections may take to be gone.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// The bounds within which connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// What the kernel is told about each connection.
    pub tcp: TcpOptions,
    /// How many connections there may be at once; what comes beyond is closed unread.
    pub connections: usize,
    /// How long a client may take to send a request's head. It also ends a connection that idles between requests.
    pub head_within: Duration,
    /// The longest request head, address and headers together, in bytes.
    pub head_bytes: usize,
    /// How long a request may take from its head to its answer, its body included. Longer than the ping interval, since a
    /// long poll is answered at the latest by a ping.
    pub answer_within: Duration,
    /// How long connections may go on after the server was told to stop.
    pub end_within: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            tcp: TcpOptions::default(),
            connections: 20_000,
            head_within: Duration::from_secs(10),
            head_bytes: 16 * 1024,
            answer_within: Duration::from_secs(60),
            end_within: Duration::from_secs(1),
        }
    }
}

/// Why serving did not end as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// A handler neither finished nor could be ended.
    #[error(
        "{connections} connections were still held {:?} after they had been cut off; their peers see them close when the process exits",
        KILLED_WITHIN
    )]
    Unfinished {
        /// How many.
        connections: usize,
    },
}

/// Serves `app` to whoever connects, until `shutdown`: then no more connections are accepted, those between two requests
/// end at once, the others may go on for [`ServeOptions::end_within`] and are cut off after that.
///
/// Each request carries the [`Link`] of its connection in its extensions, as `Arc<Link>`.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    serve_from(listener, app, options, shutdown).await
}

/// Where connections come from.
trait Accept {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        TcpListener::accept(self)
    }
}

async fn serve_from(
    mut listener: impl Accept,
    app: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let server = Server::new(app, options, shutdown);
    let mut backoff = AcceptBackoff::default();
    while let Some(accepted) = server.shutdown.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                backoff.succeeded();
                server.admit(stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection ended unaccepted"),
            Err(error) => {
                let wait = backoff.failed(&error);
                server.shutdown.run_until_cancelled(sleep(wait)).await;
            }
        }
    }
    drop(listener);
    server.end().await
}

struct Server {
    app: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
    http: http1::Builder,
    slots: Arc<Slots>,
    // Connections and, in their slots, the streams that outlive the HTTP on them.
    tasks: TaskTracker,
}

impl Server {
    fn new(app: Router, options: ServeOptions, shutdown: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(options.head_within)
            .max_header_size(options.head_bytes)
            // hyper refuses less, and needs a buffer that holds the head.
            .max_buf_size(options.head_bytes.max(8 * 1024));
        Self { app, options, shutdown, http, slots: Arc::default(), tasks: TaskTracker::new() }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        if self.slots.open().len() >= self.options.connections {
            metrics::counter!("curia_http_connections_refused_total").increment(1);
            tracing::debug!(%peer, "closed a connection at once: there are as many as the limit allows");
            return;
        }
        if let Err(error) = self.options.tcp.apply(&stream) {
            // The peer went away between the handshake and now.
            tracing::debug!(%peer, %error, "a connection ended as it was accepted");
            return;
        }
        let stream = Slot::take(&self.slots, stream, peer, self.tasks.token());
        self.tasks.spawn(converse(self.http.clone(), stream, self.responder(), self.shutdown.clone()));
    }

    fn responder(&self) -> Responder {
        Responder { app: self.app.clone(), answer_within: self.options.answer_within }
    }

    async fn end(self) -> Result<(), ServeError> {
        self.tasks.close();
        if timeout(self.options.end_within, self.tasks.wait()).await.is_ok() {
            return Ok(());
        }
        let left = self.slots.kill_all();
        tracing::info!(connections = left, "cut off the connections that had not ended in time");
        match timeout(KILLED_WITHIN, self.tasks.wait()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(ServeError::Unfinished { connections: self.slots.open().len() }),
        }
    }
}

/// Answers the requests of one connection until it ends, becomes a WebSocket, is killed, or the server stops.
async fn converse(http: http1::Builder, stream: Accepted<Slot>, responder: Responder, shutdown: CancellationToken) {
    let link = stream.link().clone();
    let requested = link.clone();
    let service = service_fn(move |request| responder.clone().answer(request, requested.clone()));
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            // Not left to the failing stream: hyper doesn't look at it while a handler works and input waits.
            () = link.killed() => return,
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %link.peer(), %error, "a connection ended early");
                }
                return;
            }
            () = shutdown.cancelled(), if !stopping => {
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

#[derive(Clone)]
struct Responder {
    app: Router,
    answer_within: Duration,
}

impl Responder {
    async fn answer(mut self, request: hyper::Request<Incoming>, link: Arc<Link>) -> Result<Response, Infallible> {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(link);
        match timeout(self.answer_within, self.app.call(request)).await {
            Ok(answered) => answered,
            Err(_) => Ok(super::refusal(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "the request took too long, its body included; send it again",
            )),
        }
    }
}

/// The connections there are.
#[derive(Default)]
struct Slots {
    open: Mutex<OpenLinks>,
}

#[derive(Default)]
struct OpenLinks {
    next: u64,
    links: HashMap<u64, Weak<Link>>,
}

/// One connection's place among [`Slots`], given back when its stream is dropped.
struct Slot {
    id: u64,
    slots: Arc<Slots>,
    _token: TaskTrackerToken,
}

impl OpenLinks {
    fn len(&self) -> usize {
        self.links.len()
    }
}

impl Slots {
    fn open(&self) -> MutexGuard<'_, OpenLinks> {
        // Each change of the map is a single call: a panic elsewhere can't have left it half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill_all(&self) -> usize {
        let links: Vec<_> = self.open().links.values().filter_map(Weak::upgrade).collect();
        links.iter().for_each(|link| link.kill());
        links.len()
    }
}

impl Slot {
    fn take(slots: &Arc<Slots>, stream: TcpStream, peer: SocketAddr, token: TaskTrackerToken) -> Accepted<Self> {
        let mut open = slots.open();
        let id = open.next;
        open.next += 1;
        let accepted = Accepted::new(stream, peer, Self { id, slots: slots.clone(), _token: token });
        open.links.insert(id, Arc::downgrade(accepted.link()));
        metrics::gauge!("curia_http_connections").set(open.len() as f64);
        accepted
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open();
        open.links.remove(&self.id);
        metrics::gauge!("curia_http_connections").set(open.len() as f64);
    }
}

/// Whether an accept failed for the peer's reasons: the next may succeed at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Waits between accepts that fail for ours (out of file descriptors, say): the kernel would report that again and again.
#[derive(Default)]
struct AcceptBackoff {
    failures: u32,
}

impl AcceptBackoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    fn failed(&mut self, error: &io::Error) -> Duration {
        if self.failures == 0 {
            tracing::error!(
                %error,
                "cannot accept connections and will keep trying; if files ran out, raise the limit (ulimit -n, \
                 LimitNOFILE) above the number of connections allowed",
            );
        }
        let wait = Self::FIRST.saturating_mul(1 << self.failures.min(16)).min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        metrics::counter!("curia_http_accept_failures_total").increment(1);
        wait
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "connections are accepted again");
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests;
