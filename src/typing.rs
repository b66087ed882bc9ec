//! Who is writing an answer to which post.
//!
//! Invariants:
//! - of a user and a post a beginning is told once, however often and from however many of his sockets it is said, and each beginning
//!   has one end;
//! - it ends when he says so or his socket leaves (with the last of his sockets that said it), and by itself after the silence.
//!
//! Pure: time is handed in, by one clock that never goes back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::{
    contract::TypingEvent,
    ids::{BoardId, PostId, SocketKey, UserId},
};

/// What is to be told, to all but the user himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Started(TypingEvent),
    Stopped(TypingEvent),
}

/// See the module.
#[derive(Debug)]
pub struct Typing {
    silence: Duration,
    bouts: HashMap<(PostId, UserId), Bout>,
    /// The posts of each socket that has begun.
    sockets: HashMap<SocketKey, BTreeMap<PostId, UserId>>,
    /// What ends by itself when.
    due: BTreeSet<(Duration, PostId, UserId)>,
}

#[derive(Debug)]
struct Bout {
    told: TypingEvent,
    sockets: BTreeSet<SocketKey>,
    /// When it ends by itself.
    ends: Duration,
}

impl Typing {
    /// Nobody. What is not said again within `silence` has ended.
    pub fn new(silence: Duration) -> Self {
        Self { silence, bouts: HashMap::new(), sockets: HashMap::new(), due: BTreeSet::new() }
    }

    /// The socket says that its user writes.
    pub fn start(&mut self, key: SocketKey, event: TypingEvent, now: Duration) -> Vec<Heard> {
        let (post, user, ends) = (event.post_id, event.user_id.clone(), now + self.silence);
        let mut heard = Vec::new();
        // The post was moved, and nobody has said so yet.
        if self.bouts.get(&(post, user.clone())).is_some_and(|bout| bout.told.board_id != event.board_id) {
            heard.extend(self.end(post, &user));
        }
        self.sockets.entry(key).or_default().insert(post, user.clone());
        match self.bouts.get_mut(&(post, user.clone())) {
            Some(bout) => {
                self.due.remove(&(bout.ends, post, user.clone()));
                bout.sockets.insert(key);
                bout.ends = ends;
            }
            None => {
                heard.push(Heard::Started(event.clone()));
                let bout = Bout { told: event, sockets: BTreeSet::from([key]), ends };
                self.bouts.insert((post, user.clone()), bout);
            }
        }
        self.due.insert((ends, post, user));
        heard
    }

    /// The socket says that he no longer does, or has left.
    pub fn stop(&mut self, key: SocketKey, post: PostId) -> Option<Heard> {
        let posts = self.sockets.get_mut(&key)?;
        let user = posts.remove(&post)?;
        if posts.is_empty() {
            self.sockets.remove(&key);
        }
        let bout = self.bouts.get_mut(&(post, user.clone()))?;
        bout.sockets.remove(&key);
        if bout.sockets.is_empty() { self.end(post, &user) } else { None }
    }

    /// When the next ends by itself.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(ends, ..)| *ends)
    }

    /// What has ended by itself.
    pub fn due(&mut self, now: Duration) -> Vec<Heard> {
        let mut heard = Vec::new();
        while let Some((_, post, user)) = self.due.first().filter(|(ends, ..)| *ends <= now).cloned() {
            match self.end(post, &user) {
                Some(stopped) => heard.push(stopped),
                // Of each that is due there is a bout; else it would be due for ever.
                None => drop(self.due.pop_first()),
            }
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
        let posts = self.sockets.get(&key).into_iter().flatten();
        let bouts = posts.filter_map(|(post, user)| self.bouts.get(&(*post, user.clone())));
        bouts.map(|bout| (bout.told.post_id, bout.told.board_id)).collect()
    }

    fn end(&mut self, post: PostId, user: &UserId) -> Option<Heard> {
        let Bout { told, sockets, ends } = self.bouts.remove(&(post, user.clone()))?;
        self.due.remove(&(ends, post, user.clone()));
        for key in sockets {
            if let Some(posts) = self.sockets.get_mut(&key) {
                posts.remove(&post);
                if posts.is_empty() {
                    self.sockets.remove(&key);
                }
            }
        }
        Some(Heard::Stopped(told))
    }
}

#[cfg(test)]
mod tests;
