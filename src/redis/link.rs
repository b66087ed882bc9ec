//! A way to Redis, one server or a Cluster of them, on which questions are asked.
//!
//! Invariants:
//! - whoever asks has an answer, or none, within the time that the link was made with, whatever the servers do; before that those
//!   of a Cluster that is another than it was are found anew, within [`CONNECT_WITHIN`];
//! - questions that are asked together are independent: each has an answer of its own, and their keys may lie in different
//!   slots. One server is sent them in one piece, of a Cluster each the server that has its key, so that one that is away
//!   keeps only its own from an answer;
//! - what one question touches is one key, so that no question is of two servers;
//! - a question is carried out once or not at all; a server that does not know a script is asked with its text.
//!
//! A link that failed is of no more use: whoever wants to go on makes another. That a server of a Cluster was lost, or that slots have
//! moved, is no failure. What is asked of a slot that is just on its way from server to server is asked of both. The library's tasks that drive the
//! connections end with the last clone of a link.

mod failure;

use std::{collections::HashMap, io, mem, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult,
    ServerErrorKind, Value, aio::MultiplexedConnection, cmd,
};
use tokio::time::{Instant, timeout, timeout_at};

pub use self::failure::LinkError;
pub(super) use self::failure::refusal;
use super::{
    authorities::Authorities,
    cluster::{self, Cluster},
    question::Question,
    url::{RedisUrl, Servers},
};

pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const OF_CLUSTER: &str = "one server of a Cluster; it has to begin with redis-cluster:// or rediss-cluster://";
const NO_CLUSTER: &str = "no Cluster; it has to begin with redis:// or rediss://";
const REPLICA: &str = "a replica, on which nothing can be written; it has to name the primary";
const SENTINEL: &str = "a Sentinel, which keeps nothing itself; it has to name the primary";

/// See the module.
#[derive(Clone)]
pub struct Link {
    url: RedisUrl,
    way: Way,
    within: Duration,
    is_another: bool,
}

#[derive(Clone)]
enum Way {
    Server(MultiplexedConnection),
    Cluster(Cluster),
}

impl Link {
    /// Connects; every question is to be answered `within`.
    pub async fn connect(url: &RedisUrl, within: Duration) -> Result<Self, LinkError> {
        Ok(Self { url: url.clone(), way: Way::found(url, within).await?, within, is_another: false })
    }

    /// Whether other servers may be asked by now than when this was asked last: a Cluster was found anew.
    pub fn has_become_another(&mut self) -> bool {
        mem::take(&mut self.is_another)
    }

    /// Asks one question.
    pub async fn ask<T: FromRedisValue>(&mut self, question: impl Into<Question>) -> Result<T, LinkError> {
        let answers = self.ask_each(&[question.into()]).await?;
        // One for each question.
        let answer = answers.into_iter().next().ok_or(LinkError::Closed)?;
        answer.map_err(|error| self.failure(error))
    }

    /// Asks them all together and gives an answer for each, in the same order; in which order they are carried out is nobody's
    /// promise. An error of the whole is that no server can be asked.
    pub async fn ask_each<T: FromRedisValue>(
        &mut self,
        questions: &[Question],
    ) -> Result<Vec<RedisResult<T>>, LinkError> {
        if let Way::Cluster(cluster) = &self.way
            && cluster.is_outdated()
        {
            self.way = Way::found(&self.url, self.within).await?;
            self.is_another = true;
        }
        let until = Instant::now() + self.within;
        let commands = questions.iter().map(|question| question.command().clone()).collect();
        let mut answers = self.round(commands, until).await?;
        let unknown = |answer: &RedisResult<T>| {
            answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
        };
        let asked = answers.iter_mut().zip(questions).filter(|(answer, _)| unknown(answer));
        let (places, in_full): (Vec<_>, Vec<_>) =
            asked.filter_map(|(answer, question)| Some((answer, question.in_full()?))).unzip();
        for (place, answer) in places.into_iter().zip(self.round(in_full, until).await?) {
            *place = answer;
        }
        Ok(answers)
    }

    /// Asks every server what `question` makes of a key that it has, whose name begins with `name`. With where the server is.
    pub(super) async fn ask_every<T: FromRedisValue>(
        &mut self,
        name: &str,
        question: impl Fn(&str) -> Cmd,
    ) -> Vec<(String, RedisResult<T>)> {
        let until = Instant::now() + self.within;
        if let Way::Cluster(cluster) = &self.way {
            return cluster.ask_every(name, question, until).await;
        }
        let answer = match self.round(vec![question(name)], until).await {
            Ok(mut answers) => {
                answers.pop().unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()))
            }
            Err(LinkError::Lost(error)) => Err(error),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        };
        vec![(self.url.place().to_owned(), answer)]
    }

    /// What an answer that is an error says of the whole: of one server also that it is not what it was taken for.
    pub fn failure(&self, error: RedisError) -> LinkError {
        let kind = match (&self.way, error.code()) {
            (Way::Server(_), Some("MOVED" | "ASK" | "CROSSSLOT")) => OF_CLUSTER,
            (Way::Server(_), Some("READONLY")) => REPLICA,
            _ => return LinkError::Lost(error),
        };
        LinkError::Other { kind, source: Some(error) }
    }

    /// Whether the error is of one server of several, or of one slot: the question alone goes without an answer, others do not.
    pub fn is_of_one_server(&self, error: &RedisError) -> bool {
        matches!(self.way, Way::Cluster(_)) && cluster::is_of_one_server(error)
    }

    /// The error again, where it is of one key, or of one server of several, alone; else what it says of the whole.
    pub fn of_one(&self, error: RedisError) -> Result<RedisError, LinkError> {
        if is_foreign(&error) || self.is_of_one_server(&error) { Ok(error) } else { Err(self.failure(error)) }
    }

    async fn round<T: FromRedisValue>(
        &mut self,
        commands: Vec<Cmd>,
        until: Instant,
    ) -> Result<Vec<RedisResult<T>>, LinkError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        match &mut self.way {
            Way::Server(connection) => {
                let mut round = Pipeline::with_capacity(commands.len());
                round.ignore_errors();
                for command in commands {
                    round.add_command(command);
                }
                Ok(timeout_at(until, round.query_async(connection)).await??)
            }
            Way::Cluster(cluster) => Ok(cluster.round(commands, until).await),
        }
    }
}

