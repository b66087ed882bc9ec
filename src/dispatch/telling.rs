//! A tick: its fence, then its events, to those who sit where they are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{Dispatcher, grants::Grants, untold::Untold};
use crate::{
    audience::{Audience, Topic},
    batch::{Ahead, Batch, Entry},
    change::Change,
    chronicle::{Position, Sent},
    contract::{PostDeleted, ServerEvent},
    event::{Rows, tell},
    fence::{Fence, Judging, Verdicts},
    frame::Frame,
    ids::{BoardId, Cursor, Place, PostId, Room, SocketKey, Tick},
    outlook::Outlook,
    ports::EffectSink,
    rooms::Rooms,
    versions::Subject,
};

/// What follows a row's own events.
const VERDICTS: u8 = 8;

/// Which table a change has emptied; without a name it may be all.
fn emptied(change: &Change) -> Option<&str> {
    match change {
        Change::Reset { table } => Some(table),
        _ => None,
    }
}

impl<S: EffectSink> Dispatcher<S> {
    /// Applies one tick, or a page of it.
    pub(super) async fn apply(&mut self, mut batch: Batch) {
        if batch.epoch != self.chronicle.epoch() {
            self.chronicle.restart(batch.epoch, Place::end_of(batch.tick));
            self.versions.begin(batch.epoch, batch.tick);
            self.midway = false;
        }
        let goes_on = mem::replace(&mut self.midway, !batch.last);
        // Behind a reset the rows may show any later rights, too.
        let reset = |(_, change): &(u32, Change)| matches!(change, Change::Reset { .. });
        let later = batch.ahead.as_ref().is_some_and(|ahead| !ahead.fence.changes.is_empty());
        let ahead = later || batch.fence.changes.iter().any(reset);
        if ahead {
            self.versions.is_ahead(true);
        }
        self.outdate(batch.entries.iter().map(|entry| &entry.change), &batch.rows, batch.tick);
        self.shut_ahead(batch.ahead.as_ref(), &batch.fence).await;
        let mut verdicts = self.shut(&batch.fence, batch.tick).await;
        // A tick is of a later moment than the one before: what that was ahead of has been told, or this one is ahead of it too. Its further
        // pages are of the moment of the first.
        if ahead || !goes_on {
            self.versions.is_ahead(ahead);
        }
        self.tell_moved_ahead(mem::take(&mut verdicts.moved_ahead), batch.ahead.as_ref()).await;
        self.as_of_the_tick(&mut batch.rows);
        self.to_gain.append(mem::take(&mut verdicts.gained));
        self.untold.add(&batch.fence, &verdicts.changed, batch.tick);
        self.verdicts.append(verdicts);
        // To nobody whom the tick shuts out.
        self.settle().await;
        let mut turns: BTreeMap<u32, BTreeSet<BoardId>> = BTreeMap::new();
        for (board, ordinal) in &self.verdicts.changed {
            turns.entry(*ordinal).or_default().insert(*board);
        }
        for entry in &batch.entries {
            if let Some(boards) = turns.get(&entry.ordinal) {
                // What was counted before is nobody's whom this lets in.
                let sent = self.chronicle.ahead_of_rights(boards);
                self.send(sent, &batch.rows).await;
            }
            let place = Place { tick: batch.tick, ordinal: entry.ordinal, part: 0 };
            let position = Position { place, at: entry.at };
            for told in tell(&entry.change, &batch.rows) {
                let sent = self.chronicle.tell(told, position, self.began.elapsed());
                self.send(sent, &batch.rows).await;
            }
            self.after(entry, Position { place: Place { part: VERDICTS, ..place }, ..position }).await;
            self.chronicle.reached(place.end_of_row());
        }
        if batch.last {
            self.end_tick(batch.tick, batch.entries.last().map(|entry| entry.at).unwrap_or_default()).await;
        }
        if self.extended_until.take_if(|until| *until <= Instant::now()).is_some() {
            self.chronicle.history.relax();
        }
        self.settle().await;
        self.report();
    }

    async fn end_tick(&mut self, tick: Tick, at: DateTime<Utc>) {
        let end = Place::end_of(tick);
        for (permit, key) in self.to_gain.take_at(end.ordinal) {
            self.tell_granted(&permit, key, Position { place: end, at }).await;
        }
        self.verdicts = Verdicts::default();
        self.to_gain = Grants::default();
        self.untold = Untold::default();
        self.outlook = Outlook::default();
        self.chronicle.reached(end);
    }

    /// Counts whose window has ended, and whoever is taken to have gone or fallen silent now.
    pub(super) async fn tell_due(&mut self) {
        let sent = self.chronicle.due(self.began.elapsed());
        self.send(sent, &Rows::default()).await;
        self.settle_due().await;
    }

