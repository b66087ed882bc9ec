//! Facts of the access rule that one node read and all may use, in Redis: [`kept`] says what stands there.
//!
//! Invariants:
//! - a fact is taken only where this node knows that nothing changed it between the ticks for which it held and those told here
//!   ([`Span::meets`]): never by its age, and never because it was not withdrawn. So it does not matter whether Redis loses something,
//!   comes back from an old dump, or is written to late;
//! - what is taken is as of the ticks told here, like what the database is asked for, and what is joined on it is looked at once more by
//!   the dispatcher;
//! - what was kept here is known to be as the database had it for the whole span that stands with it. Of what changed while it was
//!   asked for, nothing is kept;
//! - only what a node sealed is taken. Everything else is odd, and asked for anew;
//! - what Redis does not answer in time, or not at all, the database is asked for. Nothing is guessed.
//!
//! A node that has begun at a tick takes nothing that was read before it: what changed until then was not told to it. After a change all
//! nodes need the facts anew; the first that reads them keeps them for the others.
//!
//! Depends on the versions of the dispatcher and on another [`FactStore`].

pub mod kept;
mod line;
mod written;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

pub use self::line::{KEPT_FOR, Keeper, LARGEST, WAITED_FOR};
use self::{
    kept::{Kept, Odd, Open, SEAL, Seals, Shown, Taken},
    line::{Found, Keep, Line, Wanted},
    written::Feed,
};
use super::url::RedisUrl;
use crate::{
    access::{BoardFacts, CommunityFacts},
    actor::Actor,
    dispatch::Reached,
    ids::{BoardId, CommunityId, PostId, SocketKey, UserId},
    ports::{FactStore, FactsError},
    span::Span,
    versions::Versions,
};

/// See the module.
#[derive(Debug)]
pub struct SharedFacts<F> {
    database: F,
    shared: Option<Shared>,
}

/// Where facts are shared.
#[derive(Debug)]
pub struct Shared {
    line: Line,
    seals: Seals,
    versions: Arc<Versions>,
    told: AtomicBool,
}

/// What the database is to be asked for.
#[derive(Debug, Default)]
struct Missing {
    /// For how long it was as it is before the question.
    before: Option<Span>,
    /// The seal of what stands there and can't be used.
    seal: String,
}

/// What Redis has of boards.
#[derive(Default)]
struct Seen {
    known: HashMap<BoardId, BoardFacts>,
    missing: BTreeMap<BoardId, Missing>,
    /// Communities of which it is not known what they show.
    missing_of: BTreeMap<CommunityId, Missing>,
    /// Boards that these may not show: for how long each was as it is before the question, and what stands of it, not looked at yet.
    unseen: Vec<(BoardId, Option<Span>, Found)>,
}

impl Seen {
    /// Whether the database need not be asked.
    fn is_all(&self) -> bool {
        self.missing.is_empty() && self.missing_of.is_empty()
    }

    /// What it is to be asked for.
    fn asked(&self) -> (BTreeSet<BoardId>, BTreeSet<CommunityId>) {
        let unseen = self.unseen.iter().map(|(board, ..)| *board);
        (self.missing.keys().copied().chain(unseen).collect(), self.missing_of.keys().cloned().collect())
    }
}

impl<F> SharedFacts<F> {
    /// Facts of the database, shared where there is something to share them by.
    pub fn new(database: F, shared: Option<Shared>) -> Self {
        Self { database, shared }
    }
}

impl Shared {
    /// Below `prefix`, as of what `versions` say has been told, which move before `reached` does; the keeper is to be run.
    pub fn new(
        url: RedisUrl,
        prefix: String,
        seals: Seals,
        versions: Arc<Versions>,
        reached: watch::Receiver<Reached>,
    ) -> (Self, Keeper) {
        let (line, keeper) = Line::new(url, prefix, Arc::clone(&versions), reached);
        (Self { line, seals, versions, told: AtomicBool::new(false) }, keeper)
    }

