use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::AtomicBool,
    time::Duration,
};

use axum::{Router, http::HeaderName};
use chrono::TimeDelta;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::*;
use crate::{
    access::{BoardFacts, CommunityFacts},
    dispatch::{Reached, Request, Stale},
    http::{ServeOptions, serve},
    ids::{BoardId, CommunityId, Epoch, Place, PostId, Tick, UserId},
    jwt::{Demands, KeySet, Secret, Signer},
    limiter::InMemory,
    limits::{Rate, Rates},
    ports::FactsError,
    sessions::Alone,
    socket::{Networks, Pending, Places, SocketLimits, layer},
};

/// Long enough to tell hanging from working.
const HANGS: Duration = Duration::from_secs(30);

/// Answers once, and has a mistake the second time.
#[derive(Default)]
struct Mistaken(AtomicBool);

impl FactStore for Mistaken {
    async fn boards(
        &self,
        _: BTreeSet<BoardId>,
        _: BTreeSet<CommunityId>,
    ) -> Result<HashMap<BoardId, BoardFacts>, FactsError> {
        Ok(HashMap::new())
    }

    async fn community(&self, _: CommunityId) -> Result<Option<CommunityFacts>, FactsError> {
        assert!(!self.0.swap(true, Ordering::AcqRel), "on purpose");
        Ok(None)
    }

    async fn user_exists(&self, _: UserId) -> Result<bool, FactsError> {
        Ok(true)
    }

    async fn board_of_post(&self, _: PostId) -> Result<Option<BoardId>, FactsError> {
        Ok(None)
    }
}

fn actor() -> Actor {
    Actor {
        user: "ada".into(),
        community: "c1".into(),
        roles: BTreeSet::new(),
        admin: false,
        name: None,
        picture: None,
        device: None,
        expires_at: Utc::now() + TimeDelta::hours(1),
    }
}

/// Somebody has asked for his greeting, which no longer holds; whoever asks again makes the mistake. Resolves when that one is gone.
async fn is_told_of_the_end(requests: &mut mpsc::Receiver<Request>) {
    let mut coming = None;
    while let Some(request) = requests.recv().await {
        match request {
            Request::Connect { arrival, reply } => {
                coming = Some(arrival.key);
                reply.send(Err(Stale)).expect("somebody who waits");
            }
            Request::Disconnect { key } if Some(key) == coming => return,
            _ => {}
        }
    }
    panic!("nobody said that it is gone");
}

#[tokio::test]
async fn a_socket_that_panics_on_its_way_to_its_seat_is_closed_and_keeps_nothing() {
    let secret = Secret::from("a secret of this test that is long enough".to_owned());
    let token = Signer::new(&secret, None, None).mint(&actor(), Utc::now()).unwrap();
    let (requests, mut asked) = mpsc::channel(8);
    let begun = Place::end_of(Tick(0));
    let (_reached, watched) = watch::channel(Reached { epoch: Epoch(1), told: begun, floor: begun });
    let (recall, _recalled) = mpsc::channel(1);
    let gateway = Gateway::new(Mistaken::default(), Arc::default(), requests, watched, recall);
    let members = Members::new(Pending { bytes: 1 << 20, frames: 16 });
    let guests = Guests::new(Places { per_user: Some(1), per_address: Some(1) });
    let rate = Rate { count: 10, within: Duration::from_secs(10) };
    let (connect, join, typing, other) = (rate, rate, rate, rate);
    let rates = Rates { connect, join, typing, presence_list: rate, session_refresh: rate, other };
    let entry = Entry {
        limits: Arc::new(InMemory::new(rates)),
        guests: guests.clone(),
        sessions: Arc::new(Alone),
        proxies: TrustedProxies { header: HeaderName::from_static("x-forwarded-for"), networks: Networks::default() },
    };
    let verifier = Verifier::new(KeySet::of_secrets(&[secret]), Demands::default());
    let tasks = SocketTasks::new(CancellationToken::new());
    let doors = Doors::new(Arc::new(gateway), Arc::new(verifier), entry, members.clone(), tasks);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody is closed for not answering the first ping.
    let app = layer(Router::new(), doors, SocketLimits { pong_within: HANGS * 10, ..SocketLimits::default() });
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, app, ServeOptions::default(), shutdown.clone()));

    let (mut client, _) = connect_async(format!("ws://{address}/socket.io/?EIO=4&transport=websocket")).await.unwrap();
    client.send(Message::text(format!("40{}", json!({"token": token})))).await.unwrap();
    timeout(HANGS, is_told_of_the_end(&mut asked)).await.expect("a dispatcher that hears of it");
    let ended = async { while client.next().await.is_some_and(|frame| frame.is_ok()) {} };
    timeout(HANGS, ended).await.expect("a connection that nobody serves is still open");
    timeout(HANGS, members.empty()).await.expect("it is still a member");
    let free = async {
        while guests.of_user(&"ada".into()).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(HANGS, free).await.expect("its place is given back");
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
