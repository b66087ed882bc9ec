//! Who sits where. The only place that knows it: rooms are not left to the Socket.IO library, so that what a socket may
//! receive, the step in which it joined and the fence that evicts it are one state, changed by one task in one order.
//!
//! Invariants:
//! - a socket sits in a board's or post's room only with a [`Permit`] that was decided on facts as new as the ticks applied;
//! - a key that has left finds no seat again: a join that comes late for it does nothing;
//! - every seat's rooms are bounded, a feed counting as one;
//! - a seat knows for each room from where on everything told there was sent to its socket;
//! - whoever came, went or changed his board by name, and whoever left a room, is noted until it is asked for.

mod counted;
mod renewal;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use self::{counted::Counted, renewal::Renewed};
use crate::{
    access::{BoardFacts, CommunityFacts, Permit},
    actor::Actor,
    audience::{Audience, Topic},
    contract::Viewer,
    event::Rows,
    ids::{BoardId, CommunityId, Place, PostId, Room, SocketKey},
    outlook::Outlook,
    presence::{Move, Scope, Visitor},
};

mod standing;

/// One socket's place.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) actor: Actor,
    since: Place,
    /// Joined by name, with the place from which on everything was sent.
    boards: BTreeMap<BoardId, Place>,
    typing: BTreeSet<BoardId>,
    /// With the board each post stands in.
    pub(crate) posts: BTreeMap<PostId, (BoardId, Place)>,
    /// The boards of the feed, if it has one.
    feed: Option<BTreeMap<BoardId, Place>>,
    /// Boards that it was shut out of, and told so, ahead of the tick that shuts them.
    shut: BTreeSet<BoardId>,
    /// Boards that another token opened to it, with the place up to which all had been told by then.
    opened: BTreeMap<BoardId, Place>,
    /// Which counts it was sent of the boards that it sits in, where that is not said by the place alone.
    counted: BTreeMap<BoardId, Counted>,
}

impl Seat {
    fn rooms(&self) -> usize {
        self.boards.len() + self.posts.len() + usize::from(self.feed.is_some())
    }

    fn sits_in(&self, board: BoardId) -> bool {
        self.served_in(board).is_some()
    }

    /// From where on everything told in the board was sent, if it sits there.
    fn served_in(&self, board: BoardId) -> Option<Place> {
        let feed = self.feed.as_ref().and_then(|feed| feed.get(&board));
        self.boards.get(&board).into_iter().chain(feed).min().copied()
    }

    /// Whether it was told ahead of the tick that the board is shut.
    pub(crate) fn is_shut_out(&self, board: BoardId) -> bool {
        self.shut.contains(&board)
    }

    fn stands_in(&self, board: BoardId) -> impl Iterator<Item = PostId> {
        self.posts.iter().filter(move |(_, (stands_in, _))| *stands_in == board).map(|(post, _)| *post)
    }
}

/// What a socket joins and leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    Board(BoardId),
    Post(PostId),
    Feed,
}

/// Why a socket with a permit was not seated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSeated {
    /// It has left meanwhile.
    Gone,
    /// It sits in as many rooms as it may.
    TooManyRooms,
}

/// Every socket of this node and its rooms.
#[derive(Debug)]
pub struct Rooms {
    pub(crate) seats: HashMap<SocketKey, Seat>,
    sitting: HashMap<Room, BTreeSet<SocketKey>>,
    /// Of every community with a socket here, as of the ticks applied.
    pub(crate) communities: HashMap<CommunityId, CommunityFacts>,
    max_rooms: usize,
    /// Not asked for yet.
    moves: Vec<Move>,
    /// Left a board's or a post's room, or its post stands elsewhere now.
    strayed: BTreeSet<SocketKey>,
    /// Scopes that somebody newly minds; not asked for yet, and some that others minded before.
    opened: Vec<Scope>,
}

