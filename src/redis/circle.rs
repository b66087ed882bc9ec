//! Where the nodes of one forum meet to say who is here: of each scope Redis holds what all of them said, puts it in order and
//! passes it on.
//!
//! Keys below the prefix, each with an expiry that whoever has people there renews:
//! - `board_users:{boardId}`, `community_users:{communityId}`: a hash, of each user `u:{userId}` how he is there on each node, beside
//!   `generation` and `version`, by which its words are counted. Its words are published on a channel of the key's name;
//! - `user_current_board:{userId}`: the board in which he sat down last;
//! - `nodes`: until when each node is taken to live, by the clock of Redis.
//!
//! A word is taken, counted and published in one step (`circle/say.lua`), so that all who watch hear the same words in the same order.
//! Who writes is published on the board's channel and kept nowhere.
//!
//! Invariants:
//! - what goes wrong with one key, or with one server of a Cluster, concerns the scopes that lie there alone: they are lost
//!   ([`Heard::Unknown`]) until they can be read again, and everything else goes on;
//! - a scope is read only where it can be said, too: where Redis takes nothing (its memory is full), it is lost until it does again;
//! - of a scope that is read nothing is missed, however long that takes: it is subscribed to before, and what is published
//!   meanwhile is counted from where the reading began;
//! - a scope of which fewer words are counted than this node knows of has lost the latest: it is counted anew in the step in which that
//!   is found, so that every node finds it another before anything else is said there;
//! - a scope in which somebody is lasts for [`KEPT`] from when a node that has people there last said so, or looked: whoever looks at it
//!   without having any does not keep those of a node that has died;
//! - no answer is larger than a page, whatever a scope holds.

mod current;
mod looking;
pub mod message;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{FromRedisValue, RedisError, RedisResult, cmd};
use tokio::{sync::mpsc, time::Instant};

use self::{current::Current, looking::Looking, message::Message, watching::Watched};
use super::{
    bus::Bus,
    key::short,
    link::{Link, LinkError, is_of_writing},
    question::{Question, Script},
    url::RedisUrl,
};
use crate::{
    circle::{Heard, Said},
    ids::{BoardId, CommunityId, NodeId, UserId},
    presence::Scope,
    typing,
};

/// How long a question may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// A node that was not heard of for so long has died.
pub const LEASE: Duration = Duration::from_secs(15);
/// What no node that has people there has looked at for so long is forgotten: with two beats, soon enough for whoever was on a node that
/// died.
pub const KEPT: Duration = Duration::from_secs(20);
/// Of a scope in which nobody is: longer than it takes to look at it twice.
const EMPTY: Duration = Duration::from_secs(180);
/// Each scope is looked at once in so many beats.
pub const PARTS: usize = 2;
/// And one in which nobody was and of which nothing was said: a feed watches a thousand of them.
const QUIET_PARTS: usize = 20;
/// Fields of a page.
const PAGE: usize = 500;
/// Users of whom is spoken in one step there.
const AT_ONCE: usize = 100;
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

/// What was found where something was said.
pub struct Uttered {
    /// Nothing could be said there.
    pub lost: Vec<Heard>,
    /// Nothing new was said there, and all that this node knows of them is of before they began anew.
    pub anew: BTreeSet<Scope>,
}

/// A way there, of no more use after the first error.
pub struct Circle {
    me: NodeId,
    prefix: String,
    link: Link,
    bus: Bus,
    say: Script,
    read: Script,
    stand: Script,
    beat: Script,
    /// By channel.
    watched: HashMap<Vec<u8>, Watched>,
    /// What can't be read or said at the moment, and why.
    lost: BTreeMap<Scope, String>,
    /// Whether something that was published may have been left out.
    missed: Arc<AtomicBool>,
    current: Current,
    looking: Looking,
    /// When it was said last that this node lives, and whether it was taken for dead by then and that was not told yet.
    beaten: Instant,
    was_dead: bool,
}

