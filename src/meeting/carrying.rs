//! What is done on one way to where all nodes meet, until it fails.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{pending, ready},
    mem,
    sync::atomic::Ordering,
};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{AT_ONCE, BEAT, Broken, Meeting, STEPS, TYPED, UNWATCHED, round};
use crate::{
    circle::{Heard, Word},
    http::readiness::State,
    redis::{
        circle::{Circle, LEASE, Published, Uttered},
        keeper::Worked,
    },
    typing,
};

/// How far one way has come.
struct Course {
    /// Still to be said.
    words: VecDeque<Word>,
    /// Just taken.
    steps: Vec<Vec<Word>>,
    /// Of who writes, still to be said.
    typed: Vec<typing::Heard>,
    beats: usize,
    /// When it was last known to be taken to live, and why not since.
    lived: Instant,
    beatless: Option<String>,
    /// Whether everything that this node minded at first was read, or found to be lost.
    has_read_all: bool,
    /// Not everything that the last beat brought has been looked at yet; and whether what is found is taken.
    looks: Option<bool>,
}

impl Course {
    fn new() -> Self {
        let (words, steps, typed) = (VecDeque::new(), Vec::new(), Vec::new());
        let (lived, beatless) = (Instant::now(), None);
        Self { words, steps, typed, beats: 0, lived, beatless, has_read_all: false, looks: None }
    }

    /// Whether there is something to be done without waiting for anything.
    fn has_work(&self, circle: &Circle, may_hear: bool) -> bool {
        let has_to_say = !self.words.is_empty() || !self.typed.is_empty();
        self.looks.is_some() || circle.has_to_keep() || may_hear && (has_to_say || circle.has_to_read())
    }
}