impl Rooms {
    /// No sockets; `max_rooms` is the bound for each.
    pub fn new(max_rooms: usize) -> Self {
        Self {
            seats: HashMap::new(),
            sitting: HashMap::new(),
            communities: HashMap::new(),
            max_rooms,
            moves: Vec::new(),
            strayed: BTreeSet::new(),
            opened: Vec::new(),
        }
    }

    /// Seats a new socket in its community's and its user's rooms, where everything told behind `since` is sent to it.
    pub fn connect(&mut self, key: SocketKey, actor: Actor, community: Option<CommunityFacts>, since: Place) {
        let own = own_rooms(&actor);
        if let Some(facts) = community {
            self.communities.insert(actor.community.clone(), facts);
        }
        let (boards, posts) = (BTreeMap::new(), BTreeMap::new());
        let (opened, counted) = (BTreeMap::new(), BTreeMap::new());
        let (typing, shut) = (BTreeSet::new(), BTreeSet::new());
        self.moves.push(Move::Came { key, visitor: visitor(&actor) });
        let seat = Seat { actor, since, boards, typing, posts, feed: None, shut, opened, counted };
        self.seats.insert(key, seat);
        for room in own {
            self.enter(room, key);
        }
    }

    /// Takes a socket out of every room, for good.
    pub fn disconnect(&mut self, key: SocketKey) {
        let Some(seat) = self.seats.remove(&key) else { return };
        self.moves.push(Move::Gone { key });
        for room in own_rooms(&seat.actor) {
            self.quit(room, key);
        }
        for board in seat.boards.keys().chain(seat.feed.iter().flat_map(BTreeMap::keys)) {
            self.quit(Room::Board(*board), key);
        }
        for board in seat.typing {
            self.quit(Room::Typing(board), key);
        }
        for post in seat.posts.into_keys() {
            self.quit(Room::Post(post), key);
        }
        if !self.sitting.contains_key(&Room::Community(seat.actor.community.clone())) {
            self.communities.remove(&seat.actor.community);
        }
    }

    /// What is known of a community from now on, where it has a socket here.
    pub(crate) fn community_is(&mut self, community: &CommunityId, facts: Option<&CommunityFacts>) {
        match facts.filter(|_| self.is_watched(&Room::Community(community.clone()))) {
            Some(facts) => drop(self.communities.insert(community.clone(), facts.clone())),
            None => drop(self.communities.remove(community)),
        }
    }

    /// The number of sockets.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Every socket.
    pub fn keys(&self) -> Vec<SocketKey> {
        self.seats.keys().copied().collect()
    }

    /// Whether the socket is here and may sit in one more place of this kind.
    pub fn has_room(&self, key: SocketKey, place: Spot) -> Result<(), NotSeated> {
        let seat = self.seats.get(&key).ok_or(NotSeated::Gone)?;
        let sits = match place {
            Spot::Board(board) => seat.boards.contains_key(&board),
            Spot::Post(post) => seat.posts.contains_key(&post),
            Spot::Feed => seat.feed.is_some(),
        };
        if sits || seat.rooms() < self.max_rooms { Ok(()) } else { Err(NotSeated::TooManyRooms) }
    }

    /// `board:join`: everything told behind `since` was sent or will be.
    pub fn join_board(&mut self, key: SocketKey, permit: &Permit, typing: bool, since: Place) -> Result<(), NotSeated> {
        let board = permit.board();
        let seat = self.seat_with_room(key, Spot::Board(board))?;
        let is_new = !seat.boards.contains_key(&board);
        earlier(&mut seat.boards, board, since);
        seat.shut.remove(&board);
        if typing {
            seat.typing.insert(board);
            self.enter(Room::Typing(board), key);
        }
        self.enter(Room::Board(board), key);
        if is_new {
            self.moves.push(Move::Entered { key, board });
        }
        Ok(())
    }

