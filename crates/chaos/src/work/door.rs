//! A board whose door opens for a moment, again and again, while some ask to be let in all the time. Who asked while it was open and is
//! seated when it is shut again hears what is posted behind the door.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::{sync::watch, time::sleep};
use tokio_postgres::Error;

use super::{LOST_CONNECTION, Session};
use crate::people::{DOOR, KEY};

/// In milliseconds.
const SHUT: std::ops::Range<u64> = 15..60;
const OPEN: std::ops::Range<u64> = 5..35;
const PAUSE: std::ops::Range<u64> = 500..1_500;
/// Times in a row.
const TURNS: std::ops::Range<u64> = 5..15;

/// Opens and shuts until told to stop, in as many sessions as the server takes away.
pub async fn keep_the_door(mut draw: ChaCha8Rng, url: String, mut stop: watch::Receiver<bool>) {
    let mut posted = 0;
    while !*stop.borrow_and_update() {
        if let Ok(mut session) = Session::open(&url).await {
            while !*stop.borrow_and_update() {
                if turns(&mut session, &mut draw, &mut posted).await.is_err() {
                    break;
                }
            }
        }
        sleep(LOST_CONNECTION).await;
    }
}

async fn turns(session: &mut Session, draw: &mut ChaCha8Rng, posted: &mut u64) -> Result<(), Error> {
    for _ in 0..draw.random_range(TURNS) {
        open_to(session, KEY).await?;
        wait(draw, OPEN).await;
        open_to(session, "nobody").await?;
        wait(draw, SHUT).await;
        post(session, posted).await?;
        wait(draw, SHUT).await;
    }
    wait(draw, PAUSE).await;
    Ok(())
}

async fn wait(draw: &mut ChaCha8Rng, milliseconds: std::ops::Range<u64>) {
    sleep(Duration::from_millis(draw.random_range(milliseconds))).await;
}

async fn open_to(session: &mut Session, role: &str) -> Result<(), Error> {
    session.client.batch_execute("BEGIN").await?;
    session.query(ours!("lock_rights"), &[]).await?;
    session.query(ours!("lock_alone"), &[&DOOR]).await?;
    session.query(ours!("board_roles"), &[&DOOR, &format!("[\"{role}\"]")]).await?;
    session.client.batch_execute("COMMIT").await
}

async fn post(session: &mut Session, posted: &mut u64) -> Result<(), Error> {
    *posted += 1;
    let (title, tags) = (format!("door.{posted}"), Vec::<String>::new());
    session.client.batch_execute("BEGIN").await?;
    session.query(ours!("lock_shared"), &[&DOOR]).await?;
    session.query(forum!("post_insert"), &[&"w1", &title, &"behind the door", &tags, &DOOR]).await?;
    session.client.batch_execute("COMMIT").await
}
