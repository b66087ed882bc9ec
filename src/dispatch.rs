//! The one task that changes who sits where and tells whom what, in one order.
//!
//! Invariants:
//! - batches are applied strictly in order, and a tick's fence before anything of the tick is told;
//! - a join is one step between two batches: it seats nobody whose decision rests on facts that changed meanwhile, and what the
//!   socket missed, its answer and whatever comes later are sent in this order;
//! - between two pages of a tick, whose rights are applied already, nobody is let into what it has yet to tell is open;
//! - cursors handed to a socket never go back; one handed out while a count is held back says since when;
//! - who came, went or writes is told within the step in which he did; among several nodes as soon as all have heard of it.
//!
//! Life cycle: ends when `shutdown` is cancelled or the batches' sender is gone, and hands its sockets over to be closed by
//! whoever serves them. Depends on the core and on [`EffectSink`].

mod attending;
mod departure;
mod explaining;
mod grants;
mod presence;
mod refresh;
mod seating;
mod telling;
mod unsure;
mod untold;
mod waiting;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    attending::{Attending, NotListed, NotTyping},
    presence::Patience,
    refresh::Refresh,
    seating::{Join, NotJoined, Seat},
};
use self::{grants::Grants, presence::Attendance, untold::Untold};
use crate::{
    access::CommunityFacts,
    actor::Actor,
    batch::Batch,
    chronicle::Chronicle,
    circle,
    contract::{Features, ServerEvent, SessionReady},
    fence::Verdicts,
    frame::Frame,
    history::{Bounds, History},
    ids::{Epoch, NodeId, Place, SocketKey, Tick},
    outlook::Outlook,
    ports::{Circle, EffectSink},
    rooms::{Rooms, Spot},
    versions::{Basis, Versions},
    why::{Question, Report},
};

/// What was read again from the outbox is kept for so long after the last reading.
const EXTENDED_FOR: Duration = Duration::from_secs(60);

/// What the gateway asks for.
#[derive(Debug)]
pub enum Request {
    /// A socket whose token was verified, with what is known of its community; it is told `session:ready`.
    Connect { arrival: Box<Arrival>, reply: oneshot::Sender<Result<(), Stale>> },
    /// It is gone.
    Disconnect { key: SocketKey },
    /// A join that was permitted; answered from within the step that seats, or handed back.
    Join { join: Box<Join>, reply: oneshot::Sender<Result<(), (NotJoined, Box<Join>)>> },
    /// The socket brought another token.
    Refresh { refresh: Box<Refresh>, reply: oneshot::Sender<Result<(), Stale>> },
    /// What was told before what is in memory; answers whether it fitted.
    Extend { older: Box<History<Arc<Frame>>>, upto: Place, reply: oneshot::Sender<bool> },
    /// What became of events for somebody's sockets.
    Explain { question: Box<Question>, reply: oneshot::Sender<Report> },
    /// Who is here, and who writes.
    Attend(Attending),
    /// Never refused.
    Leave { key: SocketKey, spot: Spot },
}

/// A socket that was let in.
#[derive(Debug)]
pub struct Arrival {
    pub key: SocketKey,
    pub actor: Actor,
    pub community: Option<CommunityFacts>,
    /// What `community` rests on.
    pub basis: Basis,
}

/// Something changed since the facts were read: read them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// Bounds and habits of a dispatcher.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rooms of a socket at most; a feed counts as one.
    pub max_rooms: usize,
    /// Counts of one post within it are told as one.
    pub merge_window: Duration,
    /// What is kept for those who come back.
    pub history: Bounds,
    /// How long who has gone, or is silent, is taken to be there.
    pub patience: Patience,
}

/// How far a dispatcher has come, for whoever waits for it; moved behind each batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub epoch: Epoch,
    /// Everything up to here has been told.
    pub told: Place,
    /// Everything behind it can be told again from memory.
    pub floor: Place,
}

/// See the module.
pub struct Dispatcher<S> {
    rooms: Rooms,
    versions: Arc<Versions>,
    chronicle: Chronicle,
    /// Of the tick that is being told, page by page.
    verdicts: Verdicts,
    /// Of these, who gains a board.
    to_gain: Grants,
    /// What it changes further on, for whoever was not there when it began.
    untold: Untold,
    /// Whether the tick goes on.
    midway: bool,
    /// The rights from that tick to the moment of its rows.
    outlook: Outlook,
    attendance: Attendance,
    /// From other nodes, if there may be any.
    heard: Option<mpsc::Receiver<circle::Heard>>,
    sink: S,
    reached: watch::Sender<Reached>,
    began: Instant,
    /// Until when what was read again from the outbox is kept.
    extended_until: Option<Instant>,
}

