//! Scopes that are watched: read in pages, looked at every few beats, and lost where they can't be read.

use std::{collections::HashSet, sync::atomic::Ordering};

use redis::{FromRedisValue, RedisError, RedisResult, Value, cmd};

use super::{Circle, EMPTY, KEPT, PAGE, PARTS, QUIET_PARTS, draw, message, message::Reading, millis};
use crate::{
    circle::{Heard, Said, Stamp},
    ids::UserId,
    presence::Scope,
    redis::{key::part_of, link::LinkError, question::Question},
};

/// A scope's count, where to read on, its first fields, and how many there are.
type FirstPage = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, usize);
/// Where to read on, and fields.
type Page = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);
/// A scope's count, and the number of its fields.
type Standing = (Option<Vec<u8>>, Option<Vec<u8>>, usize);
/// Fields of a scope that are nobody's.
const COUNTS: usize = 2;

/// A scope of which is heard.
pub(super) struct Watched {
    pub(super) scope: Scope,
    /// Where it stood when it was last heard of.
    at: Option<Stamp>,
    /// Nobody was there, and nothing was said of it since.
    pub(super) is_quiet: bool,
    /// By which generation it was counted when it was last read.
    read: Option<u64>,
    /// Of whom this node has said that he is there.
    ours: HashSet<UserId>,
}

impl Watched {
    fn new(scope: Scope, at: Option<Stamp>) -> Self {
        Self { scope, at, is_quiet: false, read: None, ours: HashSet::new() }
    }

    pub(super) fn say(&mut self, said: &[Said]) {
        for Said { user, stay, .. } in said {
            match stay {
                Some(_) => drop(self.ours.insert(user.clone())),
                None => drop(self.ours.remove(user)),
            }
        }
    }

    /// What it stood at before is remembered while no more is counted now: the latest may be lost.
    pub(super) fn is_at(&mut self, stamp: Stamp) {
        if !self.at.is_some_and(|at| stamp.is_before(at)) {
            self.at = Some(stamp);
        }
    }
}

impl Circle {
    /// Hears what is said of these scopes from now on, and reads each, which is known to have stood there.
    pub async fn watch(&mut self, scopes: Vec<(Scope, Option<Stamp>)>) -> Result<Vec<Heard>, LinkError> {
        let channels: Vec<String> = scopes.iter().map(|(scope, _)| self.key(scope)).collect();
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        let watched = scopes.iter().cloned().map(|(scope, at)| Watched::new(scope, at));
        self.watched.extend(channels.iter().map(|channel| channel.clone().into_bytes()).zip(watched));
        self.bus.subscribe(channels).await?;
        self.read(scopes.into_iter().map(|(scope, _)| scope).collect()).await
    }

    /// Reads these scopes, each of which is known to have stood there.
    pub async fn read_anew(&mut self, scopes: Vec<(Scope, Option<Stamp>)>) -> Result<Vec<Heard>, LinkError> {
        for (scope, known) in &scopes {
            if let (Some(watched), Some(known)) = (self.watched.get_mut(self.key(scope).as_bytes()), known) {
                watched.is_at(*known);
            }
        }
        self.read(scopes.into_iter().map(|(scope, _)| scope).collect()).await
    }

    /// No longer.
    pub async fn unwatch(&mut self, scopes: &[Scope]) -> Result<(), LinkError> {
        let channels: Vec<String> = scopes.iter().map(|scope| self.key(scope)).collect();
        for (scope, channel) in scopes.iter().zip(&channels) {
            self.watched.remove(channel.as_bytes());
            self.lost.remove(scope);
        }
        // Without any it would be all of them.
        if channels.is_empty() { Ok(()) } else { self.bus.unsubscribe(channels).await }
    }

    /// What was said of each scope, altogether.
    pub(super) async fn read(&mut self, scopes: Vec<Scope>) -> Result<Vec<Heard>, LinkError> {
        let read = |scope| {
            let key = self.key(scope);
            let at = self.watched.get(key.as_bytes()).and_then(|watched| watched.at).unwrap_or_default();
            let question = self.read.on(&key).arg(draw()).arg(millis(KEPT)).arg(millis(EMPTY)).arg(PAGE);
            question.arg(at.generation).arg(at.version).arg(u8::from(self.has_people_in(&key)))
        };
        let questions: Vec<Question> = scopes.iter().map(read).collect();
        let (mut all, mut found) = (Vec::with_capacity(scopes.len()), Vec::new());
        for (scope, answer) in scopes.into_iter().zip(self.ask_each::<FirstPage>(&questions).await?) {
            let key = self.key(&scope);
            let had = self.has_people_in(&key);
            all.push(match answer {
                Ok(first) => self.read_on(scope, first).await?,
                Err(error) => self.lose(scope, error)?,
            });
            if !had && self.has_people_in(&key) {
                found.push(self.standing(&key));
            }
        }
        // As they were said on an earlier way: until it is looked there the next time it may be forgotten.
        for answer in self.ask_each::<Value>(&found).await? {
            self.passed(answer)?;
        }
        Ok(all)
    }

    /// Of how many scopes it is not known who is there, and why of the first.
    pub fn lost(&self) -> Option<(usize, String)> {
        let (scope, why) = self.lost.first_key_value()?;
        Some((self.lost.len(), format!("{}: {why}", self.key(scope))))
    }

