//! What can't all be had, and who must not have it.

use super::*;

fn told_at(stage: &Stage) -> Since {
    Since::Cursor(stage.dispatcher.chronicle.cursor())
}

async fn recovered(stage: &mut Stage, since: Since) -> bool {
    let key = SocketKey(stage.next_key);
    stage.next_key += 1;
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    let seat = Seat::Board { permit: permit(1), typing: false };
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

/// Flags that a node reads ahead of their tick count at once, and for those who come from another node with that tick.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_across_a_change_of_flags_that_was_read_ahead() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    let change = Change::CommunityUpdated { community: "a".into(), settings_was: serde_json::json!({}) };
    stage.tick(forum.batch(1, &[Act::Post(1)])).await;
    let before = told_at(&stage);
    stage.tick(forum.batch(2, &[Act::Post(1)])).await;
    let mut first = forum.batch(3, &[Act::Post(1)]);
    let fence = Fence { changes: vec![(0, change.clone())], rows: Arc::clone(&first.rows) };
    first.ahead = Some(crate::batch::Ahead { fence, at: vec![DateTime::UNIX_EPOCH] });
    first.last = false;
    stage.tick(first).await;
    assert!(!recovered(&mut stage, before).await, "between two pages");
    stage.tick(forum.batch(3, &[])).await;
    let ahead = told_at(&stage);
    assert!(!recovered(&mut stage, before).await);
    assert!(recovered(&mut stage, ahead).await);
    let mut batch = forum.batch(4, &[]);
    batch.entries = vec![Entry { ordinal: 1, at: DateTime::UNIX_EPOCH, change }];
    batch.fence = crate::batch::fence_of(&batch.entries, &batch.rows);
    stage.tick(batch).await;
    assert!(!recovered(&mut stage, ahead).await, "on another node they were off until then");
    let after = told_at(&stage);
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
    let history = Bounds { records: 1, size: 1, missed: 1 };
    let options = Options { max_rooms: 10, merge_window: 50 * MS, history, patience: PATIENCE };
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
    let board = Seat::Board { permit: permit(1), typing: false };
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
    second.ahead = Some(crate::batch::Ahead { fence, at: vec![DateTime::UNIX_EPOCH] });
    second.rows = rows;
    stage.tick(second).await;
    stage.tick(forum.batch(2, &[Act::Post(1)])).await;
    let names: Vec<String> = stage.recorder.sent(key)[told..].iter().map(|got| got.event.clone()).collect();
    assert!(
        names.is_empty(),
        "neither anything of the board nor that he lost what he was never told is open: {names:?}"
    );
}

