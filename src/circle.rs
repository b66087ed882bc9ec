//! What the nodes of one forum say to each other of who is here and who writes. How it travels is the business of
//! [`crate::ports::Circle`].

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{BoardId, CommunityId, NodeId, UserId},
    presence::{Scope, Stay},
    typing,
};

/// What this node says where all meet, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// What others say of the scope is heard from now on; it is to be read once. A scope that is to be read is named with where this node
    /// [knows](Stamp::and_all) that it stood: where fewer words are counted now, the latest were lost, and it is counted anew.
    Watch(Scope, Option<Stamp>),
    /// No longer.
    Unwatch(Scope),
    /// Something of it was missed: it is to be read anew.
    Read(Scope, Option<Stamp>),
    /// What `node` says: this one, or one that has died and is spoken for.
    Say { scope: Scope, node: NodeId, said: Vec<Said> },
    /// Where this node's users sit whose community was just read: what is remembered of it may be gone.
    Seats(CommunityId, Vec<(UserId, BoardId)>),
    /// Every scope that this node minds has been named since it was told [`Heard::Here`].
    All,
}

/// What is heard from there, for each scope in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It can be reached: every scope is to be watched and read, since nothing is known of any.
    Here,
    /// A scope was read, as it was at `stamp`; everything later follows.
    Read { scope: Scope, stamp: Stamp, members: Members },
    /// What a node said.
    Said { scope: Scope, stamp: Stamp, node: NodeId, said: Vec<Said> },
    /// The scope stands there, and everything up to it was heard.
    Stands { scope: Scope, stamp: Stamp },
    /// It can't be asked at the moment who is in the scope: nothing is known of it until it is read.
    Unknown(Scope),
    /// These nodes live.
    Nodes(BTreeSet<NodeId>),
    /// A beat of this node has passed, and whatever was said until then was heard before.
    Beat,
    /// Somebody on another node writes, or has ended.
    Typing { node: NodeId, heard: typing::Heard },
    /// Nothing is heard any longer.
    Away,
}

/// Who is in a scope, by the sockets of which nodes.
pub type Members = BTreeMap<UserId, BTreeMap<NodeId, Stay>>;

/// What a node says of one of its users in a scope: how he is there by its sockets, or that he is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub user: UserId,
    pub stay: Option<Stay>,
    /// Counts what the node said; it knows its own words by it.
    pub nth: u64,
}

/// Which words a scope has heard: counted from the moment at which it came to be, which is told by a random number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub generation: u64,
    pub version: u64,
}

impl Stamp {
    /// Whether nothing was said between the two.
    pub fn follows(self, before: Self) -> bool {
        self.generation == before.generation && before.version.checked_add(1) == Some(self.version)
    }

    /// Whether fewer words were heard than at `later`, so that where this comes after it some were lost.
    pub fn is_before(self, later: Self) -> bool {
        self.generation == later.generation && self.version < later.version
    }

    /// Of a scope that lost words whatever may have been said since: no word of its generation is later.
    pub fn and_all(self) -> Self {
        Self { version: u64::MAX, ..self }
    }

    /// Whether a word of this stamp is in what was read at `read` already.
    pub fn is_in(self, read: Self) -> bool {
        self.generation == read.generation && self.version <= read.version
    }
}
