//! This node's own sockets: in which scopes each user is by them, and how.
//!
//! Invariants:
//! - a user is in a scope while a socket of his is, and for the grace after the last of them lost its connection; who leaves by a
//!   command, or is put out, is gone at once;
//! - whatever changes of a user in a scope is noted until it is taken.
//!
//! Pure: time is handed in, by one clock that never goes back.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    mem,
    time::Duration,
};

use super::{Move, Scope, Stay, Visitor};
use crate::{
    contract::Viewer,
    ids::{BoardId, CommunityId, SocketKey, UserId},
};

/// Devices of a user in a scope that are told apart, and boards of his that are named.
const TOLD_APART: usize = 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Own {
    grace: Duration,
    sockets: HashMap<SocketKey, Seat>,
    scopes: HashMap<Scope, BTreeMap<UserId, Attendance>>,
    /// Whose grace ends when.
    due: BTreeSet<(Duration, Scope, UserId)>,
    /// In the order of the changes; some more than once.
    changed: Vec<(Scope, UserId)>,
    /// How often somebody has sat down.
    seated: u64,
}

#[derive(Debug)]
struct Seat {
    visitor: Visitor,
    /// With the number of his sitting down, the latest last.
    boards: Vec<(u64, BoardId)>,
}

/// One user in one scope.
#[derive(Debug)]
struct Attendance {
    who: Viewer,
    /// None only while the grace lasts.
    sockets: BTreeSet<SocketKey>,
    /// When the grace ends, if it has begun, and how he was there until then.
    grace: Option<(Duration, Stay)>,
}

impl Own {
    /// Nobody. Who lost his last connection is gone after `grace`.
    pub(super) fn new(grace: Duration) -> Self {
        let (sockets, scopes) = (HashMap::new(), HashMap::new());
        Self { grace, sockets, scopes, due: BTreeSet::new(), changed: Vec::new(), seated: 0 }
    }

    /// A move of a socket that never came, or is gone, is none.
    pub(super) fn moved(&mut self, moved: Move, now: Duration) {
        match moved {
            Move::Came { key, visitor } => self.came(key, visitor),
            Move::Entered { key, board } => {
                let Some(seat) = self.sockets.get_mut(&key).filter(|seat| !seat.sits_in(board)) else {
                    return;
                };
                self.seated += 1;
                seat.boards.push((self.seated, board));
                let (who, community) = (seat.visitor.who.clone(), seat.visitor.community.clone());
                self.wandered(community, &who.user_id);
                self.enter(Scope::Board(board), key, who);
            }
            Move::Left { key, board } => {
                let Some(seat) = self.sockets.get_mut(&key) else { return };
                seat.boards.retain(|(_, sat)| *sat != board);
                let (user, community) = (seat.visitor.who.user_id.clone(), seat.visitor.community.clone());
                self.leave(Scope::Board(board), key, &user, None);
                self.wandered(community, &user);
            }
            Move::Gone { key } => {
                let Some(seat) = self.sockets.remove(&key) else { return };
                let user = &seat.visitor.who.user_id;
                let lost = (!self.grace.is_zero()).then_some((&seat, now + self.grace));
                for (_, board) in &seat.boards {
                    self.leave(Scope::Board(*board), key, user, lost);
                }
                self.leave(Scope::Community(seat.visitor.community.clone()), key, user, lost);
            }
        }
    }

