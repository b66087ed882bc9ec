//! A socket's commands from the wire into its queue, and their answers back.
//!
//! Each is counted for its user as it comes. They are queued in the order in which they came, a bounded number; what is too often
//! or too much is answered at once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use serde_json::{Value, json};
use socketioxide::{
    adapter::Adapter,
    extract::{AckSender, Event, SocketRef, TryData},
    handler::FromMessageParts,
    socket::Socket,
};
use tokio::sync::mpsc;

use crate::{
    contract::{ErrorCode, ErrorEvent, Failure},
    ids::UserId,
    limits::{Class, TooMany},
    ports::{Limits, Verdict},
};

/// So many commands of one socket may wait: more than the usual limits let one user send at once.
const COMMANDS_WAITING: usize = 160;

/// When to ask again where they wait: not even the database tells when the first of them is served. What waits for nothing is
/// served within milliseconds, so that a second is enough for all of them on a service that is well.
const QUEUE_MOVES_WITHIN: Duration = Duration::from_secs(1);

/// A command as it came, with the way back.
pub(super) struct Asked {
    pub(super) event: String,
    pub(super) argument: Value,
    callback: Option<AckSender>,
}

/// A command that waits to be served, if all nodes together let it.
pub(super) type Queued = (Asked, Verdict);

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

/// From here on no command is missed: the library answers CONNECT before it calls `enter`, and a client may send at once.
///
/// The queue is open as long as its sender is kept.
pub(super) fn listen(
    socket: &SocketRef,
    limits: Arc<dyn Limits>,
    user: UserId,
) -> (mpsc::Sender<Queued>, mpsc::Receiver<Queued>) {
    let (sender, receiver) = mpsc::channel(COMMANDS_WAITING);
    let queue = sender.downgrade();
    socket.on_fallback(
        move |socket: SocketRef, event: Event, argument: TryData<Value>, callback: HasCallback, ack: AckSender| {
            let verdict = limits.take(&user, Class::of(&event.0));
            // What isn't readable as an argument is none; the command says what it expects.
            let argument = argument.0.unwrap_or(Value::Null);
            let asked = Asked { event: event.0, argument, callback: callback.0.then_some(ack) };
            match (verdict, queue.upgrade()) {
                (Ok(verdict), Some(queue)) => self::queue(&queue, &socket, (asked, verdict)),
                // Whoever sends so much and reads nothing is closed by the next event he can't take.
                (Err(too_many), _) => drop(answer(&socket, asked, Err(too_many.into()))),
                // It has gone.
                (Ok(_), None) => {}
            }
            std::future::ready(())
        },
    );
    (sender, receiver)
}

/// Queues a command in the order in which commands come, which a task for each would not keep; too many are refused.
fn queue(queue: &mpsc::Sender<Queued>, socket: &SocketRef, queued: Queued) {
    if let Err(mpsc::error::TrySendError::Full((asked, _))) = queue.try_send(queued) {
        // As above.
        answer(socket, asked, Err(full()));
    }
}

/// Why a command is not queued.
fn full() -> Failure {
    let wait = TooMany { retry_after: QUEUE_MOVES_WITHIN }.retry_after_ms();
    let message = format!("{COMMANDS_WAITING} commands of this socket wait already; try again in {wait} ms");
    Failure { retry_after_ms: Some(wait), ..Failure::new(ErrorCode::RateLimited, message) }
}

/// `false` where the socket can't take its answer: it would wait for it for ever.
pub(super) fn answer(socket: &SocketRef, asked: Asked, outcome: Result<Value, Failure>) -> bool {
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