/// A board for the crew alone, and the socket of somebody who is of it, or is not.
async fn refreshed(stage: &mut Stage, key: SocketKey, crew: bool) -> Vec<(String, Value)> {
    let told = stage.recorder.sent(key).len();
    let closed = BoardFacts { rule: RoleRule::AnyOf(["crew".into()].into()), ..facts(2) };
    let refresh = Refresh {
        key,
        actor: Actor { roles: crew.then(|| "crew".into()).into_iter().collect(), ..actor() },
        community: Some(community()),
        boards: Arc::new(HashMap::from([(BoardId(1), facts(1)), (BoardId(2), closed)])),
        basis: stage.dispatcher.versions.basis(&[]),
        at: DateTime::UNIX_EPOCH,
    };
    stage.dispatcher.refresh(refresh).await.unwrap();
    stage.recorder.sent(key)[told..].iter().map(|got| (got.event.clone(), got.payload["boardId"].clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn another_token_takes_effect_in_one_step_both_ways() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    let key = SocketKey(1);
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    stage.join(key, Seat::Feed { permits: vec![permit(1)] }, Since::Now).await;
    let (granted, revoked) = ("board:accessGranted".to_owned(), "board:accessRevoked".to_owned());
    assert_eq!(refreshed(&mut stage, key, true).await, [(granted.clone(), 2.into())]);
    assert_eq!(refreshed(&mut stage, key, true).await, [], "nothing changed");
    let told = stage.recorder.sent(key).len();
    stage.tick(forum.batch(1, &[Act::Post(2)])).await;
    assert_eq!(stage.recorder.sent(key).len(), told + 1, "the feed follows");
    assert_eq!(refreshed(&mut stage, key, false).await, [(revoked.clone(), 2.into())]);
    let told = stage.recorder.sent(key).len();
    stage.tick(forum.batch(2, &[Act::Post(2)])).await;
    assert_eq!(stage.recorder.sent(key).len(), told, "nothing later is delivered");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_across_a_time_in_which_his_token_shut_him_out() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    let key = SocketKey(1);
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    refreshed(&mut stage, key, true).await;
    stage.tick(forum.batch(1, &[Act::Post(2)])).await;
    let before = told_at(&stage);
    refreshed(&mut stage, key, false).await;
    stage.tick(forum.batch(2, &[Act::Post(2), Act::Comment(0)])).await;
    refreshed(&mut stage, key, true).await;
    let after = told_at(&stage);
    let seats = || {
        let board = Seat::Board { permit: permit(2), typing: false };
        [board, Seat::Post { permit: permit(2), post: PostId(1) }, Seat::Feed { permits: vec![permit(1), permit(2)] }]
    };
    for seat in seats() {
        let told = stage.recorder.sent(key).len();
        stage.join(key, seat, before).await;
        let sent = stage.recorder.sent(key).split_off(told);
        assert_eq!(sent.iter().map(|got| got.payload["recovered"].clone()).collect::<Vec<_>>(), [false], "{sent:?}");
    }
    for board in [BoardId(1), BoardId(2)] {
        stage.dispatcher.rooms.evict(key, board);
    }
    stage.tick(forum.batch(3, &[Act::Post(2), Act::Comment(0)])).await;
    for (seat, missed) in seats().into_iter().zip(["board:newPost", "post:newComment", "ack"]) {
        let told = stage.recorder.sent(key).len();
        stage.join(key, seat, after).await;
        let sent = stage.recorder.sent(key).split_off(told);
        assert_eq!(sent[0].event, missed, "{sent:?}");
        assert_eq!(sent.last().unwrap().payload["recovered"], true, "what came since is his");
    }
    let board = Seat::Board { permit: permit(1), typing: false };
    let told = stage.recorder.sent(key).len();
    stage.join(key, board, before).await;
    assert_eq!(stage.recorder.sent(key)[told].payload["recovered"], true, "the other board was open all the time");
}

#[tokio::test(start_paused = true)]
async fn no_count_is_told_again_that_was_committed_while_a_token_shut_him_out() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    let key = SocketKey(1);
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    stage.tick(forum.batch(1, &[Act::Post(1), Act::Post(2)])).await;
    for tick in 2..4 {
        stage.tick(forum.batch(tick, &[Act::Vote(0)])).await;
    }
    stage.tick(forum.batch(4, &[Act::Vote(1)])).await;
    refreshed(&mut stage, key, true).await;
    let since = told_at(&stage);
    let Since::Cursor(Cursor { held_from: Some(_), .. }) = since else { panic!("a count of the other board waits") };
    stage.join(key, Seat::Board { permit: permit(2), typing: false }, since).await;
    let answer = stage.recorder.sent(key).pop().unwrap();
    assert_eq!((answer.event.as_str(), &answer.payload["recovered"]), ("ack", &Value::Bool(false)));
    assert!(!stage.recorder.sent(key).iter().any(|got| board_of(got) == Some(2) && is_count(got)));
}

#[tokio::test(start_paused = true)]
async fn another_token_is_not_judged_by_facts_that_have_changed() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let key = SocketKey(1);
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    let basis = stage.dispatcher.versions.basis(&[crate::versions::Subject::Community(&"a".into())]);
    stage.dispatcher.versions.bump(crate::versions::Subject::Community(&"a".into()), Tick(1));
    let (boards, at) = (Arc::default(), DateTime::UNIX_EPOCH);
    let refresh = Refresh { key, actor: actor(), community: Some(community()), boards, basis, at };
    assert_eq!(stage.dispatcher.refresh(refresh).await, Err(Stale));
}

