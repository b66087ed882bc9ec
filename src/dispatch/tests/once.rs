//! An event reaches a connection once, also where two of its rooms have it, and what the second of them has missed was told in the first.

use std::collections::HashSet;

use super::*;

/// Each row has a time of its own, and each event that tells of it a name and a board.
pub(super) fn assert_once(sent: &[Got]) {
    let mut had = HashSet::new();
    for got in sent.iter().filter(|got| got.at.is_some()) {
        assert!(had.insert((&got.event, board_of(got), &got.at)), "twice on one connection: {got:?}\n{sent:#?}");
    }
}

/// What a join sent, up to its answer: name and count.
async fn joined(stage: &mut Stage, key: SocketKey, seat: Seat, since: Since) -> Vec<(String, Option<i64>)> {
    let before = stage.recorder.sent(key).len();
    stage.join(key, seat, since).await;
    stage.recorder.sent(key)[before..].iter().map(told).collect()
}

fn told(got: &Got) -> (String, Option<i64>) {
    (got.event.clone(), got.payload["newCount"].as_i64())
}

fn votes(count: i64) -> [(String, Option<i64>); 2] {
    ["post:voteAdded", "post:voteChanged"].map(|name| (name.to_owned(), Some(count)))
}

fn answer() -> (String, Option<i64>) {
    ("ack".to_owned(), None)
}

fn board() -> Seat {
    Seat::Board { permit: permit(1), typing: false }
}

fn feed() -> Seat {
    Seat::Feed { permits: vec![permit(1), permit(2)] }
}

/// Posts 1 and 2 of board 1; post 1 is hot: its second count waits since tick 3, and post 2 is told its one at tick 4.
async fn hot() -> (Stage, Forum) {
    let (mut stage, mut forum) = (Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 }), Forum::default());
    stage.tick(forum.batch(1, &[Act::Post(1), Act::Post(1)])).await;
    stage.tick(forum.batch(2, &[Act::Vote(0)])).await;
    stage.tick(forum.batch(3, &[Act::Vote(0)])).await;
    stage.tick(forum.batch(4, &[Act::Vote(1)])).await;
    (stage, forum)
}

async fn connected(stage: &mut Stage) -> SocketKey {
    let key = SocketKey(stage.next_key);
    stage.next_key += 1;
    stage.dispatcher.connect(key, actor(), Some(community())).await;
    key
}

fn now(stage: &Stage) -> Since {
    Since::Cursor(stage.dispatcher.chronicle.cursor())
}

#[tokio::test(start_paused = true)]
async fn a_count_that_is_told_again_comes_once_to_who_resumes_board_and_feed() {
    let orders: [fn() -> [Seat; 2]; 2] = [|| [board(), feed()], || [feed(), board()]];
    for order in orders {
        let (mut stage, mut forum) = hot().await;
        stage.tick(forum.batch(5, &[Act::Post(1)])).await;
        let since = now(&stage);
        stage.wait(60 * MS).await;
        let key = connected(&mut stage).await;
        let [first, second] = order();
        let again: Vec<_> = votes(1).into_iter().skip(1).chain(votes(2)).chain([answer()]).collect();
        assert_eq!(joined(&mut stage, key, first, since).await, again);
        assert_eq!(joined(&mut stage, key, second, since).await, [answer()]);
        assert_once(&stage.recorder.sent(key));
    }
}

#[tokio::test(start_paused = true)]
async fn a_count_that_came_live_is_not_told_again_nor_an_older_one_behind_it() {
    let (mut stage, _) = hot().await;
    let Since::Cursor(newest) = now(&stage) else { unreachable!() };
    let since = Since::Cursor(Cursor { place: Place::before(Tick(2)), held_from: None, ..newest });
    let key = connected(&mut stage).await;
    assert_eq!(joined(&mut stage, key, board(), Since::Now).await, [answer()]);
    // At the place up to which all had been told as it joined.
    stage.wait(60 * MS).await;
    let live: Vec<_> = stage.recorder.sent(key).iter().skip(2).map(told).collect();
    assert_eq!(live, votes(2));
    let missed: Vec<_> = votes(1).into_iter().chain([answer()]).collect();
    assert_eq!(joined(&mut stage, key, feed(), since).await, missed, "of the other post alone");
    assert_once(&stage.recorder.sent(key));
}

#[tokio::test(start_paused = true)]
async fn who_left_the_board_is_told_again_what_he_asks_for() {
    let (mut stage, _) = hot().await;
    let since = now(&stage);
    stage.wait(60 * MS).await;
    let key = connected(&mut stage).await;
    let first = joined(&mut stage, key, board(), since).await;
    assert_eq!(first.len(), 4);
    stage.dispatcher.rooms.leave_board(key, BoardId(1));
    assert_eq!(joined(&mut stage, key, board(), since).await, first);
}
