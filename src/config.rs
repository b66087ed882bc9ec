//! The configuration: read once, checked whole, before anything is opened.
//!
//! Contract section 8: every variable is a flag too. Whatever is wrong is told all at once, a line each, with the names of
//! variable and flag and what is expected, and never with a value that may be secret.

pub mod dotenv;
mod limits;
mod misspelt;
mod reader;
pub(crate) mod setting;
mod source;
mod tokens;
mod value;

use std::time::Duration;

pub use self::{
    limits::ClientLimits,
    reader::{ConfigError, Effective, Problem},
    source::{Provenance, SourceError, Sources},
    tokens::TokenConfig,
    value::{LogFormat, duration},
};
use self::{
    reader::{Notes, Reader, Refused},
    setting as settings, value as read,
};
use crate::{
    dispatch::Patience,
    history::Bounds,
    http::AllowedOrigins,
    postgres::database_url::DatabaseUrl,
    redis::{
        authorities::Authorities,
        url::{NotARedis, RedisUrl},
    },
    telemetry::chain,
    wake::{LONGEST_POLL, Pace},
};

/// All that `serve` goes by.
#[derive(Debug)]
pub struct Config {
    /// The forum's database.
    pub database: DatabaseConfig,
    /// Connections in the pool at most.
    pub database_connections: u32,
    /// Where several nodes meet.
    pub redis: Option<RedisConfig>,
    /// Whom to believe.
    pub tokens: TokenConfig,
    /// Where to listen and to whom.
    pub http: HttpConfig,
    /// What to log and how.
    pub log: LogConfig,
    /// What clients may take.
    pub limits: ClientLimits,
    /// How the outbox is read and told.
    pub stream: StreamConfig,
    /// What is kept for clients that come back.
    pub replay: Bounds,
    /// How long who has gone, or is silent, is taken to be there.
    pub patience: Patience,
    /// How long a stopping server takes to send its clients away.
    pub drain: Duration,
    effective: Vec<Effective>,
    warnings: Vec<String>,
}

/// How the database is reached.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// For queries; a pooler may stand in between.
    pub url: DatabaseUrl,
    /// For LISTEN, session locks and migrations, where it differs.
    pub listen_url: Option<DatabaseUrl>,
}

impl DatabaseConfig {
    /// A connection that keeps its session: no transaction pooler in between.
    pub fn direct(&self) -> &DatabaseUrl {
        self.listen_url.as_ref().unwrap_or(&self.url)
    }
}

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    pub url: RedisUrl,
    /// What the names of keys and channels begin with.
    pub prefix: String,
}

/// Where connections are accepted.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// An address or a name.
    pub host: String,
    /// 0 is any free port.
    pub port: u16,
    /// For `/metrics` alone; without one they are on `port`.
    pub metrics_port: Option<u16>,
    /// Beside the server's own origin.
    pub allowed_origins: AllowedOrigins,
}

/// What is logged and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Directives of `RUST_LOG`.
    pub filter: String,
    /// For people or for machines.
    pub format: LogFormat,
}

/// How changes get from the outbox to events.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Bytes of a row's content that are sent.
    pub max_content_size: u64,
    /// Counts of one post within it are sent as one.
    pub merge_window: Duration,
    /// How long outbox rows and ticks are kept.
    pub retention: Duration,
    /// Bytes the outbox may take on disk.
    pub outbox_max_size: u64,
    /// How often the outbox is looked at.
    pub pace: Pace,
}

