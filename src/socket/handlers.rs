//! Handshake, commands, farewell.
//!
//! A socket's commands are served one after the other by a task of its own, so that a leave sent after a join is served after
//! it; what waits is bounded, and the task ends with the socket.

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::Utc;
use futures_util::FutureExt;
use serde_json::Value;
use socketioxide::{
    SocketIo,
    extract::{SocketRef, TryData},
    handler::ConnectHandler,
    socket::DisconnectReason,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    actor::Actor,
    command::Command,
    contract::{ErrorCode, Failure},
    gateway::{Gateway, Greeting},
    ids::SocketKey,
    jwt::{TokenError, Verifier},
    limits::{Class, TooMany},
    link::Link,
    ports::{Acknowledge, FactStore, Limits, Sessions, TooManySessions},
    socket::{
        asked::{self, Queued, answer},
        farewell::{Served, farewell},
        guests::{Full, Guests, Held},
        links::{EngineSession, Links},
        proxies::TrustedProxies,
        session::{self, Life},
        sink::{Member, Members},
        tasks::{SocketTasks, panicked},
    },
};

/// What the handlers need; made once.
pub struct Doors<F> {
    pub(super) gateway: Arc<Gateway<F>>,
    pub(super) verifier: Arc<Verifier>,
    limits: Arc<dyn Limits>,
    guests: Guests,
    sessions: Arc<dyn Sessions>,
    proxies: TrustedProxies,
    pub(super) members: Members,
    pub(super) links: Arc<Links>,
    pub(super) tasks: SocketTasks,
    next: Arc<AtomicU64>,
}

impl<F> Clone for Doors<F> {
    fn clone(&self) -> Self {
        Self {
            gateway: Arc::clone(&self.gateway),
            verifier: Arc::clone(&self.verifier),
            limits: Arc::clone(&self.limits),
            guests: self.guests.clone(),
            sessions: Arc::clone(&self.sessions),
            proxies: self.proxies.clone(),
            members: self.members.clone(),
            links: Arc::clone(&self.links),
            tasks: self.tasks.clone(),
            next: Arc::clone(&self.next),
        }
    }
}

impl<F> Doors<F> {
    /// `members` are those that the dispatcher's sink emits to; whoever makes `tasks` sees to their end.
    pub fn new(
        gateway: Arc<Gateway<F>>,
        verifier: Arc<Verifier>,
        entry: Entry,
        members: Members,
        tasks: SocketTasks,
    ) -> Self {
        let links = Arc::new(Links::new(members.is_shut().clone()));
        let Entry { limits, guests, sessions, proxies } = entry;
        let next = Arc::new(AtomicU64::new(1));
        Self { gateway, verifier, limits, guests, sessions, proxies, members, links, tasks, next }
    }
}

/// What bounds who comes and what he asks.
pub struct Entry {
    pub limits: Arc<dyn Limits>,
    pub guests: Guests,
    pub sessions: Arc<dyn Sessions>,
    pub proxies: TrustedProxies,
}

/// What the handshake found out, kept for the socket's first step.
#[derive(Clone)]
struct Admitted {
    key: SocketKey,
    actor: Actor,
    greeting: Greeting,
    /// Cancelled once it has left.
    left: CancellationToken,
    kept: Arc<Kept>,
    commands: Arc<Mutex<Option<mpsc::Receiver<Queued>>>>,
}

/// What lasts as long as a socket, and ends with it.
pub(super) struct Kept {
    pub(super) held: Arc<Held>,
    /// The only end that keeps the queue of its commands, and thus the task that serves them.
    _queue: mpsc::Sender<Queued>,
}

impl Kept {
    pub(super) fn new(held: Held, queue: mpsc::Sender<Queued>) -> Arc<Self> {
        Arc::new(Self { held: Arc::new(held), _queue: queue })
    }
}

/// Why a connection is refused. The library carries only a message, so the code stands at its head.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
struct Refused {
    code: &'static str,
    message: String,
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        Self { code: error.code().as_str(), message: error.to_string() }
    }
}

impl From<Full> for Refused {
    fn from(full: Full) -> Self {
        Self { code: ErrorCode::RateLimited.as_str(), message: full.to_string() }
    }
}

impl From<TooManySessions> for Refused {
    fn from(too_many: TooManySessions) -> Self {
        Self { code: ErrorCode::RateLimited.as_str(), message: too_many.to_string() }
    }
}

impl From<TooMany> for Refused {
    fn from(too_many: TooMany) -> Self {
        Failure::from(too_many).into()
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code.as_str(), message: failure.message }
    }
}

/// Opens the namespace.
pub(super) fn open<F: FactStore>(io: &SocketIo, doors: Doors<F>) {
    let at_door = doors.clone();
    let admit = move |socket: SocketRef, auth: TryData<Value>| {
        let doors = at_door.clone();
        async move { admit(&doors, &socket, auth.0.ok()).await }
    };
    let enter = move |socket: SocketRef| {
        let doors = doors.clone();
        async move { enter(doors, socket).await }
    };
    io.ns("/", enter.with(admit));
}

