//! What clients ask of presence, and that they write: answered from what this node knows at the moment.

use tokio::sync::oneshot;

use super::{Dispatcher, Stale, waiting::Waiting};
use crate::{
    access::Permit,
    audience::Topic,
    contract::{ErrorCode, Failure, PresenceListed, Present, TypingEvent, Viewer},
    ids::{BoardId, PostId, SocketKey},
    ports::EffectSink,
    presence::{Listed, Scope, Unknown},
    versions::Basis,
};

/// What `board:join` answers at most.
pub(super) const SHOWN_AT_JOIN: usize = 50;
/// What `presence:list` answers at most.
const LISTED: usize = 500;

/// What the gateway asks of presence and typing.
#[derive(Debug)]
pub enum Attending {
    /// Those of the socket's community, or of the board that the permit opens.
    List { key: SocketKey, board: Option<(Permit, Basis)>, reply: oneshot::Sender<Result<PresenceListed, NotListed>> },
    /// The socket's user writes. Where it does not sit in the post's room, the post's board has to be named.
    Start {
        key: SocketKey,
        post: PostId,
        board: Option<(BoardId, Basis)>,
        reply: oneshot::Sender<Result<(), NotTyping>>,
    },
    /// He no longer does. Never refused.
    Stop { key: SocketKey, post: PostId },
}

/// Why nobody was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotListed {
    /// Rights changed: decide anew.
    Stale(Stale),
    Refused(Failure),
}

/// Why a beginning was not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTyping {
    /// The post's board has to be looked up, for the first time or anew.
    Where,
    Refused(Failure),
}

impl<S: EffectSink> Dispatcher<S> {
    pub(super) async fn attend(&mut self, attending: Attending) {
        // Who asked may have gone; then nobody waits for the answer.
        match attending {
            Attending::List { key, board, reply } => {
                self.wait_or_serve(Waiting::List { key, board, reply }).await;
            }
            Attending::Start { key, post, board, reply } => {
                let started = self.start_typing(key, post, board).await;
                drop(reply.send(started));
            }
            Attending::Stop { key, post } => {
                let heard = self.attendance.typing.stop(key, post);
                self.tell_typing(heard).await;
            }
        }
    }

    /// Who looks at a board, as `board:join` answers it, and how many.
    pub(super) fn viewers(&mut self, key: SocketKey, board: BoardId) -> (Vec<Viewer>, u32) {
        if !self.rooms.wants(key, Topic::Presence) {
            return (Vec::new(), 0);
        }
        let scope = Scope::Board(board);
        self.attendance.news.list(&scope);
        let Listed { users, count } = self.attendance.presence.list_known(&scope, SHOWN_AT_JOIN);
        let users: Vec<Viewer> = users.into_iter().map(viewer).collect();
        let is_sure = self.attendance.presence.knows(&scope);
        // Whoever is not named everybody can't be told later whom he was not named.
        let named = (!is_sure && users.len() == count).then(|| users.clone());
        self.attendance.unsure.answered(board, key, named);
        (users, u32::try_from(count).unwrap_or(u32::MAX))
    }

    pub(super) fn list(&mut self, key: SocketKey, board: Option<(Permit, Basis)>) -> Result<PresenceListed, NotListed> {
        let Some(actor) = self.rooms.actor(key) else { return Err(NotListed::Refused(gone())) };
        if !self.rooms.wants(key, Topic::Presence) {
            return Err(NotListed::Refused(switched_off("presence")));
        }
        let scope = match board {
            None => Scope::Community(actor.community.clone()),
            Some((_, basis)) if !self.versions.still(&basis) => return Err(NotListed::Stale(Stale)),
            Some((permit, _)) => Scope::Board(permit.board()),
        };
        // A board that the asker does not sit in may be closed to him.
        self.attendance.news.list(&scope);
        let listed = self.attendance.presence.list(&scope, LISTED, |board| self.rooms.sits_in(key, board));
        match listed {
            Ok(listed) => Ok(PresenceListed { users: listed.users }),
            Err(Unknown) => Err(NotListed::Refused(unknown())),
        }
    }

    async fn start_typing(
        &mut self,
        key: SocketKey,
        post: PostId,
        board: Option<(BoardId, Basis)>,
    ) -> Result<(), NotTyping> {
        let Some(actor) = self.rooms.actor(key) else { return Err(NotTyping::Refused(gone())) };
        if !self.rooms.wants(key, Topic::Typing) {
            return Err(NotTyping::Refused(switched_off("typing")));
        }
        let board_id = match (self.rooms.board_of_post(key, post), board) {
            (Some(joined), _) => joined,
            (None, None) => return Err(NotTyping::Where),
            (None, Some((_, basis))) if !self.versions.still(&basis) => return Err(NotTyping::Where),
            (None, Some((named, _))) if self.rooms.sits_in(key, named) => named,
            (None, Some(_)) => return Err(NotTyping::Refused(not_joined())),
        };
        let (user_id, user_name) = (actor.user.clone(), actor.name.clone());
        let event = TypingEvent { user_id, user_name, post_id: post, board_id };
        let heard = self.attendance.typing.start(key, event, self.began.elapsed());
        self.tell_typing(heard).await;
        Ok(())
    }
}

pub(super) fn viewer(Present { user_id, user_name, avatar_url, .. }: Present) -> Viewer {
    Viewer { user_id, user_name, avatar_url }
}

fn unknown() -> Failure {
    Failure::new(ErrorCode::Unavailable, "who is here is not known at the moment; try again shortly")
}

fn gone() -> Failure {
    Failure::new(ErrorCode::Unavailable, "the socket is gone")
}

fn switched_off(what: &str) -> Failure {
    Failure::new(ErrorCode::FeatureDisabled, format!("your community has switched {what} off"))
}

fn not_joined() -> Failure {
    Failure::new(ErrorCode::Forbidden, "join the post or its board first")
}
