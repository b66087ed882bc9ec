//! Where it is kept who is here: the same promises hold in memory and in Redis.

use std::time::Duration;

use axum::http::Method;
use curia_scratch::Redis;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{postgres::Forum, program::Serving, service::Service, wire::http};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a node shares its limits with others.
pub const SHARED: &str = "curia_rate_limits_shared";

pub enum Store {
    Memory,
    Redis(Box<Redis>),
}

impl Store {
    pub fn redis() -> Self {
        Self::Redis(Box::new(Redis::start().expect("a Redis")))
    }

    /// A service with these flags, once it knows who is here.
    pub async fn service(&self, forum: &Forum, flags: &[(&'static str, &str)]) -> Service {
        match self {
            Self::Memory => Service::start_with(&forum.url(), flags).await,
            Self::Redis(redis) => {
                let url = redis.url();
                let service = Service::start_with(&forum.url(), &[flags, &[("redis-url", &url)]].concat()).await;
                until_presence(&service.url, true).await;
                service
            }
        }
    }

    /// The program itself, likewise, once it shares limits as well.
    pub async fn serving(&self, forum: &Forum, flags: &[&str]) -> Serving {
        match self {
            Self::Memory => Serving::start(&forum.url(), flags).await,
            Self::Redis(redis) => {
                let url = redis.url();
                let node = Serving::start(&forum.url(), &[flags, &["--redis-url", &url]].concat()).await;
                until_presence(&node.url, true).await;
                node.until_metric(SHARED, 1.0).await;
                node
            }
        }
    }
}

/// Waits until a node with Redis knows who is here, or says that it does not.
pub async fn until_presence(url: &str, known: bool) {
    let asking = async {
        while is_known(url).await != known {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("presence does not become {known}"));
}

async fn is_known(url: &str) -> bool {
    degraded(url, "presence").await.is_none()
}

/// Why this part is not in order, if it is not.
pub async fn degraded(url: &str, what: &str) -> Option<String> {
    let report = http(url, Method::GET, "/readyz", &[], String::new()).await.into_body();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let parts = report["degraded"].as_array().expect("a list");
    let part = parts.iter().find(|part| part["what"] == what)?;
    Some(part["why"].as_str().expect("a reason").to_owned())
}

/// Runs each of these, which take a store, on both.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod in_memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&crate::support::store::Store::Memory).await;
                }
            )*
        }
        mod in_redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&crate::support::store::Store::redis()).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_stores;