impl Circle {
    /// Connects; what is published goes to `heard`, and what does not fit is left out.
    pub async fn connect(
        url: &RedisUrl,
        prefix: &str,
        me: NodeId,
        heard: mpsc::Sender<Published>,
    ) -> Result<Self, LinkError> {
        let missed = Arc::<AtomicBool>::default();
        let hear = {
            let missed = Arc::clone(&missed);
            move |channel: &[u8], message: Vec<u8>| {
                let published = Published { channel: channel.to_owned(), message };
                if published.message.len() > LARGEST || heard.try_send(published).is_err() {
                    missed.store(true, Ordering::Relaxed);
                    metrics::counter!("curia_circle_messages_total", "outcome" => "left_out").increment(1);
                }
            }
        };
        let bus = Bus::connect(url, ANSWER_WITHIN, hear).await?;
        Ok(Self {
            me,
            prefix: prefix.to_owned(),
            link: Link::connect(url, ANSWER_WITHIN).await?,
            bus,
            say: Script::new(concat!(include_str!("circle/count.lua"), include_str!("circle/say.lua"))),
            read: Script::new(concat!(include_str!("circle/count.lua"), include_str!("circle/read.lua"))),
            stand: Script::new(concat!(include_str!("circle/count.lua"), include_str!("circle/stand.lua"))),
            beat: Script::new(include_str!("circle/beat.lua")),
            watched: HashMap::new(),
            lost: BTreeMap::new(),
            missed,
            current: Current::new(prefix),
            looking: Looking::default(),
            beaten: Instant::now(),
            was_dead: false,
        })
    }

    /// Waits for the end of the connection. Cancelling it loses nothing.
    pub async fn closed(&self) -> LinkError {
        self.bus.closed().await
    }

    /// Says that this node lives for `lease`, and hears which nodes do; or why neither can be done, though all else may.
    pub async fn beat(&mut self, lease: Duration) -> Result<Result<Beat, RedisError>, LinkError> {
        let question = self.beat.on(&format!("{}nodes", self.prefix)).arg(self.me.to_string());
        let question = question.arg(millis(lease)).arg(millis(LEASE));
        // A way on which nothing is heard would not be noticed otherwise.
        self.bus.ping().await?;
        // One for each question.
        let answer = self.ask_each::<(bool, Vec<String>)>(&[question]).await?.pop().ok_or(LinkError::Closed)?;
        Ok(match answer {
            Ok((lived, nodes)) => {
                self.beaten = Instant::now();
                let lived = lived && !mem::take(&mut self.was_dead);
                Ok(Beat { lived, living: nodes.iter().filter_map(|node| node.parse().ok()).collect() })
            }
            Err(error) => Err(self.of_one(error)?),
        })
    }

    /// Takes what nodes say, all in one round, and tells whoever watches the scopes; where that can't be done, a scope is lost. In
    /// which order they are taken is no promise: of nobody is to be spoken twice. Where it is noticed that it began anew since it was read,
    /// a scope is to be read anew.
    pub async fn say(&mut self, round: &BTreeMap<(Scope, NodeId), Vec<Said>>) -> Result<Uttered, LinkError> {
        let (mut scopes, mut questions, mut seats) = (Vec::new(), Vec::new(), Vec::new());
        for ((scope, node), said) in round {
            let key = self.key(scope);
            for said in said.chunks(AT_ONCE) {
                let question = self.say.on(&key).arg(draw()).arg(millis(KEPT)).arg(millis(EMPTY)).arg(node.to_string());
                questions.push(said.iter().fold(question, |question, Said { user, stay, nth }| {
                    question.arg(user.as_str()).arg(*nth).arg(message::written(stay.as_ref()))
                }));
                scopes.push(scope);
            }
            if *node == self.me {
                if let Some(watched) = self.watched.get_mut(key.as_bytes()) {
                    watched.say(said);
                }
                if let Scope::Community(community) = scope {
                    seats.extend(self.current.sit_down(community, said));
                }
            }
        }
        questions.extend(seats);
        let (mut lost, mut anew, mut scopes) = (BTreeMap::new(), BTreeSet::new(), scopes.into_iter());
        for answer in self.ask_each::<redis::Value>(&questions).await? {
            match (scopes.next(), answer) {
                (Some(scope), Ok(answer)) if self.is_counted_otherwise(scope, &answer) => {
                    anew.insert(scope.clone());
                }
                (Some(_), Ok(_)) => {}
                (Some(scope), Err(error)) => drop(lost.insert(scope, self.lose(scope.clone(), error)?)),
                (None, answer) => self.passed(answer)?,
            }
        }
        Ok(Uttered { lost: lost.into_values().collect(), anew })
    }