impl Way {
    async fn found(url: &RedisUrl, within: Duration) -> Result<Self, LinkError> {
        let connecting = async {
            let authorities = url.authorities();
            Ok::<_, LinkError>(match url.servers() {
                Servers::One(server) => {
                    let connection = server_connection(server, authorities, &config(within)).await?;
                    Self::Server(primary(connection).await?)
                }
                Servers::Cluster(servers) => Self::Cluster(Cluster::connect(servers, authorities, within).await?),
            })
        };
        let found = timeout(CONNECT_WITHIN, connecting).await.map_err(LinkError::from).flatten();
        found.map_err(|error| error.by(url))
    }
}

/// Whether somebody else's key is in the way.
pub(super) fn is_foreign(error: &RedisError) -> bool {
    has_code(error, "WRONGTYPE")
}

/// Whether the server can be read and not be written to: its memory is full, it can't save, or has too few replicas.
pub(super) fn is_of_writing(error: &RedisError) -> bool {
    ["OOM", "MISCONF", "NOREPLICAS"].into_iter().any(|code| has_code(error, code))
}

/// Whether the error has this code, or is of a script in which one was raised that has: Redis 6 names that in its text alone.
fn has_code(error: &RedisError, code: &str) -> bool {
    let of_script = error.detail().filter(|text| text.starts_with("Error running script"));
    let mut words = of_script.into_iter().flat_map(|text| text.split(|char: char| !char.is_ascii_alphanumeric()));
    error.code() == Some(code) || words.any(|word| word == code)
}

pub(super) async fn server_connection(
    server: &ConnectionInfo,
    authorities: Option<&Authorities>,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, LinkError> {
    let client = match authorities {
        Some(authorities) => Client::build_with_tls(server.clone(), authorities.certificates()),
        None => Client::open(server.clone()),
    };
    let client = client.map_err(refusal)?;
    client.get_multiplexed_async_connection_with_config(config).await.map_err(refusal)
}

pub(super) fn config(within: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_WITHIN)).set_response_timeout(Some(within))
}

/// The connection, where its server is one that can be written to.
pub(super) async fn primary(mut connection: MultiplexedConnection) -> Result<MultiplexedConnection, LinkError> {
    let said: HashMap<String, Value> = cmd("HELLO").arg(3).query_async(&mut connection).await?;
    let is = |what: &str, this: &str| match said.get(what) {
        Some(Value::BulkString(text)) => text == this.as_bytes(),
        Some(Value::SimpleString(text)) => text == this,
        _ => false,
    };
    let kind = if is("mode", "sentinel") {
        SENTINEL
    } else if is("role", "replica") || is("role", "slave") {
        REPLICA
    } else {
        return Ok(connection);
    };
    Err(LinkError::Other { kind, source: None })
}

/// The connection, where its server is one of a Cluster.
pub(super) async fn of_cluster(mut connection: MultiplexedConnection) -> Result<MultiplexedConnection, LinkError> {
    match cmd("CLUSTER").arg("INFO").query_async::<Value>(&mut connection).await {
        Ok(_) => Ok(connection),
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError) => {
            Err(LinkError::Other { kind: NO_CLUSTER, source: Some(error) })
        }
        Err(error) => Err(refusal(error)),
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn error(answer: &str) -> RedisError {
        let answer = parse_redis_value(format!("-{answer}\r\n").as_bytes()).and_then(Value::extract_error);
        answer.expect_err("an error")
    }

    #[test]
    fn an_error_in_a_script_is_told_by_its_code_whatever_the_version() {
        let six =
            |raised: &str| error(&format!("ERR Error running script (call to f_05ab): @user_script:12: {raised}"));
        let foreign = "WRONGTYPE Operation against a key holding the wrong kind of value";
        for error in [error(foreign), six(foreign)] {
            assert!(is_foreign(&error) && !is_of_writing(&error), "{error}");
        }
        let full = "OOM command not allowed when used memory > 'maxmemory'.";
        let unsaved =
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.";
        for error in [error(full), six(&format!("@user_script: 12: -{full}")), error(unsaved), six(unsaved)] {
            assert!(is_of_writing(&error) && !is_foreign(&error), "{error}");
        }
        for error in [error("ERR unknown command 'WRONGTYPE'"), six("user_script:3: attempt to index nil")] {
            assert!(!is_of_writing(&error) && !is_foreign(&error), "{error}");
        }
    }
}
