//! Connects, reloads, departures, deaths of nodes, in random order over two of them: the list always comes to the truth.
//!
//! Other histories, one after the other: `CROWD_SEEDS=7..9 cargo test --test it nodes::crowd -- --nocapture`.

use std::{collections::BTreeMap, env, ops::Range};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use super::*;
use crate::support::store::until_presence;

const USERS: usize = 6;
const BOARDS: [i32; 2] = [1, 2];
const STEPS: usize = 60;
/// Also of a node that was killed.
const TRUE_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
enum Step {
    Connect {
        user: usize,
        node: usize,
    },
    /// Of one that is there: it goes without a word, and comes again on this node.
    Reload {
        nth: usize,
        node: usize,
    },
    Leave {
        nth: usize,
    },
    Join {
        nth: usize,
        board: usize,
    },
    Quit {
        nth: usize,
        board: usize,
    },
    Kill {
        node: usize,
    },
    /// What the list says by then has to be true.
    Look,
}

fn any_step() -> impl Strategy<Value = Step> {
    let node = || 0..2usize;
    prop_oneof![
        8 => (0..USERS, node()).prop_map(|(user, node)| Step::Connect { user, node }),
        4 => (0..100usize, node()).prop_map(|(nth, node)| Step::Reload { nth, node }),
        4 => (0..100usize).prop_map(|nth| Step::Leave { nth }),
        6 => (0..100usize, 0..BOARDS.len()).prop_map(|(nth, board)| Step::Join { nth, board }),
        3 => (0..100usize, 0..BOARDS.len()).prop_map(|(nth, board)| Step::Quit { nth, board }),
        1 => node().prop_map(|node| Step::Kill { node }),
        2 => Just(Step::Look),
    ]
}

struct Tab {
    user: usize,
    node: usize,
    frames: Frames,
    boards: Vec<i32>,
}

struct Town {
    forum: Forum,
    redis: Redis,
    nodes: Vec<Serving>,
    tabs: Vec<Tab>,
}

impl Town {
    async fn node(forum: &Forum, redis: &Redis) -> Serving {
        // A tab is not read while others are looked at.
        let usual =
            ["--redis-url", &redis.url(), "--drain", "100ms", "--offline-grace", "300ms", "--ping-interval", "10m"];
        let rates = ["--rate-presence-list", "--rate-connect", "--rate-join", "--rate-other"];
        let rates = rates.into_iter().flat_map(|rate| [rate, "10000/1s"]);
        let node = Serving::start(&forum.url(), &usual.into_iter().chain(rates).collect::<Vec<_>>()).await;
        node.until_ready().await;
        until_presence(&node.url, true).await;
        node
    }

