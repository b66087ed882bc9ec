//! A way to Redis, one server or a Cluster of them, on which questions are asked.
//!
//! Invariants:
//! - whoever asks has an answer, or none, within the time that the link was made with, whatever the servers do;
//! - questions that are asked together are independent: each has an answer of its own, and their keys may lie in different
//!   slots. One server is sent them in one piece, of a Cluster each the server that has its key;
//! - what one question touches is one key, so that no question is of two servers;
//! - a server that does not know a script is asked with its text, once a question.
//!
//! In a Cluster a question whose server was lost meanwhile is asked once more, of whoever has its key then: what it does must
//! bear being done twice. The library's tasks that drive the connections end with the last clone of a link.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, Pipeline, ProtocolVersion,
    RedisError, RedisResult, ServerErrorKind, aio::MultiplexedConnection, cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use tokio::time::{error::Elapsed, timeout};

use super::{
    authorities::Authorities,
    question::Question,
    url::{RedisUrl, Servers},
};

pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// For each server of a Cluster: one that is away must not keep us from the others.
const SERVER_WITHIN: Duration = Duration::from_millis(700);
/// Of one question in a Cluster, where slots have moved or a server was lost.
const TRIES: u32 = 3;
/// Before a further try, in milliseconds.
const PAUSE: (u64, u64) = (10, 50);

/// Why Redis is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("Redis can't be reached")]
    Connect(#[source] RedisError),
    #[error("Redis refuses the user or the password of REDIS_URL")]
    Refused(#[source] RedisError),
    #[error("the connection to Redis failed")]
    Lost(#[from] RedisError),
    #[error("the connection to Redis was closed")]
    Closed,
    #[error("Redis gives no answer")]
    Silent(#[from] Elapsed),
}

/// See the module.
#[derive(Clone)]
pub struct Link {
    way: Way,
    within: Duration,
}

#[derive(Clone)]
enum Way {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects; every question is to be answered `within`.
    pub async fn connect(url: &RedisUrl, within: Duration) -> Result<Self, LinkError> {
        let connecting = async {
            Ok(match url.servers() {
                Servers::One(server) => {
                    let client = client(server, url.authorities())?;
                    Way::Server(client.get_multiplexed_async_connection_with_config(&config(within)).await?)
                }
                Servers::Cluster(servers) => Way::Cluster(cluster(servers, url.authorities(), within).await?),
            })
        };
        let way = timeout(CONNECT_WITHIN, connecting).await?.map_err(refusal)?;
        Ok(Self { way, within })
    }

    /// Asks one question.
    pub async fn ask<T: FromRedisValue>(&mut self, question: impl Into<Question>) -> Result<T, LinkError> {
        let answers = self.ask_each(&[question.into()]).await?;
        // One for each question.
        let answer = answers.into_iter().next().ok_or(LinkError::Closed)?;
        Ok(answer?)
    }

    /// Asks them all together and gives an answer for each, in the same order; their own order is nobody's promise.
    pub async fn ask_each<T: FromRedisValue>(
        &mut self,
        questions: &[Question],
    ) -> Result<Vec<RedisResult<T>>, LinkError> {
        let within = self.within;
        Ok(timeout(within, self.rounds(questions)).await??)
    }

    async fn rounds<T: FromRedisValue>(&mut self, questions: &[Question]) -> RedisResult<Vec<RedisResult<T>>> {
        let mut answers = self.round(questions.iter().map(|question| question.command().clone()).collect()).await?;
        let unknown = |answer: &RedisResult<T>| {
            answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
        };
        let asked = answers.iter_mut().zip(questions).filter(|(answer, _)| unknown(answer));
        let (places, in_full): (Vec<_>, Vec<_>) =
            asked.filter_map(|(answer, question)| Some((answer, question.in_full()?))).unzip();
        for (place, answer) in places.into_iter().zip(self.round(in_full).await?) {
            *place = answer;
        }
        Ok(answers)
    }

    async fn round<T: FromRedisValue>(&mut self, commands: Vec<Cmd>) -> RedisResult<Vec<RedisResult<T>>> {
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
                round.query_async(connection).await
            }
            Way::Cluster(connection) => {
                let asking = commands.into_iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { command.query_async(&mut connection).await }
                });
                Ok(join_all(asking).await)
            }
        }
    }
}

pub(super) fn client(server: &ConnectionInfo, authorities: Option<&Authorities>) -> RedisResult<Client> {
    match authorities {
        Some(authorities) => Client::build_with_tls(server.clone(), authorities.certificates()),
        None => Client::open(server.clone()),
    }
}

pub(super) fn config(within: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_WITHIN)).set_response_timeout(Some(within))
}

async fn cluster(
    servers: &[ConnectionInfo],
    authorities: Option<&Authorities>,
    within: Duration,
) -> RedisResult<ClusterConnection> {
    let mut builder = ClusterClientBuilder::new(servers.iter().cloned())
        .use_protocol(ProtocolVersion::RESP3)
        .connection_timeout(SERVER_WITHIN)
        .response_timeout(within)
        .retries(TRIES)
        .min_retry_wait(PAUSE.0)
        .max_retry_wait(PAUSE.1);
    if let Some(authorities) = authorities {
        builder = builder.certs(authorities.certificates());
    }
    builder.build()?.get_async_connection().await
}

/// Tells a wrong password from a Redis that is not there.
pub(super) fn refusal(error: RedisError) -> LinkError {
    const CODES: [&str; 3] = ["WRONGPASS", "NOAUTH", "NOPERM"];
    // Of a Cluster the text alone has it.
    let told = |code: &&str| error.code() == Some(code) || error.detail().is_some_and(|detail| detail.contains(*code));
    if error.kind() == ErrorKind::AuthenticationFailed || CODES.iter().any(told) {
        LinkError::Refused(error)
    } else {
        LinkError::Connect(error)
    }
}
