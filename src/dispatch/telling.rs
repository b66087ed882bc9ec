//! A tick: its fence, then its events, to those who sit where they are told.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Dispatcher, Position};
use crate::{
    audience::{Audience, Topic},
    batch::{Ahead, Batch, Entry},
    change::Change,
    contract::{AccessGranted, AccessRevoked, Meta, PostDeleted, ServerEvent},
    event::{Rows, Told, tell},
    fence::{Fence, Verdicts},
    frame::Frame,
    history::{About, Record},
    ids::{BoardId, Cursor, Epoch, Place, PostId, SocketKey, Tick},
    merge::{CountChange, Due},
    ports::EffectSink,
    rooms::Rooms,
    versions::Subject,
};

/// What follows a row's own events.
const VERDICTS: u8 = 8;

/// One event about to be told.
struct Telling<'a> {
    audience: Audience,
    event: &'a ServerEvent,
    to_admins: Option<&'a ServerEvent>,
    position: Position,
    /// See [`Record::counted`].
    counted: Option<Place>,
    /// See [`Cursor::held_from`].
    held_from: Option<Tick>,
}

impl<S: EffectSink> Dispatcher<S> {
    /// Applies one tick, or a page of it.
    pub(super) async fn apply(&mut self, batch: Batch) {
        if batch.epoch != self.epoch {
            self.begin_epoch(batch.epoch, batch.tick);
        }
        self.outdate(batch.entries.iter().map(|entry| &entry.change), &batch.rows);
        self.shut_ahead(batch.ahead.as_ref()).await;
        let verdicts = self.shut(&batch.fence, batch.tick);
        self.verdicts.append(verdicts);
        for entry in &batch.entries {
            let place = Place { tick: batch.tick, ordinal: entry.ordinal, part: 0 };
            let position = Position { place, at: entry.at };
            for told in tell(&entry.change, &batch.rows) {
                self.tell_of(told, position, &batch.rows).await;
            }
            self.after(entry, Position { place: Place { part: VERDICTS, ..place }, ..position }).await;
            self.told = place.end_of_row();
        }
        if batch.last {
            self.verdicts = Verdicts::default();
            self.told = Place::end_of(batch.tick);
        }
        self.reached.send_replace((self.epoch, self.told));
    }

    /// What was told before belongs to another stretch of history.
    fn begin_epoch(&mut self, epoch: Epoch, tick: Tick) {
        self.epoch = epoch;
        self.told = Place::end_of(tick);
        self.merger.clear();
        self.history.restart(self.told);
    }

    async fn tell_of(&mut self, told: Told, position: Position, rows: &Rows) {
        match told {
            Told::Event { audience, event, to_admins, part } => {
                let position = Position { place: Place { part, ..position.place }, ..position };
                let to_admins = to_admins.as_deref();
                let held_from = self.merger.held_from();
                let telling = Telling { audience, event: &event, to_admins, position, counted: None, held_from };
                self.tell(telling, rows).await;
            }
            Told::Count(change) => {
                let offered = self.merger.offer(change, position, position.place.tick, self.began.elapsed());
                if let Some((change, position)) = offered {
                    self.tell_count(change, position).await;
                }
            }
        }
    }

    /// Who is to be told what, of those that remain where they may.
    fn shut(&mut self, fence: &Fence, tick: Tick) -> Verdicts {
        let changes = || fence.changes.iter().map(|(_, change)| change);
        self.outdate(changes(), &fence.rows);
        if changes().any(|change| matches!(change, Change::Reset { .. })) {
            self.send_everybody_away();
            self.merger.clear();
            self.history.restart(Place::end_of(tick));
        }
        let verdicts = fence.shut(&mut self.rooms, self.told);
        for (board, ordinal) in &verdicts.changed {
            self.history.rights_changed(*board, Place { tick, ordinal: *ordinal, part: u8::MAX });
        }
        verdicts
    }

