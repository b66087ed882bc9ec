//! Which rows changes need.

use std::collections::BTreeSet;

use crate::{
    change::Change,
    ids::{BoardId, CommentId, CommunityId, PostId},
};

/// The rows that a batch of changes needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Where the post stands and its counts.
    pub heads: BTreeSet<PostId>,
    /// The whole post, with its author.
    pub posts: BTreeSet<PostId>,
    pub comments: BTreeSet<CommentId>,
    /// What the access rule asks of the board in which the post stands.
    pub notified: BTreeSet<PostId>,
    /// With what the access rule asks of them.
    pub boards: BTreeSet<BoardId>,
    /// What the access rule asks of them.
    pub left: BTreeSet<BoardId>,
    /// With what the access rule asks of every board they own or import.
    pub communities: BTreeSet<CommunityId>,
}

impl Needs {
    /// What `changes` need.
    pub fn of<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut needs = Self::default();
        for change in changes {
            needs.add(change);
        }
        needs
    }

    fn add(&mut self, change: &Change) {
        match change {
            Change::PostCreated { post, .. } | Change::PostUpdated { post, .. } => {
                self.heads.insert(*post);
                self.posts.insert(*post);
            }
            Change::PostMoved { post, from, to } => {
                self.heads.insert(*post);
                self.posts.insert(*post);
                self.left.extend(*from);
                self.boards.extend(*to);
            }
            Change::PostCounted { post, .. }
            | Change::VoteAdded { post }
            | Change::VoteRemoved { post }
            | Change::CommentDeleted { post, .. } => {
                self.heads.insert(*post);
            }
            Change::CommentCreated { comment, post } | Change::CommentUpdated { comment, post } => {
                self.heads.insert(*post);
                self.comments.insert(*comment);
                if matches!(change, Change::CommentCreated { .. }) {
                    self.notified.insert(*post);
                }
            }
            Change::BoardCreated { board }
            | Change::BoardUpdated { board, .. }
            | Change::ImportChanged { board, .. } => {
                self.boards.insert(*board);
            }
            Change::CommunityCreated { community }
            | Change::CommunityUpdated { community, .. }
            | Change::CommunityDeleted { community, .. } => {
                self.communities.insert(community.clone());
            }
            Change::PostDeleted { .. }
            | Change::BoardDeleted { .. }
            | Change::UserDeleted { .. }
            | Change::Reset { .. } => {}
        }
    }
}