    pub(super) async fn send(&self, sent: Vec<Sent>, rows: &Rows) {
        for Sent { audience, topic, about, frame, to_admins } in sent {
            let mut keys = self.rooms.sockets(&audience, topic, about.post, rows, &self.outlook);
            if let Audience::WhoMayOpen(board) | Audience::User(_, board) = audience {
                // Whom the tick lets in further on.
                let told = self.chronicle.told();
                keys.retain(|key| !self.to_gain.is_left(board, *key) && !self.untold.keeps_from(board, *key, told));
            }
            match to_admins {
                None => self.sink.emit(&keys, &frame).await,
                Some(full) => {
                    let (admins, others) = self.rooms.split_admins(keys, &full.of);
                    self.sink.emit(&admins, &full.shown).await;
                    self.sink.emit(&others, &frame).await;
                }
            }
        }
    }

    /// Who is to be told what, of those that remain where they may.
    async fn shut(&mut self, fence: &Fence, tick: Tick) -> Verdicts {
        self.heed(fence, tick);
        let judging = fence.shutting(&self.outlook, &mut self.rooms, self.chronicle.told());
        let (verdicts, _) = applied(judging, &mut self.rooms).await;
        for (board, ordinal) in &verdicts.changed {
            self.chronicle.history.rights_changed(*board, Place { tick, ordinal: *ordinal, part: u8::MAX });
        }
        self.note_flags(fence, |ordinal| Place { tick, ordinal, part: 0 });
        verdicts
    }

    /// Facts that the changes make wrong are no longer taken; where nothing that was known holds, everybody has to come back.
    fn heed(&mut self, fence: &Fence, tick: Tick) {
        let changes = || fence.changes.iter().map(|(_, change)| change);
        self.outdate(changes(), &fence.rows, tick);
        self.end_sessions(changes());
        let resets = fence.changes.iter().filter_map(|(ordinal, change)| Some((*ordinal, emptied(change)?)));
        if let Some((ordinal, table)) = resets.max_by_key(|(_, table)| table.len()) {
            self.send_everybody_away(ordinal, table);
            self.chronicle.restart(self.chronicle.epoch(), Place::end_of(tick));
        }
    }

    /// Whom later ticks shut out, out of a board or away from a post: the ticks themselves find them gone.
    /// Of posts that move out of somebody's reach he is told behind the tick's own fence.
    async fn shut_ahead(&mut self, ahead: Option<&Ahead>, tick: &Fence) {
        let Some(ahead) = ahead else { return };
        let told = self.chronicle.told();
        self.heed(&ahead.fence, told.tick);
        let judging = ahead.fence.shutting_ahead(tick, &mut self.rooms, told);
        let (verdicts, outlook) = applied(judging, &mut self.rooms).await;
        self.outlook = outlook;
        // They count from now on, though their own ticks come later.
        self.note_flags(&ahead.fence, |_| told);
        let lost =
            verdicts.lost.into_iter().flat_map(|(number, lost)| lost.into_iter().map(move |lost| (number, lost)));
        for (number, (board_id, reason, key)) in lost {
            // Of what an earlier page of this tick was about to open, nothing has been told.
            if !self.to_gain.take(board_id, key) {
                let position = Position { place: told, at: ahead.written(number) };
                self.tell_revoked(key, board_id, reason, position).await;
            }
        }
    }

    /// Whose posts move out of his reach later than the tick, which he is told now.
    async fn tell_moved_ahead(&self, moved_out: BTreeMap<u32, Vec<(PostId, SocketKey)>>, ahead: Option<&Ahead>) {
        for (number, gone) in moved_out {
            let Some(ahead) = ahead else { continue };
            if let Some(Change::PostMoved { post, from: Some(from), .. }) = ahead.change(number) {
                let position = Position { place: self.chronicle.told(), at: ahead.written(number) };
                self.tell_moved_out(*post, *from, gone, position).await;
            }
        }
    }

    /// Rows that were read later than the tick show where posts stood at it.
    fn as_of_the_tick(&self, rows: &mut Arc<Rows>) {
        let moved = self.outlook.moved();
        if !moved.is_empty() {
            let rows = Arc::make_mut(rows);
            rows.put_back(&moved);
            rows.moving = moved.into_keys().collect();
        }
    }

    /// From these places on a community may be told what was kept back from it before.
    fn note_flags(&mut self, fence: &Fence, place: impl Fn(u32) -> Place) {
        for (ordinal, change) in &fence.changes {
            if let Change::CommunityUpdated { community, .. } = change {
                self.chronicle.history.flags_changed(community, place(*ordinal));
            }
        }
    }

