//! Who is here and who writes, told in the order in which it happened: what a step did to rooms is told before the next one begins,
//! but for the news of a crowd, which come at their own pace to whoever sits there then.
//!
//! What is told here is never told again, and nobody is told of himself. Whom a board's presence is told sits in its room, so may open
//! the board as of the ticks applied.
//!
//! Among several nodes it is told as it is heard from where all meet. Whoever asks who is here before that is known waits a moment for it,
//! and no longer: joins go on without.

use std::{collections::VecDeque, mem, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{Dispatcher, Stale, waiting::Waiting};
use crate::{
    access::Permit,
    audience::Topic,
    circle::{self, Word},
    contract::{
        BoardPresence, ErrorCode, Failure, PresenceListed, ServerEvent, TypingEvent, UserOffline, UserOnline, Viewer,
    },
    frame::Frame,
    ids::{BoardId, CommunityId, NodeId, PostId, Room, SocketKey, UserId},
    ports::{Circle, EffectSink},
    presence::{Listed, News, Notice, Presence, Scope, Unknown},
    typing::{Heard, Typing},
    versions::Basis,
};

/// What `board:join` answers at most.
const SHOWN_AT_JOIN: usize = 50;
/// What `presence:list` answers at most.
const LISTED: usize = 500;

/// How often it is looked what nobody here minds any longer.
const LOOKED_OVER: Duration = Duration::from_secs(10);

/// How long somebody is taken to be there still.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Whoever lost his last connection.
    pub offline_grace: Duration,
    /// Whoever said that he writes, and nothing since.
    pub typing_silence: Duration,
}

/// Who is here and who writes.
pub(super) struct Attendance {
    presence: Presence,
    news: News,
    typing: Typing,
    /// Users who no longer exist, and whose sockets are gone.
    pub(super) dismissed: Vec<UserId>,
    /// The way to the other nodes, if there may be any.
    circle: Option<Box<dyn Circle>>,
    /// When it is next looked what nobody minds any longer.
    look_over: Duration,
    /// Until when, in order. No more than there are sockets.
    pub(super) waiting: VecDeque<(Duration, Waiting)>,
}

impl Attendance {
    pub(super) fn new(patience: Patience) -> Self {
        let (presence, typing) = (Presence::alone(patience.offline_grace), Typing::new(patience.typing_silence));
        let (dismissed, waiting) = (Vec::new(), VecDeque::new());
        Self { presence, news: News::default(), typing, dismissed, circle: None, look_over: LOOKED_OVER, waiting }
    }

    pub(super) fn among(patience: Patience, me: NodeId, circle: impl Circle) -> Self {
        let presence = Presence::among(patience.offline_grace, me);
        Self { presence, circle: Some(Box::new(circle)), ..Self::new(patience) }
    }

