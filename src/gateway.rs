//! Actor + command -> permit or refusal -> the dispatcher -> the acknowledgement.
//!
//! Check, join, check again: the versions are taken before the facts are read, and the dispatcher seats nobody whose versions
//! moved on meanwhile; then the question is asked anew, a bounded number of times. Concurrent questions for the same facts
//! are one question to the database. A cached fact is found only under the version it was read at.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use moka::future::Cache;
use serde::Serialize;
use serde_json::{Value, to_value};
use tokio::sync::{mpsc, oneshot};

use crate::{
    access::{BoardFacts, CommunityFacts, Denied, Permit, decide, facts_needed},
    actor::Actor,
    command::Command,
    contract::{BoardJoined, BoardLeft, Empty, ErrorCode, Failure, FeedJoined, PostJoined, PostLeft},
    dispatch::{NotJoined, Place, Request, Seat, Stale},
    ids::{BoardId, CommunityId, Cursor, PostId, SocketKey},
    ports::{FactStore, FactsError},
    rooms::NotSeated,
    versions::{Basis, Subject, Versions},
};

/// So often a join is decided anew when something changes under it.
const TRIES: u32 = 8;
/// Facts of so many things are kept; what falls out is asked for again.
const CACHED: u64 = 100_000;

type Shared<T> = Arc<T>;

/// See the module.
pub struct Gateway<F> {
    facts: F,
    versions: Arc<Versions>,
    requests: mpsc::Sender<Request>,
    boards: Cache<(BoardId, u64), Option<Shared<BoardFacts>>>,
    communities: Cache<(CommunityId, u64), Option<Shared<CommunityFacts>>>,
    /// What a community owns or imports.
    shown: Cache<(CommunityId, u64), Shared<HashMap<BoardId, BoardFacts>>>,
    posts: Cache<(PostId, u64), Option<BoardId>>,
}

/// What the handshake found out of the actor's community, and on which versions it rests.
#[derive(Clone, Debug)]
pub struct Greeting {
    community: Option<CommunityFacts>,
    basis: Basis,
}

impl<F: FactStore> Gateway<F> {
    /// `requests` lead to the dispatcher that moves `versions`.
    pub fn new(facts: F, versions: Arc<Versions>, requests: mpsc::Sender<Request>) -> Self {
        Self {
            facts,
            versions,
            requests,
            boards: Cache::new(CACHED),
            communities: Cache::new(CACHED),
            shown: Cache::new(CACHED / 100),
            posts: Cache::new(CACHED),
        }
    }

    /// What the handshake needs of the actor's community.
    pub async fn greet(&self, actor: &Actor) -> Result<Greeting, Failure> {
        let basis = self.versions.basis(&[Subject::Community(&actor.community)]);
        let facts = self.community_facts(&actor.community).await?;
        Ok(Greeting { community: facts.map(|facts| facts.as_ref().clone()), basis })
    }

