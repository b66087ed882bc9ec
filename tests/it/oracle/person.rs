//! One browser: what its token says, where it sits, and what it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    forum::{OPEN, Standing},
    passing::{Passing, Sitting},
    told::{Event, To, Told},
};
use crate::support::{service::Service, wire::Frames};

/// What is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    Board(i32),
    Post(i32),
    Feed,
}

/// How far somebody was served.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// So many events had been told to whoever they are for.
    pub told: usize,
    /// In this step.
    pub step: usize,
    pub text: String,
}

pub struct Person {
    pub user: String,
    pub community: &'static str,
    roles: Vec<&'static str>,
    admin: bool,
    frames: Option<Frames>,
    /// That he was connected to last.
    pub node: usize,
    /// Whether the forum knows him.
    pub exists: bool,
    /// The step in which the forum knew him again.
    pub came_anew: usize,
    pub cursors: Vec<Cursor>,
    /// Behind each step, which boards the rule opens to his token.
    pub open: Vec<BTreeSet<i32>>,
    /// Behind the last, which his community is shown.
    shown: BTreeSet<i32>,
    seats: Seats,
    left: Vec<Joined>,
    /// What he was told since the last step of who comes, goes and writes.
    pub passing: Vec<Passing>,
    /// Whom the answers to joins of boards named since.
    pub named: Vec<(i32, BTreeSet<String>)>,
}

/// Where a connection sits, each with the number of events before it was served there.
#[derive(Default)]
struct Seats {
    since: usize,
    feed: Option<BTreeMap<i32, usize>>,
    boards: BTreeMap<i32, usize>,
    posts: BTreeMap<i32, usize>,
}

impl Seats {
    fn served_in(&self, board: i32) -> Option<usize> {
        let feed = self.feed.as_ref().and_then(|feed| feed.get(&board));
        self.boards.get(&board).into_iter().chain(feed).min().copied()
    }

    fn joined(&self) -> Vec<Joined> {
        let boards = self.boards.keys().map(|board| Joined::Board(*board));
        let posts = self.posts.keys().map(|post| Joined::Post(*post));
        boards.chain(posts).chain(self.feed.as_ref().map(|_| Joined::Feed)).collect()
    }
}

impl Person {
    pub fn new(number: usize, community: &'static str, roles: Vec<&'static str>) -> Self {
        Self {
            user: format!("p{number}"),
            community,
            roles,
            admin: false,
            frames: None,
            node: 0,
            exists: true,
            came_anew: 0,
            cursors: Vec::new(),
            open: Vec::new(),
            shown: BTreeSet::new(),
            seats: Seats::default(),
            left: Vec::new(),
            passing: Vec::new(),
            named: Vec::new(),
        }
    }

    pub fn name(&self) -> String {
        format!("{} of {} with {:?} {} on {}", self.user, self.community, self.roles, self.admin, self.node)
    }

    pub fn is_admin_of(&self, community: &str) -> bool {
        self.admin && self.community == community
    }

    pub fn is_here(&self) -> bool {
        self.frames.is_some()
    }

    fn token(&self) -> String {
        Service::token(&self.user, self.community, &self.roles, self.admin)
    }

    fn frames(&mut self) -> &mut Frames {
        self.frames.as_mut().expect("somebody who is here")
    }

    /// A new connection, when so much has been told. Of the cursors only the last is good: what another token opened on an earlier
    /// connection nobody knows any longer. Gives whether he was on another node before.
    pub async fn connect(&mut self, node: usize, url: &str, told: usize) -> bool {
        self.frames = Some(Frames::connected(url, &self.token()).await);
        self.seats = Seats { since: told, ..Seats::default() };
        self.cursors.drain(..self.cursors.len().saturating_sub(1));
        std::mem::replace(&mut self.node, node) != node
    }

    /// Without a word.
    pub fn go_away(&mut self) {
        if self.frames.take().is_some() {
            self.left = self.seats.joined();
        }
    }

    /// Where he sat when his last connection ended.
    pub fn had_joined(&mut self) -> Vec<Joined> {
        std::mem::take(&mut self.left)
    }

