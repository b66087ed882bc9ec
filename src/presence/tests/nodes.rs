//! Several nodes that meet in one place, which may lose all it knows, and the way to which may break.

mod forgotten;

use std::collections::VecDeque;

use super::*;
use crate::circle::{Heard, Members, Stamp};

const NODES: usize = 3;

/// Where they meet: what was said of each scope, in one order.
#[derive(Default)]
struct Table {
    scopes: HashMap<Scope, (Stamp, Members)>,
    generations: u64,
    /// How each scope was before each of its words, the latest last.
    before: HashMap<Scope, Vec<(Stamp, Members)>>,
    /// Of these nothing can be read or said.
    broken: BTreeSet<Scope>,
}

impl Table {
    fn scope(&mut self, scope: &Scope) -> &mut (Stamp, Members) {
        self.scopes.entry(scope.clone()).or_insert_with(|| {
            self.generations += 1;
            (Stamp { generation: self.generations, version: 0 }, Members::new())
        })
    }

    /// Loses the latest words of a scope.
    fn set_back(&mut self, scope: &Scope, words: usize) {
        let Some(before) = self.before.get_mut(scope) else { return };
        before.truncate((before.len() + 1).saturating_sub(words).max(1));
        if let Some(before) = before.pop() {
            self.scopes.insert(scope.clone(), before);
        }
    }

    /// In the same step in which it is read: where fewer words are counted than somebody knows of.
    fn count_anew(&mut self, scope: &Scope, known: Option<Stamp>) {
        if !self.broken.contains(scope) && known.is_some_and(|known| self.scope(scope).0.is_before(known)) {
            self.generations += 1;
            self.scope(scope).0.generation = self.generations;
        }
    }

    fn forget(&mut self, scope: &Scope) {
        self.scopes.remove(scope);
        self.before.remove(scope);
    }

    fn say(&mut self, scope: Scope, node: NodeId, said: Vec<Said>) -> Heard {
        let before = self.scope(&scope).clone();
        self.before.entry(scope.clone()).or_default().push(before);
        let (stamp, members) = self.scope(&scope);
        stamp.version += 1;
        for Said { user, stay, .. } in &said {
            let stays = members.entry(user.clone()).or_default();
            match stay {
                Some(stay) => drop(stays.insert(node, stay.clone())),
                None => drop(stays.remove(&node)),
            }
            members.retain(|_, stays| !stays.is_empty());
        }
        let stamp = *stamp;
        Heard::Said { scope, stamp, node, said }
    }
}

/// A node, and what is on its way to it.
struct Node {
    id: NodeId,
    presence: Presence,
    model: Model,
    told: Told,
    coming: VecDeque<Heard>,
    watched: BTreeSet<Scope>,
    /// Found to be broken.
    lost: BTreeSet<Scope>,
    is_here: bool,
}

struct World {
    table: Table,
    nodes: Vec<Node>,
    now: Duration,
    next: u64,
}

#[derive(Clone, Debug)]
enum Event {
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
}

/// Every scope there is.
fn all_scopes() -> Vec<Scope> {
    let boards = (1..4).map(|board| Scope::Board(BoardId(board)));
    boards.chain(COMMUNITIES.map(|community| Scope::Community(community.into()))).collect()
}

fn any_event() -> impl Strategy<Value = Event> {
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
    ]
}

impl World {
    fn new() -> Self {
        let nodes = (0..NODES).map(|nth| Self::node(nth as u64)).collect();
        Self { table: Table::default(), nodes, now: Duration::ZERO, next: NODES as u64 }
    }

    fn node(id: u64) -> Node {
        Node {
            id: NodeId(id),
            presence: Presence::among(GRACE, NodeId(id)),
            model: Model::default(),
            told: Told::default(),
            coming: VecDeque::new(),
            watched: BTreeSet::new(),
            lost: BTreeSet::new(),
            is_here: false,
        }
    }

