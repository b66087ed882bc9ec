//! Where the nodes of one forum meet to say who is here: of each scope Redis holds what all of them said, puts it in order and
//! passes it on.
//!
//! Keys below the prefix, each with an expiry that whoever watches it renews:
//! - `board_users:{boardId}`, `community_users:{communityId}`: a hash, of each user `u:{userId}` how he is there on each node, beside
//!   `generation` and `version`, by which its words are counted. Its words are published on a channel of the key's name;
//! - `user_current_board:{userId}`: the board in which he sat down last;
//! - `nodes`: until when each node is taken to live, by the clock of Redis.
//!
//! A word is taken, counted and published in one step (`circle/say.lua`), so that all who watch hear the same words in the same order.
//! Who writes is published on the board's channel and kept nowhere.

pub mod message;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use redis::cmd;
use tokio::sync::mpsc;

use self::message::Message;
use super::{
    bus::Bus,
    key::{part_of, short},
    link::{Link, LinkError},
    question::{Question, Script},
    url::RedisUrl,
};
use crate::{
    circle::{Heard, Said, Stamp},
    ids::{BoardId, CommunityId, NodeId, UserId},
    presence::Scope,
    typing,
};

/// How long a question may take; a large scope is read within it.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// A node that was not heard of for so long has died.
pub const LEASE: Duration = Duration::from_secs(15);
/// What nobody has watched for so long is forgotten: with two beats, soon enough for whoever was on a node that died.
const KEPT: Duration = Duration::from_secs(20);
/// Users of whom is spoken in one step there.
const AT_ONCE: usize = 100;
/// Steps of which the answers are awaited together.
const TOGETHER: usize = 8;
/// Bytes of a message that is taken; what is said at once is less.
const LARGEST: usize = 1 << 20;

/// What was published, as it came.
pub struct Published {
    channel: Vec<u8>,
    message: Vec<u8>,
}

/// Who lives.
pub struct Beat {
    /// Whether this node was taken to live until now. If not, others may have spoken for it.
    pub lived: bool,
    /// This one among them.
    pub living: BTreeSet<NodeId>,
}

/// A way there, of no more use after the first error.
pub struct Circle {
    me: NodeId,
    prefix: String,
    link: Link,
    bus: Bus,
    say: Script,
    read: Script,
    beat: Script,
    clear: Script,
    watched: HashMap<Vec<u8>, Scope>,
    /// Of this node's own users, as it was said there.
    current: BTreeMap<UserId, BoardId>,
}

impl Circle {
    /// Connects; what is published goes to `heard`, and what does not fit is left out.
    pub async fn connect(
        url: &RedisUrl,
        prefix: &str,
        me: NodeId,
        heard: mpsc::Sender<Published>,
    ) -> Result<Self, LinkError> {
        let hear = move |channel: &[u8], message: Vec<u8>| {
            let published = Published { channel: channel.to_owned(), message };
            if published.message.len() > LARGEST || heard.try_send(published).is_err() {
                metrics::counter!("curia_circle_messages_total", "outcome" => "left_out").increment(1);
            }
        };
        let bus = Bus::connect(url, ANSWER_WITHIN, hear).await?;
        Ok(Self {
            me,
            prefix: prefix.to_owned(),
            link: Link::connect(url, ANSWER_WITHIN).await?,
            bus,
            say: Script::new(include_str!("circle/say.lua")),
            read: Script::new(include_str!("circle/read.lua")),
            beat: Script::new(include_str!("circle/beat.lua")),
            clear: Script::new(include_str!("circle/clear.lua")),
            watched: HashMap::new(),
            current: BTreeMap::new(),
        })
    }

    /// Waits for the end of the connection. Cancelling it loses nothing.
    pub async fn closed(&self) -> LinkError {
        self.bus.closed().await
    }

