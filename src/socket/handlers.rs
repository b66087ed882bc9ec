//! Handshake, commands, farewell.
//!
//! A socket's commands are served one after the other by a task of its own, so that a leave sent after a join is served after
//! it; what waits is bounded, and the task ends with the socket.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::Utc;
use serde_json::{Value, json};
use socketioxide::{
    SocketIo,
    adapter::Adapter,
    extract::{AckSender, Event, SocketRef, TryData},
    handler::{ConnectHandler, FromMessageParts},
    socket::Socket,
};
use tokio::sync::mpsc;

use crate::{
    actor::Actor,
    command::Command,
    contract::{ErrorCode, ErrorEvent, Failure},
    gateway::{Gateway, Greeting},
    ids::SocketKey,
    jwt::{TokenError, Verifier},
    ports::{Acknowledge, FactStore},
    socket::{
        links::{EngineSession, Links},
        session::{self, Life},
        sink::{Member, Members},
    },
};

/// So many commands of one socket may wait.
const COMMANDS_WAITING: usize = 64;

/// What the handlers need; made once.
pub struct Doors<F> {
    pub(super) gateway: Arc<Gateway<F>>,
    pub(super) verifier: Arc<Verifier>,
    pub(super) members: Members,
    pub(super) links: Arc<Links>,
    next: Arc<AtomicU64>,
}

impl<F> Clone for Doors<F> {
    fn clone(&self) -> Self {
        Self {
            gateway: Arc::clone(&self.gateway),
            verifier: Arc::clone(&self.verifier),
            members: self.members.clone(),
            links: Arc::clone(&self.links),
            next: Arc::clone(&self.next),
        }
    }
}

impl<F> Doors<F> {
    /// `members` are those that the dispatcher's sink emits to.
    pub fn new(gateway: Arc<Gateway<F>>, verifier: Arc<Verifier>, members: Members) -> Self {
        let links = Arc::new(Links::new(members.is_shut().clone()));
        Self { gateway, verifier, members, links, next: Arc::new(AtomicU64::new(1)) }
    }
}

/// What the handshake found out, kept for the socket's first step.
#[derive(Clone)]
struct Admitted {
    actor: Actor,
    greeting: Greeting,
    commands: Arc<Mutex<Option<mpsc::Receiver<Asked>>>>,
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

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code.as_str(), message: failure.message }
    }
}

/// Whether the client waits for an acknowledgement.
struct HasCallback(bool);

impl<A: Adapter> FromMessageParts<A> for HasCallback {
    type Error = Infallible;

    fn from_message_parts(
        _: &Arc<Socket<A>>,
        _: &mut socketioxide_core::Value,
        ack: &Option<i64>,
    ) -> Result<Self, Infallible> {
        Ok(Self(ack.is_some()))
    }
}

/// A command as it came, with the way back.
struct Asked {
    event: String,
    argument: Value,
    callback: Option<AckSender>,
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
    let token = token(socket, auth.as_ref()).ok_or(TokenError::Missing)?;
    let actor = doors.verifier.verify(&token, Utc::now())?;
    let greeting = doors.gateway.greet(&actor).await?;
    let commands = Arc::new(Mutex::new(Some(listen(socket))));
    socket.extensions.insert(Admitted { actor, greeting, commands });
    Ok(())
}

