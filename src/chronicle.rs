//! What is told, in order: each event with its place, made once for all who are sent it, and kept for those who come back.
//!
//! Invariants:
//! - places never go back, and a cursor names what is still held back when it is handed out;
//! - what is told is kept at once, whether anybody is there to hear it or not.
//!
//! Pure: time is handed in.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    audience::{Audience, ToAdmins, Topic},
    change::Change,
    contract::ServerEvent,
    event::{Rows, Told},
    frame::Frame,
    history::{About, Bounds, History, Record},
    ids::{BoardId, Cursor, Epoch, Place, PostId, Tick},
    merge::{CountChange, Due, Merger},
};

/// Where something is told, and when it was written.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    pub place: Place,
    pub at: DateTime<Utc>,
}

/// One event to be sent to whoever it is for.
#[derive(Clone, Debug)]
pub struct Sent {
    pub audience: Audience,
    pub topic: Topic,
    /// Whose life it belongs to.
    pub about: About,
    pub frame: Arc<Frame>,
    /// Where admins are shown more.
    pub to_admins: Option<ToAdmins<Arc<Frame>>>,
}

/// See the module.
#[derive(Debug)]
pub struct Chronicle {
    pub history: History<Arc<Frame>>,
    merger: Merger<Position>,
    epoch: Epoch,
    /// Everything up to here has been told.
    told: Place,
}

/// Beside its audience and place, what makes an event.
struct Event {
    event: ServerEvent,
    to_admins: Option<ToAdmins<ServerEvent>>,
    counted: Option<Place>,
    held_from: Option<Tick>,
}

impl Chronicle {
    /// Begins behind `told`. Counts of one post within `window` are told as one.
    pub fn new(bounds: Bounds, window: Duration, epoch: Epoch, told: Place) -> Self {
        Self { history: History::new(bounds, told), merger: Merger::new(window), epoch, told }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Everything up to here has been told.
    pub fn told(&self) -> Place {
        self.told
    }

    /// What a socket is told of how far it has been served.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, place: self.told, held_from: self.merger.held_from() }
    }

    /// Whether a count of the post waits that tells of this topic.
    pub fn holds(&self, post: PostId, topic: Topic) -> bool {
        self.merger.holds(post, topic)
    }

    /// When the next count that waits has to be told, by the clock of [`Chronicle::tell`].
    pub fn next_due(&self) -> Option<Duration> {
        self.merger.next_due()
    }

    /// What was told before belongs to another stretch of history, or must not be told again.
    pub fn restart(&mut self, epoch: Epoch, told: Place) {
        if epoch != self.epoch {
            self.told = told;
        }
        self.epoch = epoch;
        self.merger.clear();
        self.history.restart(told);
    }

    /// Everything up to `place` has been told.
    pub fn reached(&mut self, place: Place) {
        self.told = place;
    }

    /// What is to be sent at once of something told at `position`; a count may be held back. `now` is a monotonic clock's reading.
    pub fn tell(&mut self, told: Told, position: Position, now: Duration) -> Vec<Sent> {
        match told {
            Told::Event { audience, event, to_admins, part } => {
                let position = Position { place: Place { part, ..position.place }, ..position };
                let (event, to_admins) = (*event, to_admins.map(|full| full.map(|event| *event)));
                let event = Event { event, to_admins, counted: None, held_from: self.merger.held_from() };
                vec![self.enter(audience, event, position)]
            }
            Told::Count(change) => match self.merger.offer(change, position, position.place.tick, now) {
                Some((change, position)) => self.count(&change, position),
                None => Vec::new(),
            },
        }
    }

    /// The counts whose window has ended. They are told at the newest place: everything before it has been told. Until the last
    /// event of the last of them is out, cursors say that something is held back.
    pub fn due(&mut self, now: Duration) -> Vec<Sent> {
        let due = self.merger.due(now);
        self.tell_due(&due)
    }

    /// What is held back of these boards, which others may open from here on: it was counted before they may.
    pub fn ahead_of_rights(&mut self, boards: &BTreeSet<BoardId>) -> Vec<Sent> {
        let due = self.merger.take_of(boards);
        self.tell_due(&due)
    }

