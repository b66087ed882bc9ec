//! Posts that move, against the rule asked of the board in which each stands at every moment.

use super::*;

const POSTS: [PostId; 2] = [PostId(7), PostId(8)];

/// A forum, and where its posts stand.
#[derive(Clone, Debug)]
struct Placed {
    forum: Forum,
    posts: BTreeMap<PostId, Option<BoardId>>,
}

#[derive(Clone, Debug)]
enum Step {
    Act(Act),
    Move(PostId, Option<i32>),
}

impl Placed {
    fn new() -> Self {
        let mut forum = Forum::new();
        // So that there is somebody who may open both.
        forum.changes(&Act::Import(2, "a", true));
        let posts = [(PostId(7), Some(BoardId(1))), (PostId(8), Some(BoardId(2)))].into();
        Self { forum, posts }
    }

    fn changes(&mut self, step: &Step) -> Vec<Change> {
        match step {
            Step::Act(act) => self.forum.changes(act),
            Step::Move(post, to) => {
                let to = to.map(BoardId);
                let from = self.posts.insert(*post, to).unwrap();
                if from == to { Vec::new() } else { vec![Change::PostMoved { post: *post, from, to }] }
            }
        }
    }

    fn opens(&self, actor: &Actor, post: PostId) -> bool {
        self.posts[&post].is_some_and(|board| self.forum.opens(actor, board))
    }

    fn rows(&self) -> Rows {
        let head = |board| PostHead { board, upvotes: 0, comments: 0, author: None };
        Rows { heads: self.posts.iter().map(|(post, board)| (*post, head(*board))).collect(), ..self.forum.rows() }
    }

    /// Of a page that tells of comments alone: with what the rule asks of the boards in which the posts stand now.
    fn rows_of_comments(&self) -> Rows {
        let boards: BTreeSet<BoardId> = self.posts.values().copied().flatten().collect();
        let facts = boards.into_iter().map(|board| (board, self.forum.board_facts(board))).collect();
        Rows { heads: self.rows().heads, facts, ..Rows::default() }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let moved = (proptest::sample::select(&POSTS[..]), proptest::option::weighted(0.95, 1..3));
    prop_oneof![3 => any_act().prop_map(Step::Act), 2 => moved.prop_map(|(post, to)| Step::Move(post, to))]
}

/// Who sits in the rooms of posts.
struct Readers {
    rooms: Rooms,
    people: Vec<(SocketKey, Actor)>,
}

impl Readers {
    fn new(placed: &Placed) -> Self {
        let mut rooms = Rooms::new(200);
        let people: Vec<(SocketKey, Actor)> = (0..).map(SocketKey).zip(actors()).collect();
        for (key, actor) in &people {
            rooms.connect(*key, actor.clone(), placed.forum.community_facts(&actor.community), start());
        }
        let mut readers = Self { rooms, people };
        readers.come(placed);
        readers
    }

    /// Everybody who may joins, as on a node that is up to date.
    fn come(&mut self, placed: &Placed) {
        for (key, actor) in &self.people {
            for (post, board) in &placed.posts {
                let facts = board.map(|board| placed.forum.board_facts(board));
                let community = placed.forum.community_facts(&actor.community);
                if let Ok(permit) = decide(actor, facts.as_ref(), community.as_ref()) {
                    self.rooms.join_post(*key, &permit, *post, start()).unwrap();
                }
            }
        }
    }

    fn sits(&self, key: SocketKey, post: PostId) -> bool {
        self.rooms.members(&Room::Post(post)).contains(&key)
    }

