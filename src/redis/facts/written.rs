//! The lists of open boards that this node wrote for its sockets, until they are to be withdrawn.
//!
//! Invariants:
//! - a list is noted before it is written. One that rights told by then made wrong is not written at all;
//! - it is to be withdrawn as soon as rights of its community are told that may make it wrong, its socket is gone or speaks by another token,
//!   or the socket has another list. It stays so until Redis has answered, or it has run out;
//! - what is withdrawn is known by its seal: what another node, or another socket, wrote in its place stays;
//! - there are [`MOST`] at most, none longer than what it notes; one more is not written.
//!
//! Of a community that changes all lists are withdrawn, also those that are the same behind it: each costs one more command, once. Owned by
//! the keeper of the line; depends on the versions of the dispatcher.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::line::KEPT_FOR;
use crate::{
    ids::{CommunityId, SocketKey},
    span::Span,
    versions::{Subject, Versions},
};

/// Lists that are noted, together with those that are to be withdrawn.
pub const MOST: usize = 100_000;
/// So often those that have run out are looked for.
const CLEARED_EVERY: Duration = Duration::from_secs(60);

/// For whom a list is written, and how long it held.
#[derive(Clone, Debug)]
pub struct Feed {
    pub socket: SocketKey,
    pub community: CommunityId,
    pub span: Span,
}

/// What is to be withdrawn, if it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub key: String,
    pub seal: String,
    /// Then it has run out.
    until: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct Written {
    versions: Arc<Versions>,
    lists: HashMap<SocketKey, (Feed, Wrong)>,
    wrong: VecDeque<Wrong>,
    /// The changes of rights that were looked at.
    seen: u64,
    cleared: Instant,
}

impl Written {
    /// Nothing yet.
    pub fn new(versions: Arc<Versions>) -> Self {
        let (lists, wrong) = (HashMap::new(), VecDeque::new());
        Self { versions, lists, wrong, seen: 0, cleared: Instant::now() }
    }

    /// Notes a list that is about to be written under a key with a seal; `false` where it must not be.
    pub fn note(&mut self, feed: &Feed, key: &str, seal: &str) -> bool {
        self.clear();
        if !self.holds(feed) || self.lists.len() + self.wrong.len() >= MOST {
            return false;
        }
        let until = Instant::now() + KEPT_FOR;
        let list = Wrong { key: key.to_owned(), seal: seal.to_owned(), until };
        if let Some((_, before)) = self.lists.insert(feed.socket, (feed.clone(), list))
            && before.seal != seal
        {
            self.wrong.push_back(before);
        }
        true
    }

    /// What was written for the socket is to be withdrawn, if something was.
    pub fn withdraw(&mut self, socket: SocketKey) {
        if let Some((_, list)) = self.lists.remove(&socket) {
            self.wrong.push_back(list);
        }
    }

    /// The first few that are to be withdrawn as of what has been told.
    pub fn wrong(&mut self, most: usize) -> impl Iterator<Item = &Wrong> {
        self.look();
        let now = Instant::now();
        while self.wrong.pop_front_if(|list| list.until <= now).is_some() {}
        self.wrong.iter().take(most)
    }

    /// Redis has answered of so many, the first.
    pub fn withdrew(&mut self, count: usize) {
        self.wrong.drain(..count.min(self.wrong.len()));
    }

    /// Whether something is to be withdrawn that was found before.
    pub fn is_left(&self) -> bool {
        !self.wrong.is_empty()
    }

    /// Finds what changes of rights made wrong.
    fn look(&mut self) {
        let now = self.versions.changes();
        if now == self.seen {
            return;
        }
        // Ahead of what was told nothing is known of any; then it is looked at again.
        let known = self.lists.values().next().is_none_or(|(feed, _)| self.span(feed).is_some());
        if !known {
            return;
        }
        self.seen = now;
        let wrong: Vec<SocketKey> =
            self.lists.values().filter(|(feed, _)| !self.holds(feed)).map(|(feed, _)| feed.socket).collect();
        for socket in wrong {
            self.withdraw(socket);
        }
    }

    fn span(&self, feed: &Feed) -> Option<Span> {
        self.versions.span(Subject::Community(&feed.community))
    }

    fn holds(&self, feed: &Feed) -> bool {
        self.span(feed).is_some_and(|here| feed.span.meets(&here))
    }

    /// Of a socket whose end was not heard, too.
    fn clear(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.cleared) >= CLEARED_EVERY {
            self.cleared = now;
            self.lists.retain(|_, (_, list)| list.until > now);
        }
    }
}

#[cfg(test)]
mod tests;
