//! A join, from the decision to the seat: whoever has to wait for something waits here, a bounded time.

use std::{future::Future, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::{Gateway, TRIES, refusal, restless, stopping};
use crate::{
    access::{Denied, Permit, decide},
    actor::Actor,
    command::Since,
    contract::{ErrorCode, Failure},
    dispatch::{Join, NotJoined, Reached, Request, Seat, Stale},
    ids::{BoardId, Place, PostId, SocketKey},
    ports::{Acknowledge, FactStore},
    recall::Recalled,
    rooms::NotSeated,
    versions::{Basis, Subject},
};

/// So long a cursor may be ahead of this node, which another node gave: what it stands for is on its way.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(2);
/// So long a node may take to tell what was written before a board was opened. It is a tick of very many rows that takes longer, and
/// whoever asks again is let in behind it.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A join under way.
pub(super) struct Joining {
    pub(super) key: SocketKey,
    pub(super) asked: Instant,
    pub(super) since: Since,
    pub(super) acknowledge: Acknowledge,
}

/// That a socket may sit, and on what that rests.
pub(super) struct Decided {
    seat: Seat,
    basis: Basis,
}

impl<F: FactStore> Gateway<F> {
    /// Decides, and decides anew when something changed meanwhile.
    pub(super) async fn join<D: Future<Output = Result<Decided, Failure>>>(
        &self,
        joining: Joining,
        decide: impl Fn() -> D,
    ) {
        let Joining { key, asked, since, mut acknowledge } = joining;
        let (mut awaited, mut deeper, mut told_by) = (false, true, None);
        for _ in 0..TRIES {
            let Decided { seat, basis } = match decide().await {
                Ok(decided) => decided,
                Err(failure) => {
                    self.refusals.await_end(asked, &failure).await;
                    return acknowledge(Err(failure));
                }
            };
            let since = if awaited { settled(since, *self.reached.borrow()) } else { since };
            let join = Box::new(Join { key, seat, since, basis, deeper, acknowledge });
            let Some((refused, join)) = self.sit(join).await else { return };
            acknowledge = join.acknowledge;
            match refused {
                NotJoined::Stale(Stale) => {}
                NotJoined::Ahead(place) => {
                    let mut reached = self.reached.clone();
                    let told = reached.wait_for(|reached| reached.told >= place);
                    // Too late, or never: then it is not one of ours.
                    let _ = timeout(CATCH_UP_WITHIN, told).await;
                    awaited = true;
                }
                NotJoined::Untold(place) => {
                    let until = *told_by.get_or_insert_with(|| Instant::now() + TOLD_WITHIN);
                    if !self.has_told(place, until).await {
                        return acknowledge(Err(untold()));
                    }
                }
                NotJoined::Older => {
                    // Asked once: where it does not help, the client is told to load the state.
                    deeper = false;
                    self.look_up(since).await;
                }
                NotJoined::NotSeated(refused) => {
                    if refused == NotSeated::Gone {
                        // Its end may have been told before it was decided.
                        self.facts.closed(key);
                    }
                    return acknowledge(Err(not_seated(refused)));
                }
            }
        }
        acknowledge(Err(restless()));
    }

    pub(super) async fn may_join_board(&self, actor: &Actor, board: BoardId, typing: bool) -> Result<Decided, Failure> {
        let basis = self.versions.basis(&[Subject::Board(board), Subject::Community(&actor.community)]);
        let permit = self.permit(actor, board).await?.map_err(|denied| refusal(denied, "board"))?;
        Ok(Decided { seat: Seat::Board { permit, typing }, basis })
    }

    pub(super) async fn may_join_post(&self, actor: &Actor, post: PostId) -> Result<Decided, Failure> {
        for _ in 0..TRIES {
            let stands = self.versions.basis(&[Subject::Post(post)]);
            let Some(board) = self.board_of(actor, post).await? else {
                return Err(refusal(Denied::NotOfCommunity, "post"));
            };
            let subjects = [Subject::Post(post), Subject::Board(board), Subject::Community(&actor.community)];
            let basis = self.versions.basis(&subjects);
            if self.versions.still(&stands) {
                let permit = self.permit(actor, board).await?.map_err(|denied| refusal(denied, "post"))?;
                return Ok(Decided { seat: Seat::Post { permit, post }, basis });
            }
        }
        Err(restless())
    }

    pub(super) async fn may_join_feed(&self, key: SocketKey, actor: &Actor) -> Result<Decided, Failure> {
        let subject = Subject::Community(&actor.community);
        let (basis, before) = (self.versions.basis(&[subject]), self.versions.span(subject));
        let (community, shown) = self.community_and_boards(actor, None).await?;
        let decided = shown.values().filter_map(|board| decide(actor, Some(board), community.as_deref()).ok());
        let permits: Vec<Permit> = decided.collect();
        self.facts.opened(key, actor, permits.iter().map(Permit::board).collect(), before);
        Ok(Decided { seat: Seat::Feed { permits }, basis })
    }

    /// Why it does not sit; none where it was answered.
    async fn sit(&self, join: Box<Join>) -> Option<(NotJoined, Box<Join>)> {
        let (reply, answer) = oneshot::channel();
        if let Err(mpsc::error::SendError(request)) = self.requests.send(Request::Join { join, reply }).await {
            if let Request::Join { join, .. } = request {
                (join.acknowledge)(Err(stopping()));
            }
            return None;
        }
        // Where it is dropped the dispatcher is gone, and with it the way to answer.
        answer.await.ok()?.err()
    }

    /// Waits until what is older than memory was looked up, or can't be.
    async fn look_up(&self, since: Since) {
        if let Since::Cursor(cursor) = since {
            let (done, is_done) = oneshot::channel();
            // Without anybody to look it up it is not to be had.
            let _ = self.recall.send(Recalled { cursor, done }).await;
            let _ = is_done.await;
        }
    }

    /// Whether everything up to `place` is told in time.
    async fn has_told(&self, place: Place, until: Instant) -> bool {
        metrics::counter!("curia_joins_awaited_total").increment(1);
        let mut reached = self.reached.clone();
        // Where nobody tells any longer the next attempt finds it out.
        timeout_at(until, reached.wait_for(|reached| reached.told >= place)).await.is_ok()
    }
}

/// A cursor that this node has not reached in time is none it can serve from.
fn settled(since: Since, Reached { epoch, told, .. }: Reached) -> Since {
    match since {
        Since::Cursor(cursor) if cursor.epoch == epoch && cursor.place > told => Since::Unknown,
        since => since,
    }
}

fn not_seated(refused: NotSeated) -> Failure {
    match refused {
        NotSeated::TooManyRooms => Failure::new(
            ErrorCode::TooManyRooms,
            "this socket is in as many rooms as it may be; leave one, or use feed:join, which counts as one",
        ),
        NotSeated::Gone => stopping(),
    }
}

fn untold() -> Failure {
    let why = "this server still tells what was written before it was opened; try again shortly";
    Failure::new(ErrorCode::Unavailable, why)
}
