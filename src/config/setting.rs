//! Every setting, once: its names, what it takes, its default. Help, reading, complaints and `config` go by this table.

/// How a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Plain,
    /// Not at all.
    Secret,
    /// Without its password.
    Url,
}

/// Keeps our own variables apart from the forum's in a shared `.env`.
pub const OWN_PREFIX: &str = "REALTIME_";

/// One setting. Its flag is its variable in lower case, without [`OWN_PREFIX`].
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag, without dashes in front.
    pub flag: &'static str,
    /// What it stands for in `--help`.
    pub value_name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Completes "it takes ...".
    pub takes: &'static str,
    /// In the form in which a user would give it.
    pub default: Option<&'static str>,
    /// How its value may be shown.
    pub shown: Shown,
}

impl Setting {
    const fn new(variable: &'static str, flag: &'static str, value_name: &'static str, takes: &'static str) -> Self {
        Self { variable, flag, value_name, help: "", takes, default: None, shown: Shown::Plain }
    }

    const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    const fn shown(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    const fn help(mut self, text: &'static str) -> Self {
        self.help = text;
        self
    }
}

/// Every duration setting accepts the same texts.
const DURATION: &str = "a duration from 1ms to 7d, such as 250ms, 10s, 5m, 1h";
const SIZE: &str = "a size from 1KiB to 1TiB, such as 64KiB or 2GB";
const RATE: &str = "a number from 1 to 10000, a slash and a duration from 1s to 7d, such as 60/10s";
const PLACES: &str = "a number from 1 to 1000000, or off";
const DATABASE: &str = "a URL like postgres://user:password@host:5432/forum, of one host";

pub static DATABASE_URL: Setting =
    Setting::new("DATABASE_URL", "database-url", "URL", DATABASE).shown(Shown::Url).help("The forum's database");
pub static LISTEN_DATABASE_URL: Setting = Setting::new("LISTEN_DATABASE_URL", "listen-database-url", "URL", DATABASE)
    .shown(Shown::Url)
    .help("The same database without a transaction pooler in between, for LISTEN and for migrations [default: as DATABASE_URL]");
pub static DATABASE_CONNECTIONS: Setting =
    Setting::new("REALTIME_DATABASE_CONNECTIONS", "database-connections", "COUNT", "a number from 4 to 1000")
        .default("10")
        .help("Connections to the database at most, beside the one that listens");
pub static REDIS_URL: Setting = Setting::new(
    "REDIS_URL",
    "redis-url",
    "URL",
    "a URL like redis://:password@host:6379/0, or redis-cluster://:password@host1:6379,host2:6379 of a Cluster; with TLS rediss:// or rediss-cluster://",
)
.shown(Shown::Url)
.help("Redis 6 or newer, on which several nodes meet: redis://:password@host:6379, or of a Cluster some of its servers, redis-cluster://:password@host1:6379,host2:6379; with TLS rediss:// or rediss-cluster:// [default: each node reads the database for itself]");
pub static REDIS_CA_FILE: Setting =
    Setting::new("REDIS_CA_FILE", "redis-ca-file", "FILE", "the name of a PEM file of certificates")
        .help("Authorities that sign the certificate of Redis, as PEM [default: those of the web]");
pub static REDIS_PREFIX: Setting =
    Setting::new("REDIS_PREFIX", "redis-prefix", "TEXT", "at most 64 visible ASCII characters")
        .default("curia:")
        .help("What names in Redis begin with; one of its own for each database");

pub static JWT_SECRET: Setting =
    Setting::new("JWT_SECRET", "jwt-secret", "SECRET", "the forum's secret, or several separated by commas, none of them empty")
        .shown(Shown::Secret)
        .help("What the forum signs its tokens with (HS256); several separated by commas while it changes. Rather the variable than the flag, which other users of the machine can see");
pub static JWT_PUBLIC_KEY_FILE: Setting =
    Setting::new("JWT_PUBLIC_KEY_FILE", "jwt-public-key-file", "FILE", "the name of a PEM file of public keys")
        .help("Instead of a secret, public keys as PEM (RS256, ES256, EdDSA); several blocks while the forum changes its key. Read again when it changes");
pub static JWT_JWKS_FILE: Setting =
    Setting::new("JWT_JWKS_FILE", "jwt-jwks-file", "FILE", "the name of a file with a JWK set of public keys")
        .help("Instead of a secret, public keys as a JWK set (RS256, ES256, EdDSA). Read again when it changes");
pub static JWT_ISSUER: Setting = Setting::new("JWT_ISSUER", "jwt-issuer", "TEXT", "the text of the claim `iss`")
    .help("Refuse tokens of another issuer");
pub static JWT_AUDIENCE: Setting = Setting::new("JWT_AUDIENCE", "jwt-audience", "TEXT", "the text of the claim `aud`")
    .help("Refuse tokens for another audience");

pub static JWT_LEEWAY: Setting = Setting::new("JWT_LEEWAY", "jwt-leeway", "DURATION", "a duration from 0s to 5m")
    .default("0s")
    .help("For so long a token is good behind its `exp` and before its `nbf`, where clocks differ");

pub static HOST: Setting =
    Setting::new("HOST", "host", "ADDRESS", "an address or a host name such as 127.0.0.1, :: or localhost")
        .default("0.0.0.0")
        .help("Where to accept connections");
pub static PORT: Setting = Setting::new("PORT", "port", "PORT", "a number from 0 to 65535, where 0 is any free port")
    .default("4000")
    .help("The port of Socket.IO and of the health checks");
pub static METRICS_PORT: Setting =
    Setting::new("METRICS_PORT", "metrics-port", "PORT", "a number from 0 to 65535, where 0 is any free port")
        .help("A port for /metrics alone, on the same address [default: /metrics is on PORT]");
pub static ALLOWED_ORIGINS: Setting = Setting::new(
    "ALLOWED_ORIGINS",
    "allowed-origins",
    "ORIGINS",
    "origins separated by commas, such as https://forum.example or http://localhost:3000, without a path and without *",
)
.default("")
.help("Pages of these origins may connect, beside the server's own");

pub static RUST_LOG: Setting = Setting::new(
    "RUST_LOG",
    "rust-log",
    "FILTER",
    "a level such as info or directives such as curia_realtime=debug,warn",
)
.default("info")
.help("What is logged");
pub static LOG_FORMAT: Setting =
    Setting::new("LOG_FORMAT", "log-format", "FORMAT", "text or json").default("text").help("How it is logged");

pub static ROOMS_PER_SOCKET: Setting =
    Setting::new("REALTIME_ROOMS_PER_SOCKET", "rooms-per-socket", "COUNT", "a number from 1 to 100000")
        .default("200")
        .help("Rooms that one socket may join; a feed counts as one");
pub static MAX_MESSAGE_SIZE: Setting = Setting::new("REALTIME_MAX_MESSAGE_SIZE", "max-message-size", "SIZE", SIZE)
    .default("64KiB")
    .help("A client that sends a longer message is closed");
pub static CONNECT_TIMEOUT: Setting = Setting::new("REALTIME_CONNECT_TIMEOUT", "connect-timeout", "DURATION", DURATION)
    .default("10s")
    .help("A client that has not sent CONNECT by then is closed");
pub static PING_INTERVAL: Setting = Setting::new("REALTIME_PING_INTERVAL", "ping-interval", "DURATION", DURATION)
    .default("25s")
    .help("How often a client is asked whether it is there");
pub static PING_TIMEOUT: Setting = Setting::new("REALTIME_PING_TIMEOUT", "ping-timeout", "DURATION", DURATION)
    .default("20s")
    .help("How long it may take to answer");
pub static STALL_TIMEOUT: Setting = Setting::new("REALTIME_STALL_TIMEOUT", "stall-timeout", "DURATION", DURATION)
    .default("15s")
    .help("A client that reads nothing of what waits for it is closed");
pub static MAX_PENDING: Setting = Setting::new("REALTIME_MAX_PENDING", "max-pending", "SIZE", SIZE)
    .default("8MiB")
    .help("A client for which more waits is closed");
pub static MAX_PENDING_FRAMES: Setting =
    Setting::new("REALTIME_MAX_PENDING_FRAMES", "max-pending-frames", "COUNT", "a number from 16 to 1000000")
        .default("8192")
        .help("A client for which more events wait is closed");
pub static MAX_CONNECTIONS: Setting =
    Setting::new("REALTIME_MAX_CONNECTIONS", "max-connections", "COUNT", "a number from 1 to 1000000")
        .default("20000")
        .help("TCP connections at once; more are closed unread. Each takes a file (ulimit -n)");
pub static CONNECTIONS_PER_USER: Setting =
    Setting::new("REALTIME_CONNECTIONS_PER_USER", "connections-per-user", "COUNT", PLACES)
        .default("50")
        .help("Sockets that one user may have, over all nodes with REDIS_URL, else on each node; more are refused with rate_limited");
pub static CONNECTIONS_PER_ADDRESS: Setting =
    Setting::new("REALTIME_CONNECTIONS_PER_ADDRESS", "connections-per-address", "COUNT", PLACES)
        .default("off")
        .help("Sockets that one address (of IPv6 a /64) may have on this node; offices share one. Behind a proxy set REALTIME_TRUSTED_PROXIES too");
pub static TRUSTED_PROXIES: Setting = Setting::new(
    "REALTIME_TRUSTED_PROXIES",
    "trusted-proxies",
    "NETWORKS",
    "addresses and networks separated by commas, such as 10.0.0.0/8,::1",
)
.help("The proxies before this server: connections from them count for the address that they name in REALTIME_TRUSTED_PROXY_HEADER [default: none, and the header is ignored]");
pub static TRUSTED_PROXY_HEADER: Setting = Setting::new(
    "REALTIME_TRUSTED_PROXY_HEADER",
    "trusted-proxy-header",
    "NAME",
    "the name of a header to whose end a proxy adds the address that asked it, such as X-Forwarded-For; not Forwarded",
)
.default("X-Forwarded-For")
.help("Where trusted proxies say from which address they were asked");
pub static RATE_CONNECT: Setting = Setting::new("REALTIME_RATE_CONNECT", "rate-connect", "RATE", RATE)
    .default("60/10s")
    .help("How often a user may connect; more gets the connect_error rate_limited");
pub static RATE_JOIN: Setting = Setting::new("REALTIME_RATE_JOIN", "rate-join", "RATE", RATE)
    .default("60/10s")
    .help("How often a user may join boards, posts and feeds; more is answered rate_limited");
pub static RATE_TYPING: Setting = Setting::new("REALTIME_RATE_TYPING", "rate-typing", "RATE", RATE)
    .default("20/10s")
    .help("How often a user may send typing:start and typing:stop");
pub static RATE_PRESENCE_LIST: Setting =
    Setting::new("REALTIME_RATE_PRESENCE_LIST", "rate-presence-list", "RATE", RATE)
        .default("10/10s")
        .help("How often a user may send presence:list");
pub static RATE_SESSION_REFRESH: Setting =
    Setting::new("REALTIME_RATE_SESSION_REFRESH", "rate-session-refresh", "RATE", RATE)
        .default("5/10s")
        .help("How often a user may send session:refresh");
pub static RATE_OTHER: Setting = Setting::new("REALTIME_RATE_OTHER", "rate-other", "RATE", RATE)
    .default("60/10s")
    .help("How often a user may send anything else");

pub static REFUSAL_STEP: Setting =
    Setting::new("REALTIME_REFUSAL_STEP", "refusal-step", "DURATION", "a duration from 0ms to 1s")
        .default("10ms")
        .help("What is not_found or forbidden is told at the end of such a step, so that its time tells nothing; 0ms tells it at once");
pub static MAX_CONTENT_SIZE: Setting = Setting::new("REALTIME_MAX_CONTENT_SIZE", "max-content-size", "SIZE", SIZE)
    .default("16KiB")
    .help("Longer content is cut and marked content_truncated");
pub static MERGE_WINDOW: Setting = Setting::new("REALTIME_MERGE_WINDOW", "merge-window", "DURATION", DURATION)
    .default("50ms")
    .help("Counts of one post within it are sent as one");
pub static OFFLINE_GRACE: Setting = Setting::new("REALTIME_OFFLINE_GRACE", "offline-grace", "DURATION", DURATION)
    .default("5s")
    .help("Whoever lost his last connection counts as present for so long, so that a page can be loaded again");
pub static TYPING_SILENCE: Setting = Setting::new("REALTIME_TYPING_SILENCE", "typing-silence", "DURATION", DURATION)
    .default("8s")
    .help("Whoever has not said typing:start again within it no longer types");
pub static PRESENCE_RATE: Setting =
    Setting::new("REALTIME_PRESENCE_RATE", "presence-rate", "COUNT", "a number from 1000 to 10000000")
        .default("20000")
        .help(
            "Events a second, counted for each socket, that tell who comes and goes; what a crowd makes more of waits",
        );
pub static RETENTION: Setting = Setting::new("REALTIME_RETENTION", "retention", "DURATION", DURATION)
    .default("1h")
    .help("How long a client that comes back can catch up");
pub static OUTBOX_MAX_SIZE: Setting = Setting::new("REALTIME_OUTBOX_MAX_SIZE", "outbox-max-size", "SIZE", SIZE)
    .default("2GB")
    .help("What the outbox may take on the database's disk");
pub static REPLAY_EVENTS: Setting =
    Setting::new("REALTIME_REPLAY_EVENTS", "replay-events", "COUNT", "a number from 0 to 10000000")
        .default("100000")
        .help("Events kept in memory for clients that come back; older ones are read from the outbox");
pub static REPLAY_MEMORY: Setting =
    Setting::new("REALTIME_REPLAY_MEMORY", "replay-memory", "SIZE", SIZE).default("128MiB").help("What these may take");
pub static REPLAY_LIMIT: Setting =
    Setting::new("REALTIME_REPLAY_LIMIT", "replay-limit", "COUNT", "a number from 0 to 1000000")
        .default("2000")
        .help("Who has missed more events of a room is told to load its state instead; at most half of REALTIME_MAX_PENDING_FRAMES");
pub static POLL_INTERVAL: Setting = Setting::new(
    "REALTIME_POLL_INTERVAL",
    "poll-interval",
    "DURATION",
    "a duration from 1ms to 250ms; a node that lets changes wait for much longer is taken to be stuck",
)
.default("4ms")
.help("How often the outbox is read while there is work; 250ms at most");
pub static PARK_AFTER: Setting = Setting::new("REALTIME_PARK_AFTER", "park-after", "DURATION", DURATION)
    .default("10ms")
    .help("Without work for so long, wait to be notified instead");
pub static SAFETY_POLL: Setting = Setting::new("REALTIME_SAFETY_POLL", "safety-poll", "DURATION", DURATION)
    .default("1s")
    .help("How often the outbox is read while waiting to be notified; a node that waits for another looks once a second at least");
pub static DRAIN: Setting = Setting::new("REALTIME_DRAIN", "drain", "DURATION", DURATION)
    .default("25s")
    .help("How long a stopping server takes to send its clients away");

/// What reaching the database takes.
pub static OF_DATABASE: &[&Setting] = &[&DATABASE_URL, &LISTEN_DATABASE_URL];

/// What making a token takes.
pub static OF_TOKENS: &[&Setting] =
    &[&JWT_SECRET, &JWT_PUBLIC_KEY_FILE, &JWT_JWKS_FILE, &JWT_ISSUER, &JWT_AUDIENCE, &JWT_LEEWAY];

/// What serving takes: all of them.
pub static OF_SERVER: &[&Setting] = &[
    &DATABASE_URL,
    &LISTEN_DATABASE_URL,
    &DATABASE_CONNECTIONS,
    &REDIS_URL,
    &REDIS_CA_FILE,
    &REDIS_PREFIX,
    &JWT_SECRET,
    &JWT_PUBLIC_KEY_FILE,
    &JWT_JWKS_FILE,
    &JWT_ISSUER,
    &JWT_AUDIENCE,
    &JWT_LEEWAY,
    &HOST,
    &PORT,
    &METRICS_PORT,
    &ALLOWED_ORIGINS,
    &RUST_LOG,
    &LOG_FORMAT,
    &ROOMS_PER_SOCKET,
    &MAX_MESSAGE_SIZE,
    &CONNECT_TIMEOUT,
    &PING_INTERVAL,
    &PING_TIMEOUT,
    &STALL_TIMEOUT,
    &MAX_PENDING,
    &MAX_PENDING_FRAMES,
    &MAX_CONNECTIONS,
    &CONNECTIONS_PER_USER,
    &CONNECTIONS_PER_ADDRESS,
    &TRUSTED_PROXIES,
    &TRUSTED_PROXY_HEADER,
    &RATE_CONNECT,
    &RATE_JOIN,
    &RATE_TYPING,
    &RATE_PRESENCE_LIST,
    &RATE_SESSION_REFRESH,
    &RATE_OTHER,
    &REFUSAL_STEP,
    &MAX_CONTENT_SIZE,
    &MERGE_WINDOW,
    &RETENTION,
    &OUTBOX_MAX_SIZE,
    &POLL_INTERVAL,
    &PARK_AFTER,
    &SAFETY_POLL,
    &REPLAY_EVENTS,
    &REPLAY_MEMORY,
    &REPLAY_LIMIT,
    &OFFLINE_GRACE,
    &TYPING_SILENCE,
    &PRESENCE_RATE,
    &DRAIN,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn flags_follow_from_variables() {
        for setting in OF_SERVER {
            let own = setting.variable.strip_prefix(OWN_PREFIX).unwrap_or(setting.variable);
            assert_eq!(setting.flag, own.to_lowercase().replace('_', "-"), "{}", setting.variable);
            assert!(!setting.help.is_empty() && !setting.takes.is_empty(), "{}", setting.variable);
        }
    }

    #[test]
    fn each_setting_is_there_once() {
        let names: BTreeSet<_> = OF_SERVER.iter().map(|setting| setting.variable).collect();
        assert_eq!(names.len(), OF_SERVER.len());
        for setting in OF_DATABASE.iter().chain(OF_TOKENS) {
            assert!(names.contains(setting.variable), "{}", setting.variable);
        }
    }
}