    /// `post:join`; the permit is for the board in which the post stands.
    pub fn join_post(&mut self, key: SocketKey, permit: &Permit, post: PostId, since: Place) -> Result<(), NotSeated> {
        let seat = self.seat_with_room(key, Spot::Post(post))?;
        let since = seat.posts.get(&post).map_or(since, |(_, earlier)| since.min(*earlier));
        seat.posts.insert(post, (permit.board(), since));
        seat.shut.remove(&permit.board());
        self.opened.push(Scope::Board(permit.board()));
        self.enter(Room::Post(post), key);
        Ok(())
    }

    /// `feed:join`
    pub fn join_feed(&mut self, key: SocketKey, permits: &[Permit], since: Place) -> Result<(), NotSeated> {
        let seat = self.seat_with_room(key, Spot::Feed)?;
        let before = seat.feed.take().unwrap_or_default();
        let mut feed = BTreeMap::new();
        for board in permits.iter().map(Permit::board) {
            feed.insert(board, before.get(&board).map_or(since, |earlier| since.min(*earlier)));
            seat.shut.remove(&board);
        }
        seat.feed = Some(feed.clone());
        for board in before.keys().filter(|board| !feed.contains_key(board)) {
            self.leave_unless_sitting(key, *board);
        }
        for board in feed.into_keys() {
            self.enter(Room::Board(board), key);
        }
        Ok(())
    }