impl Meeting {
    /// Says and hears until something fails.
    pub(super) async fn meet(
        &mut self,
        circle: &mut Circle,
        published: &mut mpsc::Receiver<Published>,
        worked: &mut Worked,
    ) -> Result<Infallible, Broken> {
        // Others have to know that it lives before it says anything.
        circle.beat(LEASE).await?.map_err(Broken::Beatless)?;
        self.begin();
        let (mut beat, mut course) = (interval(BEAT), Course::new());
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            if self.overflown.load(Ordering::Relaxed) {
                return Err(Broken::Overflown);
            }
            let may_hear = !self.backlog.is_behind();
            let may_say = may_hear || self.backlog.begins();
            tokio::select! {
                biased;
                _ = beat.tick() => {
                    self.beat(circle, &mut course).await?;
                    worked.did();
                }
                () = self.backlog.hand_over() => {}
                // Before there is more to be said, and however much there is to be looked at.
                steps = self.words.recv_many(&mut course.steps, STEPS), if may_say && course.words.is_empty() => match steps {
                    // The dispatcher is gone; so will be this task.
                    0 => pending().await,
                    _ if self.backlog.begins() => course.steps.clear(),
                    _ => course.words.extend(course.steps.drain(..).flatten()),
                },
                1.. = self.typed.recv_many(&mut course.typed, TYPED), if may_hear && course.typed.is_empty() => {}
                // Round by round: however much there is of all, the beats go on, and what others say is heard.
                () = ready(()), if course.has_work(circle, may_hear) => {
                    if may_hear {
                        self.say(circle, &mut course).await?;
                        self.backlog.handing_over(circle.write(&mem::take(&mut course.typed))).await?;
                        self.hear_published(circle, published);
                    }
                    self.look(circle, published, &mut course).await?;
                }
                Some(first) = published.recv(), if may_hear => {
                    circle.hear(first).into_iter().for_each(|heard| self.backlog.push(heard));
                    self.hear_published(circle, published);
                }
                error = circle.closed() => return Err(error.into()),
            }
        }
    }

    /// What was said before is void, as the dispatcher is told.
    fn begin(&mut self) {
        for _ in 0..self.words.len() {
            let _ = self.words.try_recv();
        }
        for _ in 0..self.typed.len() {
            let _ = self.typed.try_recv();
        }
        self.overflown.store(false, Ordering::Relaxed);
        self.backlog.push(Heard::Here);
    }

    /// Says that this node lives, and hears which do; what is to be looked at with it follows.
    async fn beat(&mut self, circle: &mut Circle, course: &mut Course) -> Result<(), Broken> {
        match self.backlog.handing_over(circle.beat(LEASE)).await? {
            Ok(beat) if beat.lived => {
                course.lived = Instant::now();
                course.beatless = None;
                self.backlog.push(Heard::Nodes(beat.living));
            }
            Ok(_) => return Err(Broken::Buried),
            // By then the dead would be taken to be here.
            Err(error) if course.lived.elapsed() > LEASE => return Err(Broken::Beatless(error)),
            Err(error) => course.beatless = Some(error.to_string()),
        }
        course.beats += 1;
        circle.begin(course.beats);
        course.looks = Some(!self.backlog.is_behind());
        self.report(circle, course);
        Ok(())
    }

    /// Looks where the next part of the scopes stand, and keeps the next seats; behind the last scope the beat has passed, and what is
    /// lost is read.
    async fn look(
        &mut self,
        circle: &mut Circle,
        published: &mut mpsc::Receiver<Published>,
        course: &mut Course,
    ) -> Result<(), Broken> {
        if course.looks.is_some() || circle.has_to_keep() {
            // Asking keeps the scopes of this node's people, also where what is found can't be taken.
            let is_heard = course.looks.unwrap_or_default();
            let stands = self.backlog.handing_over(circle.look(is_heard)).await?;
            let has_passed = course.looks.is_some() && !circle.has_to_look();
            if is_heard {
                // What led there was published before.
                self.hear_published(circle, published);
                self.take(circle, course, stands);
                if has_passed {
                    self.backlog.push(Heard::Beat);
                    circle.begin_reading();
                }
            }
            if has_passed {
                course.looks = None;
            }
        }
        if circle.has_to_read() && !self.backlog.is_behind() {
            let read = self.backlog.handing_over(circle.read_lost()).await?;
            self.take(circle, course, read);
            self.report(circle, course);
        }
        Ok(())
    }

    /// Says the next of what is to be said, together what can be.
    async fn say(&mut self, circle: &mut Circle, course: &mut Course) -> Result<(), Broken> {
        let round = round::next(&mut course.words);
        if !round.is_empty() {
            let Uttered { lost, anew } = self.backlog.handing_over(circle.say(&round)).await?;
            self.take(circle, course, lost);
            course.words.extend(anew.into_iter().map(|scope| Word::Read(scope, None)));
            return Ok(());
        }
        let Some(word) = course.words.pop_front() else { return Ok(()) };
        let heard = match word {
            Word::Watch(scope, known) => {
                let new = round::alike((scope, known), &mut course.words, AT_ONCE, |word| match word {
                    Word::Watch(scope, known) => Some((scope.clone(), *known)),
                    _ => None,
                });
                self.backlog.handing_over(circle.watch(new)).await?
            }
            Word::Unwatch(scope) => {
                let old = round::alike(scope, &mut course.words, UNWATCHED, |word| match word {
                    Word::Unwatch(scope) => Some(scope.clone()),
                    _ => None,
                });
                self.backlog.handing_over(circle.unwatch(&old)).await?;
                Vec::new()
            }
            Word::Read(scope, known) => {
                let missed = round::alike((scope, known), &mut course.words, AT_ONCE, |word| match word {
                    Word::Read(scope, known) => Some((scope.clone(), *known)),
                    _ => None,
                });
                self.backlog.handing_over(circle.read_anew(missed)).await?
            }
            // Of nobody, or it would be in the round.
            Word::Say { .. } => Vec::new(),
            Word::Seats(community, seats) => {
                circle.sit(&community, seats);
                Vec::new()
            }
            Word::All => {
                course.has_read_all = true;
                self.report(circle, course);
                Vec::new()
            }
        };
        self.take(circle, course, heard);
        Ok(())
    }

    /// Takes what was answered.
    fn take(&mut self, circle: &Circle, course: &Course, heard: Vec<Heard>) {
        let is_lost = heard.iter().any(|heard| matches!(heard, Heard::Unknown(_)));
        heard.into_iter().for_each(|heard| self.backlog.push(heard));
        if is_lost {
            self.report(circle, course);
        }
    }

    /// Says in `/readyz` how it stands.
    fn report(&self, circle: &Circle, course: &Course) {
        if !course.has_read_all {
            return;
        }
        self.presence.set(match (circle.lost(), &course.beatless) {
            (None, None) => State::Ready,
            (Some((count, why)), _) => State::Degraded(format!(
                "who is here is not known of {count} boards or communities until they can be read; of all others it is; {why}"
            )),
            (None, Some(why)) => {
                State::Degraded(format!("it can't be told at the moment which nodes live; who is here is known; {why}"))
            }
        });
    }

    /// Takes what has been published so far.
    fn hear_published(&mut self, circle: &mut Circle, published: &mut mpsc::Receiver<Published>) {
        for _ in 0..published.len() {
            let Ok(published) = published.try_recv() else { return };
            circle.hear(published).into_iter().for_each(|heard| self.backlog.push(heard));
        }
    }
}
