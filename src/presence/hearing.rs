//! What is heard from where all nodes meet, and what a node says upon it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Meeting, Notice, Presence, Scope,
    living::Living,
    notices,
    roll::{Missed, Passed, Roll},
};
use crate::{
    circle::{Heard, Members, Said, Stamp, Word},
    ids::{NodeId, UserId},
};

impl Presence {
    /// Takes what was heard there; what is to be told of it.
    pub fn hear(&mut self, heard: Heard) -> Vec<Notice> {
        match heard {
            Heard::Said { scope, stamp, node, said } => return self.hear_said(scope, stamp, node, said),
            Heard::Read { scope, stamp, members } => return self.hear_read(scope, stamp, members),
            Heard::Stands { scope, stamp } => return self.hear_stands(scope, stamp),
            Heard::Unknown(scope) => {
                if let Some(roll) = self.rolls.get_mut(&scope) {
                    roll.cut_off();
                    roll.is_lost = true;
                }
            }
            Heard::Here => {
                if let Meeting::Among { here, words, .. } = &mut self.meeting {
                    *here = true;
                    words.clear();
                    words.extend(self.rolls.iter().map(|(scope, roll)| Word::Watch(scope.clone(), roll.known())));
                    words.push(Word::All);
                }
            }
            Heard::Nodes(living) => return self.speak_for_the_dead(living),
            Heard::Beat => return self.in_all(|me, roll| roll.beat(me)),
            // Not of who is here.
            Heard::Typing { .. } => {}
            Heard::Away => {
                self.rolls.values_mut().for_each(Roll::cut_off);
                if let Meeting::Among { here, words, living } = &mut self.meeting {
                    *here = false;
                    words.clear();
                    *living = Living::default();
                }
            }
        }
        Vec::new()
    }

    fn hear_said(&mut self, scope: Scope, stamp: Stamp, node: NodeId, said: Vec<Said>) -> Vec<Notice> {
        // Whoever speaks for a node that has died gives no numbers.
        if let Meeting::Among { living, .. } = &mut self.meeting
            && said.iter().any(|said| said.nth != 0)
        {
            living.said(node);
        }
        let Some(roll) = self.rolls.get_mut(&scope) else { return Vec::new() };
        let users: Vec<UserId> = said.iter().map(|said| said.user.clone()).collect();
        match roll.hear(self.me, node, stamp, said) {
            Ok(passed) => {
                if node == self.me {
                    // Another may have spoken for this node, taking it for dead.
                    self.correct(&scope, users);
                }
                notices(&scope, passed)
            }
            Err(Missed) => self.read_anew(scope),
        }
    }

    fn hear_read(&mut self, scope: Scope, stamp: Stamp, members: Members) -> Vec<Notice> {
        let Some(roll) = self.rolls.get_mut(&scope) else { return Vec::new() };
        let Ok(passed) = roll.read(self.me, stamp, members) else { return self.read_anew(scope) };
        let mut users: BTreeSet<UserId> = roll.said_by(self.me).into_iter().collect();
        users.extend(self.own.users(&scope).cloned());
        self.correct(&scope, users);
        if let Scope::Community(community) = &scope {
            let sits = |user: &UserId| Some((user.clone(), *self.own.stay(&scope, user)?.boards.first()?));
            let seats = self.own.users(&scope).filter_map(sits).collect();
            self.push(Word::Seats(community.clone(), seats));
        }
        notices(&scope, passed)
    }

    fn hear_stands(&mut self, scope: Scope, stamp: Stamp) -> Vec<Notice> {
        match self.rolls.get_mut(&scope).map(|roll| roll.stands_at(stamp)) {
            Some(Err(Missed)) => self.read_anew(scope),
            Some(Ok(())) | None => Vec::new(),
        }
    }

    fn read_anew(&mut self, scope: Scope) -> Vec<Notice> {
        let known = self.rolls.get(&scope).and_then(Roll::known);
        self.push(Word::Read(scope, known));
        Vec::new()
    }

    /// Says what is otherwise than it stands there of this node's users.
    fn correct(&mut self, scope: &Scope, users: impl IntoIterator<Item = UserId>) {
        for user in users {
            let stay = self.own.stay(scope, &user);
            self.say(scope.clone(), user, stay);
        }
    }

    /// Whoever was on a node that has died has gone, unless another has him.
    fn speak_for_the_dead(&mut self, lives: BTreeSet<NodeId>) -> Vec<Notice> {
        let Meeting::Among { living, .. } = &mut self.meeting else { return Vec::new() };
        // Where he was read, it was said afterwards who lives: at once he is spoken for only now, since until then he might have come back.
        let known = self.rolls.values().filter(|roll| roll.is_known());
        let dead = living.beat(self.me, lives, known.flat_map(Roll::nodes).collect());
        let mut told = Vec::new();
        for node in dead {
            told.extend(self.in_all(|me, roll| roll.bury(me, node)));
            let of_node = |roll: &Roll| roll.of_node(node).cloned().collect::<Vec<_>>();
            // Boards first: see [`Scope`].
            let dead: BTreeMap<Scope, Vec<UserId>> =
                self.rolls.iter().map(|(scope, roll)| (scope.clone(), of_node(roll))).collect();
            for (scope, users) in dead {
                for user in users {
                    self.push_said(scope.clone(), node, Said { user, stay: None, nth: 0 });
                }
            }
        }
        told
    }

    /// What passes in each scope; boards first: see [`Scope`].
    fn in_all(&mut self, passes: impl Fn(NodeId, &mut Roll) -> Vec<Passed>) -> Vec<Notice> {
        let passed = self.rolls.iter_mut().map(|(scope, roll)| (scope, passes(self.me, roll)));
        let passed: BTreeMap<&Scope, Vec<Passed>> = passed.filter(|(_, passed)| !passed.is_empty()).collect();
        passed.into_iter().flat_map(|(scope, passed)| notices(scope, passed)).collect()
    }
}