    /// Tells whoever watches the boards who writes there, all in one round: on each board in this order.
    pub async fn write(&mut self, heard: &[typing::Heard]) -> Result<(), LinkError> {
        let publish = |heard: &typing::Heard| {
            let (typing::Heard::Started(event) | typing::Heard::Stopped(event)) = heard;
            let channel = self.key(&Scope::Board(event.board_id));
            cmd("PUBLISH").arg(channel).arg(message::of_typing(self.me, heard)).to_owned().into()
        };
        let questions: Vec<Question> = heard.iter().map(publish).collect();
        for answer in self.ask_each::<redis::Value>(&questions).await? {
            self.passed(answer)?;
        }
        Ok(())
    }

    /// Where these users of this node sit in the community, unless it is known of another node. It is said with what is kept of them.
    pub fn sit(&mut self, community: &CommunityId, seats: Vec<(UserId, BoardId)>) {
        for (user, board) in &seats {
            self.current.sits(community, user, *board);
        }
        self.begin_keeping(seats.into_iter().map(|(user, _)| user));
    }

    /// What was published, where it can be understood.
    pub fn hear(&mut self, Published { channel, message }: Published) -> Option<Heard> {
        let watched = self.watched.get_mut(&channel)?;
        let outcome = match Message::parse(&message) {
            Some(Message::Said { stamp, node, said }) => {
                watched.is_at(stamp);
                Some(Heard::Said { scope: watched.scope.clone(), stamp, node, said })
            }
            // It was told here already.
            Some(Message::Typing { node, .. }) if node == self.me => return None,
            Some(Message::Typing { node, heard }) => Some(Heard::Typing { node, heard }),
            None => None,
        };
        watched.is_quiet = false;
        let label = if outcome.is_some() { "taken" } else { "not_understood" };
        metrics::counter!("curia_circle_messages_total", "outcome" => label).increment(1);
        outcome
    }

    /// What is heard does not depend on the link.
    async fn ask_each<T: FromRedisValue>(&mut self, questions: &[Question]) -> Result<Vec<RedisResult<T>>, LinkError> {
        let answers = self.link.ask_each(questions).await;
        if self.link.has_become_another() {
            // Another server may have taken over, and not know the latest.
            self.missed.store(true, Ordering::Relaxed);
        }
        answers
    }

    /// As [`Link::of_one`]; where nothing can be written, what can be read goes on.
    fn of_one(&self, error: RedisError) -> Result<RedisError, LinkError> {
        if is_of_writing(&error) { Ok(error) } else { self.link.of_one(error) }
    }

    /// Of which the answer tells nothing, and which may go without.
    fn passed<T>(&self, answer: RedisResult<T>) -> Result<(), LinkError> {
        answer.map_or_else(|error| self.of_one(error).map(drop), |_| Ok(()))
    }

    fn key(&self, scope: &Scope) -> String {
        match scope {
            Scope::Board(BoardId(board)) => format!("{}board_users:{board}", self.prefix),
            Scope::Community(community) => {
                format!("{}community_users:{}", self.prefix, short(CommunityId::as_str(community)))
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A generation, for a scope that has none yet. Below 2^53, since a script reads it as a number.
fn draw() -> u64 {
    getrandom::u64().unwrap_or(1) >> 11 | 1
}