    /// They come back and load their state anew.
    fn send_everybody_away(&mut self, ordinal: u32, table: &str) {
        let keys = self.rooms.keys();
        let why = match (ordinal, table) {
            // As a discontinuity has it, before whatever the tick holds.
            (0, "") => "a new epoch of the stream has begun".to_owned(),
            (_, "") => "a change that may have been one of rights could not be understood".to_owned(),
            (_, table) => format!("the table {table} was emptied (TRUNCATE)"),
        };
        tracing::warn!(sockets = keys.len(), why, "what changed can't be told: every socket has to come back");
        for key in keys {
            self.rooms.disconnect(key);
            self.sink.close(key);
        }
    }

    /// Facts that the changes make wrong are no longer taken.
    fn outdate<'a>(&self, changes: impl Iterator<Item = &'a Change>, rows: &Rows, at: Tick) {
        for change in changes {
            match change {
                Change::PostCreated { post, .. }
                | Change::PostMoved { post, .. }
                | Change::PostDeleted { post, .. } => {
                    self.versions.bump(Subject::Post(*post), at);
                }
                Change::BoardCreated { board } => self.versions.bump_board(*board, rows.board_facts(*board), at),
                Change::BoardUpdated { board, was, .. } => {
                    self.versions.bump_board(*board, rows.board_facts(*board), at);
                    if let Some(community) = &was.community {
                        self.versions.bump(Subject::Community(community), at);
                    }
                }
                Change::BoardDeleted { board, was } => {
                    self.versions.bump(Subject::Board(*board), at);
                    if let Some(community) = &was.community {
                        self.versions.bump(Subject::Community(community), at);
                    }
                }
                Change::ImportChanged { board, community, .. } => {
                    self.versions.bump(Subject::Board(*board), at);
                    self.versions.bump(Subject::Community(community), at);
                }
                Change::CommunityCreated { community }
                | Change::CommunityUpdated { community, .. }
                | Change::CommunityDeleted { community, .. } => {
                    self.versions.bump(Subject::Community(community), at);
                }
                Change::UserDeleted { user } => self.versions.user_departed(user),
                // Of these tables no user's end is lost.
                Change::Reset { table } if !table.is_empty() && table != "users" => self.versions.bump_all(at),
                Change::Reset { .. } => {
                    self.versions.bump_all(at);
                    self.versions.somebody_departed();
                }
                _ => {}
            }
        }
    }

    /// What follows an entry beside its own events: verdicts of the fence, and rooms of what is no more.
    async fn after(&mut self, entry: &Entry, position: Position) {
        for (board_id, reason, key) in self.verdicts.lost.remove(&entry.ordinal).into_iter().flatten() {
            self.tell_revoked(key, board_id, reason, position).await;
        }
        for (permit, key) in self.to_gain.take_at(entry.ordinal) {
            self.tell_granted(&permit, key, position).await;
        }
        match &entry.change {
            Change::PostMoved { post, from: Some(board_id), .. } => {
                let gone = self.verdicts.moved_out.remove(&entry.ordinal).unwrap_or_default();
                self.tell_moved_out(*post, *board_id, gone, position).await;
                self.end_typing(*post).await;
            }
            Change::PostDeleted { post, .. } => {
                self.end_typing(*post).await;
                self.rooms.dissolve_post(*post);
            }
            Change::BoardDeleted { board, .. } => self.rooms.dissolve_board(*board),
            _ => {}
        }
        self.chronicle.after(&entry.change, position.place);
    }

    async fn tell_moved_out(
        &self,
        post_id: PostId,
        board_id: BoardId,
        gone: Vec<(PostId, SocketKey)>,
        position: Position,
    ) {
        let event = ServerEvent::BoardPostDeleted(PostDeleted { post_id, board_id, moved: true });
        // Who sits in the board was told there.
        let told = self.rooms.members(&Room::Board(board_id));
        for (_, key) in gone.into_iter().filter(|(_, key)| !told.contains(key)) {
            self.tell_one(key, event.clone(), position).await;
        }
    }

    pub(super) async fn tell_one(&self, key: SocketKey, event: ServerEvent, position: Position) {
        if !self.rooms.wants(key, Topic::of(&event)) {
            return;
        }
        let cursor = Cursor { place: position.place, ..self.chronicle.cursor() };
        self.sink.emit(&[key], &Frame::durable(event, cursor, position.at)).await;
    }
}

/// A fence to its end. A community with many boards and sockets is judged for longer than one task should keep a thread to itself: between
/// two boards others get a turn. Nothing is asked of the dispatcher meanwhile, so that it is one step all the same.
async fn applied(mut judging: Judging<'_>, rooms: &mut Rooms) -> (Verdicts, Outlook) {
    while judging.next(rooms) {
        tokio::task::yield_now().await;
    }
    judging.end(rooms)
}
