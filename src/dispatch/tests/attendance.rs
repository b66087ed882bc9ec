//! Who is here and who writes, by the clock of the test.

use super::*;

const WRITER: SocketKey = SocketKey(1);
const READER: SocketKey = SocketKey(2);
const SECOND: Duration = Duration::from_secs(1);

fn board(typing: bool) -> Seat {
    Seat::Board { permit: permit(1), typing }
}

/// Both sit in board 1; the reader asked for typing. What was told on the way is forgotten.
async fn stage() -> Stage {
    let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    stage.dispatcher.connect(WRITER, Actor { user: "bo".into(), ..actor() }, Some(community())).await;
    stage.dispatcher.connect(READER, actor(), Some(community())).await;
    stage.join(WRITER, board(false), Since::Now).await;
    stage.join(READER, board(true), Since::Now).await;
    told(&stage);
    stage
}

/// What the reader was told since this was asked last.
fn told(stage: &Stage) -> Vec<String> {
    let mut all = stage.recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    let told = all.insert(READER, Vec::new()).unwrap_or_default();
    assert!(told.iter().all(|got| got.cursor.is_none() || !got.event.starts_with("user:")), "no meta");
    told.into_iter().map(|got| got.event).collect()
}

async fn writes(stage: &mut Stage) -> Result<(), NotTyping> {
    let (reply, answer) = oneshot::channel();
    let board = Some((BoardId(1), stage.dispatcher.versions.basis(&[])));
    stage.dispatcher.serve(Request::Attend(Attending::Start { key: WRITER, post: PostId(1), board, reply })).await;
    answer.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_grace_ends_to_the_millisecond_and_the_dispatcher_wakes_for_it() {
    let mut stage = stage().await;
    stage.dispatcher.serve(Request::Disconnect { key: WRITER }).await;
    assert_eq!(stage.dispatcher.next_due(), Some(Instant::now() + PATIENCE.offline_grace));
    stage.wait(PATIENCE.offline_grace - MS).await;
    assert_eq!(told(&stage), [""; 0]);
    stage.wait(MS).await;
    assert_eq!(told(&stage), ["user:leftBoard", "user:offline"]);
    assert_eq!(stage.dispatcher.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn a_silence_ends_what_was_begun_unless_it_is_begun_again() {
    let mut stage = stage().await;
    writes(&mut stage).await.unwrap();
    stage.wait(5 * SECOND).await;
    writes(&mut stage).await.unwrap();
    stage.wait(PATIENCE.typing_silence - MS).await;
    assert_eq!(told(&stage), ["typing:start"]);
    stage.wait(MS).await;
    assert_eq!(told(&stage), ["typing:stop"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_writes_an_answer_to_what_moved_away_or_is_no_more() {
    for act in [Act::Move(0), Act::Delete(0)] {
        let mut stage = stage().await;
        let mut forum = Forum::default();
        stage.tick(forum.batch(1, &[Act::Post(1)])).await;
        writes(&mut stage).await.unwrap();
        stage.tick(forum.batch(2, &[act])).await;
        assert_eq!(told(&stage), ["board:newPost", "typing:start", "board:postDeleted", "typing:stop"]);
        assert_eq!(stage.dispatcher.next_due(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_deleted_is_gone_before_anything_of_the_tick_is_told() {
    let mut stage = stage().await;
    let mut forum = Forum::default();
    let mut batch = forum.batch(1, &[Act::Post(1)]);
    batch.fence = Fence { changes: vec![(1, Change::UserDeleted { user: "bo".into() })], rows: Arc::default() };
    stage.tick(batch).await;
    assert_eq!(told(&stage), ["user:leftBoard", "user:offline", "board:newPost"]);
    assert_eq!(stage.dispatcher.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn rights_that_changed_meanwhile_are_asked_for_anew() {
    let mut stage = stage().await;
    let subject = [crate::versions::Subject::Board(BoardId(1))];
    let basis = stage.dispatcher.versions.basis(&subject);
    stage.dispatcher.versions.bump_all(Tick(1));
    let (reply, answer) = oneshot::channel();
    let list = Attending::List { key: READER, board: Some((permit(1), basis.clone())), reply };
    stage.dispatcher.serve(Request::Attend(list)).await;
    assert_eq!(answer.await.unwrap().unwrap_err(), NotListed::Stale(Stale));
    let (reply, answer) = oneshot::channel();
    let start = Attending::Start { key: WRITER, post: PostId(1), board: Some((BoardId(1), basis)), reply };
    stage.dispatcher.serve(Request::Attend(start)).await;
    assert_eq!(answer.await.unwrap(), Err(NotTyping::Where));
    assert_eq!(told(&stage), [""; 0]);
}

/// A way to other nodes that notes how far the dispatcher has come when it says something.
struct Saying {
    reached: watch::Receiver<Reached>,
    said: mpsc::UnboundedSender<(Tick, Vec<circle::Word>)>,
}

impl Circle for Saying {
    fn say(&self, words: Vec<circle::Word>) {
        let _ = self.said.send((self.reached.borrow().told.tick, words));
    }

    fn write(&self, _: Vec<crate::typing::Heard>) {}
}

#[tokio::test(start_paused = true)]
async fn what_other_nodes_say_has_its_turn_between_two_batches() {
    let Stage { dispatcher, .. } = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
    let (hears, heard) = mpsc::channel(16);
    let (said, mut saying) = mpsc::unbounded_channel();
    let reached = dispatcher.reached.subscribe();
    let dispatcher = dispatcher.among(NodeId(1), PATIENCE, Saying { reached, said }, heard);
    let (batch, batches) = mpsc::channel(100);
    let (_request, requests) = mpsc::channel(1);
    let mut forum = Forum::default();
    for tick in 1..=100 {
        batch.try_send(forum.batch(tick, &[Act::Post(1)])).unwrap();
    }
    drop(batch);
    hears.try_send(circle::Heard::Here).unwrap();
    // Ends with the batches, of which one is always ready.
    dispatcher.run(batches, requests, CancellationToken::new()).await;
    assert_eq!(saying.try_recv().unwrap(), (Tick(1), vec![circle::Word::All]));
}
