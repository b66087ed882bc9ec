//! Who is writing an answer to which post, over all nodes.
//!
//! Invariants:
//! - of a user and a post a beginning is told once, however often and from however many of his sockets and nodes it is said, and each
//!   beginning has one end;
//! - it ends when he says so or his socket leaves (with the last of those that said it), and by itself after the silence;
//! - what begins here is said to the other nodes, again while it goes on, and so is its end; what another node says ends by itself, too.
//!
//! Pure: time is handed in, by one clock that never goes back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    time::Duration,
};

use crate::{
    contract::TypingEvent,
    ids::{BoardId, NodeId, PostId, SocketKey, UserId},
};

/// What is to be told, to all but the user himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Started(TypingEvent),
    Stopped(TypingEvent),
}

/// What another node says of its own sockets is believed for so much longer than they are.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Typing {
    silence: Duration,
    bouts: HashMap<(PostId, UserId), Bout>,
    /// The posts of each writer that has begun.
    writers: HashMap<Writer, BTreeMap<PostId, UserId>>,
    /// Whose saying ends by itself when.
    due: BTreeSet<(Duration, PostId, UserId, Writer)>,
    /// For other nodes, in order, since it was asked last.
    said: Vec<Heard>,
}

/// Who says that a user writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Writer {
    Socket(SocketKey),
    Node(NodeId),
}

#[derive(Debug)]
struct Bout {
    told: TypingEvent,
    /// When what each says ends by itself.
    writers: BTreeMap<Writer, Duration>,
    /// When the other nodes are to be told again that it goes on.
    say_again: Option<Duration>,
}

impl Bout {
    fn is_written_here(&self) -> bool {
        self.writers.keys().any(|writer| matches!(writer, Writer::Socket(_)))
    }
}

impl Typing {
    /// Nobody. What is not said again within `silence` has ended.
    pub fn new(silence: Duration) -> Self {
        let (bouts, writers) = (HashMap::new(), HashMap::new());
        Self { silence, bouts, writers, due: BTreeSet::new(), said: Vec::new() }
    }

    /// The socket says that its user writes.
    pub fn start(&mut self, key: SocketKey, event: TypingEvent, now: Duration) -> Vec<Heard> {
        let of = (event.post_id, event.user_id.clone());
        let heard = self.begin(Writer::Socket(key), event, now + self.silence);
        if let Some(bout) = self.bouts.get_mut(&of)
            && bout.say_again.is_none_or(|again| again <= now)
        {
            bout.say_again = Some(now + self.silence / 2);
            self.said.push(Heard::Started(bout.told.clone()));
        }
        heard
    }

    /// The socket says that he no longer does, or has left.
    pub fn stop(&mut self, key: SocketKey, post: PostId) -> Option<Heard> {
        let user = self.writers.get(&Writer::Socket(key))?.get(&post)?.clone();
        self.cease(Writer::Socket(key), post, &user)
    }

    /// What another node said.
    pub fn elsewhere(&mut self, node: NodeId, heard: Heard, now: Duration) -> Vec<Heard> {
        let writer = Writer::Node(node);
        match heard {
            Heard::Started(event) => self.begin(writer, event, now + self.silence + ON_ITS_WAY),
            Heard::Stopped(event) => self.cease(writer, event.post_id, &event.user_id).into_iter().collect(),
        }
    }

    /// What is to be said to the other nodes.
    pub fn take_said(&mut self) -> Vec<Heard> {
        mem::take(&mut self.said)
    }

    /// When the next ends by itself.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(ends, ..)| *ends)
    }

    /// What has ended by itself.
    pub fn due(&mut self, now: Duration) -> Vec<Heard> {
        let mut heard = Vec::new();
        while let Some((_, post, user, writer)) = self.due.first().filter(|(ends, ..)| *ends <= now).cloned() {
            heard.extend(self.cease(writer, post, &user));
        }
        heard
    }

    /// The post is no more, or no longer where it was.
    pub fn end_post(&mut self, post: PostId) -> Vec<Heard> {
        let users: BTreeSet<UserId> =
            self.bouts.keys().filter(|(of, _)| *of == post).map(|(_, user)| user.clone()).collect();
        users.iter().filter_map(|user| self.end(post, user)).collect()
    }

    /// The posts for which the socket has begun, with the board of each.
    pub fn of(&self, key: SocketKey) -> Vec<(PostId, BoardId)> {
        let posts = self.writers.get(&Writer::Socket(key)).into_iter().flatten();
        let bouts = posts.filter_map(|(post, user)| self.bouts.get(&(*post, user.clone())));
        bouts.map(|bout| (bout.told.post_id, bout.told.board_id)).collect()
    }

    fn begin(&mut self, writer: Writer, event: TypingEvent, ends: Duration) -> Vec<Heard> {
        let (post, user) = (event.post_id, event.user_id.clone());
        let mut heard = Vec::new();
        // The post was moved, and nobody has said so yet.
        if self.bouts.get(&(post, user.clone())).is_some_and(|bout| bout.told.board_id != event.board_id) {
            heard.extend(self.end(post, &user));
        }
        self.writers.entry(writer).or_default().insert(post, user.clone());
        let bout = self.bouts.entry((post, user.clone())).or_insert_with(|| {
            heard.push(Heard::Started(event.clone()));
            Bout { told: event, writers: BTreeMap::new(), say_again: None }
        });
        if let Some(before) = bout.writers.insert(writer, ends) {
            self.due.remove(&(before, post, user.clone(), writer));
        }
        self.due.insert((ends, post, user, writer));
        heard
    }

    /// One of those who said it says it no longer.
    fn cease(&mut self, writer: Writer, post: PostId, user: &UserId) -> Option<Heard> {
        let bout = self.bouts.get_mut(&(post, user.clone()))?;
        let ends = bout.writers.remove(&writer)?;
        if matches!(writer, Writer::Socket(_)) && !bout.is_written_here() {
            bout.say_again = None;
            self.said.push(Heard::Stopped(bout.told.clone()));
        }
        let is_over = bout.writers.is_empty();
        self.forget(writer, post, user, ends);
        if is_over { self.bouts.remove(&(post, user.clone())).map(|bout| Heard::Stopped(bout.told)) } else { None }
    }

    fn end(&mut self, post: PostId, user: &UserId) -> Option<Heard> {
        let bout = self.bouts.remove(&(post, user.clone()))?;
        if bout.is_written_here() {
            self.said.push(Heard::Stopped(bout.told.clone()));
        }
        for (writer, ends) in bout.writers {
            self.forget(writer, post, user, ends);
        }
        Some(Heard::Stopped(bout.told))
    }

    fn forget(&mut self, writer: Writer, post: PostId, user: &UserId, ends: Duration) {
        self.due.remove(&(ends, post, user.clone(), writer));
        if let Some(posts) = self.writers.get_mut(&writer) {
            posts.remove(&post);
            if posts.is_empty() {
                self.writers.remove(&writer);
            }
        }
    }
}

#[cfg(test)]
mod tests;
