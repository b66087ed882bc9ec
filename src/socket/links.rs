//! Which TCP connections carry which Engine.IO session, so that a session can be ended without its cooperation.
//!
//! The library can't end a session whose buffer is full: its farewell no longer fits in. [`EngineSession::kill`] can. Nor has it
//! an end after which the official client comes back by itself: [`EngineSession::hang_up`] is one.
//! - A WebSocket holds its connection for itself, and that is cut.
//! - Long polling comes over any connection, through a proxy one that others use too. So nothing is cut: the request under
//!   way is refused, so is each later one, and the library is handed the client's own close packet.
//!
//! Who may add to what is kept here: an entry is made from an answer of the library that opened a session, never from what a
//! request claims, and it lives as long as that session. A connection joins an entry only when its upgrade was answered;
//! earlier ones stay, so that a second upgrade under a known id doesn't shield the first. A session has at most
//! [`MOST_LINKS`] of them. Once [`Links`] are shut no session is opened.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{Request, State},
    http::{Extensions, Method, StatusCode, Uri, header::CONTENT_TYPE},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use socketioxide::socket::Sid;
use tokio_util::sync::CancellationToken;

use crate::link::Link;

/// Where Engine.IO is served.
const PATH: &str = "/socket.io";

/// How many live WebSocket connections one session may have: the one that carries it, and attempts at an upgrade.
pub const MOST_LINKS: usize = 4;

/// More than an open packet takes.
const OPEN_PACKET_MAX: usize = 4 * 1024;

/// Below this many entries dead ones are left where they are.
const PURGE_FROM: usize = 64;

/// One Engine.IO session, from its handshake on. It is in the extensions of the request that opened it.
#[derive(Debug, Default)]
pub struct EngineSession {
    links: Mutex<Vec<Arc<Link>>>,
    killed: CancellationToken,
    /// Bytes of answered polls and of connections that are gone.
    past: AtomicU64,
    ended: CancellationToken,
}

impl Drop for EngineSession {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl EngineSession {
    /// The session of a socket, from `socket.req_parts().extensions`.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }

    /// Ends the session, whatever its client does.
    pub fn kill(&self) {
        // Before the links, so that one that is added at this moment sees it.
        self.killed.cancel();
        self.links().iter().for_each(|link| link.kill());
    }

    /// As [`EngineSession::kill`], but a client that reads gets what the kernel holds for it.
    pub fn hang_up(&self) {
        // As above.
        self.killed.cancel();
        self.links().iter().for_each(|link| link.hang_up());
    }

    /// Bytes that were taken for the client until now, whatever they were; those of a poll count once it is answered.
    pub fn taken(&self) -> u64 {
        let links = self.links();
        self.past.load(Ordering::Relaxed) + links.iter().map(|link| link.bytes_written()).sum::<u64>()
    }

    /// Whether [`EngineSession::kill`] or [`EngineSession::hang_up`] was called.
    pub fn is_killed(&self) -> bool {
        self.killed.is_cancelled()
    }

    /// Cancelled once nobody holds the session any longer: neither the library nor a socket of it.
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Adds a connection; false when there are [`MOST_LINKS`] already.
    fn attach(&self, link: Arc<Link>) -> bool {
        let mut links = self.links();
        links.retain(|link| {
            let open = !link.is_closed();
            if !open {
                self.past.fetch_add(link.bytes_written(), Ordering::Relaxed);
            }
            open
        });
        if links.len() >= MOST_LINKS {
            return false;
        }
        if self.is_killed() {
            link.kill();
        }
        links.push(link);
        true
    }

    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        // Each change is a single call: a panic elsewhere can't have left it half done.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sessions by id, as long as the library holds them.
#[derive(Debug, Default)]
pub struct Links {
    sessions: Mutex<Sessions>,
    shut: CancellationToken,
}

#[derive(Debug, Default)]
struct Sessions {
    by_sid: HashMap<Sid, Weak<EngineSession>>,
    purge_at: usize,
}

impl Links {
    /// None yet, and none more once `shut` is cancelled.
    pub fn new(shut: CancellationToken) -> Self {
        Self { sessions: Mutex::default(), shut }
    }