    /// `board:leave`; a feed that shows the board goes on showing it.
    pub fn leave_board(&mut self, key: SocketKey, board: BoardId) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        if seat.boards.remove(&board).is_some() {
            self.moves.push(Move::Left { key, board });
        }
        if seat.typing.remove(&board) {
            self.quit(Room::Typing(board), key);
        }
        self.leave_unless_sitting(key, board);
    }

    /// `post:leave`
    pub fn leave_post(&mut self, key: SocketKey, post: PostId) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        if seat.posts.remove(&post).is_some() {
            self.quit(Room::Post(post), key);
        }
    }

    /// `feed:leave`
    pub fn leave_feed(&mut self, key: SocketKey) {
        let feed = self.seats.get_mut(&key).and_then(|seat| seat.feed.take());
        for board in feed.into_iter().flat_map(BTreeMap::into_keys) {
            self.leave_unless_sitting(key, board);
        }
    }

    /// Takes a socket out of a board and every post in it.
    pub fn evict(&mut self, key: SocketKey, board: BoardId) {
        self.evict_but(key, board, &BTreeSet::new());
    }

    /// The same, but for those posts.
    pub(crate) fn evict_but(&mut self, key: SocketKey, board: BoardId, kept: &BTreeSet<PostId>) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        if let Some(feed) = &mut seat.feed {
            feed.remove(&board);
        }
        let posts: Vec<PostId> = seat.stands_in(board).filter(|post| !kept.contains(post)).collect();
        for post in posts {
            self.leave_post(key, post);
        }
        self.leave_board(key, board);
    }

    /// The socket was told that it lost the board, ahead of the tick that shuts it.
    pub fn shut_ahead(&mut self, key: SocketKey, board: BoardId) {
        if let Some(seat) = self.seats.get_mut(&key) {
            seat.shut.insert(board);
        }
    }

    /// It is told that it may open the board again.
    pub fn reopen(&mut self, key: SocketKey, board: BoardId) {
        if let Some(seat) = self.seats.get_mut(&key) {
            seat.shut.remove(&board);
        }
    }

    /// Shows a board that newly opened to a socket in its feed, if it has one, from `since` on.
    pub fn extend_feed(&mut self, key: SocketKey, permit: &Permit, since: Place) {
        if let Some(feed) = self.seats.get_mut(&key).and_then(|seat| seat.feed.as_mut()) {
            earlier(feed, permit.board(), since);
            self.enter(Room::Board(permit.board()), key);
        }
    }

    /// The post stands in another board now; its room stays as it is.
    pub fn post_moved(&mut self, key: SocketKey, post: PostId, board: BoardId) {
        if let Some((stands_in, _)) = self.seats.get_mut(&key).and_then(|seat| seat.posts.get_mut(&post)) {
            *stands_in = board;
            self.strayed.insert(key);
            self.opened.push(Scope::Board(board));
        }
    }

    /// Empties the room of a post that is no more.
    pub fn dissolve_post(&mut self, post: PostId) {
        for key in self.members(&Room::Post(post)) {
            self.leave_post(key, post);
        }
    }

    /// Empties the rooms of a board that is no more, and of its posts.
    pub fn dissolve_board(&mut self, board: BoardId) {
        for seat in self.seats.values_mut() {
            seat.shut.remove(&board);
            seat.opened.remove(&board);
        }
        let keys: Vec<SocketKey> = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.sits_in(board) || seat.stands_in(board).next().is_some())
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            self.evict(key, board);
        }
    }

    /// Who is in a room.
    pub fn members(&self, room: &Room) -> Vec<SocketKey> {
        self.sitting.get(room).into_iter().flatten().copied().collect()
    }

    /// Whether anybody is.
    pub fn is_watched(&self, room: &Room) -> bool {
        self.sitting.contains_key(room)
    }

    /// From where on the socket is sent what is told to `audience`, if it sits there.
    fn served(&self, key: SocketKey, audience: &Audience) -> Option<Place> {
        let seat = self.seats.get(&key)?;
        let in_board = |board: &BoardId| seat.served_in(*board);
        let in_post = |post: &PostId| seat.posts.get(post).map(|(_, since)| *since);
        match audience {
            Audience::Board(board) => in_board(board),
            Audience::Post(post) => in_post(post),
            Audience::BoardAndPost(board, post) => in_board(board).into_iter().chain(in_post(post)).min(),
            Audience::WhoMayOpen(_) => Some(seat.since),
            Audience::Community(community) => (seat.actor.community == *community).then_some(seat.since),
            Audience::User(user, _) => (seat.actor.user == *user).then_some(seat.since),
        }
    }

    /// The sockets of `audience` whose community wants the topic, each once. Where the audience is not simply a room, `rows` hold what
    /// the rule asks of the board, and `outlook` the rights from what is told to the moment of the rows, at which `post` may stand elsewhere.
    pub fn sockets(
        &self,
        audience: &Audience,
        topic: Topic,
        post: Option<PostId>,
        rows: &Rows,
        outlook: &Outlook,
    ) -> Vec<SocketKey> {
        let in_rooms = match audience {
            Audience::Board(board) => self.members(&Room::Board(*board)),
            Audience::Post(post) => self.members(&Room::Post(*post)),
            Audience::Community(community) => self.members(&Room::Community(community.clone())),
            Audience::BoardAndPost(board, post) => {
                let both = [Room::Board(*board), Room::Post(*post)];
                let keys: BTreeSet<_> =
                    both.iter().filter_map(|room| self.sitting.get(room)).flatten().copied().collect();
                keys.into_iter().collect()
            }
            Audience::WhoMayOpen(board) => self.who_may_open(*board, rows, outlook),
            Audience::User(user, board) => {
                let mut keys = self.members(&Room::User(user.clone()));
                // Of a board that is no more by then nothing is shown.
                let facts = rows.board_facts(*board);
                keys.retain(|key| {
                    let may_follow = post.and_then(|post| self.may_follow(*key, post, outlook));
                    may_follow.unwrap_or_else(|| facts.is_some_and(|facts| self.may_open(*key, facts, outlook)))
                });
                keys
            }
        };
        in_rooms.into_iter().filter(|key| self.wants(*key, topic)).collect()
    }

    /// Splits sockets into the admins of the community, who are shown more, and others.
    pub fn split_admins(&self, keys: Vec<SocketKey>, of: &CommunityId) -> (Vec<SocketKey>, Vec<SocketKey>) {
        keys.into_iter().partition(|key| self.is_admin(*key, of))
    }

    /// Whether the socket is an admin's of the community, and shown more than others of what is its own.
    pub fn is_admin(&self, key: SocketKey, of: &CommunityId) -> bool {
        self.seats.get(&key).is_some_and(|seat| seat.actor.admin && seat.actor.community == *of)
    }

    /// Whether the socket's community has not switched the topic off.
    pub fn wants(&self, key: SocketKey, topic: Topic) -> bool {
        let community = self.seats.get(&key).and_then(|seat| self.communities.get(&seat.actor.community));
        community.is_none_or(|facts| topic.is_wanted(&facts.features))
    }

    fn who_may_open(&self, board: BoardId, rows: &Rows, outlook: &Outlook) -> Vec<SocketKey> {
        let Some(facts) = rows.board_facts(board) else { return Vec::new() };
        let rooms = facts.shown_in().filter_map(|community| self.sitting.get(&Room::Community(community.clone())));
        rooms.flatten().copied().filter(|key| self.may_open(*key, facts, outlook)).collect()
    }

    fn may_open(&self, key: SocketKey, facts: &BoardFacts, outlook: &Outlook) -> bool {
        let Some(Seat { actor, .. }) = self.seats.get(&key) else { return false };
        outlook.decide(actor, facts.board, Some(facts), self.communities.get(&actor.community)).is_ok()
    }

    /// Of a post that is moved in that time.
    fn may_follow(&self, key: SocketKey, post: PostId, outlook: &Outlook) -> Option<bool> {
        let Seat { actor, .. } = self.seats.get(&key)?;
        outlook.may_follow(actor, post, self.communities.get(&actor.community))
    }

    fn seat_with_room(&mut self, key: SocketKey, spot: Spot) -> Result<&mut Seat, NotSeated> {
        self.has_room(key, spot)?;
        self.seats.get_mut(&key).ok_or(NotSeated::Gone)
    }

    fn leave_unless_sitting(&mut self, key: SocketKey, board: BoardId) {
        if self.seats.get(&key).is_some_and(|seat| seat.sits_in(board)) {
            return;
        }
        if let Some(seat) = self.seats.get_mut(&key) {
            seat.counted.remove(&board);
        }
        self.quit(Room::Board(board), key);
    }

    fn enter(&mut self, room: Room, key: SocketKey) {
        let scope = match &room {
            Room::Community(community) => Some(Scope::Community(community.clone())),
            Room::Board(board) => Some(Scope::Board(*board)),
            _ => None,
        };
        let keys = self.sitting.entry(room).or_default();
        if keys.is_empty() {
            self.opened.extend(scope);
        }
        keys.insert(key);
    }

    fn quit(&mut self, room: Room, key: SocketKey) {
        if matches!(room, Room::Board(_) | Room::Post(_)) {
            self.strayed.insert(key);
        }
        if let Some(keys) = self.sitting.get_mut(&room) {
            keys.remove(&key);
            if keys.is_empty() {
                self.sitting.remove(&room);
            }
        }
    }
}

/// A board that is joined again goes on being served from where it was.
fn earlier(boards: &mut BTreeMap<BoardId, Place>, board: BoardId, since: Place) {
    let served = boards.entry(board).or_insert(since);
    *served = since.min(*served);
}

fn visitor(actor: &Actor) -> Visitor {
    let who = Viewer { user_id: actor.user.clone(), user_name: actor.name.clone(), avatar_url: actor.picture.clone() };
    Visitor { who, community: actor.community.clone(), device: actor.device.clone() }
}

fn own_rooms(actor: &Actor) -> Vec<Room> {
    let mut rooms = vec![Room::Community(actor.community.clone()), Room::User(actor.user.clone())];
    if actor.admin {
        rooms.push(Room::CommunityAdmins(actor.community.clone()));
    }
    rooms
}

#[cfg(test)]
mod tests;
