//! Who is here and who writes, told in the order in which it happened: what a step did to rooms is told before the next one begins,
//! but for the news of a crowd, which come at their own pace to whoever sits there then.
//!
//! What is told here is never told again, and nobody is told of himself. Whom a board's presence is told sits in its room, so may open
//! the board as of the ticks applied.
//!
//! Among several nodes it is told as it is heard from where all meet. Whoever asks who is here before that is known waits a moment for it,
//! and no longer: joins go on without.

use std::{collections::VecDeque, mem, time::Duration};

use tokio::time::Instant;

use super::{Dispatcher, unsure::Unsure, waiting::Waiting};
use crate::{
    audience::Topic,
    circle,
    contract::{BoardPresence, ServerEvent, UserOffline, UserOnline, Viewer},
    frame::Frame,
    ids::{BoardId, CommunityId, NodeId, PostId, Room, SocketKey, UserId},
    ports::{Circle, EffectSink},
    presence::{Due, News, Notice, Presence, Scope},
    typing::{Heard, Typing},
};

/// How often it is looked what nobody here minds any longer.
const LOOKED_OVER: Duration = Duration::from_secs(10);

/// How long somebody is taken to be there still, and how fast it is told who comes and goes.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Whoever lost his last connection.
    pub offline_grace: Duration,
    /// Whoever said that he writes, and nothing since.
    pub typing_silence: Duration,
    /// Events of comings and goings, each counted once for each socket; what is more waits.
    pub told_a_second: u32,
}

/// Who is here and who writes.
pub(super) struct Attendance {
    pub(super) presence: Presence,
    pub(super) news: News,
    pub(super) typing: Typing,
    pub(super) unsure: Unsure,
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
        let (news, unsure) = (News::at(patience.told_a_second), Unsure::default());
        Self { presence, news, typing, unsure, dismissed, circle: None, look_over: LOOKED_OVER, waiting }
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
        let (words, typed) = (self.presence.take_words(), self.typing.take_said());
        let Some(circle) = &self.circle else { return };
        if !words.is_empty() {
            circle.say(words);
        }
        if !typed.is_empty() {
            circle.write(typed);
        }
    }

    /// Whether he is not there, and nobody is about to be told that he went.
    pub(super) fn is_gone(&self, scope: &Scope, user: &UserId) -> bool {
        !self.presence.has(scope, user) && !self.news.waits(scope, user)
    }

    pub(super) fn may_soon_know(&mut self, scope: &Scope) -> bool {
        self.presence.watch(scope);
        self.presence.may_soon_know(scope)
    }
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
        let read = match &heard {
            circle::Heard::Read { scope: Scope::Board(board), .. } => Some(*board),
            _ => None,
        };
        let notices = self.attendance.presence.hear(heard);
        self.announce(notices);
        if let Some(board) = read {
            self.make_sure(board).await;
        }
        self.tell_news().await;
        self.attendance.say();
        self.serve_waiting().await;
    }

    fn look_over(&mut self) {
        if self.attendance.circle.is_some() {
            let minded = self.rooms.minded();
            for scope in self.attendance.presence.forget_unless(|scope| minded.contains(scope)) {
                self.attendance.news.forget(&scope);
            }
            let (rooms, attendance) = (&self.rooms, &mut self.attendance);
            let is_unsure = |board| {
                let scope = Scope::Board(board);
                !attendance.presence.is_settled(&scope) || attendance.news.is_waiting(&scope)
            };
            attendance.unsure.forget_unless(is_unsure, |board, key| rooms.sits_in(key, board));
        }
    }

    /// When [`Dispatcher::settle_due`] has something to tell.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.chronicle.next_due().into_iter().chain(self.attendance.next_due()).min();
        due.map(|due| self.began + due)
    }

    /// Nobody writes an answer to what is no more, or stands elsewhere.
    pub(super) async fn end_typing(&mut self, post: PostId) {
        let heard = self.attendance.typing.end_post(post);
        self.tell_typing(heard).await;
    }

    pub(super) fn may_type(&self, key: SocketKey, post: PostId, board: BoardId) -> bool {
        self.rooms.board_of_post(key, post) == Some(board) || self.rooms.sits_in(key, board)
    }

    async fn notify(&mut self, notices: Vec<Notice>) {
        self.announce(notices);
        self.tell_news().await;
    }

    fn announce(&mut self, notices: Vec<Notice>) {
        let now = self.began.elapsed();
        notices.into_iter().for_each(|notice| self.attendance.news.add(notice, now));
    }

    async fn tell_news(&mut self) {
        loop {
            let began = self.began.elapsed();
            let Some(Due { notice, waited }) = self.attendance.news.take(began) else { break };
            metrics::histogram!("curia_presence_waited_seconds").record(waited);
            let scope = notice.scope().clone();
            let room = match &scope {
                Scope::Community(community) => Room::Community(CommunityId::clone(community)),
                Scope::Board(board) => Room::Board(*board),
            };
            let others = self.rooms.others(&[room], notice.user());
            let others = self.attendance.unsure.whom_to_tell(&notice, others);
            let sockets = self.tell(others, presence_event(notice)).await;
            let took = self.began.elapsed().saturating_sub(began);
            self.attendance.news.told(&scope, sockets, began, took);
        }
        metrics::gauge!("curia_presence_waiting").set(self.attendance.news.count() as f64);
    }

    pub(super) async fn tell_typing(&self, heard: impl IntoIterator<Item = Heard>) {
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
    pub(super) async fn tell(&self, mut keys: Vec<SocketKey>, event: ServerEvent) -> usize {
        let topic = Topic::of(&event);
        keys.retain(|key| self.rooms.wants(*key, topic));
        if !keys.is_empty() {
            self.sink.emit(&keys, &Frame::ephemeral(event)).await;
        }
        keys.len()
    }
}

pub(super) fn presence_event(notice: Notice) -> ServerEvent {
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
