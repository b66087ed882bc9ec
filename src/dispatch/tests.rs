//! Whoever comes back is sent what he missed: against somebody who never left.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use chrono::DateTime;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    access::{BoardFacts, RoleRule, decide},
    batch::Entry,
    change::Change,
    command::Since,
    contract::{Comment, Post, PostColumn},
    event::{CommentRow, PostHead, PostRow, Rows},
    fence::Fence,
    ids::{BoardId, CommentId, Cursor, PostId},
};

const EPOCH: Epoch = Epoch(7);
const MS: Duration = Duration::from_millis(1);

/// What a socket was sent: name, payload, cursor.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    event: String,
    payload: Value,
    cursor: Option<String>,
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<HashMap<SocketKey, Vec<Got>>>>);

impl Recorder {
    fn sent(&self, key: SocketKey) -> Vec<Got> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
    }

    fn push(&self, key: SocketKey, got: Got) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().push(got);
    }
}

impl EffectSink for Recorder {
    async fn emit(&self, to: &[SocketKey], frame: &Frame) {
        let payload = serde_json::from_str(frame.payload.get()).unwrap();
        let meta: Option<Value> = frame.meta.as_ref().map(|meta| serde_json::from_str(meta.get()).unwrap());
        let cursor = meta.map(|meta| meta["cursor"].as_str().unwrap().to_owned());
        for key in to {
            self.push(
                *key,
                Got { event: frame.event.to_owned(), payload: Value::clone(&payload), cursor: cursor.clone() },
            );
        }
    }

    fn takes(&self, _: SocketKey, frames: usize, _: usize) -> bool {
        frames <= 1_000
    }

    fn close(&self, _: SocketKey) {}
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    board: i32,
    votes: i32,
    comments: i32,
}

/// A forum of two boards; counts only rise, so that one that goes back is seen.
#[derive(Clone, Debug, Default)]
struct Forum {
    posts: BTreeMap<i32, Standing>,
    comments: BTreeMap<i32, i32>,
    next: i32,
}

#[derive(Clone, Debug)]
enum Act {
    Post(i32),
    Vote(usize),
    Comment(usize),
    Edit(usize),
    Retitle(usize),
    Uncomment(usize),
    Move(usize),
    Delete(usize),
}

impl Forum {
    fn post(&self, nth: usize) -> Option<i32> {
        self.posts.keys().nth(nth % self.posts.len().max(1)).copied()
    }

    fn comment(&self, nth: usize) -> Option<(i32, i32)> {
        self.comments.iter().nth(nth % self.comments.len().max(1)).map(|(comment, post)| (*comment, *post))
    }

