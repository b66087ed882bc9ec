use std::sync::Arc;

use super::*;
use crate::{batch::Made, event::Rows, ids::Epoch, redis::message::Relayed};

const EPOCH: Epoch = Epoch(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn at(text: &str) -> Snapshot {
    text.parse().unwrap()
}

/// Tick 7, made between two moments.
fn tick(follows: &str, snapshot: &str) -> Vec<u8> {
    let made = Made { follows: at(follows), snapshot: at(snapshot) };
    Relayed::Tick { epoch: EPOCH, tick: Tick(7), made, entries: Vec::new(), rows: Arc::new(Rows::default()) }.encode()
}

fn announced(tick: i64) -> Vec<u8> {
    Relayed::At { epoch: EPOCH, tick: Tick(tick) }.encode()
}

/// What becomes of `messages` at tick 6, which was read at `seen`; in 10 ms at the latest.
async fn heard(seen: &str, messages: Vec<Vec<u8>>) -> Heard {
    let (relay, messages_of_relay) = mpsc::channel(64);
    for message in messages {
        relay.try_send(message).unwrap();
    }
    let mut hearing = Hearing::new(Some(messages_of_relay), LOOK_EVERY);
    hearing.looked();
    let (snapshot, seen) = (at("10:10:"), at(seen));
    let standing = Standing { epoch: EPOCH, tick: Tick(6), snapshot: &snapshot, seen: Some(&seen) };
    hearing.next(standing, Instant::now() + Duration::from_millis(10)).await
}

#[tokio::test(start_paused = true)]
async fn the_very_next_tick_is_taken_whatever_was_said_before() {
    let before = [announced(5), b"what?".to_vec(), announced(6), tick("10:10:", "10:12:")];
    match heard("10:10:", before.to_vec()).await {
        Heard::Next(batch, snapshot) => assert_eq!((batch.tick, snapshot), (Tick(7), at("10:12:"))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_the_next_makes_it_look() {
    let cut = tick("10:10:", "10:12:").into_iter().take(40).chain(*b"\n").collect();
    for (what, seen, message) in [
        ("a number is missing", "10:10:", announced(8)),
        ("the next is too large", "10:10:", announced(7)),
        ("it follows another moment", "10:10:", tick("9:10:9", "10:12:")),
        ("it is older than what was read here", "10:13:", tick("10:10:", "10:12:")),
        ("it saw less than what was read here", "10:12:", tick("10:10:", "10:12:11")),
        ("its end is missing", "10:10:", cut),
    ] {
        assert!(matches!(heard(seen, vec![announced(6), message]).await, Heard::Look), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_waited_for_until_the_time_that_was_named() {
    assert!(matches!(heard("10:10:", vec![announced(6)]).await, Heard::Nothing));
}

#[tokio::test(start_paused = true)]
async fn who_hears_nothing_looks_by_the_clock_again() {
    let (relay, messages) = mpsc::channel(64);
    let mut hearing = Hearing::new(Some(messages), LOOK_EVERY);
    let snapshot = at("10:10:");
    let standing = Standing { epoch: EPOCH, tick: Tick(6), snapshot: &snapshot, seen: None };
    let far = Instant::now() + Duration::from_secs(60);
    assert!(matches!(hearing.next(standing, far).await, Heard::Look) && !hearing.carries(), "nobody was heard yet");

    relay.try_send(announced(6)).unwrap();
    hearing.looked();
    let began = Instant::now();
    assert!(matches!(hearing.next(standing, far).await, Heard::Look));
    assert_eq!((began.elapsed(), hearing.carries()), (SILENCE, false));

    for strange in [b"curia-relay 4 5 7\n".to_vec(), b"curia-relay 3 4 6\n".to_vec(), b"\n".to_vec()] {
        relay.try_send(strange).unwrap();
    }
    hearing.looked();
    assert!(
        matches!(hearing.next(standing, far).await, Heard::Look) && !hearing.carries(),
        "who is not understood is not heard"
    );
}

#[tokio::test(start_paused = true)]
async fn who_hears_all_the_time_still_makes_sure_now_and_then() {
    let (relay, messages) = mpsc::channel(64);
    let mut hearing = Hearing::new(Some(messages), LOOK_EVERY);
    tokio::spawn(async move {
        while relay.send(announced(6)).await.is_ok() {
            tokio::time::sleep(BEAT).await;
        }
    });
    let snapshot = at("10:10:");
    let standing = Standing { epoch: EPOCH, tick: Tick(6), snapshot: &snapshot, seen: None };
    tokio::task::yield_now().await;
    for _ in 0..3 {
        hearing.looked();
        let began = Instant::now();
        assert!(matches!(hearing.next(standing, began + Duration::from_secs(60)).await, Heard::Look));
        assert_eq!((began.elapsed(), hearing.carries()), (LOOK_EVERY, true));
    }
}