async fn admit<F: FactStore>(doors: &Doors<F>, socket: &SocketRef, auth: Option<Value>) -> Result<(), Refused> {
    let request = socket.req_parts();
    let peer = request.extensions.get::<Arc<Link>>().map_or(IpAddr::from([0; 16]), |link| link.peer().ip());
    let address = doors.guests.of_address(doors.proxies.client(peer, &request.headers))?;
    let token = token(socket, auth.as_ref()).ok_or(TokenError::Missing)?;
    let actor = doors.verifier.verify(&token, Utc::now())?;
    // Before whatever coming costs: places, questions to the database, a turn of the dispatcher.
    doors.limits.take(&actor.user, Class::Connect)?.await?;
    let user = doors.guests.of_user(&actor.user)?;
    let session = doors.sessions.open(&actor).await?;
    let greeting = doors.gateway.greet(&actor).await?;
    let (queue, commands) = asked::listen(socket, Arc::clone(&doors.limits), actor.user.clone());
    let kept = Kept::new(Held { _session: session, _address: address, _user: user }, queue);
    let key = SocketKey(doors.next.fetch_add(1, Ordering::Relaxed));
    let left = heeds_its_end(doors, socket, key);
    let commands = Arc::new(Mutex::new(Some(commands)));
    socket.extensions.insert(Admitted { key, actor, greeting, left, kept, commands });
    Ok(())
}

/// From here on no end is missed. The library answers CONNECT, and only then calls the socket connected: who leaves between the two is
/// taken to be connected for ever, so what counts is that his end was told.
fn heeds_its_end<F: FactStore>(doors: &Doors<F>, socket: &SocketRef, key: SocketKey) -> CancellationToken {
    let left = CancellationToken::new();
    let (doors, leaves) = (doors.clone(), left.clone());
    socket.on_disconnect(async move |reason: DisconnectReason| {
        // Before the farewell: whoever is added behind it finds that he has left.
        leaves.cancel();
        farewell(&doors, key, Some(reason)).await;
    });
    left
}

/// `auth.token`, else `Authorization: Bearer`.
fn token(socket: &SocketRef, auth: Option<&Value>) -> Option<String> {
    if let Some(token) = auth.and_then(|auth| auth.get("token")).and_then(Value::as_str) {
        return Some(token.to_owned());
    }
    let header = socket.req_parts().headers.get("authorization")?.to_str().ok()?;
    header.strip_prefix("Bearer ").map(str::to_owned)
}

async fn enter<F: FactStore>(doors: Doors<F>, socket: SocketRef) {
    let Some(admitted) = socket.extensions.remove::<Admitted>() else { return };
    let Some(asked) = admitted.commands.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let session = EngineSession::of(&socket.req_parts().extensions).cloned();
    let (key, actor) = (admitted.key, admitted.actor.clone());
    let seating = AssertUnwindSafe(seat(&doors, &socket, session.clone(), admitted));
    let is_seated = seating.catch_unwind().await.unwrap_or_else(|_| {
        panicked("entering");
        // It may be no member yet.
        session.iter().for_each(|session| session.kill());
        false
    });
    if is_seated {
        doors.tasks.clone().spawn("serving", serve(doors, key, actor, socket, asked));
    } else {
        // It may have gone before it was a member; saying it twice does nothing.
        farewell(&doors, key, None).await;
    }
}

/// Makes it a member and gives it a seat, if it is still there behind that.
async fn seat<F: FactStore>(
    doors: &Doors<F>,
    socket: &SocketRef,
    session: Option<Arc<EngineSession>>,
    Admitted { key, actor, greeting, left, kept, .. }: Admitted,
) -> bool {
    if let Some(session) = &session {
        doors.links.register(socket.id, session);
    }
    doors.members.add(key, Member::new(socket.clone(), session, kept));
    let connected = doors.gateway.connect(key, &actor, greeting).await;
    if let Err(failure) = &connected {
        tracing::debug!(code = failure.code.as_str(), "a socket that was let in can't be seated");
        // Its client takes a cut connection for what it is, and comes back by itself.
        doors.members.close(key);
    }
    // Of one whose session closed while it connected no end may have been told. Its greeting has told by now.
    connected.is_ok() && !left.is_cancelled() && !doors.members.is_gone(key)
}

async fn serve<F: FactStore>(
    doors: Doors<F>,
    key: SocketKey,
    mut actor: Actor,
    socket: SocketRef,
    mut asked: mpsc::Receiver<Queued>,
) {
    let _served = Served { members: doors.members.clone(), key, socket: socket.clone() };
    let mut life = Life::until(actor.expires_at);
    loop {
        let Some(Some((next, verdict))) = life.bounds(&doors, key, asked.recv()).await else { return };
        if !socket.connected() {
            return;
        }
        let Some(verdict) = life.bounds(&doors, key, verdict).await else { return };
        let command = match verdict {
            Ok(()) => Command::read(&next.event, &next.argument),
            Err(too_many) => Err(too_many.into()),
        };
        let asker = socket.clone();
        let members = doors.members.clone();
        let acknowledge: Acknowledge = Box::new(move |outcome| {
            if !answer(&asker, next, outcome) {
                members.close(key);
            }
        });
        match command {
            Ok(Command::Refresh { token }) => {
                let refreshed = session::refreshed(&doors, key, &actor, &token);
                let Some(outcome) = life.bounds(&doors, key, refreshed).await else { return };
                acknowledge(outcome.and_then(|renewed| {
                    let answer = session::answer(&renewed);
                    if renewed.expires_at != actor.expires_at {
                        life = Life::until(renewed.expires_at);
                    }
                    actor = renewed;
                    answer
                }));
            }
            // The end does not wait for a join that waits. What the dispatcher was asked meanwhile is undone by the farewell.
            Ok(command) => {
                let served = doors.gateway.serve(key, &actor, command, acknowledge);
                let Some(()) = life.bounds(&doors, key, served).await else { return };
            }
            Err(failure) => acknowledge(Err(failure)),
        }
    }
}

#[cfg(test)]
mod tests;