    fn tell_due(&mut self, due: &[Due<Position>]) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (at, Due { change, place: newest, .. }) in due.iter().enumerate() {
            let position = Position { place: self.told, at: newest.at };
            let events = change.events();
            let count = events.len();
            for (n, (part, event)) in events.into_iter().enumerate() {
                let waiting = &due[if n + 1 == count { at + 1 } else { at }..];
                let held_from = waiting.iter().map(|due| due.since).chain(self.merger.held_from()).min();
                let counted = Some(Place { part, ..newest.place });
                let event = Event { event, to_admins: None, counted, held_from };
                sent.push(self.enter(Audience::Board(change.board), event, position));
            }
        }
        sent
    }

    /// What ends with a change, so that it is not told again as it was.
    pub fn after(&mut self, change: &Change, place: Place) {
        match change {
            Change::PostMoved { post, from: Some(_), to } => {
                self.merger.moved(*post, *to);
                self.history.post_moved(*post, place);
            }
            Change::PostDeleted { post, .. } => self.merger.forget(*post),
            Change::BoardDeleted { .. } => self.history.board_ended(place),
            _ => {}
        }
    }

    fn count(&mut self, change: &CountChange, position: Position) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (part, event) in change.events() {
            let position = Position { place: Place { part, ..position.place }, ..position };
            let (counted, held_from) = (Some(position.place), self.merger.held_from());
            let event = Event { event, to_admins: None, counted, held_from };
            sent.push(self.enter(Audience::Board(change.board), event, position));
        }
        sent
    }

    fn enter(&mut self, audience: Audience, event: Event, position: Position) -> Sent {
        let cursor = Cursor { epoch: self.epoch, place: position.place, held_from: event.held_from };
        let (topic, about) = (Topic::of(&event.event), About::of(&event.event));
        let frame = Frame::durable(event.event, cursor, position.at);
        let full = |event| Arc::new(Frame::durable(event, cursor, position.at));
        let to_admins = event.to_admins.map(|event| event.map(full));
        let size = frame.weight() + to_admins.as_ref().map_or(0, |full| full.shown.weight());
        let frame = Arc::new(frame);
        let record = Record {
            place: position.place,
            at: position.at,
            audience: audience.clone(),
            topic,
            about,
            counted: event.counted,
            frame: Arc::clone(&frame),
            to_admins: to_admins.clone(),
        };
        self.history.push(record, size);
        Sent { audience, topic, about, frame, to_admins }
    }
}

/// A stretch of the stream as it is read again later: rows as of that later moment.
#[derive(Debug)]
pub struct Stretch {
    pub epoch: Epoch,
    /// Everything behind it is here.
    pub from: Place,
    /// Up to here.
    pub upto: Place,
    /// In order, each with its place.
    pub changes: Vec<(Position, Change)>,
    pub rows: Rows,
    /// Rights have to be applied up to this tick before anything of the rows may be shown.
    pub as_of: Tick,
}

impl Stretch {
    /// What would have been told, had somebody been there to tell it.
    pub fn history(self, bounds: Bounds, window: Duration) -> History<Arc<Frame>> {
        let mut chronicle = Chronicle::new(bounds, window, self.epoch, self.from);
        let mut now = Duration::ZERO;
        let began = self.changes.first().map(|(position, _)| position.at);
        for (position, change) in &self.changes {
            // Written is not committed: the clock of the stretch only goes forward.
            let at = began.and_then(|began| (position.at - began).to_std().ok()).unwrap_or_default();
            now = now.max(at);
            chronicle.due(now);
            mark_rights(change, position.place, &self.rows, &mut chronicle.history);
            for told in crate::event::tell(change, &self.rows) {
                chronicle.tell(told, *position, now);
            }
            chronicle.after(change, position.place.end_of_row());
            chronicle.reached(position.place.end_of_row());
        }
        chronicle.reached(self.upto);
        chronicle.due(now + window);
        chronicle.history
    }
}

/// Without the rights of that time nobody can tell whether the answer changed: each change that might have is one.
fn mark_rights(change: &Change, place: Place, rows: &Rows, history: &mut History<Arc<Frame>>) {
    if let Change::CommunityUpdated { community, .. } = change {
        history.flags_changed(community, place);
    }
    let place = place.end_of_row();
    match change {
        Change::BoardUpdated { board, .. } | Change::ImportChanged { board, .. } => {
            history.rights_may_have_changed(*board, place);
        }
        Change::CommunityCreated { community }
        | Change::CommunityUpdated { community, .. }
        | Change::CommunityDeleted { community, .. } => {
            for facts in rows.facts.values().filter(|facts| facts.is_shown_in(community)) {
                history.rights_may_have_changed(facts.board, place);
            }
        }
        Change::Reset { .. } => history.restart(place),
        _ => {}
    }
}
