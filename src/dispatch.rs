//! The one task that changes who sits where and tells whom what, in one order.
//!
//! Invariants:
//! - batches are applied strictly in order, and a tick's fence before anything of the tick is told;
//! - a join is one step between two batches; it seats nobody whose decision rests on facts that changed meanwhile;
//! - cursors handed to a socket never go back; one handed out while a count is held back says since when.
//!
//! Life cycle: ends when `shutdown` is cancelled or the batches' sender is gone, and hands its sockets over to be closed by
//! whoever serves them. Depends on the core and on [`EffectSink`].

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{CommunityFacts, Permit},
    actor::Actor,
    audience::Audience,
    batch::{Ahead, Batch, Entry},
    change::Change,
    contract::{AccessGranted, AccessRevoked, Features, Meta, PostDeleted, ServerEvent, SessionReady},
    event::{Rows, Told, tell},
    fence::{Fence, Verdicts},
    ids::{BoardId, Cursor, Epoch, PostId, SocketKey, Tick},
    merge::{CountChange, Merger},
    ports::{EffectSink, Frame},
    rooms::{NotSeated, Rooms},
    versions::{Basis, Subject, Versions},
};

/// What the gateway asks for.
#[derive(Debug)]
pub enum Request {
    /// A socket whose token was verified, with facts read on `basis`; it is told `session:ready`.
    Connect {
        key: SocketKey,
        actor: Actor,
        community: Option<CommunityFacts>,
        basis: Basis,
        reply: oneshot::Sender<Result<(), Stale>>,
    },
    /// It is gone.
    Disconnect { key: SocketKey },
    /// A join that was permitted on `basis`.
    Join { key: SocketKey, seat: Seat, basis: Basis, reply: oneshot::Sender<Result<Cursor, NotJoined>> },
    /// Never refused.
    Leave { key: SocketKey, place: Place },
}

/// Where a socket wants to sit, with the right to.
#[derive(Debug)]
pub enum Seat {
    Board { permit: Permit, typing: bool },
    Post { permit: Permit, post: PostId },
    Feed { permits: Vec<Permit> },
}

/// Where a socket sits.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Board(BoardId),
    Post(PostId),
    Feed,
}

/// Something changed since the facts were read: read them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// Why a permitted join did not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJoined {
    Stale(Stale),
    NotSeated(NotSeated),
}

/// The position of what is being told.
#[derive(Clone, Copy, Debug)]
struct Position {
    cursor: Cursor,
    at: DateTime<Utc>,
}

/// See the module.
pub struct Dispatcher<S> {
    rooms: Rooms,
    versions: Arc<Versions>,
    merger: Merger<Position>,
    /// Of the tick that is being told, page by page.
    verdicts: Verdicts,
    sink: S,
    /// Everything up to here has been told.
    told: Cursor,
    began: Instant,
}

impl<S: EffectSink> Dispatcher<S> {
    /// Starts behind everything of `tick`.
    pub fn new(sink: S, versions: Arc<Versions>, max_rooms: usize, merge: Duration, epoch: Epoch, tick: Tick) -> Self {
        Self {
            rooms: Rooms::new(max_rooms),
            versions,
            merger: Merger::new(merge),
            verdicts: Verdicts::default(),
            sink,
            told: Cursor::end_of(epoch, tick),
            began: Instant::now(),
        }
    }

    /// Works until told to stop.
    pub async fn run(
        mut self,
        mut batches: mpsc::Receiver<Batch>,
        mut requests: mpsc::Receiver<Request>,
        shutdown: CancellationToken,
    ) {
        loop {
            let due = self.merger.next_due().map(|due| self.began + due);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = async { sleep_until(due.unwrap_or(self.began)).await }, if due.is_some() => self.tell_due().await,
                batch = batches.recv() => match batch {
                    Some(batch) => self.apply(batch).await,
                    None => return,
                },
                request = requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Connect { key, actor, community, basis, reply } => {
                let stale = !self.versions.still(&basis);
                if !stale {
                    self.connect(key, actor, community).await;
                }
                // Who asked may have gone; then nobody waits for the answer.
                let _ = reply.send(if stale { Err(Stale) } else { Ok(()) });
            }
            Request::Disconnect { key } => self.rooms.disconnect(key),
            Request::Join { key, seat, basis, reply } => {
                // As above.
                let _ = reply.send(self.join(key, &seat, &basis));
            }
            Request::Leave { key, place } => match place {
                Place::Board(board) => self.rooms.leave_board(key, board),
                Place::Post(post) => self.rooms.leave_post(key, post),
                Place::Feed => self.rooms.leave_feed(key),
            },
        }
    }

