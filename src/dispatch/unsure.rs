//! Whoever joined a board while it was not known who is there on other nodes, and whom he has been told of since: once it is known, he is
//! told of the others, and of those who have gone.
//!
//! Invariants:
//! - a socket takes to be in the board those whom its answer named, but for whatever it was told since;
//! - such a socket is told of nobody's coming whom it takes to be there, and of nobody's going whom it does not;
//! - it is noted until everything that was said meanwhile has been heard and told, and no longer than the socket sits there;
//! - what all in a board are told is noted once for the board: of each user the latest, as long as one of its sockets is noted. Of a socket
//!   there are the few whom its answer named, and those whom it alone was told.

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

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unsure(HashMap<BoardId, Board>);

/// Of one board.
#[derive(Debug, Default)]
struct Board {
    sockets: BTreeMap<SocketKey, Noted>,
    /// What all were told of a user last.
    told: BTreeMap<UserId, Told>,
    /// Counts what was told and answered.
    nth: u64,
}

/// Of one socket.
#[derive(Debug)]
struct Noted {
    /// When it was answered.
    since: u64,
    /// What it alone was told.
    alone: BTreeMap<UserId, Told>,
}

#[derive(Debug)]
struct Told {
    nth: u64,
    is_here: bool,
    who: Viewer,
}

impl Board {
    fn next(&mut self) -> u64 {
        self.nth += 1;
        self.nth
    }

    /// Whether it takes him to be there.
    fn takes(&self, noted: &Noted, user: &UserId) -> bool {
        let common = self.told.get(user).filter(|told| told.nth > noted.since);
        let latest = common.into_iter().chain(noted.alone.get(user)).max_by_key(|told| told.nth);
        latest.is_some_and(|told| told.is_here)
    }
}

impl Unsure {
    /// The socket's join was answered with these, and others there may be; or `None` where nothing is left to be told.
    pub(super) fn answered(&mut self, board: BoardId, key: SocketKey, named: Option<Vec<Viewer>>) {
        match named {
            Some(named) => {
                let board = self.0.entry(board).or_default();
                let since = board.next();
                let told = |who: Viewer| (who.user_id.clone(), Told { nth: since, is_here: true, who });
                board.sockets.insert(key, Noted { since, alone: named.into_iter().map(told).collect() });
            }
            None => {
                if let Some(board) = self.0.get_mut(&board) {
                    board.sockets.remove(&key);
                }
            }
        }
    }

    /// Those of `keys` to whom the notice says something that they do not take to be so; from now on they do, and so does everybody
    /// else in the board.
    pub(super) fn whom_to_tell(&mut self, notice: &Notice, mut keys: Vec<SocketKey>) -> Vec<SocketKey> {
        let Some((board, who, is_here)) = of_board(notice) else { return keys };
        let Some(board) = self.0.get_mut(&board) else { return keys };
        keys.retain(|key| board.sockets.get(key).is_none_or(|noted| board.takes(noted, &who.user_id) != is_here));
        let nth = board.next();
        board.told.insert(who.user_id.clone(), Told { nth, is_here, who: who.clone() });
        keys
    }

    /// This socket alone is told.
    fn tells(&mut self, key: SocketKey, notice: &Notice) {
        let Some((board, who, is_here)) = of_board(notice) else { return };
        let Some(board) = self.0.get_mut(&board) else { return };
        let nth = board.next();
        if let Some(noted) = board.sockets.get_mut(&key) {
            noted.alone.insert(who.user_id.clone(), Told { nth, is_here, who: who.clone() });
        }
    }

    /// Forgets every board that is sure, and every socket of which this is not so.
    pub(super) fn forget_unless(
        &mut self,
        is_unsure: impl Fn(BoardId) -> bool,
        sits: impl Fn(BoardId, SocketKey) -> bool,
    ) {
        self.0.retain(|of, board| {
            if !is_unsure(*of) {
                return false;
            }
            board.sockets.retain(|key, _| sits(*of, *key));
            !board.sockets.is_empty()
        });
    }

    fn sockets(&self, board: BoardId) -> Vec<SocketKey> {
        self.0.get(&board).into_iter().flat_map(|board| board.sockets.keys().copied()).collect()
    }

    /// Of whom all were told that they are there, and who are `gone`.
    fn gone(&self, board: BoardId, gone: impl Fn(&UserId) -> bool) -> Vec<Viewer> {
        let told = self.0.get(&board).into_iter().flat_map(|board| &board.told);
        told.filter(|(user, told)| told.is_here && gone(user)).map(|(_, told)| told.who.clone()).collect()
    }

    /// What the socket does not know, of these that are gone, those that it alone was told of, and those that are here.
    fn missing(
        &self,
        of: BoardId,
        key: SocketKey,
        gone: &[Viewer],
        here: &[Viewer],
        is_gone: impl Fn(&UserId) -> bool,
    ) -> Vec<Notice> {
        let Some((board, noted)) = self.0.get(&of).and_then(|board| Some((board, board.sockets.get(&key)?))) else {
            return Vec::new();
        };
        let takes = |who: &Viewer| board.takes(noted, &who.user_id);
        let alone = noted.alone.values().map(|told| &told.who).filter(|who| is_gone(&who.user_id));
        let went = alone.chain(gone).filter(|who| takes(who)).map(|who| (&who.user_id, who));
        let went: BTreeMap<&UserId, &Viewer> = went.collect();
        let scope = Scope::Board(of);
        let went = went.into_values().map(|who| Notice::Went { scope: scope.clone(), who: who.clone() });
        let came = here.iter().filter(|who| !takes(who));
        let came = came.map(|who| Notice::Came { scope: scope.clone(), who: who.clone() });
        went.chain(came).collect()
    }
}