    /// Keeps track of the sessions that `router`, which Socket.IO is layered on, opens.
    pub fn track(self: &Arc<Self>, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), follow))
    }

    /// Makes a session known by its id. Those that begin with long polling are already; one that begins as a WebSocket
    /// is once its socket has connected and says so here.
    pub fn register(&self, sid: Sid, session: &Arc<EngineSession>) {
        let mut sessions = self.sessions();
        if sessions.by_sid.len() >= sessions.purge_at.max(PURGE_FROM) {
            sessions.by_sid.retain(|_, session| session.strong_count() > 0);
            sessions.purge_at = sessions.by_sid.len() * 2;
        }
        sessions.by_sid.insert(sid, Arc::downgrade(session));
    }

    /// Ends the session with this id; false when there is none.
    pub fn kill(&self, sid: Sid) -> bool {
        self.find(sid).inspect(|session| session.kill()).is_some()
    }

    fn find(&self, sid: Sid) -> Option<Arc<EngineSession>> {
        self.sessions().by_sid.get(&sid)?.upgrade()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // As above.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request asks of Engine.IO.
#[derive(Debug, PartialEq)]
enum Asked {
    Open,
    Continue {
        sid: Sid,
        websocket: bool,
    },
    /// An id that can't be one, or another address.
    Other,
}

impl Asked {
    /// Reads the query as the library does: the first of each name, nothing decoded.
    fn read(uri: &Uri) -> Self {
        let is_engine = uri.path().strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let Some(query) = uri.query().filter(|_| is_engine) else { return Self::Other };
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
        match value("sid=").map(str::parse) {
            None => Self::Open,
            Some(Ok(sid)) => Self::Continue { sid, websocket: value("transport=") == Some("websocket") },
            Some(Err(_)) => Self::Other,
        }
    }
}

async fn follow(State(links): State<Arc<Links>>, request: Request, next: Next) -> Response {
    match Asked::read(request.uri()) {
        Asked::Open if links.shut.is_cancelled() => draining(),
        Asked::Open => open(&links, request, next).await,
        Asked::Continue { sid, websocket } => match links.find(sid) {
            Some(session) if websocket => upgrade(&session, request, next).await,
            Some(session) => poll(&session, sid, request, next).await,
            None => next.run(request).await,
        },
        Asked::Other => next.run(request).await,
    }
}

async fn open(links: &Links, mut request: Request, next: Next) -> Response {
    let session = Arc::<EngineSession>::default();
    request.extensions_mut().insert(session.clone());
    let link = request.extensions().get::<Arc<Link>>().cloned();
    let response = next.run(request).await;
    match (response.status(), link) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(link)) => {
            session.attach(link);
            response
        }
        (StatusCode::OK, _) => {
            let (parts, body) = response.into_parts();
            // Known before the client learns the id: its next request can't come too early.
            let body = match to_bytes(body, OPEN_PACKET_MAX).await {
                Ok(body) => body,
                Err(error) => {
                    tracing::error!(%error, "an Engine.IO handshake was not answered with an open packet");
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
            };
            match opened(&body) {
                Some(sid) => links.register(sid, &session),
                None => tracing::error!("an Engine.IO handshake was not answered with an open packet"),
            }
            Response::from_parts(parts, Body::from(body))
        }
        _ => response,
    }
}

/// The id in an open packet: `0{"sid":...}`.
fn opened(packet: &Bytes) -> Option<Sid> {
    #[derive(Deserialize)]
    struct Open<'a> {
        sid: &'a str,
    }
    let open: Open = serde_json::from_slice(packet.strip_prefix(b"0")?).ok()?;
    open.sid.parse().ok()
}

async fn upgrade(session: &EngineSession, request: Request, next: Next) -> Response {
    if session.is_killed() {
        return session_unknown();
    }
    let link = request.extensions().get::<Arc<Link>>().cloned();
    let response = next.run(request).await;
    match (response.status(), link) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(link)) => {
            if session.attach(link) {
                response
            } else {
                // The connection is not handed over, and the library gives the attempt up.
                session_unknown()
            }
        }
        _ => response,
    }
}

async fn poll(session: &EngineSession, sid: Sid, request: Request, next: Next) -> Response {
    let closing = next.clone();
    match session.killed.run_until_cancelled(next.run(request)).await {
        Some(response) => {
            let bytes = response.body().size_hint().lower();
            session.past.fetch_add(bytes, Ordering::Relaxed);
            response
        }
        None => {
            close(sid, closing).await;
            session_unknown()
        }
    }
}

/// Closes a session as its client would: the library has no other way in that doesn't go through the full buffer.
async fn close(sid: Sid, next: Next) {
    let uri = format!("{PATH}/?EIO=4&transport=polling&sid={sid}");
    let request = Request::builder().method(Method::POST).uri(uri).body(Body::from("1"));
    match request {
        Ok(request) => drop(next.run(request).await),
        Err(error) => tracing::error!(%error, "a killed session is left to its heartbeat"),
    }
}

/// A load balancer takes it elsewhere; a client without one tries again by itself.
fn draining() -> Response {
    let body =
        r#"{"code":"unavailable","message":"this server is going down; connect to another, or to its successor"}"#;
    (StatusCode::SERVICE_UNAVAILABLE, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// What Engine.IO says of a session that isn't there; a client opens a new one.
fn session_unknown() -> Response {
    let body = r#"{"code":"1","message":"Session ID unknown"}"#;
    (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests;
