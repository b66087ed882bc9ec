//! Who the clients are, and what they look at.

use std::fmt;

use rand::{Rng, seq::SliceRandom};

use crate::plan::{self, Stream};

/// What a client follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    Board(i32),
    Post(i32),
    /// Every board that is open to him.
    Feed,
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Board(board) => write!(f, "board {board}"),
            Self::Post(post) => write!(f, "post {post}"),
            Self::Feed => f.write_str("feed"),
        }
    }
}

/// One user with one browser.
#[derive(Clone, Debug, Default)]
pub struct Persona {
    pub user: String,
    pub community: String,
    pub roles: Vec<String>,
    pub admin: bool,
    pub rooms: Vec<Room>,
    /// Asks for its rooms again and again, where it sits in them too.
    pub knocks: bool,
}

impl fmt::Display for Persona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of community {}, roles {:?}", self.user, self.community, self.roles)?;
        if self.admin { f.write_str(", admin") } else { Ok(()) }
    }
}

/// The boards of `sql/content.sql`; board `n` holds posts `n - 1`, `n + 8` and `n + 17`.
pub const BOARDS: i32 = 9;
/// One more, whose door opens to those with this role, and shuts.
pub const DOOR: i32 = BOARDS + 1;
pub const KEY: &str = "key";
/// One in so many stands before it.
const KNOCKING: u64 = 6;
/// The posts of the beginning, which are never deleted.
pub const POSTS: i32 = 26;

/// So many people of a seed: some with a feed, some of them with one of its boards as well, some with boards, some with posts beside, and
/// some at the door.
pub fn personas(seed: u64, count: u64) -> Vec<Persona> {
    let mut draw = plan::stream(seed, Stream::Personas);
    (0..count)
        .map(|number| {
            let community = if draw.random_bool(0.65) { "a" } else { "b" };
            let roles = ["r1", "r2", "r3"].into_iter().filter(|_| draw.random_bool(0.5)).map(str::to_owned).collect();
            let mut boards: Vec<i32> = if community == "a" { vec![1, 2, 3, 4, 5, 9] } else { vec![5, 6, 7, 8, 9] };
            boards.shuffle(&mut draw);
            let mut rooms = Vec::new();
            if draw.random_bool(0.3) {
                rooms.push(Room::Feed);
                if draw.random_bool(0.4) {
                    rooms.push(Room::Board(boards[0]));
                }
            } else {
                rooms.extend(boards.iter().take(draw.random_range(1..=2)).map(|board| Room::Board(*board)));
            }
            if draw.random_bool(0.5) {
                let board = boards[draw.random_range(0..boards.len())];
                let post = board - 1 + BOARDS * draw.random_range(0..3);
                rooms.push(Room::Post(if post < 1 { BOARDS } else { post.min(POSTS) }));
            }
            let (admin, user) = (draw.random_bool(0.05), format!("c{number}"));
            if number % KNOCKING == KNOCKING - 1 {
                let (community, roles, rooms) = ("a".to_owned(), vec![KEY.to_owned()], vec![Room::Board(DOOR)]);
                return Persona { user, community, roles, admin: false, rooms, knocks: true };
            }
            Persona { user, community: community.to_owned(), roles, admin, rooms, knocks: false }
        })
        .collect()
}
