//! Who writes, among several nodes: it stands in the way of nothing else.

use std::collections::{BTreeMap, BTreeSet};

use curia_realtime::{
    circle::{Heard, Said, Word},
    contract::TypingEvent,
    ids::{BoardId, PostId},
    ports::Circle,
    presence::Stay,
    typing,
};
use tokio::task::JoinSet;

use super::{
    meeting::{ME, Met, board, met_at},
    *,
};
use crate::support::store::{degraded, until_presence};

/// Who is here is told within this, whoever writes; in a queue with who writes it would take far longer.
const SOON: Duration = Duration::from_secs(6);

fn event(user: usize) -> TypingEvent {
    let user_id = format!("user {user:05}").as_str().into();
    TypingEvent { user_id, user_name: None, post_id: PostId(1), board_id: BoardId(1) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_write_is_left_out_where_it_is_too_much_and_nothing_else_is() {
    const WRITERS: usize = 20_000;
    let redis = Redis::start().expect("a Redis");
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut listening = client.get_async_pubsub().await.expect("a connection");
    listening.subscribe("curia:board_users:1").await.expect("a channel");
    let way = Proxy::before(&redis.url()).await;
    let Met { words, mut heard, stop, running } = met_at(&way.url.replace("http://", "redis://")).await;
    words.say(vec![Word::Watch(board(1), None)]);
    assert!(matches!(heard.recv().await, Some(Heard::Read { .. })));

    way.delay(Duration::from_millis(20));
    // More than may wait, each one a step of the dispatcher.
    for user in 0..WRITERS {
        words.write(vec![typing::Heard::Started(event(user)), typing::Heard::Stopped(event(user))]);
    }
    let said = vec![Said { user: "ada".into(), stay: Some(Stay { nameless: 1, ..Stay::default() }), nth: 1 }];
    words.say(vec![Word::Say { scope: board(1), node: ME, said }]);
    let told = async {
        loop {
            match heard.recv().await.expect("a meeting that goes on") {
                Heard::Said { said, .. } => return said[0].user.clone(),
                other => assert!(!matches!(other, Heard::Away | Heard::Here), "{other:?}"),
            }
        }
    };
    assert_eq!(timeout(SOON, told).await.expect("to be told soon"), "ada".into());

    // The first found a place, and of each his end comes behind his beginning.
    let mut messages = listening.on_message();
    let mut writes = BTreeMap::<String, bool>::new();
    let first = event(0).user_id.to_string();
    let listens = async {
        while writes.get(&first) != Some(&false) || writes.len() < 500 {
            let message: Vec<u8> = messages.next().await.expect("a message").get_payload().expect("bytes");
            let message: Value = serde_json::from_slice(&message).expect("JSON");
            let Some(starts) = message["starts"].as_bool() else { continue };
            let user = message["user_id"].as_str().expect("a user").to_owned();
            let before = writes.insert(user.clone(), starts);
            assert!(starts && before.is_none() || !starts && before != Some(false), "{user}: {before:?}, {starts}");
        }
    };
    timeout(PATIENCE, listens).await.expect("who writes to be said");
    stop.cancel();
    running.await.expect("a meeting that ends");
}

/// Says that he writes and that he does not, as often as he may, until he is told to stop.
async fn writes(mut user: Frames, mut until: watch::Receiver<bool>) {
    let mut starts = true;
    while !*until.borrow_and_update() {
        let event = if starts { "typing:start" } else { "typing:stop" };
        assert_eq!(user.ask(event, json!({"postId": 1})).await["ok"], json!(true));
        starts = !starts;
        let _ = timeout(Duration::from_millis(550), until.changed()).await;
    }
    user.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_is_told_on_the_other_node_as_soon_as_ever_while_hundreds_write() {
    const WRITERS: usize = 300;
    let forum = Forum::captured().await;
    let redis = Redis::start().expect("a Redis");
    let way = Proxy::before(&redis.url()).await;
    let flags = ["--drain", "100ms", "--ping-interval", "10m", "--rate-typing", "10000/1s"];
    let node = async |redis: &str| {
        let node = Serving::start(&forum.url(), &[&["--redis-url", redis], &flags[..]].concat()).await;
        node.until_ready().await;
        until_presence(&node.url, true).await;
        node
    };
    let (one, other) = (node(&way.url.replace("http://", "redis://")).await, node(&redis.url()).await);
    let mut eve = Frames::connected(&other.url, &Service::token("eve", "c1", &[], false)).await;
    assert_eq!(eve.ask("post:join", json!(1)).await["ok"], json!(true));
    let (stop, until) = watch::channel(false);
    let mut writing = JoinSet::new();
    let mut writers = Vec::new();
    for user in 0..WRITERS {
        let token = Service::token(&format!("writer {user:03}"), "c1", &[], false);
        let mut writer = Frames::connected(&one.url, &token).await;
        assert_eq!(writer.ask("board:join", json!(1)).await["ok"], json!(true));
        writers.push(writer);
    }

    way.delay(Duration::from_millis(5));
    for writer in writers {
        writing.spawn(writes(writer, until.clone()));
    }
    let mut told = BTreeSet::new();
    for nth in 0..5 {
        let began = Instant::now();
        let came = format!("newcomer {nth}");
        let newcomer = Frames::connected(&one.url, &Service::token(&came, "c1", &[], false)).await;
        let telling = async {
            loop {
                let frame = eve.next().await.expect("a frame");
                let Some(event) = frame.strip_prefix("42") else { continue };
                let event: Value = serde_json::from_str(event).expect("JSON");
                let user = event[1]["userId"].as_str().unwrap_or_default();
                match event[0].as_str() {
                    Some("typing:start") => drop(told.insert(user.to_owned())),
                    Some("user:online") if user == came => return,
                    _ => {}
                }
            }
        };
        timeout(SOON, telling).await.unwrap_or_else(|_| panic!("{came} is not told within {SOON:?}"));
        println!("{came} was told after {:?}; {} were told to write", began.elapsed(), told.len());
        assert_eq!(degraded(&one.url, "presence").await, None);
        newcomer.close().await;
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(told.len(), WRITERS);
    assert_eq!(one.metric("curia_typing_left_out_total").await, Some(0.0));
    stop.send(true).expect("writers");
    while let Some(ended) = writing.join_next().await {
        ended.expect("a writer");
    }
    eve.close().await;
    one.stop().await;
    other.stop().await;
}
