//! Who is here and who writes, told in the order in which it happened: what a step did to rooms is told before the next one begins,
//! but for the news of a crowd, which come at their own pace to whoever sits there then.
//!
//! What is told here is never told again, and nobody is told of himself. Whom a board's presence is told sits in its room, so may open
//! the board as of the ticks applied.

use std::{mem, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{Dispatcher, Stale};
use crate::{
    access::Permit,
    audience::Topic,
    contract::{
        BoardPresence, ErrorCode, Failure, PresenceListed, ServerEvent, TypingEvent, UserOffline, UserOnline, Viewer,
    },
    frame::Frame,
    ids::{BoardId, CommunityId, PostId, Room, SocketKey, UserId},
    ports::EffectSink,
    presence::{Listed, News, Notice, Presence, Scope},
    typing::{Heard, Typing},
    versions::Basis,
};

/// What `board:join` answers at most.
const SHOWN_AT_JOIN: usize = 50;
/// What `presence:list` answers at most.
const LISTED: usize = 500;

/// How long somebody is taken to be there still.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Whoever lost his last connection.
    pub offline_grace: Duration,
    /// Whoever said that he writes, and nothing since.
    pub typing_silence: Duration,
}

/// Who is here and who writes.
#[derive(Debug)]
pub(super) struct Attendance {
    presence: Presence,
    news: News,
    typing: Typing,
    /// Users who no longer exist, and whose sockets are gone.
    pub(super) dismissed: Vec<UserId>,
}

impl Attendance {
    pub(super) fn new(patience: Patience) -> Self {
        let (presence, typing) = (Presence::new(patience.offline_grace), Typing::new(patience.typing_silence));
        Self { presence, news: News::default(), typing, dismissed: Vec::new() }
    }

    /// When the next grace or silence ends, or what waits may be told.
    pub(super) fn next_due(&self) -> Option<Duration> {
        [self.presence.next_due(), self.news.next_due(), self.typing.next_due()].into_iter().flatten().min()
    }
}

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
    /// Tells what the rooms have noted since.
    pub(super) async fn settle(&mut self) {
        let now = self.began.elapsed();
        let mut notices = Vec::new();
        for moved in self.rooms.take_moves() {
            notices.extend(self.attendance.presence.moved(moved, now));
        }
        for user in mem::take(&mut self.attendance.dismissed) {
            notices.extend(self.attendance.presence.dismiss(&user));
        }
        self.notify(notices).await;
        for key in self.rooms.take_strayed() {
            for (post, board) in self.attendance.typing.of(key) {
                if !self.may_type(key, post, board) {
                    let heard = self.attendance.typing.stop(key, post);
                    self.tell_typing(heard).await;
                }
            }
        }
    }

    /// Those whose grace or silence has ended.
    pub(super) async fn settle_due(&mut self) {
        let now = self.began.elapsed();
        let notices = self.attendance.presence.due(now);
        self.notify(notices).await;
        let heard = self.attendance.typing.due(now);
        self.tell_typing(heard).await;
    }

    /// When [`Dispatcher::settle_due`] has something to tell.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.chronicle.next_due().into_iter().chain(self.attendance.next_due()).min();
        due.map(|due| self.began + due)
    }

    pub(super) async fn attend(&mut self, attending: Attending) {
        // Who asked may have gone; then nobody waits for the answer.
        match attending {
            Attending::List { key, board, reply } => drop(reply.send(self.list(key, board))),
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

    /// Nobody writes an answer to what is no more, or stands elsewhere.
    pub(super) async fn end_typing(&mut self, post: PostId) {
        let heard = self.attendance.typing.end_post(post);
        self.tell_typing(heard).await;
    }

    /// Who looks at a board, as `board:join` answers it, and how many.
    pub(super) fn viewers(&self, key: SocketKey, board: BoardId) -> (Vec<Viewer>, u32) {
        if !self.rooms.wants(key, Topic::Presence) {
            return (Vec::new(), 0);
        }
        let Listed { users, count } =
            self.attendance.presence.list(&Scope::Board(board), SHOWN_AT_JOIN, |sat| sat == board);
        let viewer = |user: crate::contract::Present| Viewer {
            user_id: user.user_id,
            user_name: user.user_name,
            avatar_url: user.avatar_url,
        };
        (users.into_iter().map(viewer).collect(), u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn list(&self, key: SocketKey, board: Option<(Permit, Basis)>) -> Result<PresenceListed, NotListed> {
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
        let listed = self.attendance.presence.list(&scope, LISTED, |board| self.rooms.sits_in(key, board));
        Ok(PresenceListed { users: listed.users })
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

    fn may_type(&self, key: SocketKey, post: PostId, board: BoardId) -> bool {
        self.rooms.board_of_post(key, post) == Some(board) || self.rooms.sits_in(key, board)
    }

    async fn notify(&mut self, notices: Vec<Notice>) {
        notices.into_iter().for_each(|notice| self.attendance.news.add(notice));
        while let Some(notice) = self.attendance.news.take(self.began.elapsed()) {
            let (Notice::Came { scope, who } | Notice::Went { scope, who }) = &notice;
            let room = match scope {
                Scope::Community(community) => Room::Community(CommunityId::clone(community)),
                Scope::Board(board) => Room::Board(*board),
            };
            let user = who.user_id.clone();
            let sockets = self.tell_others(&[room], &user, presence_event(notice)).await;
            // From now on: where telling takes as long as it costs, half the time is left for everything else.
            self.attendance.news.told(sockets, self.began.elapsed());
        }
    }

    async fn tell_typing(&self, heard: impl IntoIterator<Item = Heard>) {
        for heard in heard {
            let (Heard::Started(told) | Heard::Stopped(told)) = &heard;
            let (user, rooms) = (told.user_id.clone(), [Room::Post(told.post_id), Room::Typing(told.board_id)]);
            let event = match heard {
                Heard::Started(told) => ServerEvent::TypingStart(told),
                Heard::Stopped(told) => ServerEvent::TypingStop(told),
            };
            self.tell_others(&rooms, &user, event).await;
        }
    }

    /// To how many sockets it was.
    async fn tell_others(&self, rooms: &[Room], user: &UserId, event: ServerEvent) -> usize {
        let topic = Topic::of(&event);
        let mut keys = self.rooms.others(rooms, user);
        keys.retain(|key| self.rooms.wants(*key, topic));
        if !keys.is_empty() {
            self.sink.emit(&keys, &Frame::ephemeral(event)).await;
        }
        keys.len()
    }
}

fn presence_event(notice: Notice) -> ServerEvent {
    match notice {
        // Who comes sits in no board yet.
        Notice::Came { scope: Scope::Community(_), who: Viewer { user_id, user_name, avatar_url } } => {
            ServerEvent::UserOnline(UserOnline { user_id, user_name, avatar_url, board_id: None })
        }
        Notice::Went { scope: Scope::Community(_), who } => {
            ServerEvent::UserOffline(UserOffline { user_id: who.user_id })
        }
        Notice::Came { scope: Scope::Board(board_id), who: Viewer { user_id, user_name, .. } } => {
            ServerEvent::UserJoinedBoard(BoardPresence { user_id, user_name, board_id })
        }
        Notice::Went { scope: Scope::Board(board_id), who: Viewer { user_id, user_name, .. } } => {
            ServerEvent::UserLeftBoard(BoardPresence { user_id, user_name, board_id })
        }
    }
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
