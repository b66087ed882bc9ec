//! Who is here: the users in each community and in each board, over all nodes, and what is told when the first socket of one comes or
//! his last goes.
//!
//! Invariants:
//! - of a user and a place (a community or a board) a coming is told exactly when he was not there, a going exactly when he no longer is,
//!   on whatever node;
//! - whoever lost his last connection is there until the grace has passed, so a page that is loaded again within it tells nothing, on
//!   another node either; who leaves by a command, or is put out, is gone at once;
//! - every list is what was told, and this node's own people; where it is not known who is on other nodes, nobody is taken to have gone.
//!
//! Told is what [`News`] gives: at once, unless a crowd comes or goes.
//!
//! Each node says of its own users how they are there ([`Said`]), and takes what all say, itself among them, in one order for each
//! scope. So all come to the same list and the same transitions, and each tells its own sockets. One node alone hears itself at once;
//! among others the order is made where they meet ([`Word`], [`Heard`]).
//!
//! Pure: time is handed in, by one clock that never goes back.

mod hearing;
mod living;
mod news;
mod own;
mod roll;
mod roster;

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::{
    living::Living,
    own::Own,
    roll::{Passed, Roll},
};
pub use self::{
    living::REMEMBERED,
    news::{Due, News},
    roll::SAID_AGAIN,
};
use crate::{
    circle::{Said, Word},
    contract::{Present, Viewer},
    ids::{BoardId, CommunityId, DeviceId, NodeId, SocketKey, UserId},
};

/// Where somebody is. Boards come first: who goes leaves them before he is offline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Board(BoardId),
    Community(CommunityId),
}

/// For whom a socket speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    pub who: Viewer,
    pub community: CommunityId,
    /// A socket without one is a device by itself.
    pub device: Option<DeviceId>,
}

/// What a socket did, in the order in which it did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// It is connected; or speaks for the same user by another token.
    Came { key: SocketKey, visitor: Visitor },
    /// It sits in a board by name.
    Entered { key: SocketKey, board: BoardId },
    /// It left the board, or was put out.
    Left { key: SocketKey, board: BoardId },
    /// Its connection is gone.
    Gone { key: SocketKey },
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// He is in the scope.
    Came { scope: Scope, who: Viewer },
    /// He no longer is.
    Went { scope: Scope, who: Viewer },
}

impl Notice {
    /// Where.
    pub fn scope(&self) -> &Scope {
        let (Self::Came { scope, .. } | Self::Went { scope, .. }) = self;
        scope
    }

    /// Who.
    pub fn user(&self) -> &UserId {
        let (Self::Came { who, .. } | Self::Went { who, .. }) = self;
        &who.user_id
    }
}

/// How one user is in a scope by the sockets of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stay {
    pub user_name: Option<String>,
    pub avatar_url: Option<String>,
    pub devices: BTreeSet<DeviceId>,
    /// Sockets that name no device.
    pub nameless: u32,
    /// Of a community: the boards in which he sits by name, the latest first.
    pub boards: Vec<BoardId>,
}

/// Some of those who are in a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// By user id.
    pub users: Vec<Present>,
    /// How many there are.
    pub count: usize,
}

/// Who is on other nodes is not known at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// See the module.
#[derive(Debug)]
pub struct Presence {
    me: NodeId,
    own: Own,
    rolls: HashMap<Scope, Roll>,
    meeting: Meeting,
    nth: u64,
}

/// Where what is said is put in order.
#[derive(Debug)]
enum Meeting {
    /// There is one node.
    Alone,
    Among {
        /// Whether it can be reached.
        here: bool,
        words: Vec<Word>,
        /// As far as it was heard on the way that there is.
        living: Living,
    },
}

impl Presence {
    /// Nobody, on the only node. Who lost his last connection is gone after `grace`.
    pub fn alone(grace: Duration) -> Self {
        Self { me: NodeId(0), own: Own::new(grace), rolls: HashMap::new(), meeting: Meeting::Alone, nth: 0 }
    }

    /// Nobody, on the node `me` among others, of whom nothing is known yet.
    pub fn among(grace: Duration, me: NodeId) -> Self {
        let meeting = Meeting::Among { here: false, words: Vec::new(), living: Living::default() };
        Self { me, meeting, ..Self::alone(grace) }
    }

    /// Notes a move. One of a socket that never came, or is gone, is none.
    pub fn moved(&mut self, moved: Move, now: Duration) {
        self.own.moved(moved, now);
    }

    /// When the next grace ends.
    pub fn next_due(&self) -> Option<Duration> {
        self.own.next_due()
    }

    /// Ends every grace that is over.
    pub fn due(&mut self, now: Duration) {
        self.own.due(now);
    }

    /// The user no longer exists: for him there is no grace.
    pub fn dismiss(&mut self, user: &UserId) {
        self.own.dismiss(user);
    }

    /// What is told of all that was noted; among others that comes when they have heard it.
    pub fn settle(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (scope, user, stay) in self.own.take_changed() {
            notices.extend(self.say(scope, user, stay));
        }
        notices
    }

    /// Somebody here minds who is in the scope.
    pub fn watch(&mut self, scope: &Scope) {
        let Meeting::Among { here, words, .. } = &mut self.meeting else { return };
        if !self.rolls.contains_key(scope) {
            self.rolls.insert(scope.clone(), Roll::default());
            if *here {
                words.push(Word::Watch(scope.clone(), None));
            }
        }
    }

