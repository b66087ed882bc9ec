//! A node of a run, with clients of its own by which it is known how far it has come.

use std::{collections::BTreeSet, time::Duration};

use curia_scratch::Redis;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::forum::COMMUNITIES;
use crate::support::{postgres::Forum, service::Service, store::until_presence, wire::Frames};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    service: Service,
    /// Sees everything's end.
    witness: Frames,
    /// Comes and goes in front of the witnesses.
    sentry: Frames,
    /// One of each community, who sits nowhere.
    members: Vec<Frames>,
}

impl Node {
    pub async fn start(forum: &Forum, redis: Option<&Redis>, number: usize) -> Self {
        let mut flags = vec![
            // Counts all but at once: what a step brings is heard before the next.
            ("merge-window", "1ms"),
            ("offline-grace", "1ms"),
            ("rate-connect", "10000/1s"),
            ("rate-join", "10000/1s"),
            ("rate-session-refresh", "1000/1s"),
            ("rate-presence-list", "10000/1s"),
            ("rate-typing", "10000/1s"),
            ("rate-other", "10000/1s"),
        ];
        let redis = redis.map(Redis::url);
        flags.extend(redis.iter().map(|url| ("redis-url", url.as_str())));
        let service = Service::start_with(&forum.url(), &flags).await;
        until_presence(&service.url, true).await;
        let connected = async |user: &str, community: &str| {
            Frames::connected(&service.url, &Service::token(user, community, &[], false)).await
        };
        let mut witness = connected("witness", "cw").await;
        assert_eq!(witness.ask("board:join", json!(90)).await["ok"], json!(true));
        let sentry = connected(&format!("sentry{number}"), "cw").await;
        let mut members = Vec::new();
        for community in COMMUNITIES {
            members.push(connected(&format!("member{number}"), community).await);
        }
        Self { service, witness, sentry, members }
    }

    pub fn url(&self) -> &str {
        &self.service.url
    }

    /// Reads on to what the witness is told next under this name.
    pub async fn sees(&mut self, event: &str) -> Value {
        loop {
            let frame = self.witness.next().await.expect("a connection that stays");
            let told: Value = serde_json::from_str(frame.strip_prefix("42").expect("an event")).expect("JSON");
            if told[0] == event {
                return told[1].clone();
            }
        }
    }

    /// Waits until the node knows of so many connections of the user.
    pub async fn until_here(&mut self, community: &str, user: &str, connections: usize) {
        let nth = COMMUNITIES.iter().position(|one| *one == community).expect("one of them");
        let member = &mut self.members[nth];
        let listed = async {
            loop {
                let answer = member.ask("presence:list", json!(null)).await;
                let mut users = answer["users"].as_array().expect("a list").iter();
                let devices =
                    users.find(|listed| listed["userId"] == user).map_or(json!(0), |him| him["devices"].clone());
                if devices == json!(connections) {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, listed).await.unwrap_or_else(|_| panic!("{user} is not here {connections} times"));
    }

    pub async fn stop(self) {
        self.service.stop().await;
    }
}

/// Whatever was to be said by then of who is here and who writes has been heard and told by each node: it says in order, and each
/// witness has seen each sentry come and go. What is said of one user is said in one round after the other, so that what was said in the
/// same round as his coming has been said before his going.
pub async fn have_met(nodes: &mut [Node]) {
    let all: BTreeSet<String> = (0..nodes.len()).map(|number| format!("sentry{number}")).collect();
    for (event, seen) in [("board:join", "user:joinedBoard"), ("board:leave", "user:leftBoard")] {
        for node in &mut *nodes {
            assert_eq!(node.sentry.ask(event, json!(90)).await["ok"], json!(true));
        }
        for node in &mut *nodes {
            let mut missing = all.clone();
            while !missing.is_empty() {
                let user = node.sees(seen).await["userId"].as_str().expect("a user").to_owned();
                assert!(missing.remove(&user), "told once of {user}");
            }
        }
    }
}
