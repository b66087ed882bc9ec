//! Asking Redis what [`crate::doctor`] judges. It leaves nothing behind but a key below the prefix on each server, for a second.

use std::time::Duration;

use redis::{RedisError, Value, cmd};

use super::{
    bus::Bus,
    link::{Link, LinkError},
    url::RedisUrl,
};
use crate::doctor::{
    Asked, Unanswered,
    redis::{Info, Server},
};

const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// As the service writes: in a script, with an end.
const WRITE: &str = "return redis.call('SET', KEYS[1], '', 'PX', 1000)";

/// What was found.
#[derive(Debug)]
pub struct Seen {
    pub servers: Vec<Server>,
    /// Whether others could be told something.
    pub published: Asked<()>,
}

/// Looks at every server; keys and channels are below `prefix`.
pub async fn examine(url: &RedisUrl, prefix: &str) -> Result<Seen, LinkError> {
    let mut link = Link::connect(url, ANSWERED_WITHIN).await?;
    let name = format!("{prefix}doctor");
    let told = link.ask_every::<String>(&name, |_| cmd("INFO")).await;
    let write = |key: &str| cmd("EVAL").arg(WRITE).arg(1).arg(key).to_owned();
    let written = link.ask_every::<Value>(&name, write).await;
    let servers = told.into_iter().zip(written).map(|((place, info), (_, written))| Server {
        place,
        info: info.map(|text| Info::of(&text)).map_err(|error| unanswered(&error)),
        written: written.map(drop).map_err(|error| unanswered(&error)),
    });
    Ok(Seen {
        servers: servers.collect(),
        published: publish(url, &name).await.map_err(|error| Unanswered(error.with_causes())),
    })
}

/// To nobody: no node listens there.
async fn publish(url: &RedisUrl, channel: &str) -> Result<(), LinkError> {
    let mut bus = Bus::connect(url, ANSWERED_WITHIN, |_, _| {}).await?;
    bus.subscribe(channel).await?;
    bus.publish(channel, b"").await
}

fn unanswered(error: &RedisError) -> Unanswered {
    Unanswered(error.to_string())
}
