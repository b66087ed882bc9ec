//! Where Redis is. Its password is never shown.

use std::{fmt, str::FromStr};

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use url::Url;

/// `redis://` or, over TLS, `rediss://`.
#[derive(Clone)]
pub struct RedisUrl {
    place: String,
    connection: ConnectionInfo,
}

/// The text names no Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Redis URL")]
pub struct NotARedis;

impl RedisUrl {
    /// Scheme, host and port.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How it is reached: by the protocol in which what is subscribed to comes over the connection of the commands.
    pub(super) fn connection(&self) -> ConnectionInfo {
        let settings = self.connection.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        self.connection.clone().set_redis_settings(settings)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl FromStr for RedisUrl {
    type Err = NotARedis;

    fn from_str(text: &str) -> Result<Self, NotARedis> {
        let url = Url::parse(text).map_err(|_| NotARedis)?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "redis" | "rediss")).ok_or(NotARedis)?;
        let place = format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(6379));
        Ok(Self { place, connection: url.into_connection_info().map_err(|_| NotARedis)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_is_named_by_scheme_host_and_database() {
        for text in ["redis://redis", "redis://:hunter2@[::1]:7000/3", "rediss://user:hunter2@redis.example/"] {
            let url: RedisUrl = text.parse().unwrap();
            assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
        }
        for text in ["", "redis", "redis://", "http://redis", "redis://redis/one", "redis+unix:///run/redis"] {
            assert!(text.parse::<RedisUrl>().is_err(), "{text}");
        }
    }
}
