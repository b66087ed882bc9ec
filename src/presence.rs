//! Who is here: the sockets of each user, in each community and in each board, and what is told when the first comes or the last goes.
//!
//! Invariants:
//! - of a user and a place (a community or a board) a coming is told exactly when he was not there, a going exactly when he no longer is;
//! - whoever lost his last connection is there until the grace has passed, so a page that is loaded again within it tells nothing;
//!   who leaves by a command, or is put out, is gone at once;
//! - every list is what was told: a coming for each who stands on it, and no going since.
//!
//! Told is what [`News`] gives: at once, unless a crowd comes or goes.
//!
//! Pure: time is handed in, by one clock that never goes back. What moved comes in as [`Move`]s and what is to be told goes out as
//! [`Notice`]s, so that whoever keeps this for several nodes takes the same and gives the same.

mod news;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

pub use self::news::News;
use crate::{
    contract::{Present, Viewer},
    ids::{BoardId, CommunityId, DeviceId, SocketKey, UserId},
};

/// Where somebody is. Boards come first: who goes leaves them before he is offline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Board(BoardId),
    Community(CommunityId),
}

/// For whom a socket speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    pub who: Viewer,
    pub community: CommunityId,
    /// A socket without one is a device by itself.
    pub device: Option<DeviceId>,
}

/// What a socket did, in the order in which it did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// It is connected; or speaks for the same user by another token.
    Came { key: SocketKey, visitor: Visitor },
    /// It sits in a board by name.
    Entered { key: SocketKey, board: BoardId },
    /// It left the board, or was put out.
    Left { key: SocketKey, board: BoardId },
    /// Its connection is gone.
    Gone { key: SocketKey },
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// He is in the scope.
    Came { scope: Scope, who: Viewer },
    /// He no longer is.
    Went { scope: Scope, who: Viewer },
}

/// Some of those who are in a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// By user id.
    pub users: Vec<Present>,
    /// How many there are.
    pub count: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Presence {
    grace: Duration,
    sockets: HashMap<SocketKey, Seat>,
    scopes: HashMap<Scope, BTreeMap<UserId, Attendance>>,
    /// Whose grace ends when.
    due: BTreeSet<(Duration, Scope, UserId)>,
}

#[derive(Debug)]
struct Seat {
    visitor: Visitor,
    /// The latest last.
    boards: Vec<BoardId>,
}

/// One user in one scope.
#[derive(Debug)]
struct Attendance {
    who: Viewer,
    /// None only while the grace lasts.
    sockets: BTreeSet<SocketKey>,
    /// When the grace ends, if it has begun.
    ends: Option<Duration>,
}

impl Presence {
    /// Nobody. Who lost his last connection is gone after `grace`.
    pub fn new(grace: Duration) -> Self {
        Self { grace, sockets: HashMap::new(), scopes: HashMap::new(), due: BTreeSet::new() }
    }

    /// What is told of one move. A move of a socket that never came, or is gone, is none.
    pub fn moved(&mut self, moved: Move, now: Duration) -> Vec<Notice> {
        match moved {
            Move::Came { key, visitor } => self.came(key, visitor).into_iter().collect(),
            Move::Entered { key, board } => {
                let Some(seat) = self.sockets.get_mut(&key) else { return Vec::new() };
                if seat.boards.contains(&board) {
                    return Vec::new();
                }
                seat.boards.push(board);
                let who = seat.visitor.who.clone();
                self.enter(Scope::Board(board), key, who).into_iter().collect()
            }
            Move::Left { key, board } => {
                let Some(seat) = self.sockets.get_mut(&key) else { return Vec::new() };
                seat.boards.retain(|sat| *sat != board);
                let user = seat.visitor.who.user_id.clone();
                self.leave(Scope::Board(board), key, &user, None).into_iter().collect()
            }
            Move::Gone { key } => {
                let Some(Seat { visitor, boards }) = self.sockets.remove(&key) else { return Vec::new() };
                let ends = (!self.grace.is_zero()).then_some(now + self.grace);
                let mut scopes: Vec<Scope> = boards.into_iter().map(Scope::Board).collect();
                scopes.push(Scope::Community(visitor.community));
                let user = visitor.who.user_id;
                scopes.into_iter().filter_map(|scope| self.leave(scope, key, &user, ends)).collect()
            }
        }
    }

