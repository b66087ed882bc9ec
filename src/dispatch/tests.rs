//! Whoever comes back is sent what he missed: against somebody who never left.

mod attendance;
mod cases;
mod midway;
mod once;

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
const PATIENCE: Patience =
    Patience { offline_grace: Duration::from_secs(5), typing_silence: Duration::from_secs(8), told_a_second: 20_000 };

/// What a socket was sent: name, payload, cursor, and the time at which it says that it was written.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    event: String,
    payload: Value,
    cursor: Option<String>,
    at: Option<String>,
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
        let text = frame.text().unwrap();
        let payload = serde_json::from_str(text.payload.get()).unwrap();
        let meta: Option<Value> = text.meta.as_ref().map(|meta| serde_json::from_str(meta.get()).unwrap());
        let of_meta = |name| meta.as_ref().map(|meta| meta[name].as_str().unwrap().to_owned());
        for key in to {
            let (event, payload) = (frame.name().to_owned(), Value::clone(&payload));
            self.push(*key, Got { event, payload, cursor: of_meta("cursor"), at: of_meta("at") });
        }
    }

    fn takes(&self, _: SocketKey, frames: usize, _: usize) -> bool {
        frames <= 1_000
    }

    fn waiting(&self, _: SocketKey) -> Option<u64> {
        None
    }

    fn expire(&self, key: SocketKey) {
        self.push(key, Got { event: "session:expired".to_owned(), payload: Value::Null, cursor: None, at: None });
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
            let row =
                CommentRow { comment, author: None, parent_author: None, mentions: Vec::new(), excerpt: String::new() };
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
            .map(|(change, ordinal)| Entry { ordinal, at: written(tick, ordinal), change })
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

/// Of each row another time.
fn written(tick: i64, ordinal: u32) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(tick, ordinal).unwrap()
}

fn facts(board: i32) -> BoardFacts {
    BoardFacts {
        board: BoardId(board),
        community: Some("a".into()),
        rule: RoleRule::Open,
        importers: Default::default(),
    }
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
    FeedThenBoard,
    /// The board is always joined without a cursor, and a little ahead of the feed.
    BoardAnewThenFeed,
}

impl Watched {
    /// How many joins it takes.
    fn rooms(self) -> usize {
        if matches!(self, Self::Board | Self::Feed) { 1 } else { 2 }
    }
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
        let options = Options { max_rooms: 10, merge_window: 50 * MS, history: bounds, patience: PATIENCE };
        let dispatcher = Dispatcher::new(recorder.clone(), Arc::default(), &options, EPOCH, Tick(0));
        Self { dispatcher, recorder, next_key: 1 }
    }

    async fn try_join(&mut self, key: SocketKey, seat: Seat, since: Since) -> Result<(), NotJoined> {
        let recorder = self.recorder.clone();
        let acknowledge = Box::new(move |answer: Result<Value, crate::contract::Failure>| {
            let payload = answer.unwrap();
            let cursor = Some(payload["cursor"].as_str().unwrap().to_owned());
            recorder.push(key, Got { event: "ack".to_owned(), payload, cursor, at: None });
        });
        let basis = self.dispatcher.versions.basis(&[]);
        let join = Box::new(Join { key, seat, since, basis, deeper: false, acknowledge });
        self.dispatcher.join(join).await.map_err(|(refused, _)| refused)
    }

    async fn join(&mut self, key: SocketKey, seat: Seat, since: Since) {
        self.try_join(key, seat, since).await.unwrap();
    }

    async fn connect(&mut self, browser: &mut Browser) {
        let key = SocketKey(self.next_key);
        self.next_key += 1;
        self.dispatcher.connect(key, actor(), Some(community())).await;
        let since = browser.cursor.as_deref().map_or(Since::Now, |cursor| Since::Cursor(cursor.parse().unwrap()));
        let board = || Seat::Board { permit: permit(1), typing: false };
        let feed = || Seat::Feed { permits: vec![permit(1), permit(2)] };
        match browser.watched {
            Watched::Board => self.join(key, board(), since).await,
            Watched::Feed => self.join(key, feed(), since).await,
            Watched::BoardThenFeed => {
                self.join(key, board(), since).await;
                self.join(key, feed(), since).await;
            }
            Watched::FeedThenBoard => {
                self.join(key, feed(), since).await;
                self.join(key, board(), since).await;
            }
            Watched::BoardAnewThenFeed => {
                self.join(key, board(), Since::Now).await;
                self.wait(30 * MS).await;
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
        once::assert_once(&sent);
        // A browser in two rooms goes on from where both are served: it does not take a cursor before its last answer.
        let answers = browser.watched.rooms();
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
        2 => (0usize..5, any::<bool>(), 0usize..50).prop_map(|(browser, whole, keep)| Step::Cut { browser, whole, keep }),
        2 => (0usize..5).prop_map(|browser| Step::Connect { browser }),
    ]
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut stage = Stage::new(Bounds { records: 10_000, size: 1 << 20, missed: 1_000 });
    let mut forum = Forum::default();
    let browser = |watched| Browser { watched, key: None, cursor: None, received: Vec::new(), recovered: Vec::new() };
    let mut witnesses = [Watched::Board, Watched::Feed].map(browser);
    let both = [Watched::BoardThenFeed, Watched::FeedThenBoard, Watched::BoardAnewThenFeed];
    let mut browsers: Vec<Browser> = [Watched::Board, Watched::Feed].into_iter().chain(both).map(browser).collect();
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
        let answers = browser.watched.rooms();
        let anew = |answer: usize| matches!(browser.watched, Watched::BoardAnewThenFeed) && answer.is_multiple_of(2);
        let mut answers = browser.recovered.iter().enumerate().skip(answers);
        prop_assert!(answers.all(|(answer, recovered)| *recovered != anew(answer)), "{:?}", browser.recovered);
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
