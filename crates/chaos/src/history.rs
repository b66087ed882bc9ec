//! What was committed, as the database itself noted it (`sql/history.sql`), and who could open what when. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::people::Persona;

/// Microseconds since 1970.
pub type Micros = i64;

/// `xmin:xmax:xip,...` as PostgreSQL writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    xmax: u64,
    running: BTreeSet<u64>,
}

impl Snapshot {
    /// `None` where the text is none.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (_, xmax, running) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let running = running.split(',').filter(|xid| !xid.is_empty()).map(|xid| xid.parse().ok());
        Some(Self { xmax, running: running.collect::<Option<_>>()? })
    }

    /// Whether it sees what this transaction committed, of one that did commit.
    pub fn sees(&self, xid: u64) -> bool {
        xid < self.xmax && !self.running.contains(&xid)
    }
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    PostCreated,
    PostUpdated,
    PostMoved,
    PostDeleted,
    Upvotes,
    Comments,
    Vote,
    CommentCreated,
    CommentUpdated,
    CommentDeleted,
    BoardCreated,
    BoardUpdated,
    BoardDeleted,
    Community,
    Import,
}

impl What {
    /// As `chaos.history` calls it.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "post_created" => Self::PostCreated,
            "post_updated" => Self::PostUpdated,
            "post_moved" => Self::PostMoved,
            "post_deleted" => Self::PostDeleted,
            "upvotes" => Self::Upvotes,
            "comments" => Self::Comments,
            "vote" => Self::Vote,
            "comment_created" => Self::CommentCreated,
            "comment_updated" => Self::CommentUpdated,
            "comment_deleted" => Self::CommentDeleted,
            "board_created" => Self::BoardCreated,
            "board_updated" => Self::BoardUpdated,
            "board_deleted" => Self::BoardDeleted,
            "community" => Self::Community,
            "import" => Self::Import,
            _ => return None,
        })
    }
}

/// One row of the history. `seq` gives the order of commits for whatever touches one board.
#[derive(Clone, Debug)]
pub struct Row {
    pub seq: i64,
    pub xid: u64,
    /// Sees what was committed before.
    pub snapshot: Snapshot,
    /// Just before the time that clients are told.
    pub at: Micros,
    pub what: What,
    pub board: Option<i32>,
    pub post: Option<i32>,
    pub comment: Option<i32>,
    pub data: Value,
}

impl Row {
    /// The title or content, unique in the run.
    pub fn stamp(&self) -> Option<&str> {
        self.data["stamp"].as_str()
    }

    /// Of a move: the board it left.
    pub fn from(&self) -> Option<i32> {
        self.data["from"].as_i64().and_then(|board| i32::try_from(board).ok())
    }

    /// Of a count: what it is now.
    pub fn count(&self) -> Option<i64> {
        self.data["count"].as_i64()
    }

    /// Of what changes a count of its post: which.
    fn counts(&self) -> Option<What> {
        match self.what {
            What::Vote => Some(What::Upvotes),
            What::CommentCreated | What::CommentDeleted => Some(What::Comments),
            _ => None,
        }
    }

    /// Of a deletion: whether it is told by what took it along.
    pub fn went_along(&self) -> bool {
        self.data["with_board"] == true || self.data["with_post"] == true
    }

    /// The row of the forum that it speaks of.
    pub fn id(&self) -> Option<i32> {
        match self.what {
            What::CommentCreated | What::CommentUpdated | What::CommentDeleted => self.comment,
            What::BoardCreated | What::BoardUpdated | What::BoardDeleted | What::Import => self.board,
            What::Community => None,
            _ => self.post,
        }
    }
}

/// Who may open it by role: `None` everybody.
type Rule = Option<BTreeSet<String>>;

