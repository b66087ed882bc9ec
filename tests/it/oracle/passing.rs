//! Who is here and who writes: what of it each has to be told, by who sat where before a step and sits where behind it.
//!
//! Of comings and goings those are told who sit there before and behind it. Over several nodes each shuts out and lets in when it comes to
//! that, so whoever does only one of both may be told by another that was sooner, and need not be.

use std::collections::BTreeSet;

use serde_json::Value;

/// An event without a cursor, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passing {
    name: String,
    user: String,
    board: Option<i64>,
    post: Option<i64>,
}

impl Passing {
    /// `None` of every other.
    pub fn read(frame: &str) -> Option<Self> {
        let parts: Vec<Value> = serde_json::from_str(frame.strip_prefix("42")?).expect("JSON");
        let name =
            parts[0].as_str().filter(|name| name.starts_with("user:") || name.starts_with("typing:"))?.to_owned();
        let of = |key: &str| parts[1][key].as_i64();
        let user = parts[1]["userId"].as_str().expect("a user").to_owned();
        Some(Self { name, user, board: of("boardId"), post: of("postId") })
    }

    fn of_scope((user, scope): &(String, Scope), came: bool) -> Self {
        let (name, board) = match (scope, came) {
            (Scope::Community(_), true) => ("user:online", None),
            (Scope::Community(_), false) => ("user:offline", None),
            (Scope::Board(board), true) => ("user:joinedBoard", Some((*board).into())),
            (Scope::Board(board), false) => ("user:leftBoard", Some((*board).into())),
        };
        Self { name: name.to_owned(), user: user.clone(), board, post: None }
    }
}

/// Where somebody is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Board(i32),
    Community(String),
}

/// Where one browser sits while it is here.
#[derive(Clone, Debug)]
pub struct Sitting {
    pub user: String,
    pub community: String,
    /// As whoever is in them is told.
    pub by_name: BTreeSet<i32>,
    /// In the rooms of which boards.
    pub boards: BTreeSet<i32>,
    pub posts: BTreeSet<i32>,
    /// In which boards it asked to be told who writes.
    pub typing: BTreeSet<i32>,
}

impl Sitting {
    fn is_told_of(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Board(board) => self.boards.contains(board),
            Scope::Community(community) => self.community == *community,
        }
    }
}

/// Somebody said that he writes, and that he has ended.
#[derive(Clone, Debug)]
pub struct Typed {
    pub user: String,
    pub post: i32,
    pub board: i32,
}

/// One step: where each browser sat and sits.
pub struct Passage {
    pub before: Vec<Option<Sitting>>,
    pub after: Vec<Option<Sitting>>,
    pub typed: Option<Typed>,
    pub nodes: usize,
}

impl Passage {
    /// What one browser has to be told, and what it may be.
    fn told(&self, who: usize) -> (Vec<Passing>, Vec<Passing>) {
        let Some(now) = &self.after[who] else { return Default::default() };
        let (was, is) = (present(&self.before), present(&self.after));
        let (mut due, mut allowed) = (Vec::new(), Vec::new());
        for of in was.symmetric_difference(&is).filter(|(user, _)| *user != now.user) {
            let passing = Passing::of_scope(of, is.contains(of));
            let told_before = self.before[who].as_ref().is_some_and(|before| before.is_told_of(&of.1));
            match (told_before, now.is_told_of(&of.1)) {
                (true, true) => due.push(passing),
                (false, false) => {}
                _ if self.nodes > 1 => allowed.push(passing),
                _ => {}
            }
        }
        if let Some(Typed { user, post, board }) = self.typed.as_ref().filter(|typed| typed.user != now.user)
            && (now.posts.contains(post) || now.typing.contains(board))
        {
            due.extend(["typing:start", "typing:stop"].map(|name| Passing {
                name: name.to_owned(),
                user: user.clone(),
                board: Some((*board).into()),
                post: Some((*post).into()),
            }));
        }
        (due, allowed)
    }

    /// Who is in a board by name, behind the step.
    pub fn viewers(&self, board: i32) -> BTreeSet<String> {
        let sitting = self.after.iter().flatten().filter(|sitting| sitting.by_name.contains(&board));
        sitting.map(|sitting| sitting.user.clone()).collect()
    }

    /// What one browser heard has to be exactly that; each once.
    pub fn is_heard(&self, who: usize, heard: &[Passing], late: &[Passing], at: &str) {
        let (mut due, allowed) = self.told(who);
        due.extend_from_slice(late);
        let mut more = heard.to_vec();
        for passing in &due {
            let found = more.iter().position(|heard| heard == passing);
            more.remove(found.unwrap_or_else(|| panic!("{at}: not told {passing:?} in {heard:?} of {due:?}")));
        }
        let unique: BTreeSet<_> = more.iter().collect();
        assert!(unique.len() == more.len() && more.iter().all(|more| allowed.contains(more)), "{at}: told {more:?}");
        let order = |passings: &[Passing]| -> Vec<Passing> {
            passings.iter().filter(|passing| passing.post.is_some()).cloned().collect()
        };
        assert_eq!(order(heard), order(&due), "{at}");
    }

    /// Of those in a board whom the answer to a join did not name, its browser is told when they come to be known.
    pub fn late(&self, who: usize, board: i32, named: &BTreeSet<String>, at: &str) -> Vec<Passing> {
        let Some(sitting) = &self.after[who] else { return Vec::new() };
        let others = |users: BTreeSet<String>| users.into_iter().filter(|user| *user != sitting.user).collect();
        let (viewers, named): (BTreeSet<String>, BTreeSet<String>) =
            (others(self.viewers(board)), others(named.clone()));
        assert!(named.is_subset(&viewers), "{at}: named {named:?} in {board}, where {viewers:?} are");
        let late: Vec<String> = viewers.difference(&named).cloned().collect();
        assert!(late.is_empty() || self.nodes > 1, "{at}: {late:?} of {board} are not named");
        late.into_iter().map(|user| Passing::of_scope(&(user, Scope::Board(board)), true)).collect()
    }
}

fn present(sitting: &[Option<Sitting>]) -> BTreeSet<(String, Scope)> {
    let of = |sitting: &Sitting| {
        let boards = sitting.by_name.iter().map(|board| Scope::Board(*board));
        let scopes = boards.chain([Scope::Community(sitting.community.clone())]);
        scopes.map(|scope| (sitting.user.clone(), scope)).collect::<Vec<_>>()
    };
    sitting.iter().flatten().flat_map(of).collect()
}