/// From here on no command is missed: the library answers CONNECT before it calls `enter`, and a client may send at once.
fn listen(socket: &SocketRef) -> mpsc::Receiver<Asked> {
    let (ask, asked) = mpsc::channel(COMMANDS_WAITING);
    socket.on_fallback(
        move |socket: SocketRef, event: Event, argument: TryData<Value>, callback: HasCallback, ack: AckSender| {
            // What isn't readable as an argument is none; the command says what it expects.
            let argument = argument.0.unwrap_or(Value::Null);
            queue(&ask, &socket, Asked { event: event.0, argument, callback: callback.0.then_some(ack) });
            std::future::ready(())
        },
    );
    asked
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
    let Some(Admitted { actor, greeting, commands }) = socket.extensions.remove::<Admitted>() else { return };
    let Some(asked) = commands.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let key = SocketKey(doors.next.fetch_add(1, Ordering::Relaxed));
    let session = EngineSession::of(&socket.req_parts().extensions).cloned();
    if let Some(session) = &session {
        doors.links.register(socket.id, session);
    }
    doors.members.add(key, Member::new(socket.clone(), session));

    let leaving = doors.clone();
    socket.on_disconnect(async move || farewell(&leaving, key).await);
    let connected = doors.gateway.connect(key, &actor, greeting).await;
    if let Err(failure) = &connected {
        tracing::debug!(code = failure.code.as_str(), "a socket that was let in can't be seated");
        // Its client takes a cut connection for what it is, and comes back by itself.
        doors.members.close(key);
    }
    if connected.is_err() || !socket.connected() {
        // It may have gone before its farewell was there to be called; saying it twice does nothing.
        farewell(&doors, key).await;
        return;
    }
    tokio::spawn(serve(doors, key, actor, socket, asked));
}

/// Queues a command in the order in which commands come, which a task for each would not keep; too many are refused.
fn queue(ask: &mpsc::Sender<Asked>, socket: &SocketRef, asked: Asked) {
    if let Err(mpsc::error::TrySendError::Full(asked)) = ask.try_send(asked) {
        let message = format!("more than {COMMANDS_WAITING} commands wait; send the next after an answer");
        // Whoever sends so much and reads nothing is closed by the next event he can't take.
        answer(socket, asked, Err(Failure::new(ErrorCode::RateLimited, message)));
    }
}

async fn serve<F: FactStore>(
    doors: Doors<F>,
    key: SocketKey,
    mut actor: Actor,
    socket: SocketRef,
    mut asked: mpsc::Receiver<Asked>,
) {
    let mut life = Life::until(actor.expires_at);
    loop {
        let next = tokio::select! {
            biased;
            () = life.over(&doors, key) => return doors.members.expire(key),
            next = asked.recv() => next,
        };
        let Some(next) = next else { break };
        if !socket.connected() {
            break;
        }
        let command = Command::read(&next.event, &next.argument);
        let asker = socket.clone();
        let members = doors.members.clone();
        let acknowledge: Acknowledge = Box::new(move |outcome| {
            if !answer(&asker, next, outcome) {
                members.close(key);
            }
        });
        match command {
            Ok(Command::Refresh { token }) => {
                let outcome = tokio::select! {
                    biased;
                    () = life.over(&doors, key) => return doors.members.expire(key),
                    outcome = session::refreshed(&doors, key, &actor, &token) => outcome,
                };
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
            Ok(command) => tokio::select! {
                biased;
                () = life.over(&doors, key) => return doors.members.expire(key),
                () = doors.gateway.serve(key, &actor, command, acknowledge) => {}
            },
            Err(failure) => acknowledge(Err(failure)),
        }
    }
}

/// `false` where the socket can't take its answer: it would wait for it for ever.
fn answer(socket: &SocketRef, asked: Asked, outcome: Result<Value, Failure>) -> bool {
    let sent = match (asked.callback, outcome) {
        (Some(callback), Ok(Value::Object(mut fields))) => {
            fields.insert("ok".to_owned(), Value::Bool(true));
            callback.send(&fields)
        }
        (Some(callback), Ok(other)) => callback.send(&other),
        (Some(callback), Err(error)) => callback.send(&json!({"ok": false, "error": error})),
        (None, Err(Failure { code, message, .. })) => {
            socket.emit("error", &ErrorEvent { code, message, event: asked.event })
        }
        (None, Ok(_)) => Ok(()),
    };
    if let Err(error) = &sent {
        tracing::debug!(%error, "an answer could not be sent");
    }
    sent.is_ok()
}

async fn farewell<F: FactStore>(doors: &Doors<F>, key: SocketKey) {
    doors.members.remove(key);
    // Without a dispatcher there is no seat to give up.
    let _ = doors.gateway.disconnect(key).await;
}
