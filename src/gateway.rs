//! Actor + command -> permit or refusal -> the dispatcher -> the acknowledgement.
//!
//! Check, join, check again: the versions are taken before the facts are read, and the dispatcher seats nobody whose versions
//! moved on meanwhile; then the question is asked anew, a bounded number of times. Concurrent questions for the same facts
//! are one question to the database. A cached fact is found only under the version it was read at.
//!
//! What is not shown in the actor's community is refused alike, whether it exists or not: after the same questions, and never sooner because
//! others have asked for it, and at the end of one of the same steps ([`Steps`]).

mod door;
mod doubt;
mod joining;
mod known;
mod presence;
mod refresh;
mod steps;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use moka::future::Cache;
use serde::Serialize;
use serde_json::{Value, to_value};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

pub use self::steps::Steps;
use self::{doubt::Doubts, joining::Joining, known::report};
use crate::{
    access::{BoardFacts, CommunityFacts, Denied, Permit, decide, facts_needed},
    actor::Actor,
    command::Command,
    contract::{BoardLeft, Empty, ErrorCode, Failure, PostLeft},
    dispatch::{Arrival, Reached, Request, Stale},
    ids::{BoardId, CommunityId, PostId, SocketKey, UserId},
    ports::{Acknowledge, FactStore},
    recall::Recalled,
    rooms::Spot,
    versions::{Basis, Subject, Versions},
};

/// So often a join is decided anew when something changes under it.
const TRIES: u32 = 8;
/// Facts of so many things are kept; what falls out is asked for again.
const CACHED: u64 = 100_000;

type Shared<T> = Arc<T>;
type Boards = Shared<HashMap<BoardId, BoardFacts>>;

/// See the module.
pub struct Gateway<F> {
    facts: F,
    versions: Arc<Versions>,
    requests: mpsc::Sender<Request>,
    /// How far the dispatcher has come.
    reached: watch::Receiver<Reached>,
    /// To whoever looks up what is older than memory.
    recall: mpsc::Sender<Recalled>,
    refusals: Steps,
    boards: Cache<(BoardId, u64), Option<Shared<BoardFacts>>>,
    communities: Cache<(CommunityId, u64), Option<Shared<CommunityFacts>>>,
    /// What a community owns or imports.
    shown: Cache<(CommunityId, u64), Boards>,
    /// By community and what it shows: what others were told of a post must not show in how soon it is refused here.
    posts: Cache<(CommunityId, u64, PostId, u64), Option<BoardId>>,
    /// Whether he is there.
    users: Cache<(UserId, u64), bool>,
    doubts: Doubts,
}

/// What the handshake found out of the actor's community, and on which versions it rests.
#[derive(Clone, Debug)]
pub struct Greeting {
    community: Option<CommunityFacts>,
    basis: Basis,
}

impl<F: FactStore> Gateway<F> {
    /// `requests` lead to the dispatcher that moves `versions` and says in `reached` how far it has come.
    pub fn new(
        facts: F,
        versions: Arc<Versions>,
        requests: mpsc::Sender<Request>,
        reached: watch::Receiver<Reached>,
        recall: mpsc::Sender<Recalled>,
    ) -> Self {
        Self {
            facts,
            versions,
            requests,
            reached,
            recall,
            refusals: Steps(Duration::ZERO),
            boards: Cache::new(CACHED),
            communities: Cache::new(CACHED),
            shown: Cache::new(CACHED / 100),
            posts: Cache::new(CACHED),
            users: Cache::new(CACHED),
            doubts: Doubts::default(),
        }
    }

    /// Tells what it refuses at the ends of these steps.
    pub fn refusing_in(mut self, refusals: Steps) -> Self {
        self.refusals = refusals;
        self
    }

    /// What the handshake needs of the actor's community.
    pub async fn greet(&self, actor: &Actor) -> Result<Greeting, Failure> {
        let basis = self.versions.basis(&[Subject::Community(&actor.community), Subject::User(&actor.user)]);
        self.require_user(actor).await?;
        let facts = self.community_facts(&actor.community).await?;
        Ok(Greeting { community: facts.map(|facts| facts.as_ref().clone()), basis })
    }

