//! Nodes, the place where they meet, and whatever can happen to them.

use std::collections::VecDeque;

use super::{table::Table, *};

pub(super) const NODES: usize = 3;

/// A node, and what is on its way to it.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) presence: Presence,
    pub(super) model: Model,
    pub(super) told: Told,
    pub(super) coming: VecDeque<Heard>,
    /// With the generation that was read.
    pub(super) watched: BTreeMap<Scope, u64>,
    /// Found to be broken.
    pub(super) lost: BTreeSet<Scope>,
    pub(super) is_here: bool,
}

pub(super) struct World {
    pub(super) table: Table,
    pub(super) nodes: Vec<Node>,
    pub(super) now: Duration,
    pub(super) next: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    Step(usize, Step),
    /// So much is heard at once.
    Hear(usize, usize),
    Cut(usize),
    Mend(usize),
    Kill(usize),
    /// The table is empty; who keeps connected is not told so.
    Forget,
    /// The latest words of a scope are lost: with the way of all to it, or it is another server by now and nobody is told so.
    SetBack(usize, usize, bool),
    /// One scope can't be read or said any longer, and what is known of it may be gone.
    Break(usize, bool),
    Heal(usize),
    /// What was found broken is read anew, if it can be.
    Retry(usize),
    /// A node hears who lives.
    Beat(usize),
    /// Somebody on a node asks who is in a scope; or it looks over which of them nobody there minds.
    Watch(usize, usize),
    LookOver(usize),
    /// A scope in which no node that lives has anybody is forgotten.
    RunOut(usize),
}

/// Every scope there is.
pub(super) fn all_scopes() -> Vec<Scope> {
    let boards = (1..4).map(|board| Scope::Board(BoardId(board)));
    boards.chain(COMMUNITIES.map(|community| Scope::Community(community.into()))).collect()
}

pub(super) fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..NODES, any_step()).prop_map(|(node, step)| Event::Step(node, step)),
        8 => (0..NODES, 1usize..6).prop_map(|(node, count)| Event::Hear(node, count)),
        1 => (0..NODES).prop_map(Event::Cut),
        2 => (0..NODES).prop_map(Event::Mend),
        1 => (0..NODES).prop_map(Event::Kill),
        1 => Just(Event::Forget),
        2 => (0..all_scopes().len(), 1usize..5, any::<bool>())
            .prop_map(|(scope, words, breaks)| Event::SetBack(scope, words, breaks)),
        1 => (0..all_scopes().len(), any::<bool>()).prop_map(|(scope, forgets)| Event::Break(scope, forgets)),
        2 => (0..all_scopes().len()).prop_map(Event::Heal),
        2 => (0..NODES).prop_map(Event::Retry),
        4 => (0..NODES).prop_map(Event::Beat),
        2 => (0..NODES, 0..all_scopes().len()).prop_map(|(node, scope)| Event::Watch(node, scope)),
        2 => (0..NODES).prop_map(Event::LookOver),
        1 => (0..all_scopes().len()).prop_map(Event::RunOut),
    ]
}

impl World {
    pub(super) fn new() -> Self {
        let nodes = (0..NODES).map(|nth| Self::node(nth as u64)).collect();
        Self { table: Table::default(), nodes, now: Duration::ZERO, next: NODES as u64 }
    }

    pub(super) fn node(id: u64) -> Node {
        Node {
            id: NodeId(id),
            presence: Presence::among(GRACE, NodeId(id)),
            model: Model::default(),
            told: Told::default(),
            coming: VecDeque::new(),
            watched: BTreeMap::new(),
            lost: BTreeSet::new(),
            is_here: false,
        }
    }