impl Config {
    /// Everything that `serve` needs, or all that is wrong with it.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(sources);
        misspelt::warn_of_lines(sources, &mut reader);
        misspelt::warn_of(sources, &mut reader);
        let config = Self::from_reader(&mut reader);
        reader.finish(config).map(|(config, Notes { effective, warnings })| Self { effective, warnings, ..config })
    }

    fn from_reader(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let database = DatabaseConfig::from_reader(reader);
        let database_connections = reader.required(&settings::DATABASE_CONNECTIONS, read::count(4..=1000));
        let redis = RedisConfig::from_reader(reader);
        let tokens = TokenConfig::from_reader(reader);
        let http = HttpConfig::from_reader(reader);
        let log = LogConfig::from_reader(reader);
        let limits = ClientLimits::from_reader(reader);
        let stream = StreamConfig::from_reader(reader);
        let replay = replay(reader, limits.as_ref().ok());
        let offline_grace = reader.required(&settings::OFFLINE_GRACE, read::duration);
        let typing_silence = reader.required(&settings::TYPING_SILENCE, read::duration);
        let presence_rate = reader.required(&settings::PRESENCE_RATE, read::count(1_000..=10_000_000));
        let drain = reader.required(&settings::DRAIN, read::duration);
        Ok(Self {
            database: database?,
            database_connections: database_connections?,
            redis: redis?,
            tokens: tokens?,
            http: http?,
            log: log?,
            limits: limits?,
            stream: stream?,
            replay: replay?,
            patience: Patience {
                offline_grace: offline_grace?,
                typing_silence: typing_silence?,
                told_a_second: presence_rate?,
            },
            drain: drain?,
            effective: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Every setting with its value, fit to be shown.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// What is allowed but hardly meant; to be logged once at the start.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl DatabaseConfig {
    /// For commands that need the database alone.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(sources);
        let config = Self::from_reader(&mut reader);
        reader.finish(config).map(|(config, _)| config)
    }

    fn from_reader(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let url = reader.required(&settings::DATABASE_URL, |text| text.parse().ok());
        let listen_url = reader.optional(&settings::LISTEN_DATABASE_URL, |text| text.parse().ok());
        Ok(Self { url: url?, listen_url: listen_url? })
    }
}

impl RedisConfig {
    fn from_reader(reader: &mut Reader<'_>) -> Result<Option<Self>, Refused> {
        let url = redis_url(reader);
        let authorities = reader.optional(&settings::REDIS_CA_FILE, read::path);
        let prefix = reader.required(&settings::REDIS_PREFIX, read::prefix);
        let (url, authorities, prefix) = (url?, authorities?, prefix?);
        let url = match (url, authorities) {
            (Some(url), Some(_)) if !url.is_encrypted() => {
                let why = "REDIS_URL asks for no TLS; it has to begin with rediss:// or rediss-cluster://";
                return Err(reader.refuse(&settings::REDIS_CA_FILE, why.to_owned()));
            }
            (Some(url), Some(path)) => match Authorities::read(&path) {
                Ok(authorities) => Some(url.trusting(authorities)),
                Err(error) => return Err(reader.refuse(&settings::REDIS_CA_FILE, chain(&error))),
            },
            (url, _) => url,
        };
        Ok(url.map(|url| Self { url, prefix }))
    }
}

fn redis_url(reader: &mut Reader<'_>) -> Result<Option<RedisUrl>, Refused> {
    let url = reader.optional(&settings::REDIS_URL, |text| match text.parse::<RedisUrl>() {
        Err(NotARedis::Malformed) => None,
        read => Some(read),
    });
    url?.transpose().map_err(|error| reader.refuse(&settings::REDIS_URL, error.to_string()))
}

impl HttpConfig {
    fn from_reader(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let host = reader.required(&settings::HOST, read::host);
        let port = reader.required(&settings::PORT, read::port);
        let metrics_port = reader.optional(&settings::METRICS_PORT, read::port);
        let allowed_origins = reader.required(&settings::ALLOWED_ORIGINS, |text| text.parse().ok());
        let (port, metrics_port) = (port?, metrics_port?);
        // Of any free ports they are two.
        if port != 0 && metrics_port == Some(port) {
            let why = format!(
                "{} is the same; take another, or leave it out: then /metrics is there",
                settings::PORT.variable
            );
            return Err(reader.refuse(&settings::METRICS_PORT, why));
        }
        Ok(Self { host: host?, port, metrics_port, allowed_origins: allowed_origins? })
    }
}

impl LogConfig {
    fn from_reader(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let filter = reader.required(&settings::RUST_LOG, read::log_filter);
        let format = reader.required(&settings::LOG_FORMAT, read::log_format);
        Ok(Self { filter: filter?, format: format? })
    }
}

fn replay(reader: &mut Reader<'_>, limits: Option<&ClientLimits>) -> Result<Bounds, Refused> {
    let records = reader.required(&settings::REPLAY_EVENTS, read::count(0..=10_000_000));
    let size = reader.required(&settings::REPLAY_MEMORY, read::size);
    let missed = reader.required(&settings::REPLAY_LIMIT, read::count(0..=1_000_000))?;
    if let Some(frames) = limits.map(|limits| limits.max_pending_frames).filter(|frames| missed > frames / 2) {
        // The other half is for what is told meanwhile.
        let takes = format!("it takes at most half of {}, which is {frames}", settings::MAX_PENDING_FRAMES.variable);
        return Err(reader.refuse(&settings::REPLAY_LIMIT, takes));
    }
    let size = usize::try_from(size?).unwrap_or(usize::MAX);
    Ok(Bounds { records: records? as usize, size, missed: missed as usize })
}

impl StreamConfig {
    fn from_reader(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let max_content_size = reader.required(&settings::MAX_CONTENT_SIZE, read::size);
        let merge_window = reader.required(&settings::MERGE_WINDOW, read::duration);
        let retention = reader.required(&settings::RETENTION, read::duration);
        let outbox_max_size = reader.required(&settings::OUTBOX_MAX_SIZE, read::size);
        let poll_interval = reader.required(&settings::POLL_INTERVAL, read::duration_up_to(LONGEST_POLL));
        let park_after = reader.required(&settings::PARK_AFTER, read::duration);
        let safety_poll = reader.required(&settings::SAFETY_POLL, read::duration);
        Ok(Self {
            max_content_size: max_content_size?,
            merge_window: merge_window?,
            retention: retention?,
            outbox_max_size: outbox_max_size?,
            pace: Pace { poll: poll_interval?, park_after: park_after?, safety_poll: safety_poll? },
        })
    }
}

#[cfg(test)]
mod tests;