impl<S: EffectSink> Dispatcher<S> {
    /// Starts behind everything of `tick`, at which reading begins. Facts that were read before are no longer taken: what changed
    /// up to there is not going to be told.
    pub fn new(sink: S, versions: Arc<Versions>, options: &Options, epoch: Epoch, tick: Tick) -> Self {
        versions.begin(epoch, tick);
        let told = Place::end_of(tick);
        Self {
            rooms: Rooms::new(options.max_rooms),
            versions,
            chronicle: Chronicle::new(options.history, options.merge_window, epoch, told),
            verdicts: Verdicts::default(),
            to_gain: Grants::default(),
            untold: Untold::default(),
            midway: false,
            outlook: Outlook::default(),
            attendance: Attendance::new(options.patience),
            heard: None,
            sink,
            reached: watch::Sender::new(Reached { epoch, told, floor: told }),
            began: Instant::now(),
            extended_until: None,
        }
    }

    /// Says how far it has come through `reached`, too.
    pub fn reporting(self, reached: watch::Sender<Reached>) -> Self {
        let reporting = Self { reached, ..self };
        reporting.report();
        reporting
    }

    /// Is the node `me` among others, to whom it speaks by `circle`, and hears them by `heard`.
    pub fn among(
        self,
        me: NodeId,
        patience: Patience,
        circle: impl Circle,
        heard: mpsc::Receiver<circle::Heard>,
    ) -> Self {
        Self { attendance: Attendance::among(patience, me, circle), heard: Some(heard), ..self }
    }

    fn report(&self) {
        let (epoch, told, floor) = (self.chronicle.epoch(), self.chronicle.told(), self.chronicle.history.floor());
        self.reached.send_replace(Reached { epoch, told, floor });
        // Behind it: what is read as of `reached` is never older than what is known of its stretch.
        self.versions.told(told.tick);
    }

    /// Works until told to stop.
    pub async fn run(
        mut self,
        mut batches: mpsc::Receiver<Batch>,
        mut requests: mpsc::Receiver<Request>,
        shutdown: CancellationToken,
    ) {
        let mut heard = self.heard.take();
        loop {
            let due = self.next_due();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = async { sleep_until(due.unwrap_or(self.began)).await }, if due.is_some() => self.tell_due().await,
                batch = batches.recv() => match batch {
                    Some(batch) => {
                        self.apply(batch).await;
                        self.hear_waiting(heard.as_mut()).await;
                    }
                    None => return,
                },
                Some(heard) = async { heard.as_mut()?.recv().await }, if heard.is_some() => self.hear(heard).await,
                request = requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
            }
        }
    }

    /// What other nodes said has its turn between two batches, however many there are: what waits by now, and no more.
    async fn hear_waiting(&mut self, heard: Option<&mut mpsc::Receiver<circle::Heard>>) {
        let Some(waiting) = heard else { return };
        for _ in 0..waiting.len() {
            let Ok(heard) = waiting.try_recv() else { return };
            self.hear(heard).await;
        }
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Connect { arrival, reply } => {
                let stale = !self.versions.still(&arrival.basis);
                if !stale {
                    self.connect(arrival.key, arrival.actor, arrival.community).await;
                }
                // Who asked may have gone; then nobody waits for the answer.
                let _ = reply.send(if stale { Err(Stale) } else { Ok(()) });
            }
            Request::Disconnect { key } => {
                self.rooms.disconnect(key);
                self.untold.gone(key);
            }
            Request::Join { join, reply } => self.join_knowing(join, reply).await,
            Request::Refresh { refresh, reply } => {
                // As above.
                let _ = reply.send(self.refresh(*refresh).await);
            }
            Request::Extend { older, upto, reply } => {
                let fits = self.chronicle.history.prepend(*older, upto);
                if fits {
                    self.extended_until = Some(Instant::now() + EXTENDED_FOR);
                    self.report();
                }
                // As above.
                let _ = reply.send(fits);
            }
            Request::Explain { question, reply } => {
                // As above.
                let _ = reply.send(self.explain(&question));
            }
            Request::Attend(attending) => self.attend(attending).await,
            Request::Leave { key, spot } => match spot {
                Spot::Board(board) => self.rooms.leave_board(key, board),
                Spot::Post(post) => self.rooms.leave_post(key, post),
                Spot::Feed => self.rooms.leave_feed(key),
            },
        }
        self.settle().await;
    }

    async fn connect(&mut self, key: SocketKey, actor: Actor, community: Option<CommunityFacts>) {
        let ready = ServerEvent::SessionReady(SessionReady {
            user_id: actor.user.clone(),
            community_id: actor.community.clone(),
            cursor: self.chronicle.cursor().to_string(),
            expires_at: actor.expires_at,
            features: community.as_ref().map_or(Features::ALL_ON, |facts| facts.features),
        });
        self.rooms.connect(key, actor, community, self.chronicle.told());
        if self.midway {
            self.untold.came(key);
        }
        self.sink.emit(&[key], &Frame::ephemeral(ready)).await;
    }
}

#[cfg(test)]
mod tests;
