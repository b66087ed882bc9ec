//! Whoever joined a board while it was not known who is there on other nodes, and whom he has been told of since: once it is known, he is
//! told of the others, and of those who have gone.
//!
//! Invariants:
//! - what is noted of a socket are the people whom it takes to be in the board: those whom its answer named, and whoever was told since;
//! - such a socket is told of nobody's coming whom it takes to be there, and of nobody's going whom it does not;
//! - it is noted until everything that was said meanwhile has been heard and told, and no longer than the socket sits there.

use std::collections::{BTreeMap, HashMap};

use super::{
    Dispatcher,
    attending::{SHOWN_AT_JOIN, viewer},
    presence::presence_event,
};
use crate::{
    contract::Viewer,
    ids::{BoardId, SocketKey, UserId},
    ports::EffectSink,
    presence::{Notice, Scope},
};

type Named = BTreeMap<UserId, Viewer>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unsure(HashMap<BoardId, BTreeMap<SocketKey, Named>>);

impl Unsure {
    /// The socket's join was answered with these, and others there may be; or `None` where nothing is left to be told.
    pub(super) fn answered(&mut self, board: BoardId, key: SocketKey, named: Option<Vec<Viewer>>) {
        match named {
            Some(named) => {
                let named = named.into_iter().map(|who| (who.user_id.clone(), who)).collect();
                self.0.entry(board).or_default().insert(key, named);
            }
            None => {
                if let Some(sockets) = self.0.get_mut(&board) {
                    sockets.remove(&key);
                }
            }
        }
    }

    /// Those of `keys` to whom the notice says something that they do not take to be so; from now on they do.
    pub(super) fn whom_to_tell(&mut self, notice: &Notice, mut keys: Vec<SocketKey>) -> Vec<SocketKey> {
        let (Notice::Came { scope: Scope::Board(board), who } | Notice::Went { scope: Scope::Board(board), who }) =
            notice
        else {
            return keys;
        };
        let Some(sockets) = self.0.get_mut(board) else { return keys };
        keys.retain(|key| {
            let Some(named) = sockets.get_mut(key) else { return true };
            match notice {
                Notice::Came { .. } => named.insert(who.user_id.clone(), who.clone()).is_none(),
                Notice::Went { .. } => named.remove(&who.user_id).is_some(),
            }
        });
        keys
    }

    /// Forgets every socket of which this is not so.
    pub(super) fn forget_unless(&mut self, is_unsure: impl Fn(BoardId, SocketKey) -> bool) {
        self.0.retain(|board, sockets| {
            sockets.retain(|key, _| is_unsure(*board, *key));
            !sockets.is_empty()
        });
    }

    fn of(&self, board: BoardId) -> Vec<(SocketKey, Named)> {
        self.0.get(&board).into_iter().flatten().map(|(key, named)| (*key, named.clone())).collect()
    }
}

impl<S: EffectSink> Dispatcher<S> {
    /// The board was read: tells those who joined before what they were not answered, and what nobody else has to be told. What
    /// everybody is about to be told they are told with the others.
    pub(super) async fn make_sure(&mut self, board: BoardId) {
        let scope = Scope::Board(board);
        for (key, named) in self.attendance.unsure.of(board) {
            let Some(actor) = self.rooms.actor(key).filter(|_| self.rooms.sits_in(key, board)) else { continue };
            let user = actor.user.clone();
            let presence = &self.attendance.presence;
            let Ok(listed) = presence.list(&scope, SHOWN_AT_JOIN, |_| false) else { return };
            let came = listed.users.into_iter().map(viewer).filter(|who| !named.contains_key(&who.user_id));
            let came = came.map(|who| Notice::Came { scope: scope.clone(), who });
            let went = named.values().filter(|who| !presence.has(&scope, &who.user_id));
            let went = went.map(|who| Notice::Went { scope: scope.clone(), who: who.clone() });
            let is_news = |notice: &Notice| {
                let (Notice::Came { who, .. } | Notice::Went { who, .. }) = notice;
                who.user_id != user && !self.attendance.news.waits(&scope, &who.user_id)
            };
            let notices: Vec<Notice> = went.chain(came).filter(is_news).collect();
            for notice in notices {
                let told = self.attendance.unsure.whom_to_tell(&notice, vec![key]);
                self.tell(told, presence_event(notice)).await;
            }
        }
    }
}