    /// When the next grace or silence ends, or what waits may be told or has waited long enough.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let waiting = self.waiting.front().map(|(until, _)| *until);
        let look_over = self.circle.is_some().then_some(self.look_over);
        let told = [self.presence.next_due(), self.news.next_due(), self.typing.next_due()];
        told.into_iter().chain([waiting, look_over]).flatten().min()
    }

    /// Says what was noted to the other nodes.
    pub(super) fn say(&mut self) {
        let mut words = self.presence.take_words();
        words.extend(self.typing.take_said().into_iter().map(Word::Typing));
        if let Some(circle) = self.circle.as_ref().filter(|_| !words.is_empty()) {
            circle.say(words);
        }
    }

    pub(super) fn may_soon_know(&mut self, scope: &Scope) -> bool {
        self.presence.watch(scope);
        self.presence.is_here() && !self.presence.knows(scope)
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
        for moved in self.rooms.take_moves() {
            self.attendance.presence.moved(moved, now);
        }
        for user in mem::take(&mut self.attendance.dismissed) {
            self.attendance.presence.dismiss(&user);
        }
        for scope in self.rooms.take_opened() {
            self.attendance.presence.watch(&scope);
        }
        let notices = self.attendance.presence.settle();
        self.notify(notices).await;
        for key in self.rooms.take_strayed() {
            for (post, board) in self.attendance.typing.of(key) {
                if !self.may_type(key, post, board) {
                    let heard = self.attendance.typing.stop(key, post);
                    self.tell_typing(heard).await;
                }
            }
        }
        self.attendance.say();
    }

    /// Those whose grace or silence has ended, and whoever has waited long enough.
    pub(super) async fn settle_due(&mut self) {
        let now = self.began.elapsed();
        self.attendance.presence.due(now);
        let notices = self.attendance.presence.settle();
        self.notify(notices).await;
        let heard = self.attendance.typing.due(now);
        self.tell_typing(heard).await;
        if self.attendance.look_over <= now {
            self.attendance.look_over = now + LOOKED_OVER;
            self.look_over();
        }
        self.attendance.say();
        self.serve_waiting().await;
    }

    /// Takes what was heard of other nodes.
    pub(super) async fn hear(&mut self, heard: circle::Heard) {
        if let circle::Heard::Typing { node, heard } = heard {
            let heard = self.attendance.typing.elsewhere(node, heard, self.began.elapsed());
            return self.tell_typing(heard).await;
        }
        let notices = self.attendance.presence.hear(heard);
        self.notify(notices).await;
        self.attendance.say();
        self.serve_waiting().await;
    }

    fn look_over(&mut self) {
        if self.attendance.circle.is_some() {
            let minded = self.rooms.minded();
            for scope in self.attendance.presence.forget_unless(|scope| minded.contains(scope)) {
                self.attendance.news.forget(&scope);
            }
        }
    }

    /// When [`Dispatcher::settle_due`] has something to tell.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.chronicle.next_due().into_iter().chain(self.attendance.next_due()).min();
        due.map(|due| self.began + due)
    }

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

    /// Nobody writes an answer to what is no more, or stands elsewhere.
    pub(super) async fn end_typing(&mut self, post: PostId) {
        let heard = self.attendance.typing.end_post(post);
        self.tell_typing(heard).await;
    }

    /// Who looks at a board, as `board:join` answers it, and how many.
    pub(super) fn viewers(&mut self, key: SocketKey, board: BoardId) -> (Vec<Viewer>, u32) {
        if !self.rooms.wants(key, Topic::Presence) {
            return (Vec::new(), 0);
        }
        self.attendance.news.list(&Scope::Board(board));
        let Listed { users, count } = self.attendance.presence.list_known(&Scope::Board(board), SHOWN_AT_JOIN);
        let viewer = |user: crate::contract::Present| Viewer {
            user_id: user.user_id,
            user_name: user.user_name,
            avatar_url: user.avatar_url,
        };
        (users.into_iter().map(viewer).collect(), u32::try_from(count).unwrap_or(u32::MAX))
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
            let sockets = self.tell(self.rooms.others(&[room], &user), presence_event(notice)).await;
            // From now on: where telling takes as long as it costs, half the time is left for everything else.
            self.attendance.news.told(sockets, self.began.elapsed());
        }
    }

    async fn tell_typing(&self, heard: impl IntoIterator<Item = Heard>) {
        for heard in heard {
            let (Heard::Started(told) | Heard::Stopped(told)) = &heard;
            let (user, post, board) = (told.user_id.clone(), told.post_id, told.board_id);
            let event = match heard {
                Heard::Started(told) => ServerEvent::TypingStart(told),
                Heard::Stopped(told) => ServerEvent::TypingStop(told),
            };
            let mut keys = self.rooms.others(&[Room::Post(post), Room::Typing(board)], &user);
            // Another node may not have heard yet that the post was moved away from the board.
            keys.retain(|key| self.may_type(*key, post, board));
            self.tell(keys, event).await;
        }
    }

    /// To how many sockets it was.
    async fn tell(&self, mut keys: Vec<SocketKey>, event: ServerEvent) -> usize {
        let topic = Topic::of(&event);
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
