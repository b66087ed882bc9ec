//! Who an event is for, before anybody's rights or flags are looked at. [`crate::rooms::Rooms`] turns it into sockets.

use serde::{Deserialize, Serialize};

use crate::{
    contract::{Features, ServerEvent},
    ids::{BoardId, CommunityId, PostId, UserId},
};

/// The addressees of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What the admins of one community are shown instead of what everybody is. Elsewhere an admin is nobody special.
#[derive(Clone, Debug, PartialEq)]
pub struct ToAdmins<T> {
    pub of: CommunityId,
    pub shown: T,
}

impl<T> ToAdmins<T> {
    /// The same admins, shown something else.
    pub fn map<U>(self, shown: impl FnOnce(T) -> U) -> ToAdmins<U> {
        ToAdmins { of: self.of, shown: shown(self.shown) }
    }
}

/// What an event hangs on of the flags of contract section 6, beside `enabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// Told whatever is switched off: the news that it was reaches those for whom it was.
    Always,
    /// Told unless everything is switched off.
    Boards,
    Posts,
    Votes,
    Comments,
    Notifications,
    Presence,
    Typing,
}

impl Topic {
    /// The topic of an event.
    pub fn of(event: &ServerEvent) -> Self {
        use ServerEvent as E;
        match event {
            E::BoardNewPost(_) | E::BoardPostUpdated(_) | E::BoardPostDeleted(_) => Self::Posts,
            E::PostVoteAdded(_) | E::PostVoteRemoved(_) | E::PostVoteChanged(_) => Self::Votes,
            E::PostNewComment(_)
            | E::PostCommentUpdated(_)
            | E::PostCommentDeleted(_)
            | E::PostCommentCountChanged(_) => Self::Comments,
            E::NotificationNew(_) => Self::Notifications,
            E::UserOnline(_) | E::UserOffline(_) | E::UserJoinedBoard(_) | E::UserLeftBoard(_) => Self::Presence,
            E::TypingStart(_) | E::TypingStop(_) => Self::Typing,
            E::CommunitySettingsChanged(_)
            | E::SessionReady(_)
            | E::SessionExpiring(_)
            | E::SessionExpired(_)
            | E::ServerDraining(_)
            | E::Error(_) => Self::Always,
            E::BoardCreated(_)
            | E::BoardSettingsChanged(_)
            | E::BoardDeleted(_)
            | E::BoardAccessRevoked(_)
            | E::BoardAccessGranted(_) => Self::Boards,
        }
    }

    /// Whether a community with these flags wants it.
    pub fn is_wanted(self, features: &Features) -> bool {
        let flag = match self {
            Self::Always => return true,
            Self::Boards => true,
            Self::Posts => features.posts,
            Self::Votes => features.votes,
            Self::Comments => features.comments,
            Self::Notifications => features.notifications,
            Self::Presence => features.presence,
            Self::Typing => features.typing,
        };
        features.enabled && flag
    }
}