    async fn connect(&mut self, key: SocketKey, actor: Actor, community: Option<CommunityFacts>) {
        let ready = ServerEvent::SessionReady(SessionReady {
            user_id: actor.user.clone(),
            community_id: actor.community.clone(),
            cursor: self.cursor().to_string(),
            expires_at: actor.expires_at,
            features: community.as_ref().map_or(Features::ALL_ON, |facts| facts.features),
        });
        self.rooms.connect(key, actor, community);
        self.emit(&[key], &ready, None).await;
    }

    fn join(&mut self, key: SocketKey, seat: &Seat, basis: &Basis) -> Result<Cursor, NotJoined> {
        if !self.versions.still(basis) {
            return Err(NotJoined::Stale(Stale));
        }
        match seat {
            Seat::Board { permit, typing } => self.rooms.join_board(key, permit, *typing),
            Seat::Post { permit, post } => self.rooms.join_post(key, permit, *post),
            Seat::Feed { permits } => self.rooms.join_feed(key, permits),
        }
        .map_err(NotJoined::NotSeated)?;
        Ok(self.cursor())
    }

    fn cursor(&self) -> Cursor {
        Cursor { held_from: self.merger.held_from(), ..self.told }
    }

    /// Applies one tick, or a page of it.
    async fn apply(&mut self, batch: Batch) {
        self.outdate(batch.entries.iter().map(|entry| &entry.change), &batch.rows);
        self.shut_ahead(batch.ahead.as_ref()).await;
        let verdicts = self.shut(&batch.fence);
        self.verdicts.append(verdicts);
        for entry in &batch.entries {
            let place = Position { cursor: batch.cursor(entry), at: entry.at };
            for told in tell(&entry.change, &batch.rows) {
                match told {
                    Told::Event { audience, event, to_admins } => {
                        self.tell(&audience, &event, to_admins.as_deref(), &batch.rows, place).await;
                    }
                    Told::Count(change) => {
                        if let Some((change, place)) =
                            self.merger.offer(change, place, batch.tick, self.began.elapsed())
                        {
                            self.tell_count(change, place).await;
                        }
                    }
                }
            }
            self.after(entry, place).await;
            self.told = place.cursor;
        }
        if batch.last {
            self.verdicts = Verdicts::default();
            self.told = Cursor::end_of(batch.epoch, batch.tick);
        }
    }

    /// Who is to be told what, of those that remain where they may.
    fn shut(&mut self, fence: &Fence) -> Verdicts {
        let changes = || fence.changes.iter().map(|(_, change)| change);
        self.outdate(changes(), &fence.rows);
        if changes().any(|change| matches!(change, Change::Reset { .. })) {
            self.send_everybody_away();
        }
        fence.shut(&mut self.rooms)
    }

    /// The ticks themselves tell who lost a board. Who loses sight of a post is told here: the tick finds them gone.
    async fn shut_ahead(&mut self, ahead: Option<&Ahead>) {
        let Some(ahead) = ahead else { return };
        let place = Position { cursor: self.told, at: ahead.at };
        let moves: HashMap<u32, Change> = ahead.fence.changes.iter().cloned().collect();
        for (ordinal, gone) in self.shut(&ahead.fence).moved_out {
            if let Some(Change::PostMoved { post, from: Some(from), .. }) = moves.get(&ordinal) {
                self.tell_moved_out(*post, *from, gone, place).await;
            }
        }
    }

    /// They come back and load their state anew.
    fn send_everybody_away(&mut self) {
        let keys = self.rooms.keys();
        tracing::warn!(sockets = keys.len(), "what changed can't be told: every socket has to come back");
        for key in keys {
            self.rooms.disconnect(key);
            self.sink.close(key);
        }
    }