    async fn connect(&mut self, user: usize, node: usize) {
        let token = Service::token(&format!("user {user}"), "c1", &[], false);
        let frames = Frames::connected(&self.nodes[node].url, &token).await;
        self.tabs.push(Tab { user, node, frames, boards: Vec::new() });
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Connect { user, node } => self.connect(user, node).await,
            Step::Reload { nth, node } if !self.tabs.is_empty() => {
                let gone = self.tabs.swap_remove(nth % self.tabs.len());
                self.connect(gone.user, node).await;
            }
            Step::Leave { nth } if !self.tabs.is_empty() => {
                self.tabs.swap_remove(nth % self.tabs.len()).frames.close().await;
            }
            Step::Join { nth, board } if !self.tabs.is_empty() => {
                let count = self.tabs.len();
                let tab = &mut self.tabs[nth % count];
                assert_eq!(tab.frames.ask("board:join", json!(BOARDS[board])).await["ok"], json!(true));
                if !tab.boards.contains(&BOARDS[board]) {
                    tab.boards.push(BOARDS[board]);
                }
            }
            Step::Quit { nth, board } if !self.tabs.is_empty() => {
                let count = self.tabs.len();
                let tab = &mut self.tabs[nth % count];
                assert_eq!(tab.frames.ask("board:leave", json!(BOARDS[board])).await["ok"], json!(true));
                tab.boards.retain(|sat| *sat != BOARDS[board]);
            }
            Step::Kill { node } => {
                self.nodes[node].kill().await;
                self.tabs.retain(|tab| tab.node != node);
                self.nodes[node] = Self::node(&self.forum, &self.redis).await;
            }
            Step::Look => self.look().await,
            _ => {}
        }
    }

    /// Both nodes list who is there, with how many tabs, in the community and in each board.
    async fn look(&mut self) {
        for node in 0..2 {
            // Somebody of another community would see nothing; who asks is there himself.
            self.connect(USERS, node).await;
            for board in BOARDS {
                let asker = self.tabs.last_mut().expect("who asks");
                assert_eq!(asker.frames.ask("board:join", json!(board)).await["ok"], json!(true));
                asker.boards.push(board);
            }
        }
        for (nth, scope) in [None, Some(1), Some(2)].into_iter().flat_map(|scope| [(1, scope), (2, scope)]) {
            let mut expected = BTreeMap::<String, u64>::new();
            for tab in self.tabs.iter().filter(|tab| scope.is_none_or(|board| tab.boards.contains(&board))) {
                *expected.entry(format!("user {}", tab.user)).or_default() += 1;
            }
            let at = self.tabs.len() - nth;
            let asker = &mut self.tabs[at].frames;
            let mut last = BTreeMap::new();
            let looking = async {
                while last != expected {
                    let argument = scope.map_or(json!(null), |board| json!({"boardId": board}));
                    let answer = asker.ask("presence:list", argument).await;
                    let users = answer["users"].as_array().unwrap_or_else(|| panic!("{answer}"));
                    let user =
                        |user: &Value| (user["userId"].as_str().unwrap().to_owned(), user["devices"].as_u64().unwrap());
                    last = users.iter().map(user).collect();
                    sleep(Duration::from_millis(20)).await;
                }
            };
            let in_time = timeout(TRUE_WITHIN, looking).await;
            assert!(in_time.is_ok(), "{last:?} instead of {expected:?} in {scope:?}");
        }
        for tab in self.tabs.split_off(self.tabs.len() - 2) {
            tab.frames.close().await;
        }
    }
}

/// What is to happen, the same for the same seed.
fn steps(seed: u64) -> Vec<Step> {
    let random =
        TestRng::from_seed(RngAlgorithm::ChaCha, &std::array::from_fn::<u8, 32, _>(|at| seed.to_le_bytes()[at % 8]));
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
    prop::collection::vec(any_step(), STEPS).new_tree(&mut runner).expect("steps").current()
}

async fn comes_to_the_truth(seed: u64) {
    let steps = steps(seed);
    println!("seed {seed}, again with CROWD_SEEDS={seed}..{}: {steps:?}", seed + 1);
    let (forum, redis) = (Forum::captured().await, Redis::start().expect("a Redis"));
    let nodes = vec![Town::node(&forum, &redis).await, Town::node(&forum, &redis).await];
    let mut town = Town { forum, redis, nodes, tabs: Vec::new() };
    for (number, step) in steps.iter().chain([&Step::Look, &Step::Kill { node: 0 }, &Step::Look]).enumerate() {
        println!("seed {seed}, step {number}, {step:?}");
        town.step(step).await;
    }
    town.tabs.clear();
    for node in town.nodes {
        node.stop().await;
    }
}

fn seeds(text: &str) -> Option<Range<u64>> {
    let (first, end) = text.split_once("..")?;
    Some(first.parse().ok()?..end.parse().ok()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_on_two_nodes_the_list_comes_to_the_truth() {
    if let Ok(asked) = env::var("CROWD_SEEDS") {
        for seed in seeds(&asked).unwrap_or_else(|| panic!("CROWD_SEEDS is {asked:?}")) {
            comes_to_the_truth(seed).await;
        }
        return;
    }
    // At a time, since they wait for leases most of it.
    let seeds = [(); 2].map(|()| u64::from(getrandom::u32().expect("chance")));
    futures_util::future::join_all(seeds.map(comes_to_the_truth)).await;
}