    /// Says that this node lives for `lease`, and hears which nodes do.
    pub async fn beat(&mut self, lease: Duration) -> Result<Beat, LinkError> {
        let question = self.beat.on(&format!("{}nodes", self.prefix)).arg(self.me.to_string());
        let question = question.arg(millis(lease)).arg(millis(LEASE));
        // A way on which nothing is heard would not be noticed otherwise.
        self.bus.ping().await?;
        let (lived, nodes): (bool, Vec<String>) = self.link.ask(question).await?;
        Ok(Beat { lived, living: nodes.iter().filter_map(|node| node.parse().ok()).collect() })
    }

    /// Hears what is said of these scopes from now on, and reads each.
    pub async fn watch(&mut self, scopes: Vec<Scope>) -> Result<Vec<Heard>, LinkError> {
        let channels: Vec<String> = scopes.iter().map(|scope| self.key(scope)).collect();
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        self.watched.extend(channels.iter().map(|channel| channel.clone().into_bytes()).zip(scopes.iter().cloned()));
        self.bus.subscribe(channels).await?;
        self.read(scopes).await
    }

    /// No longer.
    pub async fn unwatch(&mut self, scope: &Scope) -> Result<(), LinkError> {
        let channel = self.key(scope);
        self.watched.remove(channel.as_bytes());
        self.bus.unsubscribe(channel).await
    }

    /// What was said of each scope, altogether.
    pub async fn read(&mut self, scopes: Vec<Scope>) -> Result<Vec<Heard>, LinkError> {
        let read = |scope| self.read.on(&self.key(scope)).arg(draw()).arg(millis(KEPT));
        let questions: Vec<Question> = scopes.iter().map(read).collect();
        let answers = self.link.ask_each::<HashMap<String, String>>(&questions).await?;
        let mut all = Vec::with_capacity(scopes.len());
        for (scope, answer) in scopes.into_iter().zip(answers) {
            all.extend(message::read(scope, &answer?));
        }
        Ok(all)
    }

    /// Takes what a node says, and tells whoever watches the scope.
    pub async fn say(&mut self, scope: &Scope, node: NodeId, said: &[Said]) -> Result<(), LinkError> {
        let key = self.key(scope);
        let mut questions = Vec::new();
        for said in said.chunks(AT_ONCE) {
            let mut question = self.say.on(&key).arg(draw()).arg(millis(KEPT)).arg(node.to_string());
            for Said { user, stay, nth } in said {
                question = question.arg(user.as_str()).arg(*nth).arg(message::written(stay.as_ref()));
            }
            questions.push(question);
        }
        // Each speaks of others: their order is of no concern.
        for questions in questions.chunks(TOGETHER) {
            for answer in self.link.ask_each::<u64>(questions).await? {
                answer?;
            }
        }
        if node == self.me && matches!(scope, Scope::Community(_)) {
            self.sit_down(said).await?;
        }
        Ok(())
    }

    /// Tells whoever watches the board who writes there.
    pub async fn write(&mut self, heard: &typing::Heard) -> Result<(), LinkError> {
        let (typing::Heard::Started(event) | typing::Heard::Stopped(event)) = heard;
        let channel = self.key(&Scope::Board(event.board_id));
        self.bus.publish(&channel, &message::of_typing(self.me, heard)).await
    }

    /// Which of so many parts the scope belongs to.
    pub fn part_of(&self, scope: &Scope, parts: usize) -> usize {
        part_of(&self.key(scope), parts)
    }

    /// Where each of these scopes stands, which is kept for longer by asking; and this node's users' boards likewise.
    pub async fn stand(&mut self, scopes: &[Scope]) -> Result<Vec<Heard>, LinkError> {
        let mut questions = Vec::with_capacity(2 * scopes.len());
        for key in scopes.iter().map(|scope| self.key(scope)) {
            questions.push(Question::from(cmd("HMGET").arg(&key).arg("generation").arg("version").to_owned()));
            questions.push(Question::from(cmd("PEXPIRE").arg(&key).arg(millis(KEPT)).to_owned()));
        }
        let answers = self.link.ask_each::<redis::Value>(&questions).await?;
        let mut stands = Vec::with_capacity(scopes.len());
        for (scope, answer) in scopes.iter().zip(answers.into_iter().step_by(2)) {
            // Of one that is gone there is neither: nobody stands there.
            let counted: Option<(u64, u64)> = redis::from_redis_value(answer?).ok();
            let (generation, version) = counted.unwrap_or_default();
            stands.push(Heard::Stands { scope: scope.clone(), stamp: Stamp { generation, version } });
        }
        Ok(stands)
    }