    /// When the next grace ends.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(ends, ..)| *ends)
    }

    /// Ends every grace that is over.
    pub(super) fn due(&mut self, now: Duration) {
        while self.due.first().is_some_and(|(ends, ..)| *ends <= now) {
            if let Some((_, scope, user)) = self.due.pop_first() {
                self.end(scope, &user);
            }
        }
    }

    /// The user no longer exists: for him there is no grace.
    pub(super) fn dismiss(&mut self, user: &UserId) {
        for (_, scope, user) in self.due.extract_if(.., |(_, _, of)| of == user).collect::<Vec<_>>() {
            self.end(scope, &user);
        }
    }

    /// Of whom something changed since this was asked last, each once and by the first of his changes, with how he is there now.
    pub(super) fn take_changed(&mut self) -> Vec<(Scope, UserId, Option<Stay>)> {
        let mut seen = HashSet::new();
        let mut changed = mem::take(&mut self.changed);
        changed.retain(|of| seen.insert(of.clone()));
        changed.into_iter().map(|(scope, user)| (scope.clone(), user.clone(), self.stay(&scope, &user))).collect()
    }

    /// How the user is in the scope, if he is.
    pub(super) fn stay(&self, scope: &Scope, user: &UserId) -> Option<Stay> {
        self.scopes.get(scope)?.get(user).map(|attendance| self.stay_of(scope, attendance))
    }

    /// Whether anybody is.
    pub(super) fn is_in(&self, scope: &Scope) -> bool {
        self.scopes.contains_key(scope)
    }

    /// Who is in a scope, by user id.
    pub(super) fn of(&self, scope: &Scope) -> impl Iterator<Item = (&UserId, Stay)> {
        let present = self.scopes.get(scope).into_iter().flatten();
        present.map(|(user, attendance)| (user, self.stay_of(scope, attendance)))
    }

    /// The same, without how they are there.
    pub(super) fn users(&self, scope: &Scope) -> impl Iterator<Item = &UserId> {
        self.scopes.get(scope).into_iter().flat_map(BTreeMap::keys)
    }

    /// How many there are.
    pub(super) fn count(&self, scope: &Scope) -> usize {
        self.scopes.get(scope).map_or(0, BTreeMap::len)
    }

    fn came(&mut self, key: SocketKey, visitor: Visitor) {
        let (who, community) = (visitor.who.clone(), visitor.community.clone());
        match self.sockets.get_mut(&key) {
            Some(seat) => {
                seat.visitor = visitor;
                for (_, board) in seat.boards.clone() {
                    self.enter(Scope::Board(board), key, who.clone());
                }
            }
            None => {
                self.sockets.insert(key, Seat { visitor, boards: Vec::new() });
            }
        }
        self.enter(Scope::Community(community), key, who);
    }

    fn enter(&mut self, scope: Scope, key: SocketKey, who: Viewer) {
        self.changed.push((scope.clone(), who.user_id.clone()));
        match self.scopes.entry(scope.clone()).or_default().get_mut(&who.user_id) {
            Some(attendance) => {
                attendance.sockets.insert(key);
                attendance.who = who;
                if let Some((ends, _)) = attendance.grace.take() {
                    self.due.remove(&(ends, scope, attendance.who.user_id.clone()));
                }
            }
            None => {
                let attendance = Attendance { who: who.clone(), sockets: BTreeSet::from([key]), grace: None };
                self.scopes.entry(scope).or_default().insert(who.user_id, attendance);
            }
        }
    }

    /// A connection that was lost leaves him a grace, up to which he counts as he was by it.
    fn leave(&mut self, scope: Scope, key: SocketKey, user: &UserId, lost: Option<(&Seat, Duration)>) {
        let Some(attendance) = self.scopes.get_mut(&scope).and_then(|present| present.get_mut(user)) else { return };
        if !attendance.sockets.remove(&key) {
            return;
        }
        let is_last = attendance.sockets.is_empty();
        self.changed.push((scope.clone(), user.clone()));
        match lost {
            _ if !is_last => {}
            Some((seat, ends)) => {
                attendance.grace = Some((ends, stay_by(&scope, &attendance.who, [seat])));
                self.due.insert((ends, scope, user.clone()));
            }
            None => self.end(scope, user),
        }
    }

    /// The boards in which he sits are others.
    fn wandered(&mut self, community: CommunityId, user: &UserId) {
        self.changed.push((Scope::Community(community), user.clone()));
    }

    fn end(&mut self, scope: Scope, user: &UserId) {
        let Some(present) = self.scopes.get_mut(&scope) else { return };
        present.remove(user);
        if present.is_empty() {
            self.scopes.remove(&scope);
        }
        self.changed.push((scope, user.clone()));
    }

    fn stay_of(&self, scope: &Scope, attendance: &Attendance) -> Stay {
        match &attendance.grace {
            Some((_, stay)) => stay.clone(),
            None => {
                let seats = attendance.sockets.iter().filter_map(|key| self.sockets.get(key));
                stay_by(scope, &attendance.who, seats)
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.sockets.is_empty()
    }
}

impl Seat {
    fn sits_in(&self, board: BoardId) -> bool {
        self.boards.iter().any(|(_, sat)| *sat == board)
    }
}

/// By these sockets.
fn stay_by<'a>(scope: &Scope, who: &Viewer, seats: impl IntoIterator<Item = &'a Seat>) -> Stay {
    let mut stay = Stay { user_name: who.user_name.clone(), avatar_url: who.avatar_url.clone(), ..Stay::default() };
    let mut boards: Vec<&(u64, BoardId)> = Vec::new();
    for seat in seats {
        match &seat.visitor.device {
            Some(device) if stay.devices.contains(device) => {}
            Some(device) if stay.devices.len() < TOLD_APART => drop(stay.devices.insert(device.clone())),
            // More than are told apart count as if they had no name.
            Some(_) | None => stay.nameless = stay.nameless.saturating_add(1),
        }
        if let Scope::Community(_) = scope {
            boards.extend(&seat.boards);
        }
    }
    // The latest first.
    boards.sort_unstable_by_key(|(number, _)| Reverse(*number));
    for (_, board) in boards {
        if stay.boards.len() < TOLD_APART && !stay.boards.contains(board) {
            stay.boards.push(*board);
        }
    }
    stay
}