    /// What is there and holds, or how it is missing.
    fn take<K: Taken>(&self, of: &K::Of, found: Found) -> Result<K, Missing> {
        let before = self.versions.span(K::subject(of));
        let seal = match &found {
            Found::Values(values) => values.last().cloned().flatten(),
            _ => None,
        };
        let taken = match found {
            Found::Away => Err("away"),
            Found::Nothing => Err("miss"),
            Found::Odd => Err("odd"),
            Found::Values(values) => match self.seals.open::<K>(of, values) {
                Err(Odd) => Err("odd"),
                Ok((fact, span)) if before.is_some_and(|here| span.meets(&here)) => Ok(fact),
                Ok(_) => Err("old"),
            },
        };
        let outcome = *taken.as_ref().err().unwrap_or(&"hit");
        metrics::counter!("curia_shared_facts_total", "outcome" => outcome).increment(1);
        if outcome == "odd" && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                key = K::key(of),
                "what stands in Redis was written by nobody who knows JWT_SECRET, or by another version of this program, and is left alone; does somebody else use this prefix?"
            );
        }
        // Of what is odd alone: else the newer counts.
        let seal = seal.filter(|seal| outcome == "odd" && seal.len() == SEAL);
        let seal = seal.and_then(|seal| String::from_utf8(seal).ok()).unwrap_or_default();
        taken.map_err(|_| Missing { before, seal })
    }

    /// Keeps what the database answered, where it is known for how long it held.
    fn keep<K: Kept>(&self, of: &K::Of, fact: &K, missing: Missing) {
        if let Some((keep, _)) = self.to_keep(of, fact, missing) {
            self.line.keep(keep);
        }
    }

    /// What was found of these boards, and of those that the communities show.
    ///
    /// Nobody may tell from the time it takes whether there is a board that his community is not shown: what stands of one is looked at
    /// only where it is known to be shown, which may be behind the reading.
    fn look(&self, named: Vec<(BoardId, Found)>, of: Vec<(CommunityId, Found)>) -> Seen {
        let (by_community, mut seen) = (!of.is_empty(), Seen::default());
        for (community, found) in of {
            match self.take::<Shown>(&community, found) {
                Ok(Shown(known)) => seen.known.extend(known),
                Err(lacking) => _ = seen.missing_of.insert(community, lacking),
            }
        }
        for (board, found) in named {
            if by_community && !seen.missing_of.is_empty() {
                seen.unseen.push((board, self.versions.span(BoardFacts::subject(&board)), found));
            } else if !by_community || seen.known.contains_key(&board) {
                // Of a board that is named, what stands of it alone counts.
                seen.known.remove(&board);
                match self.take::<BoardFacts>(&board, found) {
                    Ok(known) => _ = seen.known.insert(board, known),
                    Err(lacking) => _ = seen.missing.insert(board, lacking),
                }
            }
        }
        seen
    }

    /// That, with what the database answered, which is kept.
    fn complete(&self, seen: Seen, read: HashMap<BoardId, BoardFacts>) -> HashMap<BoardId, BoardFacts> {
        let Seen { mut known, mut missing, missing_of, unseen } = seen;
        for (board, before, found) in unseen {
            if read.contains_key(&board)
                && let Err(lacking) = self.take::<BoardFacts>(&board, found)
            {
                missing.insert(board, Missing { before, ..lacking });
            }
        }
        for (board, lacking) in missing {
            // That there is none is not kept: nobody asks for what his community is not shown.
            if let Some(fact) = read.get(&board) {
                self.keep(&board, fact, lacking);
            }
        }
        for (community, lacking) in missing_of {
            self.keep(&community, &Shown::of(&community, &read), lacking);
        }
        known.extend(read);
        known
    }

    /// For how long it held, too.
    fn to_keep<K: Kept>(&self, of: &K::Of, fact: &K, missing: Missing) -> Option<(Keep, Span)> {
        let after = self.versions.span(K::subject(of));
        let (before, after) = missing.before.zip(after)?;
        let span = Span::of_reading(&before, &after)?;
        let (key, values) = (K::key(of)?, self.seals.close(of, fact, span)?);
        Some((Keep { key, fields: K::FIELDS, values, instead_of: missing.seal, feed: None }, span))
    }

    async fn find(&self, wanted: Vec<Option<Wanted>>) -> Vec<Found> {
        let asked: Vec<bool> = wanted.iter().map(Option::is_some).collect();
        let mut found = self.line.find(wanted.into_iter().flatten().collect()).await.into_iter();
        asked.into_iter().map(|asked| if asked { found.next() } else { None }.unwrap_or(Found::Away)).collect()
    }
}

fn wanted<K: Kept>(of: &K::Of) -> Option<Wanted> {
    Some(Wanted { key: K::key(of)?, fields: K::FIELDS })
}

impl<F: FactStore> FactStore for SharedFacts<F> {
    async fn boards(
        &self,
        named: BTreeSet<BoardId>,
        of: BTreeSet<CommunityId>,
    ) -> Result<HashMap<BoardId, BoardFacts>, FactsError> {
        let Some(shared) = &self.shared else { return self.database.boards(named, of).await };
        let asked = named.iter().map(wanted::<BoardFacts>).chain(of.iter().map(wanted::<Shown>));
        let mut found = shared.find(asked.collect()).await.into_iter();
        let named = named.into_iter().zip(found.by_ref()).collect();
        let seen = shared.look(named, of.into_iter().zip(found).collect());
        if seen.is_all() {
            return Ok(seen.known);
        }
        let (boards, communities) = seen.asked();
        let read = self.database.boards(boards, communities).await?;
        Ok(shared.complete(seen, read))
    }

    async fn community(&self, id: CommunityId) -> Result<Option<CommunityFacts>, FactsError> {
        let Some(shared) = &self.shared else { return self.database.community(id).await };
        let found = shared.find(vec![wanted::<CommunityFacts>(&id)]).await.pop().unwrap_or(Found::Away);
        let missing = match shared.take::<CommunityFacts>(&id, found) {
            Ok(known) => return Ok(Some(known)),
            Err(missing) => missing,
        };
        let read = self.database.community(id.clone()).await?;
        // That there is none is not kept: anybody can ask for any id.
        if let Some(known) = &read {
            shared.keep(&id, known, missing);
        }
        Ok(read)
    }

    async fn user_exists(&self, user: UserId) -> Result<bool, FactsError> {
        self.database.user_exists(user).await
    }

    async fn board_of_post(&self, post: PostId) -> Result<Option<BoardId>, FactsError> {
        self.database.board_of_post(post).await
    }

    fn opened(&self, socket: SocketKey, actor: &Actor, boards: BTreeSet<BoardId>, before: Option<Span>) {
        let Some(shared) = &self.shared else { return };
        if let Some((keep, span)) = shared.to_keep(actor, &Open(boards), Missing { before, seal: String::new() }) {
            let feed = Feed { socket, community: actor.community.clone(), span };
            shared.line.keep(Keep { feed: Some(feed), ..keep });
        }
    }

    fn closed(&self, socket: SocketKey) {
        if let Some(shared) = &self.shared {
            shared.line.withdraw(socket);
        }
    }
}
