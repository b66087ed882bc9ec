//! A client that comes and goes, with one cursor.
//!
//! It asks for its rooms one after the other. Those in which it sat when it went it asks for with the cursor that it held then,
//! the same for all of them; only when all have answered does it take newer ones. Where it is told `recovered: false`, or is let in
//! anew, it takes the state anew, which the accounting believes without looking.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use curia_driver::{Client, DriverError, Event, Heard};
use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use crate::{
    log::{Entry, Log, Told},
    people::{Persona, Room},
};

/// Whoever is not let in, or not answered, within this goes elsewhere.
const PATIENCE: Duration = Duration::from_secs(3);
/// Rooms that are closed to it are asked for again so often.
const ASK_AGAIN: Duration = Duration::from_millis(1_100);
/// Whoever knocks asks so often, in milliseconds; fewer than 60 times in 10 s, which is what a user may.
const KNOCK: std::ops::Range<u64> = 180..300;
/// In the end nobody leaves any more.
const FOR_GOOD: Duration = Duration::from_secs(3_600);

/// What the run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Clients come and go.
    Running,
    /// They come, and stay.
    Closing,
}

/// One client; see the module.
pub struct Visitor {
    pub persona: Persona,
    pub token: String,
    /// The ports of the nodes, behind their proxies.
    pub fronts: Vec<u16>,
    pub draw: ChaCha8Rng,
    pub log: Arc<Log>,
    pub phase: watch::Receiver<Phase>,
}

/// What outlasts a connection.
#[derive(Default)]
struct Memory {
    /// Where it sat when it went, and so has only missed what came since.
    held: BTreeSet<Room>,
    /// The newest cursor, with the entry of the log up to which it stands for everything.
    cursor: Option<(String, usize)>,
}

/// One connection.
struct Visit<'a> {
    number: u32,
    follows: &'a [Room],
    client: Client,
    log: &'a Log,
    memory: &'a mut Memory,
    /// Rooms to ask for.
    queue: VecDeque<Room>,
    asked: Option<(Room, bool, Instant)>,
    /// The rooms it came back to have all answered.
    settled: bool,
    /// The newest cursor of this connection.
    newest: Option<(String, usize)>,
    sits_in: BTreeSet<Room>,
}

impl Visitor {
    /// Comes and goes until it is dropped.
    pub async fn live(mut self) {
        let mut memory = Memory::default();
        for number in 1.. {
            let node = self.draw.random_range(0..self.fronts.len());
            if let Ok(Ok(client)) = timeout(PATIENCE, Client::connect(self.fronts[node], &self.token)).await {
                self.log.write(number, Entry::Connected { node });
                self.visit(number, client, &mut memory).await;
                self.log.sit_in(BTreeSet::new());
                self.log.write(number, Entry::Disconnected);
            }
            let away = if self.draw.random_bool(0.2) { 200..2_500 } else { 5..250 };
            sleep(Duration::from_millis(self.draw.random_range(away))).await;
        }
    }