    fn happens(&mut self, event: Event) -> Result<(), TestCaseError> {
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
        }
        for nth in 0..NODES {
            self.speak(nth);
        }
        Ok(())
    }

    fn cut(&mut self, nth: usize) {
        let node = &mut self.nodes[nth];
        if std::mem::take(&mut node.is_here) {
            node.coming.clear();
            node.coming.push_back(Heard::Away);
            node.watched.clear();
            node.lost.clear();
        }
    }

    fn set_back(&mut self, scope: &Scope, words: usize, breaks: bool) {
        if breaks {
            (0..NODES).for_each(|nth| self.cut(nth));
        } else if let Some((stamp, _)) = self.table.scopes.get(scope) {
            // They have looked there since they read it: until then a word may be one that was read already.
            for node in self.nodes.iter_mut().filter(|node| node.watched.contains(scope)) {
                node.coming.push_back(Heard::Stands { scope: scope.clone(), stamp: *stamp });
            }
        }
        self.table.set_back(scope, words);
    }

    fn mend(&mut self, nth: usize) {
        let node = &mut self.nodes[nth];
        if !std::mem::replace(&mut node.is_here, true) {
            node.coming.push_back(Heard::Here);
        }
    }

    fn retry(&mut self, nth: usize) {
        for scope in std::mem::take(&mut self.nodes[nth].lost) {
            self.read(nth, scope);
        }
    }

    fn read(&mut self, nth: usize, scope: Scope) {
        let is_broken = self.table.broken.contains(&scope);
        let node = &mut self.nodes[nth];
        if is_broken {
            node.lost.insert(scope.clone());
            node.coming.push_back(Heard::Unknown(scope));
        } else {
            node.lost.remove(&scope);
            let (stamp, members) = self.table.scope(&scope).clone();
            node.coming.push_back(Heard::Read { scope, stamp, members });
        }
    }

    fn step(&mut self, nth: usize, step: &Step) -> Result<(), TestCaseError> {
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

    fn hear_next(&mut self, nth: usize) -> Result<(), TestCaseError> {
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
    fn speak(&mut self, nth: usize) {
        let words = self.nodes[nth].presence.take_words();
        if !self.nodes[nth].is_here {
            return;
        }
        for word in words {
            match word {
                Word::Watch(scope, known) | Word::Read(scope, known) => {
                    self.nodes[nth].watched.insert(scope.clone());
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
                    let heard = self.table.say(scope.clone(), node, said);
                    let watching = self.nodes.iter_mut().filter(|node| node.watched.contains(&scope));
                    watching.for_each(|node| node.coming.push_back(heard.clone()));
                }
                Word::Typing(_) | Word::Seats(_) | Word::All => {}
            }
        }
    }

    /// All can be reached, and what each is told at every beat of its heart is told three times.
    fn settles(&mut self) -> Result<(), TestCaseError> {
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

    fn present(&self) -> BTreeSet<(Scope, UserId)> {
        self.nodes.iter().flat_map(|node| node.model.present(self.now)).collect()
    }
}

fn converges(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut world = World::new();
    for event in events {
        world.happens(event)?;
    }
    world.settles()?;
    let truth = world.present();
    for node in &world.nodes {
        for (scope, roll) in &node.presence.rolls {
            let present: Vec<&UserId> = truth.iter().filter(|(of, _)| of == scope).map(|(_, user)| user).collect();
            let listed = node.presence.list(scope, usize::MAX, |_| false).expect("it is known");
            let users: Vec<&UserId> = listed.users.iter().map(|user| &user.user_id).collect();
            prop_assert_eq!(&users, &present, "{:?} of {:?}", scope, node.id);
            prop_assert_eq!(listed.count, present.len());
            prop_assert!(roll.is_known());
        }
        prop_assert_eq!(&node.told.0, &truth, "what was told is what is listed");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn all_nodes_come_to_the_truth_and_tell_each_transition_once(
        events in prop::collection::vec(any_event(), 1..120),
    ) {
        converges(events)?;
    }
}

/// Three nodes with somebody in a board on each, after what happened to where they meet, and their ways there: nobody is told anything.
fn is_no_news(happened: &[Event]) {
    is_no_news_in([0, 2, 1], [0; NODES], happened);
}

/// The nodes come back in this order; at each somebody opens so many more tabs before the next does.
fn is_no_news_in(order: [usize; NODES], tabs: [usize; NODES], happened: &[Event]) {
    let mut world = World::new();
    for (nth, user) in [(0, 0), (1, 1), (2, 2)] {
        world.happens(Event::Mend(nth)).unwrap();
        world.happens(Event::Hear(nth, 9)).unwrap();
        world.happens(Event::Step(nth, Step::Connect { user, community: 0, device: 0 })).unwrap();
        world.happens(Event::Step(nth, Step::Enter { socket: 0, board: 1 })).unwrap();
    }
    world.settles().unwrap();
    let there = world.present();
    assert_eq!(there.len(), 6);
    for node in &mut world.nodes {
        // From now on the least notice is one too many.
        assert_eq!(std::mem::take(&mut node.told.0), there);
    }
    for event in happened {
        world.happens(event.clone()).unwrap();
    }
    // Those who come back later are waited for, and one of them in vain.
    for nth in order {
        world.happens(Event::Mend(nth)).unwrap();
        world.happens(Event::Hear(nth, 20)).unwrap();
        for tab in 1..=tabs[nth] {
            world.happens(Event::Step(nth, Step::Connect { user: nth, community: 0, device: 0 })).unwrap();
            world.happens(Event::Step(nth, Step::Enter { socket: tab, board: 1 })).unwrap();
        }
    }
    world.settles().unwrap();
    assert!(world.nodes.iter().all(|node| node.told.0.is_empty()), "nothing was told");
    for node in &world.nodes {
        assert_eq!(node.presence.list(&Scope::Board(BoardId(1)), 9, |_| false).unwrap().count, 3);
    }
    assert!(world.table.scopes.values().all(|(_, members)| members.len() != 1 && members.len() != 2), "said again");
}

/// Of a place that forgot all, if those who were there say so again.
#[test]
fn what_was_forgotten_and_is_said_again_is_no_news() {
    is_no_news(&[Event::Forget, Event::Cut(0), Event::Cut(1), Event::Cut(2)]);
}

/// Of one that lost the latest words: an older copy of it has come in its place.
#[test]
fn what_was_set_back_and_is_said_again_is_no_news() {
    let board = all_scopes().iter().position(|scope| *scope == Scope::Board(BoardId(1))).unwrap();
    for words in 1..3 {
        for breaks in [false, true] {
            is_no_news(&[Event::SetBack(board, words, breaks)]);
        }
    }
}

/// A scope that nobody minds is forgotten only once what was said of it is taken back.
#[test]
fn a_scope_is_not_forgotten_before_its_people_are_taken_back() {
    let mut world = World::new();
    world.happens(Event::Mend(0)).unwrap();
    world.happens(Event::Hear(0, 9)).unwrap();
    world.happens(Event::Step(0, Step::Connect { user: 0, community: 0, device: 0 })).unwrap();
    world.settles().unwrap();
    world.happens(Event::Cut(0)).unwrap();
    world.happens(Event::Hear(0, 9)).unwrap();
    world.happens(Event::Step(0, Step::Gone(0))).unwrap();
    world.happens(Event::Step(0, Step::Wait(9_000))).unwrap();
    let community = Scope::Community(COMMUNITIES[0].into());
    assert!(!world.nodes[0].presence.forget_unless(|_| false).contains(&community), "Redis still names him");
    world.settles().unwrap();
    assert!(world.table.scopes.values().all(|(_, members)| members.is_empty()));
    assert!(!world.nodes[0].presence.forget_unless(|_| false).is_empty());
}

/// Whoever lives and is taken for dead says so.
#[test]
fn a_node_that_was_spoken_for_and_lives_says_that_its_people_are_there() {
    let mut world = World::new();
    world.happens(Event::Mend(0)).unwrap();
    world.happens(Event::Hear(0, 9)).unwrap();
    world.happens(Event::Step(0, Step::Connect { user: 0, community: 0, device: 0 })).unwrap();
    world.settles().unwrap();
    let scope = Scope::Community(COMMUNITIES[0].into());
    let heard = world.table.say(scope.clone(), NodeId(0), vec![Said { user: USERS[0].into(), stay: None, nth: 0 }]);
    world.nodes[0].coming.push_back(heard);
    world.settles().unwrap();
    assert_eq!(world.table.scope(&scope).1.len(), 1);
}

/// Nobody waits for what was just found to be unreadable.
#[test]
fn a_scope_that_cant_be_read_is_not_waited_for_until_it_is_read() {
    let scope = Scope::Board(BoardId(1));
    let mut presence = Presence::among(GRACE, NodeId(0));
    presence.watch(&scope);
    assert!(!presence.may_soon_know(&scope), "where nothing is heard");
    presence.hear(Heard::Here);
    assert!(presence.may_soon_know(&scope));
    presence.hear(Heard::Unknown(scope.clone()));
    assert!(!presence.may_soon_know(&scope) && !presence.knows(&scope));
    let read = |version| Heard::Read {
        scope: scope.clone(),
        stamp: Stamp { generation: 1, version },
        members: Members::new(),
    };
    presence.hear(read(1));
    assert!(!presence.may_soon_know(&scope) && presence.knows(&scope));
    // A word is missing, and it is read anew at once.
    presence.hear(Heard::Said {
        scope: scope.clone(),
        stamp: Stamp { generation: 1, version: 3 },
        node: NodeId(1),
        said: Vec::new(),
    });
    assert!(presence.may_soon_know(&scope));
}

/// Boards that somebody asked for, and nobody minds any longer, are forgotten whether they could be read or not.
#[test]
fn what_could_never_be_read_is_forgotten_once_nobody_minds_it() {
    let away = &mut World::new().nodes[0].presence;
    let boards: BTreeSet<Scope> = (1..1_000).map(|board| Scope::Board(BoardId(board))).collect();
    let asked = |presence: &mut Presence| boards.iter().for_each(|board| presence.watch(board));
    asked(away);
    let minded = |scope: &Scope| *scope == Scope::Board(BoardId(7));
    assert_eq!(away.forget_unless(minded).len(), 998);
    assert_eq!(away.rolls.len(), 1);
    assert!(away.take_words().is_empty(), "nobody hears it");

    away.hear(Heard::Here);
    away.take_words();
    asked(away);
    for scope in &boards {
        away.hear(Heard::Unknown(scope.clone()));
    }
    assert_eq!(away.take_words().len(), 998);
    assert_eq!(away.forget_unless(minded).len(), 998);
    assert!(away.take_words().iter().all(|word| matches!(word, Word::Unwatch(_))));
}