    /// Forgets every scope that nobody here minds and nobody here is in; these they are. Of what can't be heard those are kept in which
    /// this node's people were when it last could be: to be taken back.
    pub fn forget_unless(&mut self, minds: impl Fn(&Scope) -> bool) -> Vec<Scope> {
        let Meeting::Among { here, words, .. } = &mut self.meeting else { return Vec::new() };
        let (own, me) = (&self.own, self.me);
        // What this node said of somebody has to be taken back before.
        let is_over = |(scope, roll): &(&Scope, &Roll)| !minds(scope) && !own.is_in(scope) && roll.is_without(me);
        let gone: Vec<Scope> = self.rolls.iter().filter(is_over).map(|(scope, _)| scope.clone()).collect();
        for scope in &gone {
            self.rolls.remove(scope);
            if *here {
                words.push(Word::Unwatch(scope.clone()));
            }
        }
        gone
    }

    /// What is to be said to the others, since this was asked last.
    pub fn take_words(&mut self) -> Vec<Word> {
        match &mut self.meeting {
            Meeting::Alone => Vec::new(),
            Meeting::Among { words, .. } => mem::take(words),
        }
    }

    /// Whether it is not known who is in the scope and may soon be, so that waiting helps.
    pub fn may_soon_know(&self, scope: &Scope) -> bool {
        self.is_here() && !self.knows(scope) && self.rolls.get(scope).is_some_and(|roll| !roll.is_lost)
    }

    /// Whether it is known who is in the scope.
    pub fn knows(&self, scope: &Scope) -> bool {
        match self.meeting {
            Meeting::Alone => true,
            Meeting::Among { .. } => self.rolls.get(scope).is_some_and(Roll::is_known),
        }
    }

    /// Whether it is, and what this node said of its own has been heard.
    pub fn is_settled(&self, scope: &Scope) -> bool {
        match self.meeting {
            Meeting::Alone => true,
            Meeting::Among { .. } => self.rolls.get(scope).is_some_and(Roll::is_settled),
        }
    }

    /// Whether the user is in the scope, as far as it is known.
    pub fn has(&self, scope: &Scope, user: &UserId) -> bool {
        self.rolls.get(scope).is_some_and(|roll| roll.has(self.me, user))
    }

    /// Whether the others can be heard at all.
    pub fn is_here(&self) -> bool {
        !matches!(self.meeting, Meeting::Among { here: false, .. })
    }

    /// The first `at_most` of those who are in the scope, on all nodes. Of a community's members it is said in which board each sat
    /// down last, of those that `shows`.
    pub fn list(&self, scope: &Scope, at_most: usize, shows: impl Fn(BoardId) -> bool) -> Result<Listed, Unknown> {
        if !self.knows(scope) {
            return Err(Unknown);
        }
        let Some(roll) = self.rolls.get(scope) else { return Ok(Listed { users: Vec::new(), count: 0 }) };
        Ok(Listed { users: roll.list(self.me, scope, at_most, shows), count: roll.count(self.me) })
    }

    /// As [`Presence::list`], but of this node alone where others are not known; of these is told what comes to be known.
    pub fn list_known(&mut self, scope: &Scope, at_most: usize) -> Listed {
        if let Ok(listed) = self.list(scope, at_most, |_| false) {
            return listed;
        }
        if let Some(roll) = self.rolls.get_mut(scope) {
            roll.show();
        }
        let own = self.own.of(scope).take(at_most);
        let users = own.map(|(user, stay)| roll::present(user, &[&stay], scope, |_| false)).collect();
        Listed { users, count: self.own.count(scope) }
    }

    fn say(&mut self, scope: Scope, user: UserId, stay: Option<Stay>) -> Vec<Notice> {
        self.nth += 1;
        let said = Said { user, stay, nth: self.nth };
        match &mut self.meeting {
            Meeting::Alone => {
                let roll = self.rolls.entry(scope.clone()).or_default();
                let passed = roll.alone(self.me, said);
                if roll.is_empty() {
                    self.rolls.remove(&scope);
                }
                notices(&scope, passed)
            }
            Meeting::Among { .. } => {
                self.watch(&scope);
                let known = self.rolls.get_mut(&scope).filter(|roll| roll.is_known());
                // What is not known is corrected once it is read.
                if let Some(roll) = known.filter(|roll| roll.is_news(self.me, &said)) {
                    roll.say(&said);
                    self.push_said(scope, self.me, said);
                }
                Vec::new()
            }
        }
    }

    fn push(&mut self, word: Word) {
        if let Meeting::Among { here: true, words, .. } = &mut self.meeting {
            words.push(word);
        }
    }

    /// Beside what is said of the same scope already.
    fn push_said(&mut self, scope: Scope, node: NodeId, more: Said) {
        let Meeting::Among { here: true, words, .. } = &mut self.meeting else { return };
        if let Some(Word::Say { scope: of, node: by, said }) = words.last_mut()
            && (&*of, *by) == (&scope, node)
        {
            return said.push(more);
        }
        words.push(Word::Say { scope, node, said: vec![more] });
    }
}

fn notices(scope: &Scope, passed: Vec<Passed>) -> Vec<Notice> {
    let notice = |(came, who)| {
        let scope = scope.clone();
        if came { Notice::Came { scope, who } } else { Notice::Went { scope, who } }
    };
    passed.into_iter().map(notice).collect()
}

#[cfg(test)]
mod tests;