    /// The ticks themselves tell who lost a board. Who loses sight of a post is told here: the tick finds them gone.
    async fn shut_ahead(&mut self, ahead: Option<&Ahead>) {
        let Some(ahead) = ahead else { return };
        let position = Position { place: self.told, at: ahead.at };
        let moves: HashMap<u32, Change> = ahead.fence.changes.iter().cloned().collect();
        for (ordinal, gone) in self.shut(&ahead.fence, self.told.tick).moved_out {
            if let Some(Change::PostMoved { post, from: Some(from), .. }) = moves.get(&ordinal) {
                self.tell_moved_out(*post, *from, gone, position).await;
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
    async fn after(&mut self, entry: &Entry, position: Position) {
        for (board_id, reason, key) in self.verdicts.lost.remove(&entry.ordinal).into_iter().flatten() {
            let event = ServerEvent::BoardAccessRevoked(AccessRevoked { board_id, reason });
            self.tell_one(key, &event, position).await;
        }
        for (permit, key) in self.verdicts.gained.remove(&entry.ordinal).into_iter().flatten() {
            self.rooms.extend_feed(key, &permit, position.place);
            let event = ServerEvent::BoardAccessGranted(AccessGranted { board_id: permit.board() });
            self.tell_one(key, &event, position).await;
        }
        match &entry.change {
            Change::PostMoved { post, from: Some(board_id), .. } => {
                let gone = self.verdicts.moved_out.remove(&entry.ordinal).unwrap_or_default();
                self.tell_moved_out(*post, *board_id, gone, position).await;
                self.merger.forget(*post);
                self.history.post_moved(*post, position.place);
            }
            Change::PostDeleted { post, .. } => {
                self.rooms.dissolve_post(*post);
                self.merger.forget(*post);
            }
            Change::BoardDeleted { board, .. } => {
                self.rooms.dissolve_board(*board);
                self.history.board_ended(position.place);
            }
            _ => {}
        }
    }

    async fn tell(&mut self, telling: Telling<'_>, rows: &Rows) {
        let Telling { audience, event, to_admins, position, counted, held_from } = telling;
        let cursor = Cursor { epoch: self.epoch, place: position.place, held_from };
        let meta = raw(&Meta { cursor: cursor.to_string(), at: position.at });
        let Some(frame) = frame(event, meta.clone()) else { return };
        let full = to_admins.and_then(|event| self::frame(event, meta));
        let topic = Topic::of(event);
        emit(&self.sink, &self.rooms, self.rooms.sockets(&audience, topic, rows), &frame, full.as_ref()).await;
        let size = frame.size() + full.as_ref().map_or(0, |full| full.size());
        let (place, at, about) = (position.place, position.at, About::of(event));
        let record = Record {
            place,
            at,
            audience,
            topic,
            about,
            counted,
            frame: Arc::new(frame),
            to_admins: full.map(Arc::new),
        };
        self.history.push(record, size);
    }

    async fn tell_moved_out(
        &self,
        post_id: PostId,
        board_id: BoardId,
        gone: Vec<(PostId, SocketKey)>,
        position: Position,
    ) {
        let event = ServerEvent::BoardPostDeleted(PostDeleted { post_id, board_id, moved: true });
        for (_, key) in gone {
            self.tell_one(key, &event, position).await;
        }
    }

    async fn tell_one(&self, key: SocketKey, event: &ServerEvent, position: Position) {
        if !self.rooms.wants(key, Topic::of(event)) {
            return;
        }
        let cursor = Cursor { epoch: self.epoch, place: position.place, held_from: self.merger.held_from() };
        if let Some(frame) = frame(event, raw(&Meta { cursor: cursor.to_string(), at: position.at })) {
            self.sink.emit(&[key], &frame).await;
        }
    }

    async fn tell_count(&mut self, change: CountChange, position: Position) {
        for (part, event) in change.events() {
            let position = Position { place: Place { part, ..position.place }, ..position };
            let (counted, held_from) = (Some(position.place), self.merger.held_from());
            let audience = Audience::Board(change.board);
            let telling = Telling { audience, event: &event, to_admins: None, position, counted, held_from };
            self.tell(telling, &Rows::default()).await;
        }
    }

    /// Counts whose window has ended. They are told at the newest position: everything before it has been told. Until the last
    /// event of the last of them is out, cursors say that something is held back.
    pub(super) async fn tell_due(&mut self) {
        let due = self.merger.due(self.began.elapsed());
        for (at, Due { change, place: counted, .. }) in due.iter().enumerate() {
            let position = Position { place: self.told, at: counted.at };
            let events = change.events();
            let count = events.len();
            for (n, (part, event)) in events.into_iter().enumerate() {
                let waiting = &due[if n + 1 == count { at + 1 } else { at }..];
                let held_from = waiting.iter().map(|due| due.since).chain(self.merger.held_from()).min();
                let counted = Some(Place { part, ..counted.place });
                let audience = Audience::Board(change.board);
                let telling = Telling { audience, event: &event, to_admins: None, position, counted, held_from };
                self.tell(telling, &Rows::default()).await;
            }
        }
    }
}

/// To admins what they alone are shown, to the others the rest.
async fn emit<S: EffectSink>(sink: &S, rooms: &Rooms, to: Vec<SocketKey>, frame: &Frame, full: Option<&Frame>) {
    match full {
        None => sink.emit(&to, frame).await,
        Some(full) => {
            let (admins, others) = rooms.split_admins(to);
            sink.emit(&admins, full).await;
            sink.emit(&others, frame).await;
        }
    }
}

/// The event as it is sent.
pub(super) fn frame(event: &ServerEvent, meta: Option<Arc<RawValue>>) -> Option<Frame> {
    match event.encode() {
        Ok(payload) => Some(Frame { event: event.name(), payload: payload.into(), meta }),
        // The types of the contract have no map with keys that are not text, which is all that JSON could refuse.
        Err(error) => {
            tracing::error!(%error, event = event.name(), "an event could not be encoded");
            None
        }
    }
}

/// JSON text, for what can always be written as such.
pub(super) fn raw(value: &impl Serialize) -> Option<Arc<RawValue>> {
    let text = to_raw_value(value);
    text.inspect_err(|error| tracing::error!(%error, "a place in the stream could not be encoded")).ok().map(Arc::from)
}
