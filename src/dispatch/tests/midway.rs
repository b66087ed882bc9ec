//! Between two pages of a tick whose rights are applied already: who asks then is let in behind what opens it to him, and is shown nothing
//! that was written before.

use super::{
    cases::{mention, names, of_rights, updated},
    *,
};

/// The row of the tick that opens board 1.
const OPENING: u32 = 5;

/// Board 1 was closed to all but the crew in a tick before; this one opens it in its third page, and mentions "ada" in each.
struct Midway {
    stage: Stage,
    forum: Forum,
    /// What the opening tick changes.
    change: Change,
}

impl Midway {
    async fn of(change: Change) -> Self {
        let mut stage = Stage::new(Bounds { records: 100, size: 1 << 20, missed: 100 });
        let mut forum = Forum::default();
        stage.tick(forum.batch(1, &[Act::Post(1)])).await;
        stage.tick(of_rights(&mut forum, 2, true)).await;
        Self { stage, forum, change }
    }

    async fn begun() -> Self {
        let mut midway = Self::of(updated(&["crew"])).await;
        midway.begin().await;
        midway
    }

    async fn begin(&mut self) {
        let mut first = self.mention(1);
        first.fence = Fence { changes: vec![(OPENING, self.change.clone())], rows: Arc::clone(&first.rows) };
        self.stage.tick(first).await;
    }

    fn mention(&mut self, ordinal: u32) -> Batch {
        let mut batch = mention(&mut self.forum, 3);
        batch.entries[0].ordinal = ordinal;
        Batch { fence: Fence::default(), last: false, ..batch }
    }

    /// What was written before it is opened.
    async fn go_on(&mut self) {
        let second = self.mention(2);
        self.stage.tick(second).await;
    }

    async fn open(&mut self) {
        let mut third = self.mention(OPENING + 1);
        third.entries.insert(0, Entry { ordinal: OPENING, at: DateTime::UNIX_EPOCH, change: self.change.clone() });
        self.stage.tick(third).await;
    }

    async fn end(&mut self) {
        self.stage.tick(self.forum.batch(3, &[])).await;
    }

    async fn connect(&mut self, key: u64) -> SocketKey {
        let key = SocketKey(key);
        let basis = self.stage.dispatcher.versions.basis(&[]);
        let arrival = Box::new(Arrival { key, actor: actor(), community: Some(community()), basis });
        let (reply, mut answer) = oneshot::channel();
        self.stage.dispatcher.serve(Request::Connect { arrival, reply }).await;
        assert_eq!(answer.try_recv(), Ok(Ok(())));
        key
    }
}

fn board() -> Seat {
    Seat::Board { permit: permit(1), typing: false }
}

fn post() -> Seat {
    Seat::Post { permit: permit(1), post: PostId(1) }
}

fn feed() -> Seat {
    Seat::Feed { permits: vec![permit(1), permit(2)] }
}

fn behind_the_opening() -> Result<(), NotJoined> {
    Err(NotJoined::Untold(Place { tick: Tick(3), ordinal: OPENING, part: u8::MAX }))
}