    fn act(&mut self, act: &Act) -> Option<Change> {
        self.next += 1;
        Some(match *act {
            Act::Post(board) => {
                self.posts.insert(self.next, Standing { board, ..Standing::default() });
                Change::PostCreated { post: PostId(self.next), board: Some(BoardId(board)) }
            }
            Act::Vote(nth) => {
                let post = self.post(nth)?;
                self.posts.get_mut(&post)?.votes += 1;
                Change::VoteAdded { post: PostId(post) }
            }
            Act::Comment(nth) => {
                let post = self.post(nth)?;
                self.posts.get_mut(&post)?.comments += 1;
                self.comments.insert(self.next, post);
                Change::CommentCreated { comment: CommentId(self.next), post: PostId(post) }
            }
            Act::Edit(nth) => {
                let (comment, post) = self.comment(nth)?;
                Change::CommentUpdated { comment: CommentId(comment), post: PostId(post) }
            }
            Act::Retitle(nth) => {
                let post = self.post(nth)?;
                let board = Some(BoardId(self.posts[&post].board));
                Change::PostUpdated { post: PostId(post), board, columns: vec![PostColumn::Title] }
            }
            Act::Uncomment(nth) => {
                let (comment, post) = self.comment(nth)?;
                self.comments.remove(&comment);
                Change::CommentDeleted { comment: CommentId(comment), post: PostId(post) }
            }
            Act::Move(nth) => {
                let post = self.post(nth)?;
                let board = &mut self.posts.get_mut(&post)?.board;
                let from = *board;
                *board = 3 - from;
                Change::PostMoved { post: PostId(post), from: Some(BoardId(from)), to: Some(BoardId(*board)) }
            }
            Act::Delete(nth) => {
                let post = self.post(nth)?;
                let Standing { board, .. } = self.posts.remove(&post)?;
                self.comments.retain(|_, of| *of != post);
                Change::PostDeleted { post: PostId(post), board: Some(BoardId(board)) }
            }
        })
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::default();
        for (id, Standing { board, votes, comments }) in &self.posts {
            let (board, post) = (Some(BoardId(*board)), PostId(*id));
            rows.heads.insert(post, PostHead { board, upvotes: *votes, comments: *comments, author: None });
            let row = Post {
                id: post,
                author_user_id: None,
                title: None,
                content: None,
                content_truncated: false,
                tags: None,
                upvote_count: *votes,
                comment_count: *comments,
                board_id: board,
                lock_id: None,
                created_at: None,
                updated_at: None,
            };
            rows.posts.insert(post, PostRow { post: row, author: None });
        }
        for (id, post) in &self.comments {
            let comment = Comment {
                id: CommentId(*id),
                post_id: PostId(*post),
                author_user_id: None,
                parent_comment_id: None,
                content: None,
                content_truncated: false,
                created_at: None,
                updated_at: None,
            };
            let row = CommentRow { comment, author: None, parent_author: None, mentions: Vec::new() };
            rows.comments.insert(CommentId(*id), row);
        }
        for board in [1, 2] {
            rows.facts.insert(BoardId(board), facts(board));
        }
        rows
    }

    fn batch(&mut self, tick: i64, acts: &[Act]) -> Batch {
        let changes: Vec<Change> = acts.iter().filter_map(|act| self.act(act)).collect();
        let rows = Arc::new(self.rows());
        let entries: Vec<Entry> = changes
            .into_iter()
            .zip(1..)
            .map(|(change, ordinal)| Entry { ordinal, at: DateTime::UNIX_EPOCH, change })
            .collect();
        let fence = crate::batch::fence_of(&entries, &rows);
        Batch {
            epoch: EPOCH,
            tick: Tick(tick),
            entries,
            poison: Vec::new(),
            rows,
            fence,
            ahead: None,
            last: true,
            made: None,
        }
    }
}

fn facts(board: i32) -> BoardFacts {
    BoardFacts { board: BoardId(board), community: "a".into(), rule: RoleRule::Open, importers: Default::default() }
}

fn community() -> CommunityFacts {
    CommunityFacts { community: "a".into(), rule: RoleRule::Open, features: Features::ALL_ON }
}

fn actor() -> Actor {
    Actor {
        user: "ada".into(),
        community: "a".into(),
        roles: Default::default(),
        admin: false,
        name: None,
        picture: None,
        device: None,
        expires_at: DateTime::UNIX_EPOCH,
    }
}

