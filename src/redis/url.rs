//! Where Redis is, one server or a Cluster of them. Its password is never shown.

use std::{fmt, str::FromStr};

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use url::Url;

use super::authorities::Authorities;

/// `redis://` or, over TLS, `rediss://`; of a Cluster `redis-cluster://` or `rediss-cluster://`, with some of its servers,
/// separated by commas, from which the others are learned.
#[derive(Clone)]
pub struct RedisUrl {
    /// With `[secret]` for the password.
    shown: String,
    place: String,
    servers: Servers,
    authorities: Option<Authorities>,
}

/// As they are named.
#[derive(Clone)]
pub(super) enum Servers {
    One(Box<ConnectionInfo>),
    /// At least one.
    Cluster(Vec<ConnectionInfo>),
}

/// The text names no Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARedis {
    #[error("not a Redis URL")]
    Malformed,
    #[error(
        "a Cluster has no databases, so nothing may stand behind its servers; a REDIS_PREFIX of its own keeps a forum apart"
    )]
    DatabaseOfCluster,
}

impl RedisUrl {
    /// Scheme, hosts and ports.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The URL as it was given, but for its password.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        self.place.starts_with("rediss")
    }

    /// Believes these alone instead of the authorities of the web.
    pub fn trusting(self, authorities: Authorities) -> Self {
        Self { authorities: Some(authorities), ..self }
    }

    pub(super) fn authorities(&self) -> Option<&Authorities> {
        self.authorities.as_ref()
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.servers
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
        let (scheme, rest) = text.split_once("://").ok_or(NotARedis::Malformed)?;
        let scheme = scheme.to_ascii_lowercase();
        let (one, is_cluster) = match scheme.as_str() {
            "redis" | "rediss" => (scheme.as_str(), false),
            "redis-cluster" => ("redis", true),
            "rediss-cluster" => ("rediss", true),
            _ => return Err(NotARedis::Malformed),
        };
        let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // What a password may hold stands before the last @.
        let (login, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
        let (hosts, behind) = match is_cluster {
            true if !matches!(behind, "" | "/") => return Err(NotARedis::DatabaseOfCluster),
            true => (hosts.split(',').collect(), ""),
            false if hosts.contains(',') => return Err(NotARedis::Malformed),
            false => (vec![hosts], behind),
        };
        let before = login.map(|login| format!("{login}@")).unwrap_or_default();
        let (mut places, mut servers) = (Vec::new(), Vec::new());
        for host in hosts {
            let (place, server) = server(&format!("{one}://{before}{host}{behind}"))?;
            places.push(place);
            servers.push(server);
        }
        let places = places.join(",");
        Ok(Self {
            shown: format!("{scheme}://{}{places}{behind}", login.map(without_password).unwrap_or_default()),
            place: format!("{scheme}://{places}"),
            servers: match <[ConnectionInfo; 1]>::try_from(servers) {
                Ok([server]) if !is_cluster => Servers::One(Box::new(server)),
                Ok(servers) => Servers::Cluster(servers.into()),
                Err(servers) => Servers::Cluster(servers),
            },
            authorities: None,
        })
    }
}

/// Host and port, and how it is reached: by the protocol in which what is subscribed to comes over the connection of the
/// commands.
fn server(text: &str) -> Result<(String, ConnectionInfo), NotARedis> {
    let url = Url::parse(text).map_err(|_| NotARedis::Malformed)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(NotARedis::Malformed)?;
    let place = format!("{host}:{}", url.port().unwrap_or(6379));
    let server = url.into_connection_info().map_err(|_| NotARedis::Malformed)?;
    let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok((place, server.set_redis_settings(settings)))
}

fn without_password(login: &str) -> String {
    match login.split_once(':') {
        Some((user, _)) => format!("{user}:[secret]@"),
        None => format!("{login}@"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let url: RedisUrl = text.parse().unwrap();
        assert!(!format!("{url:?} {} {}", url.shown(), url.place()).contains("hunter2"), "{url:?}");
        url.shown().to_owned()
    }

    #[test]
    fn a_redis_is_named_by_scheme_host_and_database() {
        assert_eq!(shown("redis://redis"), "redis://redis:6379");
        assert_eq!(shown("redis://:hunter2@[::1]:7000/3"), "redis://:[secret]@[::1]:7000/3");
        assert_eq!(shown("rediss://user:hunter2@redis.example/"), "rediss://user:[secret]@redis.example:6379/");
        for text in [
            "",
            "redis",
            "redis://",
            "redis://one,two",
            "redis://one:1,two:2",
            "http://redis",
            "redis://redis/one",
            "redis+unix:///run/redis",
        ] {
            assert_eq!(text.parse::<RedisUrl>().err(), Some(NotARedis::Malformed), "{text}");
        }
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_servers_and_has_no_database() {
        let url = "rediss-cluster://user:hunter2,@x@one:7000,[::1],three.example:6379/";
        assert_eq!(shown(url), "rediss-cluster://user:[secret]@one:7000,[::1]:6379,three.example:6379");
        assert_eq!(shown("redis-cluster://one"), "redis-cluster://one:6379");
        let url: RedisUrl = url.parse().unwrap();
        let Servers::Cluster(servers) = url.servers() else { panic!("{url:?}") };
        assert!(servers.iter().all(|server| server.redis_settings().password() == Some("hunter2,@x")));
        assert_eq!(servers.len(), 3);
        let alone: RedisUrl = "redis-cluster://one".parse().unwrap();
        assert!(matches!(alone.servers(), Servers::Cluster(servers) if servers.len() == 1));
        for text in ["redis-cluster://one/1", "redis-cluster://one,two/0", "redis-cluster://one?protocol=resp3"] {
            assert_eq!(text.parse::<RedisUrl>().err(), Some(NotARedis::DatabaseOfCluster), "{text}");
        }
        for text in ["redis-cluster://", "redis-cluster://one,,two", "redis-cluster://one:port", "cluster://one"] {
            assert_eq!(text.parse::<RedisUrl>().err(), Some(NotARedis::Malformed), "{text}");
        }
    }
}