    pub(super) fn happens(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Step(nth, step) => self.step(nth, &step)?,
            Event::Hear(nth, count) => {
                for _ in 0..count {
                    self.hear_next(nth)?;
                }
            }
            Event::Cut(nth) => self.cut(nth),
            Event::Mend(nth) => self.mend(nth),
            Event::Kill(nth) => {
                self.next += 1;
                self.nodes[nth] = Self::node(self.next);
            }
            Event::Forget => all_scopes().iter().for_each(|scope| self.table.forget(scope)),
            Event::SetBack(nth, words, breaks) => self.set_back(&all_scopes()[nth], words, breaks),
            Event::Break(nth, forgets) => {
                let scope = all_scopes().swap_remove(nth);
                if forgets {
                    self.table.forget(&scope);
                }
                self.table.broken.insert(scope);
            }
            Event::Heal(nth) => drop(self.table.broken.remove(&all_scopes()[nth])),
            Event::Retry(nth) => self.retry(nth),
            Event::Beat(nth) => self.beat(nth),
            Event::Watch(nth, scope) => self.nodes[nth].presence.watch(&all_scopes()[scope]),
            Event::LookOver(nth) => {
                let Node { presence, told, .. } = &mut self.nodes[nth];
                let gone = presence.forget_unless(|_| false);
                // Nobody is told of these.
                told.0.retain(|(scope, _)| !gone.contains(scope));
            }
            Event::RunOut(nth) => self.run_out(&all_scopes()[nth]),
        }
        for nth in 0..NODES {
            self.speak(nth);
        }
        Ok(())
    }

    pub(super) fn beat(&mut self, nth: usize) {
        if self.nodes[nth].is_here {
            let living = self.nodes.iter().map(|node| node.id).collect();
            self.nodes[nth].coming.extend([Heard::Nodes(living), Heard::Beat]);
        }
    }

    pub(super) fn run_out(&mut self, scope: &Scope) {
        let lives = |node: &NodeId| self.nodes.iter().any(|living| living.id == *node);
        let here = self.table.scopes.get(scope).map(|(_, members)| members);
        if !here.into_iter().flat_map(BTreeMap::values).flat_map(BTreeMap::keys).any(lives) {
            self.table.forget(scope);
        }
    }

    pub(super) fn cut(&mut self, nth: usize) {
        let node = &mut self.nodes[nth];
        if std::mem::take(&mut node.is_here) {
            node.coming.clear();
            node.coming.push_back(Heard::Away);
            node.watched.clear();
            node.lost.clear();
        }
    }

    pub(super) fn set_back(&mut self, scope: &Scope, words: usize, breaks: bool) {
        if breaks {
            (0..NODES).for_each(|nth| self.cut(nth));
        } else if let Some((stamp, _)) = self.table.scopes.get(scope) {
            // They have looked there since they read it: until then a word may be one that was read already.
            for node in self.nodes.iter_mut().filter(|node| node.watched.contains_key(scope)) {
                node.coming.push_back(Heard::Stands { scope: scope.clone(), stamp: *stamp });
            }
        }
        self.table.set_back(scope, words);
    }

    pub(super) fn mend(&mut self, nth: usize) {
        let node = &mut self.nodes[nth];
        if !std::mem::replace(&mut node.is_here, true) {
            node.coming.push_back(Heard::Here);
        }
    }

    pub(super) fn retry(&mut self, nth: usize) {
        for scope in std::mem::take(&mut self.nodes[nth].lost) {
            self.read(nth, scope);
        }
    }

    pub(super) fn read(&mut self, nth: usize, scope: Scope) {
        let is_broken = self.table.broken.contains(&scope);
        let node = &mut self.nodes[nth];
        if is_broken {
            node.lost.insert(scope.clone());
            node.coming.push_back(Heard::Unknown(scope));
        } else {
            node.lost.remove(&scope);
            let (stamp, members) = self.table.scope(&scope).clone();
            node.watched.insert(scope.clone(), stamp.generation);
            node.coming.push_back(Heard::Read { scope, stamp, members });
        }
    }

    pub(super) fn step(&mut self, nth: usize, step: &Step) -> Result<(), TestCaseError> {
        self.next += 1;
        let Node { presence, model, told, .. } = &mut self.nodes[nth];
        let keys: Vec<SocketKey> = model.sockets.keys().copied().collect();
        for moved in moves_of(step, &keys, SocketKey(self.next), model) {
            model.moved(&moved, self.now);
            told.hear(moves(presence, moved, self.now))?;
        }
        match step {
            Step::Dismiss(user) => {
                let user = UserId::from(USERS[*user]);
                model.lingers.retain(|(_, of), _| *of != user);
                presence.dismiss(&user);
                told.hear(presence.settle())?;
            }
            Step::Wait(ms) => self.now += Duration::from_millis(*ms),
            _ => {}
        }
        for node in &mut self.nodes {
            node.told.hear(ends(&mut node.presence, self.now))?;
        }
        Ok(())
    }

    pub(super) fn hear_next(&mut self, nth: usize) -> Result<(), TestCaseError> {
        let node = &mut self.nodes[nth];
        let Some(heard) = node.coming.pop_front() else { return Ok(()) };
        // Whoever was there before anybody here asked stands in the first list.
        if let Heard::Read { scope, members, .. } = &heard
            && node.presence.rolls.get(scope).is_some_and(|roll| !roll.shown)
        {
            node.told.0.extend(members.keys().map(|user| (scope.clone(), user.clone())));
        }
        let notices = node.presence.hear(heard);
        node.told.hear(notices)?;
        self.speak(nth);
        Ok(())
    }

    /// Carries what the node says to the table, and from there to whoever watches.
    pub(super) fn speak(&mut self, nth: usize) {
        let words = self.nodes[nth].presence.take_words();
        if !self.nodes[nth].is_here {
            return;
        }
        for word in words {
            match word {
                Word::Watch(scope, known) | Word::Read(scope, known) => {
                    self.nodes[nth].watched.entry(scope.clone()).or_default();
                    self.table.count_anew(&scope, known);
                    self.read(nth, scope);
                }
                Word::Unwatch(scope) => {
                    self.nodes[nth].watched.remove(&scope);
                    self.nodes[nth].lost.remove(&scope);
                }
                Word::Say { scope, .. } if self.table.broken.contains(&scope) => {
                    self.nodes[nth].lost.insert(scope.clone());
                    self.nodes[nth].coming.push_back(Heard::Unknown(scope));
                }
                Word::Say { scope, node, said } => {
                    let Some(heard) = self.table.say(scope.clone(), node, said) else {
                        // Where it began anew since it was read, it is read anew.
                        let now = self.table.scopes.get(&scope).map(|(stamp, _)| stamp.generation);
                        if self.nodes[nth].watched.get(&scope).copied() != now {
                            self.read(nth, scope);
                        }
                        continue;
                    };
                    let watching = self.nodes.iter_mut().filter(|node| node.watched.contains_key(&scope));
                    watching.for_each(|node| node.coming.push_back(heard.clone()));
                }
                Word::Seats(..) | Word::All => {}
            }
        }
    }

    /// All can be reached, and what each is told at every beat of its heart is told three times.
    pub(super) fn settles(&mut self) -> Result<(), TestCaseError> {
        let all = all_scopes();
        self.table.broken.clear();
        for nth in 0..NODES {
            self.mend(nth);
            all.iter().for_each(|scope| self.nodes[nth].presence.watch(scope));
        }
        for _ in 0..8 {
            let living: BTreeSet<NodeId> = self.nodes.iter().map(|node| node.id).collect();
            for nth in 0..NODES {
                self.speak(nth);
                self.retry(nth);
                while !self.nodes[nth].coming.is_empty() {
                    self.hear_next(nth)?;
                }
                for scope in &all {
                    let stamp = self.table.scope(scope).0;
                    self.nodes[nth].coming.push_back(Heard::Stands { scope: scope.clone(), stamp });
                }
                self.nodes[nth].coming.extend([Heard::Nodes(living.clone()), Heard::Beat]);
            }
        }
        for nth in (0..NODES).cycle().take(6 * NODES) {
            while !self.nodes[nth].coming.is_empty() {
                self.hear_next(nth)?;
            }
        }
        Ok(())
    }

    pub(super) fn present(&self) -> BTreeSet<(Scope, UserId)> {
        self.nodes.iter().flat_map(|node| node.model.present(self.now)).collect()
    }
}
