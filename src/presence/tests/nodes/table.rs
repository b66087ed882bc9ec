//! Where the nodes meet.

use super::*;

/// What was said of each scope, in one order.
#[derive(Default)]
pub(super) struct Table {
    pub(super) scopes: HashMap<Scope, (Stamp, Members)>,
    pub(super) generations: u64,
    /// How each scope was before each of its words, the latest last.
    pub(super) before: HashMap<Scope, Vec<(Stamp, Members)>>,
    /// Of these nothing can be read or said.
    pub(super) broken: BTreeSet<Scope>,
}

impl Table {
    pub(super) fn scope(&mut self, scope: &Scope) -> &mut (Stamp, Members) {
        self.scopes.entry(scope.clone()).or_insert_with(|| {
            self.generations += 1;
            (Stamp { generation: self.generations, version: 0 }, Members::new())
        })
    }

    /// Loses the latest words of a scope.
    pub(super) fn set_back(&mut self, scope: &Scope, words: usize) {
        let Some(before) = self.before.get_mut(scope) else { return };
        before.truncate((before.len() + 1).saturating_sub(words).max(1));
        if let Some(before) = before.pop() {
            self.scopes.insert(scope.clone(), before);
        }
    }

    /// In the same step in which it is read: where fewer words are counted than somebody knows of.
    pub(super) fn count_anew(&mut self, scope: &Scope, known: Option<Stamp>) {
        if !self.broken.contains(scope) && known.is_some_and(|known| self.scope(scope).0.is_before(known)) {
            self.generations += 1;
            self.scope(scope).0.generation = self.generations;
        }
    }

    pub(super) fn forget(&mut self, scope: &Scope) {
        self.scopes.remove(scope);
        self.before.remove(scope);
    }

    /// Nothing is heard of what is said of the dead for the second time.
    pub(super) fn say(&mut self, scope: Scope, node: NodeId, mut said: Vec<Said>) -> Option<Heard> {
        let here = self.scopes.get(&scope).map(|(_, members)| members);
        let is_here =
            |user: &UserId| here.and_then(|members| members.get(user)).is_some_and(|stays| stays.contains_key(&node));
        said.retain(|Said { user, stay, nth }| *nth != 0 || stay.is_some() || is_here(user));
        if said.is_empty() {
            return None;
        }
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
        Some(Heard::Said { scope, stamp, node, said })
    }
}