    /// The forum deletes him.
    pub async fn is_deleted(&mut self, at: &str) {
        self.exists = false;
        if let Some(frames) = &mut self.frames {
            let mut told = Vec::new();
            while told.last().is_none_or(|frame| frame != "41") {
                told.push(frames.next().await.expect("a farewell"));
            }
            assert!(told.iter().filter_map(|frame| Event::read(frame)).next().is_none(), "{at}: {told:?}");
            assert!(told.iter().any(|frame| frame == r#"42["session:expired",{}]"#), "{at}: {told:?}");
            self.go_away();
        }
    }

    /// At the door, while the forum does not know him.
    pub async fn is_refused(&self, url: &str, at: &str) {
        let mut frames = Frames::open(url).await;
        frames.send(format!("40{}", json!({"token": self.token()}))).await;
        let refused = frames.next().await.expect("an answer");
        assert!(refused.starts_with(r#"44{"message":"auth_invalid: "#), "{at}: {refused}");
    }

    /// What the rule says of him now.
    pub async fn look(&mut self, pool: &PgPool) -> BTreeSet<i32> {
        let asked = sqlx::query_as(OPEN).bind(self.community).bind(&self.roles).bind(self.admin);
        let boards: Vec<(i32, bool, Option<bool>)> = asked.fetch_all(pool).await.expect("an answer");
        self.shown = boards.iter().filter(|(_, shown, _)| *shown).map(|(board, ..)| *board).collect();
        let open: BTreeSet<i32> =
            boards.iter().filter(|(.., open)| *open == Some(true)).map(|(board, ..)| *board).collect();
        self.open.push(open.clone());
        open
    }

    /// The answer, and every event with a cursor before it.
    async fn ask(&mut self, event: &str, argument: Value) -> (Vec<Event>, Value) {
        self.frames().send(format!("4277{}", json!([event, argument]))).await;
        let mut events = Vec::new();
        loop {
            let frame = self.frames().next().await.expect("a connection that stays");
            if let Some(answer) = frame.strip_prefix("4377") {
                return (events, serde_json::from_str::<Value>(answer).expect("an answer")[0].clone());
            }
            events.extend(Event::read(&frame));
            self.passing.extend(Passing::read(&frame));
        }
    }

    /// Where he sits, while he is here.
    pub fn sitting(&self) -> Option<Sitting> {
        self.frames.as_ref()?;
        let by_name: BTreeSet<i32> = self.seats.boards.keys().copied().collect();
        let feed = self.seats.feed.iter().flat_map(BTreeMap::keys);
        Some(Sitting {
            user: self.user.clone(),
            community: self.community.to_owned(),
            boards: by_name.iter().chain(feed).copied().collect(),
            posts: self.seats.posts.keys().copied().collect(),
            typing: by_name.iter().copied().filter(|board| self.asks_for_typing(*board)).collect(),
            by_name,
        })
    }

    /// In every other board.
    fn asks_for_typing(&self, board: i32) -> bool {
        (self.user.len() + usize::from(self.user.as_bytes()[1]) + board.unsigned_abs() as usize).is_multiple_of(2)
    }

    /// Says that he writes, and that he has ended; whether he may.
    pub async fn writes(&mut self, post: i32) -> Value {
        let answer = self.ask("typing:start", json!({"postId": post})).await.1;
        self.ask("typing:stop", json!({"postId": post})).await;
        answer
    }

    /// Everything that is on its way to him.
    pub async fn hears_all(&mut self) -> Vec<Event> {
        self.ask("board:leave", json!(999_999)).await.0
    }

    pub async fn refresh(&mut self, roles: &[&'static str], admin: bool) -> (Vec<Event>, Value) {
        (self.roles, self.admin) = (roles.to_vec(), admin);
        let token = self.token();
        self.ask("session:refresh", json!({"token": token})).await
    }

    pub async fn ask_to_join(&mut self, what: Joined, cursor: Option<&Cursor>) -> (Vec<Event>, Value) {
        let since = cursor.map(|cursor| cursor.text.as_str());
        match what {
            Joined::Board(board) => {
                let typing = self.asks_for_typing(board);
                let (events, answer) =
                    self.ask("board:join", json!({"boardId": board, "since": since, "typing": typing})).await;
                let users = answer["users"].as_array().into_iter().flatten();
                let users: BTreeSet<String> =
                    users.map(|user| user["userId"].as_str().expect("an id").to_owned()).collect();
                if answer["ok"] == json!(true) {
                    self.named.push((board, users));
                }
                (events, answer)
            }
            Joined::Post(post) => self.ask("post:join", json!({"postId": post, "since": since})).await,
            Joined::Feed => self.ask("feed:join", json!({"since": since})).await,
        }
    }

    /// Leaves something that he joined.
    pub async fn leave(&mut self, nth: usize) {
        let joined = self.seats.joined();
        let Some(what) = joined.get(nth % joined.len().max(1)) else { return };
        let (event, argument) = match what {
            Joined::Board(board) => ("board:leave", json!(board)),
            Joined::Post(post) => ("post:leave", json!(post)),
            Joined::Feed => ("feed:leave", json!(null)),
        };
        assert_eq!(self.ask(event, argument).await.1["ok"], json!(true));
        match what {
            Joined::Board(board) => drop(self.seats.boards.remove(board)),
            Joined::Post(post) => drop(self.seats.posts.remove(post)),
            Joined::Feed => self.seats.feed = None,
        }
    }

    /// The boards of which he is to be served, or with which code he is refused.
    pub fn may_join(&self, what: Joined, standing: &Standing) -> Result<BTreeSet<i32>, &'static str> {
        let open = self.open.last().expect("a look");
        let board = match what {
            Joined::Feed => return Ok(open.clone()),
            Joined::Board(board) => Some(board),
            Joined::Post(post) => standing.board_of(post),
        };
        let board = board.filter(|board| self.shown.contains(board)).ok_or("not_found")?;
        if open.contains(&board) { Ok(BTreeSet::from([board])) } else { Err("forbidden") }
    }

    /// Whether one of the boards was closed to him at any position since.
    pub fn was_shut_out(&self, boards: &BTreeSet<i32>, cursor: &Cursor, standings: &[Standing]) -> bool {
        let positions = self.open.iter().zip(standings).skip(cursor.step);
        let closed = |(open, standing): (&BTreeSet<i32>, &Standing)| {
            boards.iter().any(|board| standing.boards.contains_key(board) && !open.contains(board))
        };
        positions.into_iter().any(closed)
    }

    pub fn sits(&mut self, what: Joined, boards: &BTreeSet<i32>, since: usize) {
        let earlier = |seats: &mut BTreeMap<i32, usize>, id| {
            let served = seats.entry(id).or_insert(since);
            *served = since.min(*served);
        };
        match what {
            Joined::Board(board) => earlier(&mut self.seats.boards, board),
            Joined::Post(post) => earlier(&mut self.seats.posts, post),
            Joined::Feed => {
                let feed = self.seats.feed.get_or_insert_default();
                boards.iter().for_each(|board| earlier(feed, *board));
            }
        }
    }

    /// Whether the event came to this connection, being the `nth` of all.
    pub fn was_sent(&self, told: &Told, nth: usize) -> bool {
        let seats = &self.seats;
        let served = match told.to.as_ref().expect("an audience") {
            To::Board(board) => seats.served_in(*board),
            To::BoardAndPost(board, post) => {
                seats.served_in(*board).into_iter().chain(seats.posts.get(post).copied()).min()
            }
            To::Post(post) => seats.posts.get(post).copied(),
            To::WhoMayOpen(_) | To::Community(_) | To::User(..) => Some(seats.since),
        };
        served.is_some_and(|since| since <= nth)
    }

    /// Whether he is told it when it happens. What he could and can open is as of before and behind it.
    pub fn is_told(&self, told: &Told, could: &BTreeSet<i32>, can: &BTreeSet<i32>, standing: &Standing) -> bool {
        let sits_in = |board: &i32| self.seats.served_in(*board).is_some();
        let open = |board: &i32| could.contains(board) && (can.contains(board) || told.name == "board:deleted");
        let in_post = |post: &i32| self.seats.posts.contains_key(post);
        // Who sat in the room of a post that moved out of his reach is told that it has gone, unless he is told the same of the board.
        let moved_out = |from: &i32| {
            if could.contains(from) && !can.contains(from) {
                return false;
            }
            let post = told.post.and_then(|post| i32::try_from(post).ok()).filter(|_| told.name == "board:postDeleted");
            post.filter(in_post).and_then(|post| standing.board_of(post)).is_some_and(|board| !can.contains(&board))
        };
        match told.to.as_ref().expect("an audience") {
            To::Board(board) => (sits_in(board) && open(board)) || moved_out(board),
            To::BoardAndPost(board, post) => (sits_in(board) || in_post(post)) && open(board),
            To::Post(post) => in_post(post) && standing.board_of(*post).is_some_and(|board| can.contains(&board)),
            To::WhoMayOpen(board) => can.contains(board),
            To::Community(community) => self.community == community,
            To::User(user, board) => self.user == *user && can.contains(board),
        }
    }

    /// Where he sits on, and what his feed takes up by itself, behind a step that told `told`.
    pub fn stays(&mut self, can: &BTreeSet<i32>, created: &BTreeSet<i32>, told: Range<usize>, standing: &Standing) {
        self.seats.boards.retain(|board, _| can.contains(board));
        // A post takes its room along, without those to whom the board in which it stands now is closed.
        self.seats.posts.retain(|post, _| standing.board_of(*post).is_some_and(|board| can.contains(&board)));
        if let Some(feed) = &mut self.seats.feed {
            feed.retain(|board, _| can.contains(board));
            for board in can {
                feed.entry(*board).or_insert(if created.contains(board) { told.start } else { told.end });
            }
        }
    }
}

/// As the forum does it for whoever comes.
pub async fn sign_in(user: &str, pool: &PgPool) {
    let insert = sqlx::query("INSERT INTO users (user_id, name) VALUES ($1, $1)").bind(user);
    insert.execute(pool).await.expect("a user");
}
