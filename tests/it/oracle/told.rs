//! What each commit has to tell, and what of it whoever comes back has missed.

use std::{collections::BTreeSet, ops::Range};

use serde_json::Value;

use super::person::{Cursor, Joined, Person};

/// An event, as far as it is compared: its name, board and post, the count or the comment that it brings, and what it shows of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    pub name: String,
    pub board: Option<i64>,
    pub post: Option<i64>,
    pub detail: Option<i64>,
    /// Of a board, as JSON, where they are shown.
    pub settings: Option<String>,
    pub to: Option<To>,
    /// To whose admins alone it shows them.
    pub owner: Option<String>,
}

/// For whom an event is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    Board(i32),
    BoardAndPost(i32, i32),
    Post(i32),
    WhoMayOpen(i32),
    Community(String),
    User(String, i32),
}

/// One that came, with its cursor.
#[derive(Clone, Debug)]
pub struct Event {
    pub told: Told,
    cursor: String,
}

impl Event {
    /// `None` of one that carries no cursor: it is ephemeral.
    pub fn read(frame: &str) -> Option<Self> {
        let parts: Vec<Value> = serde_json::from_str(frame.strip_prefix("42")?).expect("JSON");
        let cursor = parts.get(2)?["cursor"].as_str()?.to_owned();
        let name = parts[0].as_str().expect("a name").to_owned();
        let payload = &parts[1];
        let of = |paths: &[&str]| paths.iter().find_map(|path| payload.pointer(path)?.as_i64());
        let board = of(&["/boardId", "/post/board_id", "/board/id"]);
        let post = of(&["/postId", "/post/id"]);
        let detail = of(&["/newCount", "/comment/id", "/commentId"]);
        let settings = payload.pointer("/board/settings").map(Value::to_string);
        Some(Self { told: Told { name, board, post, detail, settings, ..Told::default() }, cursor })
    }

    /// It was told when so much had been.
    pub fn cursor(&self, told: usize, step: usize) -> Cursor {
        Cursor { told, step, text: self.cursor.clone() }
    }
}

impl Told {
    pub fn of_board(name: &str, board: i32, to: To) -> Self {
        Self { name: name.to_owned(), board: Some(board.into()), to: Some(to), ..Self::default() }
    }

    pub fn of_post(name: &str, board: i32, post: i32, to: To) -> Self {
        Self { post: Some(post.into()), ..Self::of_board(name, board, to) }
    }

    pub fn with(self, detail: i32) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// It shows the settings of a board of this community, if it is anybody's.
    pub fn showing(self, settings: &Value, owner: Option<&str>) -> Self {
        Self { settings: Some(settings.to_string()), owner: owner.map(str::to_owned), ..self }
    }

    /// As it is shown to one person.
    fn shown_to(&self, person: &Person) -> Self {
        let full = self.owner.as_ref().is_some_and(|owner| person.is_admin_of(owner));
        Self { to: None, owner: None, settings: self.settings.clone().filter(|_| full), ..self.clone() }
    }
}

/// Everything that was told, with the commit that it came of.
#[derive(Debug, Default)]
pub struct Log {
    told: Vec<(usize, Told)>,
    commits: usize,
}

impl Log {
    pub fn len(&self) -> usize {
        self.told.len()
    }

    /// What one commit tells; how much has been told by now.
    pub fn enter(&mut self, told: Vec<Told>) -> usize {
        self.commits += 1;
        self.told.extend(told.into_iter().map(|told| (self.commits, told)));
        self.told.len()
    }

    /// Each with the number of those before it.
    pub fn range(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &Told)> {
        range.clone().zip(&self.told[range]).map(|(nth, (_, told))| (nth, told))
    }

    /// What was told in the room behind `from`, but for what this connection was sent and what has ended there.
    pub fn missed(&self, what: Joined, from: usize, boards: &BTreeSet<i32>, person: &Person) -> Vec<(usize, &Told)> {
        let in_room = |told: &Told| match (what, told.to.as_ref().expect("an audience")) {
            (Joined::Board(at), To::Board(board) | To::BoardAndPost(board, _)) => at == *board,
            (Joined::Post(at), To::Post(post) | To::BoardAndPost(_, post)) => at == *post,
            (Joined::Feed, To::Board(board) | To::BoardAndPost(board, _) | To::WhoMayOpen(board)) => {
                boards.contains(board)
            }
            _ => false,
        };
        let behind = self.range(from..self.len()).filter(|(_, told)| in_room(told));
        behind.filter(|(nth, told)| !person.was_sent(told, *nth) && !self.has_ended(told, *nth)).collect()
    }

    /// Whether the post has left the board since; that it did is told all the same.
    fn has_ended(&self, told: &Told, nth: usize) -> bool {
        let ends = |(_, later): (usize, &Told)| {
            later.name == "board:postDeleted" && (later.board, later.post) == (told.board, told.post)
        };
        told.name != "board:postDeleted" && told.post.is_some() && self.range(nth + 1..self.len()).any(ends)
    }

    /// What came has to be what was expected, commit by commit. Where a commit deletes several rows their order is the database's.
    pub fn same(&self, events: &[Event], expected: &[(usize, &Told)], person: &Person, at: &str) {
        let mut came: Vec<Told> = events.iter().map(|event| event.told.clone()).collect();
        let mut rest = came.as_mut_slice();
        let mut all = Vec::new();
        for commit in expected.chunk_by(|(one, _), (other, _)| self.told[*one].0 == self.told[*other].0) {
            let mut told: Vec<Told> = commit.iter().map(|(_, told)| told.shown_to(person)).collect();
            let (these, others) = rest.split_at_mut(told.len().min(rest.len()));
            if told.iter().all(|told| ["board:postDeleted", "board:deleted"].contains(&told.name.as_str())) {
                these.sort();
                told.sort();
            }
            all.extend(told);
            rest = others;
        }
        assert_eq!(came, all, "{at}");
    }
}

/// The boards that events of this name tell of, each once.
pub fn boards(events: &[Event], name: &str, at: &str) -> BTreeSet<i32> {
    let told: Vec<i64> =
        events.iter().filter(|event| event.told.name == name).map(|event| event.told.board.expect("a board")).collect();
    let unique: BTreeSet<i32> = told.iter().map(|board| i32::try_from(*board).expect("a board")).collect();
    assert_eq!(unique.len(), told.len(), "told once, {at}");
    unique
}
