//! What the flows need of the edges.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::Pin,
};

use serde_json::Value;

use crate::{
    access::{BoardFacts, CommunityFacts},
    actor::Actor,
    chronicle::Stretch,
    circle::Word,
    contract::Failure,
    frame::Frame,
    ids::{BoardId, CommunityId, Epoch, PostId, SocketKey, Tick, UserId},
    limits::{Class, TooMany},
    span::Span,
    typing,
    why::{Part, QuestionId},
};

/// Answers a client's command, once.
pub type Acknowledge = Box<dyn FnOnce(Result<Value, Failure>) + Send + Sync>;

/// Where effects on sockets take place.
pub trait EffectSink: Send + 'static {
    /// Queues the frame for each socket, in order with everything queued before. A socket that can't take it is closed, so that
    /// it comes back with its cursor; it is never passed over and left open.
    fn emit(&self, to: &[SocketKey], frame: &Frame) -> impl Future<Output = ()> + Send;

    /// Whether the socket can be handed so many frames of so many bytes in all at once, beside what waits for it already.
    fn takes(&self, key: SocketKey, frames: usize, bytes: usize) -> bool;

    /// Bytes that were queued for the socket and not handed to its connection yet, at least, where that is known.
    fn waiting(&self, key: SocketKey) -> Option<u64>;

    /// Says that the session has expired, and ends it with the server's farewell: the client does not come back by itself.
    fn expire(&self, key: SocketKey);

    /// Cuts the connection; the client comes back by itself.
    fn close(&self, key: SocketKey);
}

/// The database could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the database can't be asked")]
pub struct FactsError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where the facts of the access rule come from. Boards and communities are as of a tick that was told here or of a later moment; what changes
/// them after that moment is told as a tick, whose fence finds whoever joined by them. Cancelling a question is safe.
pub trait FactStore: Send + Sync + 'static {
    /// The boards named, and those that the communities named own or import. Where communities are named, of the boards only those are
    /// promised that they show.
    fn boards(
        &self,
        boards: BTreeSet<BoardId>,
        communities: BTreeSet<CommunityId>,
    ) -> impl Future<Output = Result<HashMap<BoardId, BoardFacts>, FactsError>> + Send;

    /// A community, if there is one of that id.
    fn community(&self, id: CommunityId) -> impl Future<Output = Result<Option<CommunityFacts>, FactsError>> + Send;

    /// Whether there is a user of that id.
    fn user_exists(&self, user: UserId) -> impl Future<Output = Result<bool, FactsError>> + Send;

    /// The board in which a post stands.
    fn board_of_post(&self, post: PostId) -> impl Future<Output = Result<Option<BoardId>, FactsError>> + Send;

    /// That these boards alone were found open to the actor of this socket, on facts of his community that were asked for when its span was
    /// `before`. For those who like to know; nobody waits for it.
    fn opened(&self, _socket: SocketKey, _actor: &Actor, _boards: BTreeSet<BoardId>, _before: Option<Span>) {}

    /// That this no longer counts: the socket is gone, or speaks by another token. Nobody waits for it either.
    fn closed(&self, _socket: SocketKey) {}
}

/// What the database still holds of a stretch of the stream.
#[derive(Debug)]
pub enum Past {
    Whole(Box<Stretch>),
    /// Not all of it is kept, or it is more than may be read at once.
    TooLarge,
    /// Rights changed behind this tick, the newest there is. The next may hold them; before that nothing can be shown.
    Restless(Tick),
}

/// The stream as the database still holds it. Cancelling a question is safe.
pub trait Archive: Send + Sync + 'static {
    /// What was committed in `epoch` behind tick `from` and up to tick `upto`, of `limit` changes at most.
    fn stretch(
        &self,
        epoch: Epoch,
        from: Tick,
        upto: Tick,
        limit: usize,
    ) -> impl Future<Output = Result<Past, FactsError>> + Send;
}

/// The way back to an operator who asked.
pub trait Answers: Send + Sync + 'static {
    /// Sends the parts of an answer, in order.
    fn answer(&self, to: &QuestionId, parts: &[Part]) -> impl Future<Output = Result<(), FactsError>> + Send;
}

/// A user has as many connections as he may have, on all nodes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this user has {0} connections, as many as may be; close one and connect again")]
pub struct TooManySessions(pub u32);

/// What keeps a session open until it is dropped, where anybody counts. Within a fraction of a second; dropping it opens none.
pub type Opening = Pin<Box<dyn Future<Output = Result<Option<Box<dyn Any + Send + Sync>>, TooManySessions>> + Send>>;

/// The sessions of each user, over all nodes.
pub trait Sessions: Send + Sync + 'static {
    /// Opens one of a connection that this node has let in.
    fn open(&self, actor: &Actor) -> Opening;
}

/// The way to the place where all nodes meet, to say who is here and who writes. What is heard there comes back to the dispatcher as
/// [`crate::circle::Heard`].
pub trait Circle: Send + Sync + 'static {
    /// Takes words to be said, of each user in order, without waiting. Where they can't be taken everything that is known of others
    /// is given up and read anew ([`crate::circle::Heard::Away`], then `Here`).
    fn say(&self, words: Vec<Word>);

    /// Takes who writes, and who has ended, of each user in order, without waiting. What can't be taken is left out: who writes is said
    /// again while it goes on, and ends by itself.
    fn write(&self, heard: Vec<typing::Heard>);
}

/// What those who know of all nodes say to one command or connection, within a fraction of a second. Dropping it changes nothing.
pub type Verdict = Pin<Box<dyn Future<Output = Result<(), TooMany>> + Send>>;

/// How often a user may ask, over all his sockets.
pub trait Limits: Send + Sync + 'static {
    /// Takes one of this class, to be called as it comes and without waiting; the verdict is asked for at once, and to be
    /// awaited before it is served. What is refused is not counted.
    fn take(&self, user: &UserId, class: Class) -> Result<Verdict, TooMany>;
}