    fn sitting(&self) -> BTreeSet<(SocketKey, PostId)> {
        POSTS
            .iter()
            .flat_map(|post| self.rooms.members(&Room::Post(*post)).into_iter().map(|key| (key, *post)))
            .collect()
    }
}

/// Those of whom it says that a post moved out of their reach, with the board from which.
fn moved_out(
    verdicts: &BTreeMap<u32, Vec<(PostId, SocketKey)>>,
    fence: &Fence,
) -> Vec<(SocketKey, PostId, Option<BoardId>)> {
    let from = |ordinal: u32, post: PostId| {
        let (_, change) = fence.changes.iter().find(|(of, _)| *of == ordinal).unwrap();
        let Change::PostMoved { post: moved, from, .. } = change else { panic!("{change:?}") };
        assert_eq!(*moved, post);
        *from
    };
    verdicts
        .iter()
        .flat_map(|(ordinal, gone)| gone.iter().map(|(post, key)| (*key, *post, from(*ordinal, *post))))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// In a post's room stays exactly who may open the board in which it stands at the end of the tick, and at every moment from there to
    /// that of the rows; who goes is told, once, and nothing of a board that he was told is shut. Whom a comment calls is asked the same.
    #[test]
    fn in_a_posts_room_stays_whoever_may_read_it_where_it_stands_at_every_moment(
        ticks in proptest::collection::vec((proptest::collection::vec(any_step(), 1..4), 0usize..6), 1..8),
    ) {
        let mut placed = Placed::new();
        let mut states = vec![placed.clone()];
        let mut changes: Vec<Change> = Vec::new();
        let (mut ends, mut committed) = (Vec::new(), BTreeSet::new());
        for (steps, lag) in &ticks {
            for step in steps {
                let written = placed.changes(step);
                states.extend(std::iter::repeat_n(placed.clone(), written.len()));
                changes.extend(written);
                committed.insert(changes.len());
            }
            ends.push((changes.len(), *lag));
        }
        let mut readers = Readers::new(&states[0]);
        let (mut at, mut seen) = (0, 0);
        for (upto, lag) in ends {
            let began = std::mem::replace(&mut at, upto);
            seen = (at + lag).min(changes.len()).max(seen).max(at);
            seen = committed.range(seen..).next().copied().unwrap_or(seen);
            let rows = Arc::new(states[seen].rows());
            let (tick, ahead) = (fence(&changes[began..at], &rows), fence(&changes[at..seen], &rows));
            let before = readers.sitting();
            let (early, outlook) = match ahead.changes.is_empty() {
                true => Default::default(),
                false => ahead.shut_ahead(&tick, &mut readers.rooms, start()),
            };
            let verdicts = tick.shut(&outlook, &mut readers.rooms, start());

            let mut gone = moved_out(&verdicts.moved_out, &tick);
            gone.extend(moved_out(&verdicts.moved_ahead, &ahead));
            let shut = early.lost.values().chain(verdicts.lost.values()).flatten();
            let shut: BTreeSet<_> = shut.map(|(board, _, key)| (*key, *board)).collect();
            let moments = &states[at..=seen];
            for (key, actor) in &readers.people {
                for post in POSTS {
                    let may = moments.iter().all(|state| state.opens(actor, post));
                    let (sat, sits) = (before.contains(&(*key, post)), readers.sits(*key, post));
                    prop_assert_eq!(sits, sat && may, "{:?} {:?} of {:?}", post, key, states[at].posts);
                    let told: Vec<_> = gone.iter().filter(|(of, gone, _)| (of, *gone) == (key, post)).collect();
                    prop_assert!(told.len() <= usize::from(sat && !sits), "{told:?}");
                    let passed = states[began..=seen].iter().filter_map(|state| state.posts[&post]);
                    let seat = &readers.rooms.seats[key];
                    let told_shut = |board: &BoardId| shut.contains(&(*key, *board)) || seat.is_shut_out(*board);
                    let from_nowhere = states[began..=seen].iter().any(|state| state.posts[&post].is_none());
                    prop_assert!(!sat || sits || !told.is_empty() || from_nowhere || passed.clone().any(|board| told_shut(&board)));
                    prop_assert!(told.iter().all(|(.., from)| from.is_some_and(|from| !told_shut(&from))), "{told:?}");
                    if sits {
                        prop_assert_eq!(Some(seat.posts[&post].0), states[at].posts[&post]);
                    }
                    if let Some(board) = states[at].posts[&post] {
                        let called = Audience::User(actor.user.clone(), board);
                        let rows = states[seen].rows_of_comments();
                        let called = readers.rooms.sockets(&called, Topic::Boards, Some(post), &rows, &outlook);
                        prop_assert_eq!(called.contains(key), may, "{:?} {:?}", post, key);
                    }
                }
            }
            if seen == at {
                readers.come(&states[at]);
            }
        }
    }
}
