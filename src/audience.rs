//! Who an event is for, before anybody's rights or flags are looked at. [`crate::rooms::Rooms`] turns it into sockets.

use crate::{
    contract::{Features, ServerEvent},
    ids::{BoardId, CommunityId, PostId, UserId},
};

/// The addressees of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Who is in the board's room.
    Board(BoardId),
    /// Who is in the board's or the post's room; each socket once.
    BoardAndPost(BoardId, PostId),
    /// Who is in the post's room.
    Post(PostId),
    /// Every socket that may open the board, in its room or not.
    WhoMayOpen(BoardId),
    /// Every socket of the community.
    Community(CommunityId),
    /// The user's sockets, of those that may open the board.
    User(UserId, BoardId),
}

/// The flag of contract section 6 that an event hangs on, beside `enabled`.
pub fn wanted(event: &ServerEvent, features: &Features) -> bool {
    use ServerEvent as E;
    let flag = match event {
        E::BoardNewPost(_) | E::BoardPostUpdated(_) | E::BoardPostDeleted(_) => features.posts,
        E::PostVoteAdded(_) | E::PostVoteRemoved(_) | E::PostVoteChanged(_) => features.votes,
        E::PostNewComment(_) | E::PostCommentUpdated(_) | E::PostCommentDeleted(_) | E::PostCommentCountChanged(_) => {
            features.comments
        }
        E::NotificationNew(_) => features.notifications,
        // The news that the flags changed reaches those for whom they were switched off.
        E::CommunitySettingsChanged(_)
        | E::SessionReady(_)
        | E::SessionExpired(_)
        | E::ServerDraining(_)
        | E::Error(_) => {
            return true;
        }
        E::BoardCreated(_)
        | E::BoardSettingsChanged(_)
        | E::BoardDeleted(_)
        | E::BoardAccessRevoked(_)
        | E::BoardAccessGranted(_) => true,
    };
    features.enabled && flag
}