#[tokio::test(start_paused = true)]
async fn who_is_deleted_on_his_way_in_is_not_let_in() {
    let deleted = Change::UserDeleted { user: "ada".into() };
    let emptied = Change::Reset { table: "users".to_owned() };
    for (change, bo_is_doubted) in [(deleted, false), (emptied, true)] {
        let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
        let key = SocketKey(1);
        // As the door takes it, before it asks whether he is there.
        let subject = (community().community, actor().user);
        let subjects = [crate::versions::Subject::Community(&subject.0), crate::versions::Subject::User(&subject.1)];
        let basis = stage.dispatcher.versions.basis(&subjects);
        let mut batch = Forum::default().batch(1, &[]);
        batch.entries = vec![Entry { ordinal: 1, at: DateTime::UNIX_EPOCH, change }];
        batch.fence = crate::batch::fence_of(&batch.entries, &batch.rows);
        stage.tick(batch).await;
        let arrival = Box::new(Arrival { key, actor: actor(), community: Some(community()), basis });
        let (reply, mut answer) = oneshot::channel();
        stage.dispatcher.serve(Request::Connect { arrival, reply }).await;
        assert_eq!(answer.try_recv(), Ok(Err(Stale)));
        assert!(stage.dispatcher.rooms.is_empty() && stage.recorder.sent(key).is_empty());
        assert!(stage.dispatcher.versions.may_have_departed(&"ada".into()), "so he is asked for now");
        assert_eq!(stage.dispatcher.versions.may_have_departed(&"bo".into()), bo_is_doubted);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_later_page_was_to_let_in_or_shut_out_is_settled_by_another_token() {
    // The tick opens the board to the crew, or shuts it to others, with its second page.
    let updated = |was: Value| Change::BoardUpdated {
        board: BoardId(2),
        was: crate::change::BoardWas { community: Some("a".into()), settings: was },
        told: false,
    };
    let closed = BoardFacts { rule: RoleRule::AnyOf(["crew".into()].into()), ..facts(2) };
    for (crew_before, was, at_once, behind_it) in [
        (true, serde_json::json!({"permissions": {"allowedRoles": ["mod"]}}), vec![], vec![]),
        (false, serde_json::json!({}), vec!["board:accessRevoked"], vec!["board:accessGranted"]),
    ] {
        let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
        let mut forum = Forum::default();
        let key = SocketKey(1);
        let roles = crew_before.then(|| "crew".into()).into_iter().collect();
        stage.dispatcher.connect(key, Actor { roles, ..actor() }, Some(community())).await;
        stage.join(key, Seat::Feed { permits: vec![] }, Since::Now).await;
        let mut rows = forum.rows();
        rows.facts.insert(BoardId(2), closed.clone());
        let rows = Arc::new(rows);
        let mut first = forum.batch(1, &[]);
        first.fence = Fence { changes: vec![(5, updated(was.clone()))], rows: Arc::clone(&rows) };
        first.rows = Arc::clone(&rows);
        first.last = false;
        stage.tick(first).await;
        let told = stage.recorder.sent(key).len();
        let events: Vec<String> =
            refreshed(&mut stage, key, !crew_before).await.into_iter().map(|(event, _)| event).collect();
        assert_eq!(events, at_once, "{was}");
        let mut second = forum.batch(1, &[]);
        second.entries = vec![Entry { ordinal: 5, at: DateTime::UNIX_EPOCH, change: updated(was) }];
        second.rows = rows;
        stage.tick(second).await;
        let events = names(&stage, key);
        assert_eq!(events[told..], [at_once, behind_it].concat(), "each once");
        stage.tick(forum.batch(2, &[Act::Post(2)])).await;
        let delivered = names(&stage, key).len() - events.len();
        assert_eq!(delivered, usize::from(!crew_before), "what is open now is delivered, and nothing else");
    }
}

pub(super) fn allowed(roles: &[&str]) -> Value {
    serde_json::json!({"permissions": {"allowedRoles": roles}})
}

/// Board 1 allowed these before.
pub(super) fn updated(was: &[&str]) -> Change {
    let was = crate::change::BoardWas { community: Some("a".into()), settings: allowed(was) };
    Change::BoardUpdated { board: BoardId(1), was, told: false }
}

/// In board 1 "bo" mentions "ada".
pub(super) fn mention(forum: &mut Forum, tick: i64) -> Batch {
    let mut batch = forum.batch(tick, &[Act::Comment(0)]);
    let mut rows = batch.rows.as_ref().clone();
    for row in rows.comments.values_mut() {
        row.author = Some(crate::contract::Person { user_id: "bo".into(), name: None, profile_picture_url: None });
        row.mentions = vec!["ada".into()];
    }
    batch.rows = Arc::new(rows);
    batch
}

/// Somebody who is connected and sits nowhere, in a forum with a post in board 1.
pub(super) async fn onlooker() -> (Stage, Forum, SocketKey) {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    stage.tick(forum.batch(1, &[Act::Post(1)])).await;
    let key = SocketKey(1);
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    (stage, forum, key)
}

pub(super) fn names(stage: &Stage, key: SocketKey) -> Vec<String> {
    stage.recorder.sent(key).iter().map(|got| got.event.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_mentioned_is_notified_if_he_may_open_the_board() {
    let (mut stage, mut forum, key) = onlooker().await;
    stage.tick(mention(&mut forum, 2)).await;
    assert_eq!(names(&stage, key), ["session:ready", "notification:new"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_let_in_further_on_in_the_tick_is_not_notified_of_what_comes_before() {
    let (mut stage, mut forum, key) = onlooker().await;
    let mut batch = mention(&mut forum, 2);
    batch.entries.push(Entry { ordinal: 2, at: DateTime::UNIX_EPOCH, change: updated(&["crew"]) });
    batch.fence = crate::batch::fence_of(&batch.entries, &batch.rows);
    stage.tick(batch).await;
    assert_eq!(names(&stage, key), ["session:ready", "board:accessGranted"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_late_is_judged_by_the_rights_of_its_tick() {
    let (mut stage, mut forum, key) = onlooker().await;
    // The rows are of a moment at which the board was opened; as of the tick it is closed.
    let mut shut = forum.batch(2, &[]);
    let mut rows = forum.rows();
    rows.facts.insert(BoardId(1), BoardFacts { rule: RoleRule::AnyOf(["crew".into()].into()), ..facts(1) });
    shut.rows = Arc::new(rows);
    shut.entries = vec![Entry { ordinal: 1, at: DateTime::UNIX_EPOCH, change: updated(&[]) }];
    shut.fence = crate::batch::fence_of(&shut.entries, &shut.rows);
    stage.tick(shut).await;
    let mut batch = mention(&mut forum, 3);
    let fence = Fence { changes: vec![(0, updated(&["crew"]))], rows: Arc::clone(&batch.rows) };
    batch.ahead = Some(crate::batch::Ahead { fence, at: vec![DateTime::UNIX_EPOCH] });
    stage.tick(batch).await;
    assert_eq!(names(&stage, key), ["session:ready", "board:accessRevoked"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_late_is_judged_by_every_moment_up_to_that_of_the_rows() {
    let (mut stage, mut forum, key) = onlooker().await;
    // Shut and opened again behind the tick, before its rows are read.
    let mut batch = mention(&mut forum, 2);
    let changes = vec![(0, updated(&[])), (1, updated(&["crew"]))];
    let fence = Fence { changes, rows: Arc::clone(&batch.rows) };
    batch.ahead = Some(crate::batch::Ahead { fence, at: vec![DateTime::UNIX_EPOCH; 2] });
    stage.tick(batch).await;
    assert_eq!(names(&stage, key), ["session:ready", "board:accessRevoked"]);
    let mut later = forum.batch(3, &[]);
    later.entries = (1..)
        .zip([updated(&[]), updated(&["crew"])])
        .map(|(ordinal, change)| Entry { ordinal, at: DateTime::UNIX_EPOCH, change })
        .collect();
    later.fence = crate::batch::fence_of(&later.entries, &later.rows);
    stage.tick(later).await;
    stage.tick(mention(&mut forum, 4)).await;
    let told = names(&stage, key);
    assert_eq!(told[2..], ["board:accessGranted", "notification:new"]);
}

#[tokio::test(start_paused = true)]
async fn whom_the_tick_shuts_out_is_not_told_that_a_post_left_the_board_later() {
    let (mut stage, mut forum, key) = onlooker().await;
    let post = PostId(*forum.posts.keys().next().unwrap());
    stage.join(key, Seat::Post { permit: permit(1), post }, Since::Now).await;
    // The tick shuts board 1. Behind it, and before its rows are read, the post moves into board 2, which is closed as well.
    let moved = forum.batch(3, &[Act::Move(0)]);
    let closed = |board| BoardFacts { rule: RoleRule::AnyOf(["crew".into()].into()), ..facts(board) };
    let mut rows = moved.rows.as_ref().clone();
    rows.facts.extend([(BoardId(1), closed(1)), (BoardId(2), closed(2))]);
    let rows = Arc::new(rows);
    let mut shut = forum.batch(2, &[]);
    shut.rows = Arc::clone(&rows);
    shut.entries = vec![Entry { ordinal: 1, at: DateTime::UNIX_EPOCH, change: updated(&[]) }];
    shut.fence = crate::batch::fence_of(&shut.entries, &shut.rows);
    let fence = Fence { changes: vec![(0, moved.entries[0].change.clone())], rows };
    shut.ahead = Some(crate::batch::Ahead { fence, at: vec![DateTime::UNIX_EPOCH] });
    stage.tick(shut).await;
    assert_eq!(names(&stage, key), ["session:ready", "ack", "board:accessRevoked"]);
}

#[tokio::test(start_paused = true)]
async fn while_rights_of_later_ticks_are_applied_nothing_is_known_of_how_long_they_hold() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    let board = crate::versions::Subject::Board(BoardId(1));
    let span = |stage: &Stage| stage.dispatcher.versions.span(board).map(|span| (span.since.0, span.upto.0));
    let was = || crate::change::BoardWas { community: Some("a".into()), settings: Value::Null };
    let change = || Change::BoardUpdated { board: BoardId(1), was: was(), told: false };
    assert_eq!(span(&stage), Some((0, 0)));
    // Tick 3 changes it, and ticks 1 and 2 are read so late that they show it.
    for tick in 1..2 {
        let mut late = forum.batch(tick, &[]);
        let fence = Fence { changes: vec![(1, change())], rows: Arc::clone(&late.rows) };
        late.ahead = Some(crate::batch::Ahead { fence, at: vec![DateTime::UNIX_EPOCH] });
        stage.tick(late).await;
        assert_eq!(span(&stage), None);
    }
    // A tick that is read in pages says so with its first one alone.
    let mut second = forum.batch(2, &[]);
    second.last = false;
    let fence = Fence { changes: vec![(1, change())], rows: Arc::clone(&second.rows) };
    second.ahead = Some(crate::batch::Ahead { fence, at: vec![DateTime::UNIX_EPOCH] });
    stage.tick(second).await;
    for last in [false, true] {
        stage.tick(Batch { last, ..forum.batch(2, &[]) }).await;
        assert_eq!(span(&stage), None, "the rows of further pages are as late");
    }
    let mut third = forum.batch(3, &[]);
    third.fence = Fence { changes: vec![(1, change())], rows: Arc::clone(&third.rows) };
    stage.tick(third).await;
    assert_eq!(span(&stage), Some((3, 3)));
    stage.tick(forum.batch(4, &[])).await;
    assert_eq!(span(&stage), Some((3, 4)));
    stage.tick(Batch { epoch: Epoch(8), ..forum.batch(2, &[]) }).await;
    assert_eq!(span(&stage), Some((2, 2)), "of the new epoch");
}

/// A batch of one change of board 1's rights, behind which the crew alone may open it, or everybody.
pub(super) fn of_rights(forum: &mut Forum, tick: i64, closed: bool) -> Batch {
    let crew = || serde_json::json!({"permissions": {"allowedRoles": ["crew"]}});
    let settings = if closed { serde_json::json!({}) } else { crew() };
    let was = crate::change::BoardWas { community: Some("a".into()), settings };
    let change = Change::BoardUpdated { board: BoardId(1), was, told: false };
    let mut batch = forum.batch(tick, &[]);
    let mut rows = forum.rows();
    let rule = if closed { RoleRule::of_settings(Some(&crew())) } else { RoleRule::Open };
    rows.facts.insert(BoardId(1), BoardFacts { rule, ..facts(1) });
    batch.rows = Arc::new(rows);
    batch.entries = vec![Entry { ordinal: 1, at: DateTime::UNIX_EPOCH, change }];
    batch.fence = crate::batch::fence_of(&batch.entries, &batch.rows);
    batch
}

#[tokio::test(start_paused = true)]
async fn a_count_that_is_held_back_when_rights_change_is_told_before_to_those_who_sit_there_and_to_nobody_else() {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let mut forum = Forum::default();
    let (stays, out) = (SocketKey(1), SocketKey(2));
    for key in [stays, out] {
        let actor = Actor { admin: key == stays, ..actor() };
        stage.dispatcher.connect(key, actor, Some(community())).await;
        stage.join(key, Seat::Feed { permits: vec![permit(1), permit(2)] }, Since::Now).await;
    }
    // One post in each board; the counts of the second begin to wait first.
    stage.tick(forum.batch(1, &[Act::Post(1), Act::Post(2), Act::Vote(0), Act::Vote(1)])).await;
    stage.tick(forum.batch(2, &[Act::Vote(1), Act::Vote(0)])).await;
    stage.tick(of_rights(&mut forum, 3, true)).await;
    stage.tick(forum.batch(4, &[Act::Vote(0)])).await;
    stage.tick(of_rights(&mut forum, 5, false)).await;
    stage.tick(forum.batch(6, &[Act::Post(1)])).await;
    let Since::Cursor(cursor) = told_at(&stage) else { unreachable!() };
    assert_eq!(cursor.held_from, Some(Tick(2)), "the second still waits");
    let counts = |stage: &Stage, key: SocketKey, from: usize| -> Vec<(i64, i64)> {
        let sent = stage.recorder.sent(key).split_off(from);
        let changed = sent.iter().filter(|got| got.event == "post:voteChanged");
        changed
            .map(|got| (got.payload["boardId"].as_i64().unwrap(), got.payload["newCount"].as_i64().unwrap()))
            .collect()
    };
    assert_eq!(counts(&stage, stays, 0), [(1, 1), (2, 1), (1, 2), (1, 3)]);
    assert_eq!(counts(&stage, out, 0), [(1, 1), (2, 1)]);
    // Nor is it told to whoever comes back by a cursor that says that counts were held back since.
    stage.wait(60 * MS).await;
    for key in [stays, out] {
        let sent = stage.recorder.sent(key).len();
        stage.dispatcher.rooms.leave_feed(key);
        stage.join(key, Seat::Feed { permits: vec![permit(1), permit(2)] }, Since::Cursor(cursor)).await;
        assert_eq!(counts(&stage, key, sent), [(2, 2)]);
        let answer = stage.recorder.sent(key).pop().unwrap();
        assert_eq!(answer.payload["recovered"], true, "{answer:?}");
    }
}
