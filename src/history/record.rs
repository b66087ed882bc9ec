//! One event as it is kept, and what it says of others: whose life it belongs to, and what ends with it.

use chrono::{DateTime, Utc};

use crate::{
    audience::{Audience, ToAdmins, Topic},
    contract::ServerEvent,
    ids::{BoardId, CommentId, Place, PostId},
};

/// One event that was told.
#[derive(Clone, Debug)]
pub struct Record<F> {
    /// Where it was told; a count stands behind its changes.
    pub place: Place,
    /// When what it tells of was written.
    pub at: DateTime<Utc>,
    pub audience: Audience,
    pub topic: Topic,
    pub about: About,
    /// Of a count: the place of the newest change in it.
    pub counted: Option<Place>,
    pub frame: F,
    /// Where admins are shown more.
    pub to_admins: Option<ToAdmins<F>>,
}

/// Whose life an event belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub post: Option<PostId>,
    pub comment: Option<CommentId>,
    /// Whether it ends here: the post's in this board, or the comment's.
    pub ends: bool,
}

impl About {
    /// What `event` tells of.
    pub fn of(event: &ServerEvent) -> Self {
        use ServerEvent as E;
        let post = |post| Self { post: Some(post), ..Self::default() };
        match event {
            E::BoardNewPost(told) => post(told.post.id),
            E::BoardPostUpdated(told) => post(told.post.id),
            E::BoardPostDeleted(told) => Self { ends: true, ..post(told.post_id) },
            E::PostVoteAdded(told)
            | E::PostVoteRemoved(told)
            | E::PostVoteChanged(told)
            | E::PostCommentCountChanged(told) => post(told.post_id),
            E::PostNewComment(told) | E::PostCommentUpdated(told) => {
                Self { comment: Some(told.comment.id), ..post(told.post_id) }
            }
            E::PostCommentDeleted(told) => Self { comment: Some(told.comment_id), ends: true, ..post(told.post_id) },
            E::NotificationNew(told) => Self { comment: Some(told.comment_id), ..post(told.post_id) },
            _ => Self::default(),
        }
    }
}

/// What ends with an event.
pub(super) enum End {
    Comment(CommentId),
    /// The post's stay in the board.
    Post(PostId, BoardId),
}

impl<F> Record<F> {
    /// The board and the post in whose rooms it was told. Of the others nobody comes back to.
    pub(super) fn rooms(&self) -> (Option<BoardId>, Option<PostId>) {
        match self.audience {
            Audience::Board(board) | Audience::WhoMayOpen(board) => (Some(board), None),
            Audience::BoardAndPost(board, post) => (Some(board), Some(post)),
            Audience::Post(post) => (None, Some(post)),
            Audience::Community(_) | Audience::User(..) => (None, None),
        }
    }

    /// Of which post it tells a count, and of what.
    pub fn count(&self) -> Option<(PostId, Topic)> {
        self.counted.and(self.about.post).map(|post| (post, self.topic))
    }

    pub(super) fn end(&self) -> Option<End> {
        match (self.about, self.rooms()) {
            (About { ends: true, comment: Some(comment), .. }, _) => Some(End::Comment(comment)),
            (About { ends: true, post: Some(post), .. }, (Some(board), _)) => Some(End::Post(post, board)),
            _ => None,
        }
    }
}