fn permit(board: i32) -> crate::access::Permit {
    decide(&actor(), Some(&facts(board)), Some(&community())).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Watched {
    Board,
    Feed,
    BoardThenFeed,
}

/// A browser: connections come and go, what it was sent adds up.
struct Browser {
    watched: Watched,
    key: Option<SocketKey>,
    cursor: Option<String>,
    received: Vec<Got>,
    recovered: Vec<bool>,
}

struct Stage {
    dispatcher: Dispatcher<Recorder>,
    recorder: Recorder,
    next_key: u64,
}

impl Stage {
    fn new(bounds: Bounds) -> Self {
        let recorder = Recorder::default();
        let options = Options { max_rooms: 10, merge_window: 50 * MS, history: bounds };
        let dispatcher = Dispatcher::new(recorder.clone(), Arc::default(), &options, EPOCH, Tick(0));
        Self { dispatcher, recorder, next_key: 1 }
    }

    async fn join(&mut self, key: SocketKey, seat: Seat, since: Since) {
        let recorder = self.recorder.clone();
        let acknowledge = Box::new(move |answer: Result<Value, crate::contract::Failure>| {
            let payload = answer.unwrap();
            let cursor = Some(payload["cursor"].as_str().unwrap().to_owned());
            recorder.push(key, Got { event: "ack".to_owned(), payload, cursor });
        });
        let basis = self.dispatcher.versions.basis(&[]);
        self.dispatcher.join(Box::new(Join { key, seat, since, basis, deeper: false, acknowledge })).await.unwrap();
    }

    async fn connect(&mut self, browser: &mut Browser) {
        let key = SocketKey(self.next_key);
        self.next_key += 1;
        self.dispatcher.connect(key, actor(), Some(community())).await;
        let since = browser.cursor.as_deref().map_or(Since::Now, |cursor| Since::Cursor(cursor.parse().unwrap()));
        let board = || Seat::Board { permit: permit(1), typing: false, users: Vec::new(), user_count: 0 };
        let feed = || Seat::Feed { permits: vec![permit(1), permit(2)] };
        match browser.watched {
            Watched::Board => self.join(key, board(), since).await,
            Watched::Feed => self.join(key, feed(), since).await,
            Watched::BoardThenFeed => {
                self.join(key, board(), since).await;
                self.join(key, feed(), since).await;
            }
        }
        browser.key = Some(key);
    }

    /// The connection breaks after a part of what was sent on it; the last of all when `whole`.
    fn cut(&mut self, browser: &mut Browser, whole: bool, keep: usize) {
        let Some(key) = browser.key.take() else { return };
        self.dispatcher.rooms.disconnect(key);
        let sent = self.recorder.sent(key);
        // A browser in two rooms goes on from where both are served: it does not take a cursor before its last answer.
        let answers = if matches!(browser.watched, Watched::BoardThenFeed) { 2 } else { 1 };
        let served = sent.iter().enumerate().filter(|(_, got)| got.event == "ack").map(|(at, _)| at).nth(answers - 1);
        let least = if browser.cursor.is_none() || answers == 2 { served.unwrap() + 1 } else { 0 };
        let kept = if whole { sent.len() } else { least + keep % (sent.len() - least + 1) };
        for got in &sent[..kept] {
            match got.event.as_str() {
                "session:ready" => {}
                "ack" => {
                    browser.recovered.push(got.payload["recovered"] == true);
                    browser.cursor.clone_from(&got.cursor);
                }
                _ => {
                    browser.cursor.clone_from(&got.cursor);
                    browser.received.push(got.clone());
                }
            }
        }
    }

    async fn tick(&mut self, batch: Batch) {
        self.dispatcher.apply(batch).await;
    }

    async fn wait(&mut self, time: Duration) {
        tokio::time::advance(time).await;
        self.dispatcher.tell_due().await;
    }
}

fn is_count(got: &Got) -> bool {
    matches!(
        got.event.as_str(),
        "post:voteAdded" | "post:voteRemoved" | "post:voteChanged" | "post:commentCountChanged"
    )
}

/// Which count of which post.
fn counted(got: &Got) -> (bool, i64) {
    (got.event == "post:commentCountChanged", post_of(got))
}

fn post_of(got: &Got) -> i64 {
    let payload = &got.payload;
    payload["postId"].as_i64().or(payload["post"]["id"].as_i64()).unwrap()
}

fn board_of(got: &Got) -> Option<i64> {
    got.payload["boardId"].as_i64().or(got.payload["post"]["board_id"].as_i64())
}

/// Whether what `got` tells of has ended in its board by something later of `told`.
fn ended(got: &Got, told: &[Got]) -> bool {
    let board = board_of;
    told.iter()
        .any(|later| later.event == "board:postDeleted" && post_of(later) == post_of(got) && board(later) == board(got))
}

/// All but counts, once each and in the order of the witness; what is absent has ended. Counts never go back, and end as his do.
fn check(watched: Watched, received: &[Got], witness: &[Got]) -> Result<(), TestCaseError> {
    for board in [1, 2] {
        // Order holds within a room.
        let of_board = |told: &[Got]| -> Vec<Got> {
            told.iter().filter(|got| board_of(got) == Some(board) && !is_count(got)).cloned().collect()
        };
        check_order(watched, &of_board(received), &of_board(witness))?;
    }
    check_counts(watched, received, witness)
}

fn check_order(watched: Watched, received: &[Got], witness: &[Got]) -> Result<(), TestCaseError> {
    let mut rest = witness.iter().enumerate();
    for got in received {
        loop {
            let Some((at, told)) = rest.next() else {
                return Err(TestCaseError::fail(format!("{watched:?}: out of order, twice or never told: {got:?}")));
            };
            if told.event == got.event && told.payload == got.payload {
                break;
            }
            prop_assert!(ended(told, &witness[at + 1..]), "{watched:?}: lost {told:?}");
        }
    }
    for (at, told) in rest {
        prop_assert!(ended(told, &witness[at + 1..]), "{watched:?}: lost at the end {told:?}");
    }
    Ok(())
}

fn check_counts(watched: Watched, received: &[Got], witness: &[Got]) -> Result<(), TestCaseError> {
    let mut seen: HashMap<(bool, i64), i64> = HashMap::new();
    for got in received.iter().filter(|got| is_count(got)) {
        let count = got.payload["newCount"].as_i64().unwrap();
        let before = seen.insert(counted(got), count);
        prop_assert!(before <= Some(count), "{watched:?}: a count went back: {before:?} {got:?}");
    }
    let last: HashMap<(bool, i64), i64> = witness
        .iter()
        .enumerate()
        .filter(|(at, got)| is_count(got) && !ended(got, &witness[at + 1..]))
        .map(|(_, got)| (counted(got), got.payload["newCount"].as_i64().unwrap()))
        .collect();
    for (which, count) in last {
        prop_assert_eq!(seen.get(&which), Some(&count), "{:?}: the last count of {:?}", watched, which);
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Step {
    Tick(Vec<Act>),
    Wait(u64),
    Cut { browser: usize, whole: bool, keep: usize },
    Connect { browser: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    let nth = || 0usize..6;
    let act = prop_oneof![
        2 => (1i32..3).prop_map(Act::Post),
        6 => nth().prop_map(Act::Vote),
        3 => nth().prop_map(Act::Comment),
        1 => nth().prop_map(Act::Edit),
        1 => nth().prop_map(Act::Retitle),
        1 => nth().prop_map(Act::Uncomment),
        1 => nth().prop_map(Act::Move),
        1 => nth().prop_map(Act::Delete),
    ];
    prop_oneof![
        4 => proptest::collection::vec(act, 1..5).prop_map(Step::Tick),
        2 => (1u64..70).prop_map(Step::Wait),
        2 => (0usize..3, any::<bool>(), 0usize..50).prop_map(|(browser, whole, keep)| Step::Cut { browser, whole, keep }),
        2 => (0usize..3).prop_map(|browser| Step::Connect { browser }),
    ]
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut stage = Stage::new(Bounds { records: 10_000, size: 1 << 20, missed: 1_000 });
    let mut forum = Forum::default();
    let browser = |watched| Browser { watched, key: None, cursor: None, received: Vec::new(), recovered: Vec::new() };
    let mut witnesses = [Watched::Board, Watched::Feed].map(browser);
    let mut browsers = [Watched::Board, Watched::Feed, Watched::BoardThenFeed].map(browser);
    for browser in witnesses.iter_mut().chain(&mut browsers) {
        stage.connect(browser).await;
    }
    for (step, tick) in steps.into_iter().zip(1..) {
        match step {
            Step::Tick(acts) => stage.tick(forum.batch(tick, &acts)).await,
            Step::Wait(ms) => stage.wait(Duration::from_millis(ms)).await,
            Step::Cut { browser, whole, keep } => stage.cut(&mut browsers[browser], whole, keep),
            Step::Connect { browser } if browsers[browser].key.is_none() => stage.connect(&mut browsers[browser]).await,
            Step::Connect { .. } => {}
        }
    }
    stage.wait(200 * MS).await;
    for browser in browsers.iter_mut().filter(|browser| browser.key.is_none()) {
        stage.connect(browser).await;
    }
    for browser in witnesses.iter_mut().chain(&mut browsers) {
        stage.cut(browser, true, 0);
    }
    for browser in &browsers {
        let answers = if matches!(browser.watched, Watched::BoardThenFeed) { 2 } else { 1 };
        prop_assert!(browser.recovered.iter().skip(answers).all(|recovered| *recovered), "{:?}", browser.recovered);
        let witness = &witnesses[usize::from(!matches!(browser.watched, Watched::Board))];
        check(browser.watched, &browser.received, &witness.received)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// However often connections break, in the middle of whatever is being sent.
    #[test]
    fn whoever_comes_back_is_sent_what_he_missed_once_and_in_order(
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(steps))?;
    }
}

fn told_at(stage: &Stage) -> Since {
    Since::Cursor(stage.dispatcher.chronicle.cursor())
}

async fn recovered(stage: &mut Stage, since: Since) -> bool {
    let key = SocketKey(stage.next_key);
    stage.next_key += 1;
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    let seat = Seat::Board { permit: permit(1), typing: false, users: Vec::new(), user_count: 0 };
    stage.join(key, seat, since).await;
    stage.recorder.sent(key).last().unwrap().payload["recovered"] == true
}

#[tokio::test(start_paused = true)]
async fn what_cannot_all_be_had_is_not_half_replayed() {
    let mut stage = Stage::new(Bounds { records: 8, size: 1 << 20, missed: 4 });
    let mut forum = Forum::default();
    stage.tick(forum.batch(1, &[Act::Post(1)])).await;
    let early = told_at(&stage);
    for tick in 2..5 {
        stage.tick(forum.batch(tick, &[Act::Post(1)])).await;
    }
    assert!(recovered(&mut stage, early).await);
    stage.tick(forum.batch(5, &[Act::Post(1), Act::Post(1)])).await;
    assert!(!recovered(&mut stage, early).await, "five are more than four");
    let late = told_at(&stage);
    for tick in 6..15 {
        stage.tick(forum.batch(tick, &[Act::Post(2)])).await;
    }
    assert!(!recovered(&mut stage, late).await, "it has fallen out");
    let now = told_at(&stage);
    assert!(recovered(&mut stage, now).await);
    let Since::Cursor(cursor) = now else { unreachable!() };
    assert!(!recovered(&mut stage, Since::Cursor(Cursor { epoch: Epoch(8), ..cursor })).await, "another database");
    assert!(!recovered(&mut stage, Since::Unknown).await);
    assert!(!recovered(&mut stage, Since::Now).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_across_a_change_of_rights() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    stage.tick(forum.batch(1, &[Act::Post(1)])).await;
    let before = told_at(&stage);
    // Closed in one tick, opened in a later one: today it is open.
    let was = |allowed: &str| crate::change::BoardWas {
        community: Some("a".into()),
        settings: serde_json::json!({"permissions": {"allowedRoles": [allowed]}}),
    };
    let change = Change::BoardUpdated { board: BoardId(1), was: was("crew"), told: true };
    let mut batch = forum.batch(2, &[]);
    batch.entries = vec![Entry { ordinal: 1, at: DateTime::UNIX_EPOCH, change }];
    batch.fence = crate::batch::fence_of(&batch.entries, &batch.rows);
    stage.tick(batch).await;
    let after = told_at(&stage);
    stage.tick(forum.batch(3, &[Act::Post(1)])).await;
    assert!(!recovered(&mut stage, before).await);
    assert!(recovered(&mut stage, after).await);
}

#[tokio::test(start_paused = true)]
async fn a_reset_and_a_new_epoch_end_what_can_be_recovered() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    stage.tick(forum.batch(1, &[Act::Post(1)])).await;
    let before = told_at(&stage);
    let mut batch = forum.batch(2, &[]);
    batch.fence = Fence { changes: vec![(1, Change::Reset { table: String::new() })], rows: Arc::default() };
    stage.tick(batch).await;
    assert!(!recovered(&mut stage, before).await);
    let before = told_at(&stage);
    stage.tick(Batch::discontinuity(Epoch(8), Tick(0))).await;
    assert!(!recovered(&mut stage, before).await);
}

#[test]
fn facts_that_were_read_before_the_stream_was_taken_up_are_not_taken() {
    let versions = Arc::new(Versions::default());
    let basis = versions.basis(&[crate::versions::Subject::Board(BoardId(1))]);
    let options = Options { max_rooms: 10, merge_window: 50 * MS, history: Bounds { records: 1, size: 1, missed: 1 } };
    let _dispatcher = Dispatcher::new(Recorder::default(), Arc::clone(&versions), &options, EPOCH, Tick(3));
    assert!(!versions.still(&basis), "what changed between the reading and tick 3 is never told here");
}

#[tokio::test(start_paused = true)]
async fn who_sits_in_board_and_post_is_told_once_that_the_post_moved_out_of_reach() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    stage.tick(forum.batch(1, &[Act::Post(1)])).await;
    let key = SocketKey(1);
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    let board = Seat::Board { permit: permit(1), typing: false, users: Vec::new(), user_count: 0 };
    stage.join(key, board, Since::Now).await;
    stage.join(key, Seat::Post { permit: permit(1), post: PostId(1) }, Since::Now).await;
    let mut batch = forum.batch(2, &[Act::Move(0)]);
    let mut rows = forum.rows();
    rows.facts.remove(&BoardId(2));
    batch.fence.rows = Arc::new(rows);
    stage.tick(batch).await;
    let told = stage.recorder.sent(key).into_iter().filter(|got| got.event == "board:postDeleted");
    assert_eq!(told.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_let_in_by_an_earlier_page_when_the_board_was_shut_meanwhile() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    let key = SocketKey(1);
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    stage.join(key, Seat::Feed { permits: vec![permit(2)] }, Since::Now).await;
    let told = stage.recorder.sent(key).len();
    let settings = |allowed: &[&str]| serde_json::json!({"permissions": {"allowedRoles": allowed}});
    let updated = |was: &[&str]| {
        let was = crate::change::BoardWas { community: Some("a".into()), settings: settings(was) };
        Change::BoardUpdated { board: BoardId(1), was, told: false }
    };
    // The tick opens the board with its second page.
    let mut first = forum.batch(1, &[]);
    first.fence = Fence { changes: vec![(5, updated(&["crew"]))], rows: Arc::clone(&first.rows) };
    first.last = false;
    stage.tick(first).await;
    // That page is read anew, when the board is shut again.
    let mut rows = forum.rows();
    rows.facts.insert(BoardId(1), BoardFacts { rule: RoleRule::AnyOf(["crew".into()].into()), ..facts(1) });
    let rows = Arc::new(rows);
    let mut second = forum.batch(1, &[]);
    second.entries = vec![Entry { ordinal: 5, at: DateTime::UNIX_EPOCH, change: updated(&["crew"]) }];
    let fence = Fence { changes: vec![(1, updated(&[]))], rows: Arc::clone(&rows) };
    second.ahead = Some(crate::batch::Ahead { fence, at: DateTime::UNIX_EPOCH });
    second.rows = rows;
    stage.tick(second).await;
    let names: Vec<String> = stage.recorder.sent(key)[told..].iter().map(|got| got.event.clone()).collect();
    assert_eq!(names, ["board:accessRevoked"]);
    stage.tick(forum.batch(2, &[Act::Post(1)])).await;
    assert_eq!(stage.recorder.sent(key).len(), told + 1, "nothing of the board");
}
