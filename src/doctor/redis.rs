//! Redis, one server or those of a Cluster: whether nodes can meet there.

use super::{Asked, Finding, Unanswered, bytes, many};

/// The oldest that knows `HELLO`.
const OLDEST: u32 = 6;
/// Of its memory, in hundredths; from there on it soon is full.
const NEARLY_FULL: u64 = 90;
const SEE_TO_IT: &str =
    "see to Redis; while it is away each node reads PostgreSQL and limits for itself, and nobody is told who is here";

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub place: String,
    /// What it says of itself.
    pub info: Asked<Info>,
    /// Whether a key could be written there.
    pub written: Asked<()>,
}

/// What `INFO` says, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Its name and version.
    pub version: String,
    /// Of a Redis with the same commands.
    pub redis: String,
    pub used: u64,
    /// 0 is no limit.
    pub most: u64,
    pub policy: String,
}

impl Info {
    /// From the text of the answer. What does not stand there stays empty.
    pub fn of(text: &str) -> Self {
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(of, _)| *of == name).map(|(_, value)| value.trim()).unwrap_or_default()
        };
        let number = |name: &str| value(name).parse().unwrap_or_default();
        let redis = value("redis_version");
        let version = match value("valkey_version") {
            "" => format!("Redis {redis}"),
            valkey => format!("Valkey {valkey}"),
        };
        Self {
            version,
            redis: redis.to_owned(),
            used: number("used_memory"),
            most: number("maxmemory"),
            policy: value("maxmemory_policy").to_owned(),
        }
    }

    fn is_too_old(&self) -> bool {
        let major = self.redis.split('.').next().and_then(|major| major.parse::<u32>().ok());
        major.is_some_and(|major| major < OLDEST)
    }
}

/// What there is to say without a `REDIS_URL`.
pub fn absent() -> Finding {
    Finding::note(
        "redis",
        "REDIS_URL is not set: each node is by itself, in who is here as in its limits",
        "nothing, where there is one node; several want the same Redis in REDIS_URL",
    )
}

/// Redis could not be had.
pub fn unreached(place: &str, why: &str) -> Finding {
    Finding::error("redis", &format!("{place}: {why}"), SEE_TO_IT)
}

/// All there is to say of the servers, and of publishing to the other nodes.
pub fn findings(place: &str, servers: &[Server], published: &Asked<()>) -> Vec<Finding> {
    vec![reached(place, servers), written(servers, published), memory(servers)]
}

fn reached(place: &str, servers: &[Server]) -> Finding {
    let what = "redis";
    let mut told = Vec::new();
    for server in servers {
        match &server.info {
            Ok(info) if info.is_too_old() => {
                return Finding::wrong(
                    what,
                    format!("{} is {}", server.place, info.version),
                    "this program needs Redis 6 or newer, or Valkey; upgrade it",
                );
            }
            Ok(info) if !told.contains(&info.version) => told.push(info.version.clone()),
            Ok(_) => {}
            Err(Unanswered(why)) => {
                return Finding::error(what, &format!("{} does not answer INFO: {why}", server.place), SEE_TO_IT);
            }
        }
    }
    Finding::ok(what, format!("{place} lets us in: {}, {}", many(servers.len(), "server"), told.join(", ")))
}

fn written(servers: &[Server], published: &Asked<()>) -> Finding {
    let what = "redis writes";
    let refused = servers.iter().find_map(|server| Some((&server.place, server.written.as_ref().err()?)));
    if let Some((place, Unanswered(why))) = refused {
        let next = match why {
            full if full.contains("OOM") || full.contains("maxmemory") => {
                "give it more memory (CONFIG SET maxmemory, and redis.conf), or find out what fills it: `redis-cli --bigkeys`"
            }
            unsaved if unsaved.contains("MISCONF") => "see to the disk of Redis, whose log says why it can't save",
            barred if barred.contains("NOPERM") || barred.contains("permission") => {
                "let the user of REDIS_URL do everything with keys and channels below REDIS_PREFIX (ACL SETUSER)"
            }
            _ => SEE_TO_IT,
        };
        return Finding::wrong(what, format!("nothing can be written on {place}: {why}"), next);
    }
    match published {
        Ok(()) => Finding::ok(what, "keys are written and channels published to"),
        Err(Unanswered(why)) => Finding::wrong(
            what,
            format!("nothing can be published to the other nodes: {why}"),
            "let the user of REDIS_URL publish and subscribe to channels below REDIS_PREFIX (ACL SETUSER ... &prefix*)",
        ),
    }
}

fn memory(servers: &[Server]) -> Finding {
    let what = "redis memory";
    let known = servers.iter().filter_map(|server| Some((&server.place, server.info.as_ref().ok()?)));
    let mut told = Vec::new();
    for (place, info) in known {
        let Info { used, most, policy, .. } = info;
        let of = if *most == 0 { "no limit".to_owned() } else { format!("at most {}", bytes(*most)) };
        let found = format!("{place}: {} used, {of}, {policy}", bytes(*used));
        if *most > 0 && used.saturating_mul(100) / most >= NEARLY_FULL {
            return Finding::note(what, found, "a higher maxmemory, before nothing can be written any more");
        }
        if *most > 0 && !policy.is_empty() && policy != "noeviction" {
            let next = "CONFIG SET maxmemory-policy noeviction (and redis.conf), or memory enough that nothing is evicted: who is here, limits and sessions are forgotten with a key";
            return Finding::note(what, found, next);
        }
        told.push(found);
    }
    match told.is_empty() {
        true => Finding::note(what, "no server says what it has", "let the user of REDIS_URL ask INFO, to know of it"),
        false => Finding::ok(what, told.join("; ")),
    }
}