    /// Tells the dispatcher of a socket.
    pub async fn connect(&self, key: SocketKey, actor: &Actor, mut greeting: Greeting) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let (reply, answer) = oneshot::channel();
            let Greeting { community, basis } = greeting;
            let arrival = Box::new(Arrival { key, actor: actor.clone(), community, basis });
            self.send(Request::Connect { arrival, reply }).await?;
            match answer.await.map_err(|_| stopping())? {
                Ok(()) => return Ok(()),
                Err(Stale) => greeting = self.greet(actor).await?,
            }
        }
        Err(restless())
    }

    /// Tells the dispatcher that a socket is gone.
    pub async fn disconnect(&self, key: SocketKey) -> Result<(), Failure> {
        self.facts.closed(key);
        self.send(Request::Disconnect { key }).await
    }

    async fn send(&self, request: Request) -> Result<(), Failure> {
        self.requests.send(request).await.map_err(|_| stopping())
    }

    /// Serves one command, to its acknowledgement. A join is acknowledged by the dispatcher, behind what the socket missed.
    pub async fn serve(&self, key: SocketKey, actor: &Actor, command: Command, acknowledge: Acknowledge) {
        let asked = Instant::now();
        let answer = match command {
            Command::JoinBoard { board, typing, since } => {
                let join = Joining { key, asked, since, acknowledge };
                return self.join(join, || self.may_join_board(actor, board, typing)).await;
            }
            Command::JoinPost { post, since } => {
                let join = Joining { key, asked, since, acknowledge };
                return self.join(join, || self.may_join_post(actor, post)).await;
            }
            Command::JoinFeed { since } => {
                let join = Joining { key, asked, since, acknowledge };
                return self.join(join, || self.may_join_feed(key, actor)).await;
            }
            Command::LeaveBoard { board } => self.leave(key, Spot::Board(board), &BoardLeft { board_id: board }).await,
            Command::LeavePost { post } => self.leave(key, Spot::Post(post), &PostLeft { post_id: post }).await,
            Command::LeaveFeed => self.leave(key, Spot::Feed, &Empty {}).await,
            Command::ListPresent { board } => self.list(key, actor, board).await,
            Command::StartTyping { post } => self.start_typing(key, actor, post).await,
            Command::StopTyping { post } => self.stop_typing(key, post).await,
            // Who verified it asks for [`Gateway::refresh`] with what it says; as it comes it says nothing.
            Command::Refresh { .. } => Err(Failure::new(ErrorCode::AuthInvalid, "the token was not verified")),
        };
        if let Err(failure) = &answer {
            self.refusals.await_end(asked, failure).await;
        }
        acknowledge(answer);
    }

    async fn leave(&self, key: SocketKey, spot: Spot, answer: &impl Serialize) -> Result<Value, Failure> {
        self.send(Request::Leave { key, spot }).await?;
        to_value(answer).map_err(|error| {
            tracing::error!(%error, "an answer could not be encoded");
            stopping()
        })
    }

    // Questions to the store stand on the heap: by value they would be moved through every frame up to the socket's task.
    async fn permit(&self, actor: &Actor, board: BoardId) -> Result<Result<Permit, Denied>, Failure> {
        let needed = facts_needed(actor, board);
        let (community, shown) = self.community_and_boards(actor, Some(board)).await?;
        if !shown.contains_key(&needed.board) {
            return Ok(Err(Denied::NotOfCommunity));
        }
        let version = self.versions.of(Subject::Board(needed.board));
        let read = async {
            let found = self.facts.boards(BTreeSet::from([needed.board]), BTreeSet::new()).await?;
            Ok(found.into_values().next().inspect(|facts| report("board", &facts.board, &facts.rule)).map(Arc::new))
        };
        let board = self
            .boards
            .try_get_with((needed.board, version), Box::pin(read))
            .await
            .map_err(|error| self.unavailable(error))?;
        Ok(decide(actor, board.as_deref(), community.as_deref()))
    }
}

/// A board of another community does not exist.
fn refusal(denied: Denied, what: &str) -> Failure {
    match denied {
        Denied::NotOfCommunity => Failure::new(ErrorCode::NotFound, format!("there is no such {what}")),
        Denied::CommunityRoles | Denied::BoardRoles => {
            Failure::new(ErrorCode::Forbidden, format!("none of your roles opens this {what}"))
        }
    }
}

fn restless() -> Failure {
    Failure::new(ErrorCode::Unavailable, "rights kept changing while they were looked up; try again")
}

fn stopping() -> Failure {
    Failure::new(ErrorCode::Unavailable, "the server is going down; reconnect")
}