    /// Facts that the changes make wrong are no longer taken.
    fn outdate<'a>(&self, changes: impl Iterator<Item = &'a Change>, rows: &Rows) {
        for change in changes {
            match change {
                Change::PostCreated { post, .. }
                | Change::PostMoved { post, .. }
                | Change::PostDeleted { post, .. } => {
                    self.versions.bump(Subject::Post(*post));
                }
                Change::BoardCreated { board } => self.versions.bump_board(*board, rows.board_facts(*board)),
                Change::BoardUpdated { board, was, .. } => {
                    self.versions.bump_board(*board, rows.board_facts(*board));
                    self.versions.bump(Subject::Community(&was.community));
                }
                Change::BoardDeleted { board, community } | Change::ImportChanged { board, community, .. } => {
                    self.versions.bump(Subject::Board(*board));
                    self.versions.bump(Subject::Community(community));
                }
                Change::CommunityUpdated { community, .. } | Change::CommunityDeleted { community } => {
                    self.versions.bump(Subject::Community(community));
                }
                Change::Reset { .. } => self.versions.bump_all(),
                _ => {}
            }
        }
    }

    /// What follows an entry beside its own events: verdicts of the fence, and rooms of what is no more.
    async fn after(&mut self, entry: &Entry, place: Position) {
        for (board_id, reason, key) in self.verdicts.lost.remove(&entry.ordinal).into_iter().flatten() {
            let event = ServerEvent::BoardAccessRevoked(AccessRevoked { board_id, reason });
            self.tell_one(key, &event, place).await;
        }
        for (permit, key) in self.verdicts.gained.remove(&entry.ordinal).into_iter().flatten() {
            self.rooms.extend_feed(key, &permit);
            let event = ServerEvent::BoardAccessGranted(AccessGranted { board_id: permit.board() });
            self.tell_one(key, &event, place).await;
        }
        match &entry.change {
            Change::PostMoved { post, from: Some(board_id), .. } => {
                let gone = self.verdicts.moved_out.remove(&entry.ordinal).unwrap_or_default();
                self.tell_moved_out(*post, *board_id, gone, place).await;
                self.merger.forget(*post);
            }
            Change::PostDeleted { post, .. } => {
                self.rooms.dissolve_post(*post);
                self.merger.forget(*post);
            }
            Change::BoardDeleted { board, .. } => self.rooms.dissolve_board(*board),
            _ => {}
        }
    }

    async fn tell(
        &self,
        audience: &Audience,
        event: &ServerEvent,
        to_admins: Option<&ServerEvent>,
        rows: &Rows,
        place: Position,
    ) {
        let keys = self.rooms.sockets(audience, event, rows);
        match to_admins {
            None => self.emit(&keys, event, Some(place)).await,
            Some(full) => {
                let (admins, others) = self.rooms.split_admins(keys);
                self.emit(&admins, full, Some(place)).await;
                self.emit(&others, event, Some(place)).await;
            }
        }
    }

    async fn tell_moved_out(
        &self,
        post_id: PostId,
        board_id: BoardId,
        gone: Vec<(PostId, SocketKey)>,
        place: Position,
    ) {
        let event = ServerEvent::BoardPostDeleted(PostDeleted { post_id, board_id, moved: true });
        for (_, key) in gone {
            self.tell_one(key, &event, place).await;
        }
    }

    async fn tell_one(&self, key: SocketKey, event: &ServerEvent, place: Position) {
        if self.rooms.wants(key, event) {
            self.emit(&[key], event, Some(place)).await;
        }
    }

    async fn tell_count(&self, change: CountChange, place: Position) {
        for event in change.events() {
            self.tell(&Audience::Board(change.board), &event, None, &Rows::default(), place).await;
        }
    }

    /// Counts whose window has ended. They are told at the newest position: everything before it has been told.
    async fn tell_due(&mut self) {
        for (change, place) in self.merger.due(self.began.elapsed()) {
            self.tell_count(change, Position { cursor: self.told, at: place.at }).await;
        }
    }

    async fn emit(&self, to: &[SocketKey], event: &ServerEvent, place: Option<Position>) {
        if to.is_empty() {
            return;
        }
        match self.frame(event, place) {
            Ok(frame) => self.sink.emit(to, &frame).await,
            // The types of the contract have no map with keys that are not text, which is all that JSON could refuse.
            Err(error) => tracing::error!(%error, event = event.name(), "an event could not be encoded"),
        }
    }

    fn frame(&self, event: &ServerEvent, place: Option<Position>) -> Result<Frame, serde_json::Error> {
        let meta = place.map(|place| Meta {
            cursor: Cursor { held_from: self.merger.held_from(), ..place.cursor }.to_string(),
            at: place.at,
        });
        let meta = meta.as_ref().map(serde_json::value::to_raw_value).transpose()?;
        Ok(Frame { event: event.name(), payload: event.encode()?, meta })
    }
}