/// Of which board it is, and whether he is there.
fn of_board(notice: &Notice) -> Option<(BoardId, &Viewer, bool)> {
    match notice {
        Notice::Came { scope: Scope::Board(board), who } => Some((*board, who, true)),
        Notice::Went { scope: Scope::Board(board), who } => Some((*board, who, false)),
        Notice::Came { .. } | Notice::Went { .. } => None,
    }
}

impl<S: EffectSink> Dispatcher<S> {
    /// The board was read: tells those who joined before what they were not answered, and what nobody else has to be told. What
    /// everybody is about to be told they are told with the others.
    pub(super) async fn make_sure(&mut self, board: BoardId) {
        let sockets = self.attendance.unsure.sockets(board);
        if sockets.is_empty() {
            return;
        }
        let scope = Scope::Board(board);
        let Ok(listed) = self.attendance.presence.list(&scope, SHOWN_AT_JOIN, |_| false) else { return };
        let news = &self.attendance.news;
        let mut here: Vec<Viewer> = listed.users.into_iter().map(viewer).collect();
        here.retain(|who| !news.waits(&scope, &who.user_id));
        let gone = self.attendance.unsure.gone(board, |user| self.attendance.is_gone(&scope, user));
        for key in sockets {
            let Some(actor) = self.rooms.actor(key).filter(|_| self.rooms.sits_in(key, board)) else { continue };
            let user = actor.user.clone();
            let is_gone = |user: &UserId| self.attendance.is_gone(&scope, user);
            let notices = self.attendance.unsure.missing(board, key, &gone, &here, is_gone);
            let of_others = |notice: &Notice| of_board(notice).is_some_and(|(_, who, _)| who.user_id != user);
            for notice in notices.into_iter().filter(of_others) {
                self.attendance.unsure.tells(key, &notice);
                self.tell(vec![key], presence_event(notice)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: BoardId = BoardId(1);
    const KEY: SocketKey = SocketKey(1);
    const OTHER: SocketKey = SocketKey(2);

    fn who(user: &str) -> Viewer {
        Viewer { user_id: user.into(), user_name: None, avatar_url: None }
    }

    fn notice(user: &str, came: bool) -> Notice {
        let (scope, who) = (Scope::Board(BOARD), who(user));
        if came { Notice::Came { scope, who } } else { Notice::Went { scope, who } }
    }

    fn told(unsure: &mut Unsure, user: &str, came: bool) -> Vec<SocketKey> {
        unsure.whom_to_tell(&notice(user, came), vec![KEY, OTHER])
    }

    #[test]
    fn what_a_socket_takes_to_be_so_is_not_told_it() {
        let mut unsure = Unsure::default();
        unsure.answered(BOARD, KEY, Some(vec![who("ada")]));
        assert_eq!(told(&mut unsure, "ada", true), [OTHER], "named in the answer");
        assert_eq!(told(&mut unsure, "bo", false), [OTHER], "never named");
        for came in [false, true, false] {
            assert_eq!(told(&mut unsure, "ada", came), [KEY, OTHER]);
        }
        assert_eq!(told(&mut unsure, "bo", true), [KEY, OTHER]);
        // What was told before the answer was is in it, or is not.
        unsure.answered(BOARD, KEY, Some(vec![who("ada")]));
        assert_eq!(told(&mut unsure, "bo", false), [OTHER]);
        assert_eq!(told(&mut unsure, "ada", false), [KEY, OTHER]);
    }

    #[test]
    fn what_a_socket_alone_was_told_counts_for_it_alone() {
        let mut unsure = Unsure::default();
        unsure.answered(BOARD, KEY, Some(vec![who("ada"), who("bo")]));
        unsure.answered(BOARD, OTHER, Some(vec![who("ada")]));
        unsure.tells(KEY, &notice("ada", false));
        unsure.tells(OTHER, &notice("cy", true));
        assert_eq!(told(&mut unsure, "ada", true), [KEY]);
        assert_eq!(told(&mut unsure, "cy", true), [KEY]);
        let gone = unsure.gone(BOARD, |_| true);
        let missing = |key| unsure.missing(BOARD, key, &gone, &[who("di")], |_| true);
        let went = |user| notice(user, false);
        assert_eq!(missing(KEY), [went("ada"), went("bo"), went("cy"), notice("di", true)]);
        assert_eq!(missing(OTHER), [went("ada"), went("cy"), notice("di", true)]);
    }

    #[test]
    fn a_crowd_is_noted_once_for_all_sockets_of_a_board() {
        let mut unsure = Unsure::default();
        for key in 0..50 {
            unsure.answered(BOARD, SocketKey(key), Some(vec![who("ada")]));
        }
        for user in 0..1_000 {
            assert_eq!(told(&mut unsure, &format!("user {user}"), true), [KEY, OTHER]);
        }
        let board = &unsure.0[&BOARD];
        assert!(board.told.len() == 1_000 && board.sockets.values().all(|noted| noted.alone.len() == 1));
        unsure.forget_unless(|_| false, |_, _| true);
        assert!(unsure.0.is_empty());
    }
}