#[tokio::test(start_paused = true)]
async fn nobody_is_seated_in_what_the_tick_has_yet_to_open() {
    for seat in [board, post, feed] {
        for since_then in [false, true] {
            let mut midway = Midway::of(updated(&["crew"])).await;
            let there = midway.connect(1).await;
            midway.begin().await;
            let came = midway.connect(2).await;
            let since = if since_then { Since::Cursor(midway.stage.dispatcher.chronicle.cursor()) } else { Since::Now };
            for key in [there, came] {
                assert_eq!(midway.stage.try_join(key, seat(), since).await, behind_the_opening());
            }
            midway.go_on().await;
            for key in [there, came] {
                assert_eq!(midway.stage.try_join(key, seat(), since).await, behind_the_opening());
            }
            midway.open().await;
            let is_of_the_board = |got: &Got| {
                board_of(got) == Some(1) && !["board:accessGranted", "notification:new"].contains(&&*got.event)
            };
            for key in [there, came] {
                assert!(!midway.stage.recorder.sent(key).iter().any(is_of_the_board), "written while it was closed");
                assert_eq!(midway.stage.try_join(key, seat(), since).await, Ok(()));
                assert_eq!(midway.stage.recorder.sent(key).last().unwrap().payload["recovered"], false);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_tick_leaves_as_it_is_is_joined_at_once() {
    let mut midway = Midway::begun().await;
    let key = midway.connect(1).await;
    midway.stage.join(key, Seat::Board { permit: permit(2), typing: false }, Since::Now).await;
    midway.stage.join(key, Seat::Feed { permits: vec![permit(2)] }, Since::Now).await;
    midway.stage.join(key, Seat::Post { permit: permit(2), post: PostId(7) }, Since::Now).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_between_two_pages_is_notified_of_nothing_from_before_the_opening() {
    let mut midway = Midway::begun().await;
    let key = midway.connect(1).await;
    midway.go_on().await;
    assert_eq!(names(&midway.stage, key), ["session:ready"]);
    midway.open().await;
    assert_eq!(names(&midway.stage, key), ["session:ready", "notification:new"]);
    midway.end().await;
    let later = mention(&mut midway.forum, 4);
    midway.stage.tick(later).await;
    assert_eq!(names(&midway.stage, key).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_another_token_opens_is_told_behind_what_opens_it_to_its_role() {
    // Closed to all but "mod" before, and open to the crew behind it.
    let mut midway = Midway::of(updated(&["mod"])).await;
    let key = midway.connect(1).await;
    midway.stage.join(key, Seat::Feed { permits: vec![permit(2)] }, Since::Now).await;
    let sent = names(&midway.stage, key).len();
    let closed = BoardFacts { rule: RoleRule::AnyOf(["crew".into()].into()), ..facts(1) };
    let with_rule = |batch: &mut Batch| {
        let mut rows = batch.rows.as_ref().clone();
        rows.facts.insert(BoardId(1), closed.clone());
        batch.rows = Arc::new(rows);
    };
    let mut first = midway.mention(1);
    with_rule(&mut first);
    first.fence = Fence { changes: vec![(OPENING, midway.change.clone())], rows: Arc::clone(&first.rows) };
    midway.stage.tick(first).await;
    let refresh = Refresh {
        key,
        actor: Actor { roles: ["crew".into()].into(), ..actor() },
        community: Some(community()),
        boards: Arc::new(HashMap::from([(BoardId(1), closed.clone()), (BoardId(2), facts(2))])),
        basis: midway.stage.dispatcher.versions.basis(&[]),
        at: DateTime::UNIX_EPOCH,
    };
    midway.stage.dispatcher.refresh(refresh).await.unwrap();
    let mut second = midway.mention(2);
    with_rule(&mut second);
    midway.stage.tick(second).await;
    assert_eq!(names(&midway.stage, key).len(), sent, "neither the board, nor what was written there, nor a mention");
    let mut third = midway.mention(OPENING + 1);
    third.entries.insert(0, Entry { ordinal: OPENING, at: DateTime::UNIX_EPOCH, change: midway.change.clone() });
    with_rule(&mut third);
    midway.stage.tick(third).await;
    let told = names(&midway.stage, key);
    assert_eq!(told[sent..sent + 2], ["board:accessGranted", "notification:new"]);
    let mut last = midway.forum.batch(3, &[Act::Post(1)]);
    last.entries[0].ordinal = OPENING + 2;
    with_rule(&mut last);
    midway.stage.tick(last).await;
    assert_eq!(names(&midway.stage, key).last().unwrap(), "board:newPost", "its feed follows");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_seated_at_a_post_that_the_tick_has_yet_to_move_into_his_reach() {
    let moved = Change::PostMoved { post: PostId(1), from: Some(BoardId(2)), to: Some(BoardId(1)) };
    let mut midway = Midway::of(moved).await;
    midway.stage.tick(of_rights(&mut midway.forum, 2, false)).await;
    midway.begin().await;
    let key = midway.connect(1).await;
    midway.stage.join(key, board(), Since::Now).await;
    assert_eq!(midway.stage.try_join(key, post(), Since::Now).await, behind_the_opening());
    midway.open().await;
    midway.stage.join(key, post(), Since::Now).await;
}

#[tokio::test(start_paused = true)]
async fn where_nobody_knows_what_a_tick_has_changed_its_end_is_waited_for() {
    let mut midway = Midway::of(Change::Reset { table: String::new() }).await;
    midway.begin().await;
    let key = midway.connect(1).await;
    let refused = Err(NotJoined::Untold(Place::end_of(Tick(3))));
    for seat in [board(), post(), feed()] {
        assert_eq!(midway.stage.try_join(key, seat, Since::Now).await, refused);
    }
    let refresh = |midway: &Midway, rule: RoleRule| Refresh {
        key,
        actor: Actor { roles: ["crew".into()].into(), ..actor() },
        community: Some(community()),
        boards: Arc::new(HashMap::from([(BoardId(1), BoardFacts { rule, ..facts(1) })])),
        basis: midway.stage.dispatcher.versions.basis(&[]),
        at: DateTime::UNIX_EPOCH,
    };
    let renewed = refresh(&midway, RoleRule::AnyOf(["crew".into()].into()));
    midway.stage.dispatcher.refresh(renewed).await.unwrap();
    midway.open().await;
    assert_eq!(names(&midway.stage, key), ["session:ready"]);
    midway.end().await;
    assert_eq!(names(&midway.stage, key), ["session:ready", "board:accessGranted"]);
    midway.stage.join(key, board(), Since::Now).await;
}