fn rule(settings: &Value) -> Rule {
    let roles = settings["permissions"]["allowedRoles"].as_array().filter(|roles| !roles.is_empty())?;
    Some(roles.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn admits(rule: &Rule, persona: &Persona) -> bool {
    persona.admin || rule.as_ref().is_none_or(|roles| persona.roles.iter().any(|role| roles.contains(role)))
}

/// A value and since which row of the history.
type Since<T> = Vec<(i64, T)>;

fn as_of<T>(values: Option<&Since<T>>, seq: i64) -> Option<&T> {
    let values = values?;
    let count = values.partition_point(|(since, _)| *since <= seq);
    count.checked_sub(1).map(|at| &values[at].1)
}

/// The whole history, found by what is asked.
#[derive(Debug, Default)]
pub struct History {
    pub rows: Vec<Row>,
    /// By kind and id, in order.
    of: HashMap<(What, i32), Vec<usize>>,
    /// What changes a count of a post, in order.
    counted: HashMap<(What, i32), Vec<usize>>,
    by_stamp: HashMap<String, usize>,
    boards: HashMap<i32, Since<Option<(String, Rule)>>>,
    imports: BTreeMap<(i32, String), Since<bool>>,
    communities: HashMap<String, Since<Rule>>,
    /// Changes of who may open what, in order.
    rights: Vec<usize>,
}

impl History {
    /// Of rows in the order of their seq.
    pub fn new(rows: Vec<Row>) -> Self {
        let mut history = Self { rows, ..Self::default() };
        for at in 0..history.rows.len() {
            history.enter(at);
        }
        history
    }

    fn enter(&mut self, at: usize) {
        let row = &self.rows[at];
        if let Some(id) = row.id() {
            self.of.entry((row.what, id)).or_default().push(at);
        }
        if let Some(key) = row.counts().zip(row.post) {
            self.counted.entry(key).or_default().push(at);
        }
        if let Some(stamp) = row.stamp() {
            self.by_stamp.insert(stamp.to_owned(), at);
        }
        let community = row.data["community"].as_str().unwrap_or_default().to_owned();
        match (row.what, row.board) {
            (What::BoardCreated | What::BoardUpdated, Some(board)) => {
                let state = Some((community, rule(&row.data["settings"])));
                self.boards.entry(board).or_default().push((row.seq, state));
            }
            (What::BoardDeleted, Some(board)) => self.boards.entry(board).or_default().push((row.seq, None)),
            (What::Import, Some(board)) => {
                let active = row.data["active"] == true;
                self.imports.entry((board, community)).or_default().push((row.seq, active));
            }
            (What::Community, _) => {
                self.communities.entry(community).or_default().push((row.seq, rule(&row.data["settings"])));
            }
            _ => return,
        }
        self.rights.push(at);
    }

    /// Of one row of the forum, in order.
    pub fn of(&self, what: What, id: i32) -> impl DoubleEndedIterator<Item = &Row> {
        self.of.get(&(what, id)).into_iter().flatten().map(|at| &self.rows[*at])
    }

    /// The votes or the comments that change this count of a post, in order.
    pub fn counted(&self, count: What, post: i32) -> impl Iterator<Item = &Row> {
        self.counted.get(&(count, post)).into_iter().flatten().map(|at| &self.rows[*at])
    }

    /// The row that wrote this title or content.
    pub fn by_stamp(&self, stamp: &str) -> Option<&Row> {
        self.by_stamp.get(stamp).map(|at| &self.rows[*at])
    }

    /// The newest such row that was written before this time.
    pub fn told_at(&self, what: What, id: i32, at: Micros) -> Option<&Row> {
        self.of(what, id).take_while(|row| row.at <= at).last()
    }

    /// Whether the persona may open the board once row `seq` is committed (contract section 3, written down a second time).
    pub fn may_open(&self, persona: &Persona, board: i32, seq: i64) -> bool {
        let Some(Some((community, rule))) = as_of(self.boards.get(&board), seq) else { return false };
        let lent = || as_of(self.imports.get(&(board, persona.community.clone())), seq) == Some(&true);
        let of_community = as_of(self.communities.get(&persona.community), seq);
        (*community == persona.community || lent())
            && of_community.is_some_and(|rule| admits(rule, persona))
            && admits(rule, persona)
    }

    /// The changes of rights behind row `seq`, in order.
    pub fn rights_behind(&self, seq: i64) -> impl Iterator<Item = &Row> {
        let start = self.rights.partition_point(|at| self.rows[*at].seq <= seq);
        self.rights[start..].iter().map(|at| &self.rows[*at])
    }

    /// The changes of rights up to row `seq`, the newest first.
    pub fn rights_before(&self, seq: i64) -> impl Iterator<Item = &Row> {
        let end = self.rights.partition_point(|at| self.rows[*at].seq <= seq);
        self.rights[..end].iter().rev().map(|at| &self.rows[*at])
    }

    /// When the stay of a post in a board ended that began before row `seq`.
    pub fn stay_ended(&self, post: i32, board: i32, seq: i64) -> Option<&Row> {
        let moved = self.of(What::PostMoved, post).find(|row| row.seq > seq && row.from() == Some(board));
        let deleted = self.of(What::PostDeleted, post).find(|row| row.seq > seq);
        moved.into_iter().chain(deleted).min_by_key(|row| row.seq)
    }

    /// The board in which the post stands once row `seq` is committed.
    pub fn board_of(&self, post: i32, seq: i64) -> Option<i32> {
        let placed = [What::PostCreated, What::PostMoved].into_iter().flat_map(|what| self.of(what, post));
        placed.filter(|row| row.seq <= seq).max_by_key(|row| row.seq).and_then(|row| row.board)
    }
}