    async fn visit(&mut self, number: u32, client: Client, memory: &mut Memory) {
        let follows = self.persona.rooms.clone();
        let mut rooms = follows.clone();
        rooms.shuffle(&mut self.draw);
        let stay = Duration::from_millis(self.draw.random_range(150..7_000));
        let mut leave_at = Instant::now() + stay;
        let mut ask_again = Instant::now() + ASK_AGAIN;
        let mut knock_at = Instant::now();
        let (queue, sits_in) = (rooms.into(), BTreeSet::new());
        let log = Arc::clone(&self.log);
        let mut visit = Visit {
            number,
            follows: &follows,
            client,
            log: &log,
            memory,
            queue,
            asked: None,
            settled: false,
            newest: None,
            sits_in,
        };
        loop {
            let closing = *self.phase.borrow_and_update() == Phase::Closing;
            if closing {
                leave_at = Instant::now() + FOR_GOOD;
            }
            if visit.ask().await.is_err() {
                return;
            }
            let answer_by = visit.asked.map_or(leave_at + FOR_GOOD, |(.., at)| at + PATIENCE);
            tokio::select! {
                heard = timeout_at(answer_by, visit.client.next()) => match heard {
                    Ok(Ok(Heard::Event(event))) => visit.told(&event),
                    Ok(Ok(Heard::Answer { answer, .. })) => if !visit.answered(&answer) { return },
                    Ok(Err(_)) | Err(_) => return,
                },
                () = sleep_until(leave_at) => return,
                () = sleep_until(ask_again) => {
                    ask_again = Instant::now() + ASK_AGAIN;
                    for room in &follows {
                        visit.want(*room);
                    }
                }
                () = sleep_until(knock_at), if self.persona.knocks && !closing => {
                    knock_at = Instant::now() + Duration::from_millis(self.draw.random_range(KNOCK));
                    visit.knock();
                }
                changed = self.phase.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Visit<'_> {
    /// Asks for the next room, or is done with asking.
    async fn ask(&mut self) -> Result<(), DriverError> {
        if self.asked.is_some() {
            return Ok(());
        }
        let Some(room) = self.queue.pop_front() else {
            if !self.settled {
                self.settled = true;
                if let Some(newest) = self.newest.take() {
                    self.memory.cursor = Some(newest);
                }
            }
            self.log.sit_in(self.sits_in.clone());
            return Ok(());
        };
        let since = self.memory.cursor.clone().filter(|_| !self.settled && self.memory.held.contains(&room));
        let (event, mut argument) = match room {
            Room::Board(board) => ("board:join", json!({ "boardId": board })),
            Room::Post(post) => ("post:join", json!({ "postId": post })),
            Room::Feed => ("feed:join", json!({})),
        };
        if let Some((cursor, _)) = &since {
            argument["since"] = json!(cursor);
        }
        self.log.write(self.number, Entry::Joining { room, since: since.as_ref().map(|(_, upto)| *upto) });
        self.asked = Some((room, since.is_some(), Instant::now()));
        self.client.emit(1, event, &argument).await
    }

    /// Whether it can stay.
    fn answered(&mut self, answer: &Value) -> bool {
        let Some((room, _, _)) = self.asked.take() else { return true };
        if answer["ok"] == true {
            let recovered = answer["recovered"] == true;
            let boards = answer["boardIds"].as_array().into_iter().flatten();
            let boards = boards.filter_map(Value::as_i64).filter_map(|board| i32::try_from(board).ok()).collect();
            let cursor = answer["cursor"].as_str().unwrap_or_default().to_owned();
            let joined = Entry::Joined { room, recovered, boards, cursor: cursor.clone() };
            let entry = self.log.write(self.number, joined);
            self.sits_in.insert(room);
            self.memory.held.insert(room);
            self.newer(cursor, entry);
            return true;
        }
        let code = answer["error"]["code"].as_str().unwrap_or_default().to_owned();
        let goes = matches!(code.as_str(), "unavailable" | "rate_limited");
        if !goes {
            self.memory.held.remove(&room);
        }
        self.log.write(self.number, Entry::Refused { room, code });
        !goes
    }

    fn told(&mut self, event: &Event) {
        let told = Told::of(event);
        let entry = self.log.write(self.number, Entry::Told(told.clone()));
        if let Some(cursor) = &told.cursor {
            self.newer(cursor.clone(), entry);
        }
        match (told.name.as_str(), told.board) {
            ("board:accessRevoked" | "board:deleted", Some(board)) => {
                self.leave(Room::Board(board));
                self.look_at_posts();
            }
            ("board:accessGranted", Some(board)) => {
                self.leave(Room::Board(board));
                self.want(Room::Board(board));
                self.look_at_posts();
            }
            ("board:postDeleted", _) => {
                if let Some(post) = told.post.map(Room::Post).filter(|room| self.sits_in.contains(room)) {
                    self.leave(post);
                    self.want(post);
                }
            }
            _ => {}
        }
    }

    /// In which board a post stands now is not always known here: it asks anew.
    fn look_at_posts(&mut self) {
        let posts: Vec<Room> = self.sits_in.iter().filter(|room| matches!(room, Room::Post(_))).copied().collect();
        for post in posts {
            self.leave(post);
            self.want(post);
        }
    }

    fn leave(&mut self, room: Room) {
        self.memory.held.remove(&room);
        if self.sits_in.remove(&room) {
            self.log.write(self.number, Entry::Left { room });
        }
    }

    fn want(&mut self, room: Room) {
        let asked = self.asked.is_some_and(|(asked, ..)| asked == room);
        if self.follows.contains(&room) && !asked && !self.sits_in.contains(&room) && !self.queue.contains(&room) {
            self.queue.push_back(room);
        }
    }

    /// Asks for every room anew, unless it is asking.
    fn knock(&mut self) {
        if self.asked.is_none() && self.queue.is_empty() {
            self.queue.extend(self.follows);
        }
    }

    fn newer(&mut self, cursor: String, entry: usize) {
        if self.settled {
            self.memory.cursor = Some((cursor, entry));
        } else {
            self.newest = Some((cursor, entry));
        }
    }
}