    /// The further pages of a scope.
    async fn read_on(&mut self, scope: Scope, first: FirstPage) -> Result<Heard, LinkError> {
        let (generation, version, mut cursor, fields, count) = first;
        let Some(stamp) = message::stamp(Some(&generation), Some(&version)) else {
            return Ok(self.lose_for(scope, "it is counted by something that is no number".to_owned()));
        };
        let key = self.key(&scope);
        let mut reading = Reading::new(scope.clone(), stamp);
        reading.take(&fields);
        let (mut pages, most) = (1, most_pages(count));
        while cursor != b"0" {
            if pages == most {
                return Ok(self.lose_for(scope, format!("it does not end within {most} pages of {PAGE} fields")));
            }
            pages += 1;
            self.go_on_living().await?;
            let next = cmd("HSCAN").arg(&key).arg(&cursor).arg("COUNT").arg(PAGE).to_owned();
            let mut answers = self.ask_each::<Page>(&[next.into()]).await?;
            match answers.pop().ok_or(LinkError::Closed)? {
                Ok((next, fields)) => {
                    reading.take(&fields);
                    cursor = next;
                }
                Err(error) => return self.lose(scope, error),
            }
            // Of what began anew some would be missing.
            if cursor == b"0" && !self.is_counted_from(&key, &generation).await? {
                return Ok(self.lose_for(scope, "it began anew while it was read".to_owned()));
            }
        }
        self.lost.remove(&scope);
        self.was_read(&scope);
        if let Some(watched) = self.watched.get_mut(key.as_bytes()) {
            (watched.at, watched.read, watched.is_quiet) = (Some(stamp), Some(stamp.generation), reading.count() == 0);
            watched.ours = reading.of(self.me);
        }
        Ok(reading.heard())
    }

    /// Whether the scope began anew since it was read, by what was answered to who said nothing new there; to others nothing is.
    pub(super) fn is_counted_otherwise(&self, scope: &Scope, answer: &Value) -> bool {
        let Value::Array(answer) = answer else { return false };
        let generation = match answer.first() {
            Some(Value::BulkString(generation)) => Some(generation.as_slice()),
            // It is gone.
            Some(_) => None,
            None => return false,
        };
        let now = message::stamp(generation, Some(b"0")).map(|stamp| stamp.generation);
        let watched = self.watched.get(self.key(scope).as_bytes());
        watched.is_some_and(|watched| watched.read.is_some() && watched.read != now)
    }

    pub(super) fn is_watched(&self, scope: &Scope) -> bool {
        self.watched.contains_key(self.key(scope).as_bytes())
    }

    /// Whether this node has said of anybody that he is there.
    fn has_people_in(&self, key: &str) -> bool {
        self.watched.get(key.as_bytes()).is_some_and(|watched| !watched.ours.is_empty())
    }

    /// Asks where the scope stands; where this node has people it is kept for longer by asking.
    pub(super) fn standing(&self, key: &str) -> Question {
        self.stand.on(key).arg(millis(KEPT)).arg(millis(EMPTY)).arg(u8::from(self.has_people_in(key)))
    }

    async fn is_counted_from(&mut self, key: &str, generation: &[u8]) -> Result<bool, LinkError> {
        let question = cmd("HGET").arg(key).arg("generation").to_owned();
        let answer = self.ask_each::<Option<Vec<u8>>>(&[question.into()]).await?.pop();
        Ok(matches!(answer, Some(Ok(Some(now))) if now == generation))
    }

    /// Which scopes are to be looked at with this beat.
    pub(super) fn due(&mut self, beats: usize) -> Vec<Scope> {
        if self.missed.swap(false, Ordering::Relaxed) {
            self.watched.values_mut().for_each(|watched| watched.is_quiet = false);
        }
        let is_due = |(channel, watched): &(&Vec<u8>, &Watched)| {
            let parts = if watched.is_quiet { QUIET_PARTS } else { PARTS };
            // Of a key, which is text.
            let part = std::str::from_utf8(channel).map_or(0, |key| part_of(key, parts));
            part == beats % parts && !self.lost.contains_key(&watched.scope)
        };
        self.watched.iter().filter(is_due).map(|(_, watched)| watched.scope.clone()).collect()
    }

    /// Where each of these scopes stands, by what was [answered](Circle::standing). Unless it `is_heard`, they are looked at as soon again.
    pub(super) fn stand(
        &mut self,
        scopes: &[Scope],
        answers: impl Iterator<Item = RedisResult<Value>>,
        is_heard: bool,
    ) -> Result<Vec<Heard>, LinkError> {
        let mut stands = Vec::with_capacity(scopes.len());
        for (scope, answer) in scopes.iter().zip(answers) {
            let standing = answer.and_then(|answer| Ok(Standing::from_redis_value(answer)?));
            stands.push(match standing {
                Ok((generation, version, fields)) => {
                    // Of one that is gone there is neither: nobody stands there.
                    let stamp = message::stamp(generation.as_deref(), version.as_deref()).unwrap_or_default();
                    if let Some(watched) = self.watched.get_mut(self.key(scope).as_bytes()) {
                        // What was missed is found at the second look.
                        watched.is_quiet = is_heard && fields <= COUNTS && watched.at == Some(stamp);
                        if is_heard {
                            watched.is_at(stamp);
                        }
                    }
                    if !is_heard {
                        continue;
                    }
                    Heard::Stands { scope: scope.clone(), stamp }
                }
                Err(error) => self.lose(scope.clone(), error)?,
            });
        }
        Ok(stands)
    }

    pub(super) fn lose(&mut self, scope: Scope, error: RedisError) -> Result<Heard, LinkError> {
        let error = self.of_one(error)?;
        Ok(self.lose_for(scope, error.to_string()))
    }

    fn lose_for(&mut self, scope: Scope, why: String) -> Heard {
        self.lost.insert(scope.clone(), why);
        Heard::Unknown(scope)
    }
}

/// Of a scope with so many fields. A page may bring half as many as it is asked for, and hardly any of a table that was much fuller once; some
/// more may come meanwhile.
fn most_pages(fields: usize) -> usize {
    64 + 16 * fields.div_ceil(PAGE)
}