    /// Tells the dispatcher of a socket.
    pub async fn connect(&self, key: SocketKey, actor: &Actor, mut greeting: Greeting) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let (reply, answer) = oneshot::channel();
            let Greeting { community, basis } = greeting;
            self.send(Request::Connect { key, actor: actor.clone(), community, basis, reply }).await?;
            match answer.await.map_err(|_| stopping())? {
                Ok(()) => return Ok(()),
                Err(Stale) => greeting = self.greet(actor).await?,
            }
        }
        Err(restless())
    }

    /// Tells the dispatcher that a socket is gone.
    pub async fn disconnect(&self, key: SocketKey) -> Result<(), Failure> {
        self.send(Request::Disconnect { key }).await
    }

    async fn send(&self, request: Request) -> Result<(), Failure> {
        self.requests.send(request).await.map_err(|_| stopping())
    }

    /// Serves one command to its acknowledgement.
    pub async fn serve(&self, key: SocketKey, actor: &Actor, command: Command) -> Result<Value, Failure> {
        match command {
            Command::JoinBoard { board, typing } => self.join_board(key, actor, board, typing).await,
            Command::JoinPost { post } => self.join_post(key, actor, post).await,
            Command::JoinFeed => self.join_feed(key, actor).await,
            Command::LeaveBoard { board } => {
                self.send(Request::Leave { key, place: Place::Board(board) }).await?;
                json(&BoardLeft { board_id: board })
            }
            Command::LeavePost { post } => {
                self.send(Request::Leave { key, place: Place::Post(post) }).await?;
                json(&PostLeft { post_id: post })
            }
            Command::LeaveFeed => {
                self.send(Request::Leave { key, place: Place::Feed }).await?;
                json(&Empty {})
            }
        }
    }

    async fn join_board(&self, key: SocketKey, actor: &Actor, board: BoardId, typing: bool) -> Answer {
        for _ in 0..TRIES {
            let basis = self.versions.basis(&[Subject::Board(board), Subject::Community(&actor.community)]);
            let permit = self.permit(actor, board).await?.map_err(|denied| refusal(denied, "board"))?;
            if let Some(cursor) = self.seat(key, Seat::Board { permit, typing }, basis).await? {
                let (cursor, users) = (cursor.to_string(), Vec::new());
                return json(&BoardJoined { board_id: board, cursor, recovered: false, users, user_count: 0 });
            }
        }
        Err(restless())
    }

    async fn join_post(&self, key: SocketKey, actor: &Actor, post: PostId) -> Answer {
        for _ in 0..TRIES {
            let stands = self.versions.basis(&[Subject::Post(post)]);
            let Some(board) = self.board_of(post).await? else { return Err(refusal(Denied::NotOfCommunity, "post")) };
            let subjects = [Subject::Post(post), Subject::Board(board), Subject::Community(&actor.community)];
            let basis = self.versions.basis(&subjects);
            if !self.versions.still(&stands) {
                continue;
            }
            let permit = self.permit(actor, board).await?.map_err(|denied| refusal(denied, "post"))?;
            if let Some(cursor) = self.seat(key, Seat::Post { permit, post }, basis).await? {
                let cursor = cursor.to_string();
                return json(&PostJoined { post_id: post, board_id: board, cursor, recovered: false });
            }
        }
        Err(restless())
    }

    async fn join_feed(&self, key: SocketKey, actor: &Actor) -> Answer {
        for _ in 0..TRIES {
            let basis = self.versions.basis(&[Subject::Community(&actor.community)]);
            let community = self.enabled_community(actor).await?;
            let shown = self.shown_in(&actor.community).await?;
            let decided = shown.values().filter_map(|board| decide(actor, Some(board), community.as_deref()).ok());
            let permits: Vec<Permit> = decided.collect();
            let mut board_ids: Vec<BoardId> = permits.iter().map(Permit::board).collect();
            board_ids.sort_unstable();
            if let Some(cursor) = self.seat(key, Seat::Feed { permits }, basis).await? {
                return json(&FeedJoined { board_ids, cursor: cursor.to_string(), recovered: false });
            }
        }
        Err(restless())
    }

    async fn permit(&self, actor: &Actor, board: BoardId) -> Result<Result<Permit, Denied>, Failure> {
        let needed = facts_needed(actor, board);
        let community = self.enabled_community(actor).await?;
        let version = self.versions.of(Subject::Board(needed.board));
        let read = async {
            let found = self.facts.boards(BTreeSet::from([needed.board]), BTreeSet::new()).await?;
            Ok(found.into_values().next().map(Arc::new))
        };
        let board = self.boards.try_get_with((needed.board, version), read).await.map_err(unavailable)?;
        Ok(decide(actor, board.as_deref(), community.as_deref()))
    }

    async fn enabled_community(&self, actor: &Actor) -> Result<Option<Shared<CommunityFacts>>, Failure> {
        let community = self.community_facts(&actor.community).await?;
        if community.as_ref().is_some_and(|facts| !facts.features.enabled) {
            return Err(Failure::new(ErrorCode::FeatureDisabled, "your community has switched realtime off"));
        }
        Ok(community)
    }

    async fn community_facts(&self, id: &CommunityId) -> Result<Option<Shared<CommunityFacts>>, Failure> {
        let version = self.versions.of(Subject::Community(id));
        let read = async { Ok(self.facts.community(id.clone()).await?.map(Arc::new)) };
        self.communities.try_get_with((id.clone(), version), read).await.map_err(unavailable)
    }

    async fn shown_in(&self, id: &CommunityId) -> Result<Shared<HashMap<BoardId, BoardFacts>>, Failure> {
        let version = self.versions.of(Subject::Community(id));
        let read = async { self.facts.boards(BTreeSet::new(), BTreeSet::from([id.clone()])).await.map(Arc::new) };
        self.shown.try_get_with((id.clone(), version), read).await.map_err(unavailable)
    }

    async fn board_of(&self, post: PostId) -> Result<Option<BoardId>, Failure> {
        let version = self.versions.of(Subject::Post(post));
        self.posts.try_get_with((post, version), self.facts.board_of_post(post)).await.map_err(unavailable)
    }

    /// `None` when the decision was stale.
    async fn seat(&self, key: SocketKey, seat: Seat, basis: Basis) -> Result<Option<Cursor>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Join { key, seat, basis, reply }).await?;
        match answer.await.map_err(|_| stopping())? {
            Ok(cursor) => Ok(Some(cursor)),
            Err(NotJoined::Stale(Stale)) => Ok(None),
            Err(NotJoined::NotSeated(NotSeated::TooManyRooms)) => Err(Failure::new(
                ErrorCode::TooManyRooms,
                "this socket is in as many rooms as it may be; leave one, or use feed:join, which counts as one",
            )),
            Err(NotJoined::NotSeated(NotSeated::Gone)) => Err(stopping()),
        }
    }
}

type Answer = Result<Value, Failure>;

fn json(answer: &impl Serialize) -> Answer {
    to_value(answer).map_err(|error| {
        tracing::error!(%error, "an answer could not be encoded");
        stopping()
    })
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

fn unavailable(error: Arc<FactsError>) -> Failure {
    tracing::warn!(error = &*error as &dyn std::error::Error, "rights can't be decided");
    Failure::new(ErrorCode::Unavailable, "the database can't be asked at the moment; try again shortly")
}

fn restless() -> Failure {
    Failure::new(ErrorCode::Unavailable, "rights kept changing while they were looked up; try again")
}

fn stopping() -> Failure {
    Failure::new(ErrorCode::Unavailable, "the server is going down; reconnect")
}