    /// Keeps what is remembered of some of this node's own users.
    pub async fn keep(&mut self, part: usize, of: usize) -> Result<(), LinkError> {
        let keep = |user| Question::from(cmd("PEXPIRE").arg(self.current_board(user)).arg(millis(KEPT)).to_owned());
        let of_part = self.current.keys().filter(|user| part_of(user.as_str(), of) == part);
        let questions: Vec<Question> = of_part.map(keep).collect();
        for questions in questions.chunks(AT_ONCE) {
            for answer in self.link.ask_each::<redis::Value>(questions).await? {
                answer?;
            }
        }
        Ok(())
    }

    /// What was published, where it can be understood.
    pub fn hear(&self, Published { channel, message }: Published) -> Option<Heard> {
        let scope = self.watched.get(&channel)?;
        let outcome = match Message::parse(&message) {
            Some(Message::Said { stamp, node, said }) => Some(Heard::Said { scope: scope.clone(), stamp, node, said }),
            // It was told here already.
            Some(Message::Typing { node, .. }) if node == self.me => return None,
            Some(Message::Typing { node, heard }) => Some(Heard::Typing { node, heard }),
            None => None,
        };
        let label = if outcome.is_some() { "taken" } else { "not_understood" };
        metrics::counter!("curia_circle_messages_total", "outcome" => label).increment(1);
        outcome
    }

    /// Where these users of this node sit, unless it is known of another node.
    pub async fn sit(&mut self, seats: Vec<(UserId, BoardId)>) -> Result<(), LinkError> {
        let sit = |(user, board): &(UserId, BoardId)| {
            let key = self.current_board(user);
            Question::from(cmd("SET").arg(key).arg(board.0).arg("PX").arg(millis(KEPT)).arg("NX").to_owned())
        };
        let questions: Vec<Question> = seats.iter().map(sit).collect();
        self.current.extend(seats);
        for questions in questions.chunks(AT_ONCE) {
            for answer in self.link.ask_each::<redis::Value>(questions).await? {
                answer?;
            }
        }
        Ok(())
    }

    /// `user_current_board` of those who sat down elsewhere, or went.
    async fn sit_down(&mut self, said: &[Said]) -> Result<(), LinkError> {
        let mut questions = Vec::new();
        for Said { user, stay, .. } in said {
            let board = stay.as_ref().and_then(|stay| stay.boards.first().copied());
            let before = match board {
                Some(board) => self.current.insert(user.clone(), board),
                None => self.current.remove(user),
            };
            let key = self.current_board(user);
            match (before, board) {
                (before, Some(board)) if before != Some(board) => {
                    let set = cmd("SET").arg(&key).arg(board.0).arg("PX").arg(millis(KEPT)).to_owned();
                    questions.push(set.into());
                }
                (Some(before), None) => questions.push(self.clear.on(&key).arg(before.0)),
                _ => {}
            }
        }
        for answer in self.link.ask_each::<redis::Value>(&questions).await? {
            answer?;
        }
        Ok(())
    }

    fn key(&self, scope: &Scope) -> String {
        match scope {
            Scope::Board(BoardId(board)) => format!("{}board_users:{board}", self.prefix),
            Scope::Community(community) => {
                format!("{}community_users:{}", self.prefix, short(CommunityId::as_str(community)))
            }
        }
    }

    fn current_board(&self, user: &UserId) -> String {
        format!("{}user_current_board:{}", self.prefix, short(user.as_str()))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A generation, for a scope that has none yet. Below 2^53, since a script reads it as a number.
fn draw() -> u64 {
    getrandom::u64().unwrap_or(1) >> 11 | 1
}
