//! Why Redis is of no use, and which of it somebody has to mend.

use std::error::Error;

use redis::{ErrorKind, RedisError};
use tokio::time::error::Elapsed;

use crate::redis::url::RedisUrl;

const DATABASE: &str = "a database that this Redis does not have; take a lower number, or raise `databases` there";

/// Why Redis is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("Redis can't be reached")]
    Connect(#[source] RedisError),
    #[error("Redis refuses the user or the password of REDIS_URL")]
    Refused(#[source] RedisError),
    /// What it says itself speaks of its protocol.
    #[error(
        "Redis asks for a password, and REDIS_URL has none; write redis://:password@host, or redis://user:password@host"
    )]
    Unnamed,
    #[error(
        "Redis gives no answer over TLS; does the port in REDIS_URL speak it? Where it does not, the URL begins with redis:// (of a Cluster redis-cluster://)"
    )]
    Unencrypted,
    #[error("REDIS_URL names {kind}")]
    Other {
        kind: &'static str,
        #[source]
        source: Option<RedisError>,
    },
    #[error("the connection to Redis failed")]
    Lost(#[from] RedisError),
    #[error("the connection to Redis was closed")]
    Closed,
    #[error("the Cluster is another than it was, or a server of it was away; its servers are asked for anew")]
    Outdated,
    #[error("Redis gives no answer")]
    Silent(#[from] Elapsed),
}

impl LinkError {
    /// With what stands behind it, in a line that says nothing twice.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let further = error.to_string();
            if !text.contains(&further) {
                text.push_str(": ");
                text.push_str(&further);
            }
            cause = error.source();
        }
        text
    }

    /// What ends it, for the end of a sentence: Redis itself, or somebody who has to change something.
    pub fn until(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::Unnamed | Self::Other { .. } => "until that is mended",
            _ => "until it is back",
        }
    }

    /// The same, as it was met on the way to this Redis.
    pub(in crate::redis) fn by(self, url: &RedisUrl) -> Self {
        match self {
            Self::Silent(_) if url.is_encrypted() => Self::Unencrypted,
            Self::Connect(error) if url.is_encrypted() && error.is_timeout() => Self::Unencrypted,
            error => error,
        }
    }
}

/// Tells what is wrong for good from a Redis that is not there.
pub(in crate::redis) fn refusal(error: RedisError) -> LinkError {
    const CODES: [&str; 2] = ["WRONGPASS", "NOPERM"];
    let says = error.to_string();
    if error.code() == Some("NOAUTH") || says.contains("must be called with the client already authenticated") {
        LinkError::Unnamed
    } else if ["refused to switch database", "DB index is out of range"].into_iter().any(|text| says.contains(text)) {
        LinkError::Other { kind: DATABASE, source: Some(error) }
    } else if error.kind() == ErrorKind::AuthenticationFailed || error.code().is_some_and(|code| CODES.contains(&code))
    {
        LinkError::Refused(error)
    } else {
        LinkError::Connect(error)
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn met(answer: &str) -> LinkError {
        let answer = parse_redis_value(format!("-{answer}\r\n").as_bytes()).and_then(Value::extract_error);
        refusal(answer.expect_err("an error"))
    }

    #[test]
    fn what_is_wrong_for_good_is_told_from_an_outage() {
        let unnamed = met("NOAUTH HELLO must be called with the client already authenticated, otherwise ...");
        assert!(unnamed.with_causes().starts_with("Redis asks for a password"), "{unnamed}");
        let database = met("ERR DB index is out of range");
        assert!(database.with_causes().starts_with("REDIS_URL names a database that this Redis"), "{database}");
        for lasting in [unnamed, database, met("WRONGPASS invalid username-password pair or user is disabled.")] {
            assert_eq!(lasting.until(), "until that is mended", "{lasting}");
        }
        assert_eq!(met("LOADING Redis is loading the dataset in memory").until(), "until it is back");
    }
}