    /// When the next grace ends.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(ends, ..)| *ends)
    }

    /// What is told of those whose grace has ended.
    pub fn due(&mut self, now: Duration) -> Vec<Notice> {
        let mut notices = Vec::new();
        while self.due.first().is_some_and(|(ends, ..)| *ends <= now) {
            if let Some((_, scope, user)) = self.due.pop_first() {
                notices.extend(self.end(scope, &user));
            }
        }
        notices
    }

    /// The user no longer exists: for him there is no grace.
    pub fn dismiss(&mut self, user: &UserId) -> Vec<Notice> {
        let of_user = self.due.extract_if(.., |(_, _, of)| of == user).collect::<Vec<_>>();
        of_user.into_iter().filter_map(|(_, scope, user)| self.end(scope, &user)).collect()
    }

    /// The first `at_most` of those who are in the scope. Of a community's members it is said in which board each sat down last, of
    /// those that `shows`.
    pub fn list(&self, scope: &Scope, at_most: usize, shows: impl Fn(BoardId) -> bool) -> Listed {
        let Some(present) = self.scopes.get(scope) else { return Listed { users: Vec::new(), count: 0 } };
        let users = present.values().take(at_most).map(|attendance| {
            let Viewer { user_id, user_name, avatar_url } = attendance.who.clone();
            let board_id = match scope {
                Scope::Board(board) => Some(*board),
                Scope::Community(_) => self.board_of(attendance, &shows),
            };
            Present { user_id, user_name, avatar_url, devices: self.devices(attendance), board_id }
        });
        Listed { users: users.collect(), count: present.len() }
    }

    fn came(&mut self, key: SocketKey, visitor: Visitor) -> Option<Notice> {
        let (who, community) = (visitor.who.clone(), visitor.community.clone());
        match self.sockets.get_mut(&key) {
            Some(seat) => {
                seat.visitor = visitor;
                for board in seat.boards.clone() {
                    self.enter(Scope::Board(board), key, who.clone());
                }
            }
            None => {
                self.sockets.insert(key, Seat { visitor, boards: Vec::new() });
            }
        }
        self.enter(Scope::Community(community), key, who)
    }

    fn enter(&mut self, scope: Scope, key: SocketKey, who: Viewer) -> Option<Notice> {
        let present = self.scopes.entry(scope.clone()).or_default();
        match present.get_mut(&who.user_id) {
            Some(attendance) => {
                attendance.sockets.insert(key);
                attendance.who = who;
                if let Some(ends) = attendance.ends.take() {
                    self.due.remove(&(ends, scope, attendance.who.user_id.clone()));
                }
                None
            }
            None => {
                let attendance = Attendance { who: who.clone(), sockets: BTreeSet::from([key]), ends: None };
                present.insert(who.user_id.clone(), attendance);
                Some(Notice::Came { scope, who })
            }
        }
    }

    /// `ends` is when the grace does, if there is one.
    fn leave(&mut self, scope: Scope, key: SocketKey, user: &UserId, ends: Option<Duration>) -> Option<Notice> {
        let attendance = self.scopes.get_mut(&scope)?.get_mut(user)?;
        if !attendance.sockets.remove(&key) || !attendance.sockets.is_empty() {
            return None;
        }
        match ends {
            Some(ends) => {
                attendance.ends = Some(ends);
                self.due.insert((ends, scope, user.clone()));
                None
            }
            None => self.end(scope, user),
        }
    }

    fn end(&mut self, scope: Scope, user: &UserId) -> Option<Notice> {
        let present = self.scopes.get_mut(&scope)?;
        let Attendance { who, .. } = present.remove(user)?;
        if present.is_empty() {
            self.scopes.remove(&scope);
        }
        Some(Notice::Went { scope, who })
    }

    fn seats<'a>(&'a self, attendance: &'a Attendance) -> impl Iterator<Item = &'a Seat> {
        attendance.sockets.iter().filter_map(|key| self.sockets.get(key))
    }

    fn devices(&self, attendance: &Attendance) -> u32 {
        let named: BTreeSet<&DeviceId> =
            self.seats(attendance).filter_map(|seat| seat.visitor.device.as_ref()).collect();
        let nameless = self.seats(attendance).filter(|seat| seat.visitor.device.is_none()).count();
        u32::try_from(named.len() + nameless).unwrap_or(u32::MAX)
    }

    /// Of the socket that came last, foremost.
    fn board_of(&self, attendance: &Attendance, shows: impl Fn(BoardId) -> bool) -> Option<BoardId> {
        let seats = attendance.sockets.iter().rev().filter_map(|key| self.sockets.get(key));
        seats.flat_map(|seat| seat.boards.iter().rev()).copied().find(|board| shows(*board))
    }
}

#[cfg(test)]
mod tests;
