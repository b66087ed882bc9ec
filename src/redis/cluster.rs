//! The servers of a Cluster: who has which slots, and a connection to each.
//!
//! Invariants:
//! - each server is asked what its slots are asked, in one piece; one that is away, or silent, keeps only that from an answer;
//! - of a slot that is on its way to another server it is asked there, once, what the first no longer has;
//! - where the slots lie is found out once, on connecting. What shows that it is no longer so (a refusal, a lost connection, a
//!   server that was away some time ago) makes the whole outdated, and whoever wants to go on connects anew; not more often than once
//!   in [`ANEW_AFTER`].
//!
//! The library's own connection to a Cluster is not used: once one server is away, its search for that server and the questions to
//! the others come to wait for each other, and nothing is answered any more
//! (`a_lost_server_of_a_cluster_keeps_only_its_own_from_an_answer`).

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crc16::{State, XMODEM};
use futures_util::{
    FutureExt,
    future::{join_all, select_ok},
};
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind,
    Value, aio::MultiplexedConnection, cmd,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    authorities::Authorities,
    link::{LinkError, config, is_of_writing, of_cluster, refusal, server_connection},
};

/// For each server: one that is away must not keep us from the others.
const SERVER_WITHIN: Duration = Duration::from_millis(700);
/// How often a server that was away is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How soon where the slots lie is found out again.
const ANEW_AFTER: Duration = Duration::from_secs(1);
const SLOTS: u16 = 16_384;

/// See the module.
#[derive(Clone)]
pub(super) struct Cluster {
    servers: Arc<[Server]>,
    ranges: Arc<[Range]>,
    outdated: Arc<AtomicBool>,
    since: Instant,
}

/// Whether a server is asked for what is only on its way to it.
#[derive(Clone, Copy)]
enum Pass {
    Usual,
    Asking,
}

struct Server {
    place: ConnectionAddr,
    /// None where it is away.
    connection: Option<MultiplexedConnection>,
}

/// Slots from the first to the last, and the place of their server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    server: usize,
}

impl Cluster {
    /// Connects to all of them by way of whoever of these answers first.
    pub(super) async fn connect(
        named: &[ConnectionInfo],
        authorities: Option<&Authorities>,
        within: Duration,
    ) -> Result<Self, LinkError> {
        let config = &config(within);
        let connecting = named.iter().map(|server| {
            let connecting = async move {
                Ok::<_, LinkError>((of_cluster(server_connection(server, authorities, config).await?).await?, server))
            };
            connecting.boxed()
        });
        let ((mut first, server), _) = select_ok(connecting).await?;
        let told: Value = cmd("CLUSTER").arg("SLOTS").query_async(&mut first).await.map_err(refusal)?;
        let (ranges, places) = layout(&told, server.addr());
        let connecting = places.into_iter().map(|place| async move {
            let server = server.clone().set_addr(place.clone());
            let connecting = timeout(SERVER_WITHIN, server_connection(&server, authorities, config)).await;
            (place, connecting.map_err(LinkError::from).flatten())
        });
        let servers = join_all(connecting).await;
        if servers.iter().all(|(_, connected)| connected.is_err()) {
            // Without one there are no slots at all.
            return Err(servers.into_iter().find_map(|(_, connected)| connected.err()).unwrap_or(LinkError::Outdated));
        }
        let servers = servers.into_iter().map(|(place, connected)| Server { place, connection: connected.ok() });
        Ok(Self { servers: servers.collect(), ranges: ranges.into(), outdated: Arc::default(), since: Instant::now() })
    }

    /// Whether the Cluster is another by now than it was on connecting, or may be.
    pub(super) fn is_outdated(&self) -> bool {
        let is_partial = self.servers.iter().any(|server| server.connection.is_none());
        let age = self.since.elapsed();
        (self.outdated.load(Ordering::Relaxed) && age > ANEW_AFTER) || (is_partial && age > LOOK_EVERY)
    }

    /// Asks them all, each of the server that has its key, and gives an answer for each in the same order, at the latest then.
    pub(super) async fn round<T: FromRedisValue>(&self, commands: Vec<Cmd>, until: Instant) -> Vec<RedisResult<T>> {
        let mut answers: Vec<_> = commands.iter().map(|_| Err(failed(io::ErrorKind::NotConnected))).collect();
        let servers = commands.iter().map(|command| self.server_of(command));
        let asked = servers.enumerate().filter_map(|(place, server)| Some((place, server?))).collect();
        self.ask(&commands, asked, Pass::Usual, until, &mut answers).await;
        let on_their_way = answers.iter().enumerate();
        let on_their_way: Vec<(usize, usize)> = on_their_way
            .filter_map(|(place, answer)| Some((place, self.on_its_way_to(answer.as_ref().err()?)?)))
            .collect();
        if !on_their_way.is_empty() {
            self.ask(&commands, on_their_way, Pass::Asking, until, &mut answers).await;
        }
        answers
    }

    /// Asks each server that has slots what `question` makes of a key that is there: its name begins with `name`. With where the server is.
    pub(super) async fn ask_every<T: FromRedisValue>(
        &self,
        name: &str,
        question: impl Fn(&str) -> Cmd,
        until: Instant,
    ) -> Vec<(String, RedisResult<T>)> {
        let servers = self.servers.iter().enumerate();
        let keys = servers.filter_map(|(server, _)| Some((server, self.key_of(server, name)?)));
        let (asked, commands): (Vec<_>, Vec<_>) =
            keys.enumerate().map(|(place, (server, key))| ((place, server), question(&key))).unzip();
        let mut answers: Vec<_> = commands.iter().map(|_| Err(failed(io::ErrorKind::NotConnected))).collect();
        self.ask(&commands, asked.clone(), Pass::Usual, until, &mut answers).await;
        asked.iter().map(|(_, server)| self.servers[*server].place.to_string()).zip(answers).collect()
    }

    /// The first key of this name with a number behind it that the server has, if it has slots at all.
    fn key_of(&self, server: usize, name: &str) -> Option<String> {
        let ranges = || self.ranges.iter().filter(|range| range.server == server);
        ranges().next()?;
        let keys = (0..u32::from(SLOTS) * 64).map(|number| format!("{name}{number}"));
        keys.into_iter().find(|key| {
            let slot = slot(key.as_bytes());
            ranges().any(|range| (range.first..=range.last).contains(&slot))
        })
    }

    /// Asks the commands at these places of these servers, and puts their answers there.
    async fn ask<T: FromRedisValue>(
        &self,
        commands: &[Cmd],
        asked: Vec<(usize, usize)>,
        pass: Pass,
        until: Instant,
        answers: &mut [RedisResult<T>],
    ) {
        let mut rounds: BTreeMap<usize, (Pipeline, Vec<usize>)> = BTreeMap::new();
        for (place, server) in asked {
            let (pipeline, places) = rounds.entry(server).or_default();
            pipeline.ignore_errors();
            if let Pass::Asking = pass {
                pipeline.cmd("ASKING").ignore();
            }
            pipeline.add_command(commands[place].clone());
            places.push(place);
        }
        let asking = rounds.into_iter().filter_map(|(server, (pipeline, places))| {
            let mut connection = self.servers[server].connection.clone()?;
            Some(async move {
                let asked = timeout_at(until, pipeline.query_async::<Vec<RedisResult<T>>>(&mut connection)).await;
                (asked.unwrap_or_else(|_| Err(failed(io::ErrorKind::TimedOut))), places)
            })
        });
        for (asked, places) in join_all(asking).await {
            let given = match asked {
                Ok(given) => given,
                Err(error) => places.iter().map(|_| Err(error.clone())).collect(),
            };
            for (place, answer) in places.into_iter().zip(given) {
                if answer.as_ref().is_err_and(is_of_the_past) {
                    self.outdated.store(true, Ordering::Relaxed);
                }
                answers[place] = answer;
            }
        }
    }

    /// The server to which the slot is on its way, by what the one said that has it still.
    fn on_its_way_to(&self, error: &RedisError) -> Option<usize> {
        if error.kind() != ErrorKind::Server(ServerErrorKind::Ask) {
            return None;
        }
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        // One that names no host means its own.
        self.servers.iter().position(|server| match &server.place {
            ConnectionAddr::Tcp(at, of) | ConnectionAddr::TcpTls { host: at, port: of, .. } => {
                *of == port && (host.is_empty() || at == host)
            }
            _ => false,
        })
    }

    /// Whoever has the key of the command; without a key the first that is there.
    fn server_of(&self, command: &Cmd) -> Option<usize> {
        let Some(key) = key(command) else { return self.servers.iter().position(|server| server.connection.is_some()) };
        let slot = slot(key);
        self.ranges.iter().find(|range| (range.first..=range.last).contains(&slot)).map(|range| range.server)
    }
}

/// Whether the error is that of a server, or of a slot, and not of the whole Cluster. That nobody has a slot is said as that all is down.
pub(super) fn is_of_one_server(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
    let is_of_server = matches!(error.kind(), ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly));
    error.is_io_error() || is_of_server || is_moving(error) || is_of_writing(error)
}

fn is_moving(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Ask | Moved | TryAgain))
}

fn is_of_the_past(error: &RedisError) -> bool {
    error.is_io_error() || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ReadOnly))
}

fn failed(how: io::ErrorKind) -> RedisError {
    io::Error::from(how).into()
}

/// The first argument, of a script its only key.
fn key(command: &Cmd) -> Option<&[u8]> {
    let mut words = command.args_iter().filter_map(|word| match word {
        redis::Arg::Simple(word) => Some(word),
        _ => None,
    });
    let is_script = matches!(words.next()?, b"EVAL" | b"EVALSHA");
    words.nth(if is_script { 2 } else { 0 })
}

/// As the specification of Redis Cluster has it: where there are braces, of what is between the first pair.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    State::<XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS
}

/// What `CLUSTER SLOTS` tells, who was asked at this place. What is none of it is passed over.
fn layout(told: &Value, asked: &ConnectionAddr) -> (Vec<Range>, Vec<ConnectionAddr>) {
    let (mut ranges, mut places) = (Vec::new(), Vec::<ConnectionAddr>::new());
    let Value::Array(told) = told else { return (ranges, places) };
    for range in told {
        let Value::Array(range) = range else { continue };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else { continue };
        let (Ok(first), Ok(last), Some(place)) = (u16::try_from(*first), u16::try_from(*last), place(primary, asked))
        else {
            continue;
        };
        let server = places.iter().position(|known| *known == place).unwrap_or_else(|| {
            places.push(place);
            places.len() - 1
        });
        ranges.push(Range { first, last, server });
    }
    (ranges, places)
}

/// A server that gives no name of its own is where the one is that was asked.
fn place(server: &[Value], asked: &ConnectionAddr) -> Option<ConnectionAddr> {
    let [host, Value::Int(port), ..] = server else { return None };
    let named = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        _ => String::new(),
    };
    let port = u16::try_from(*port).ok()?;
    let host = |asked: &String| if matches!(named.as_str(), "" | "?") { asked.clone() } else { named.clone() };
    match asked {
        ConnectionAddr::Tcp(asked, _) => Some(ConnectionAddr::Tcp(host(asked), port)),
        ConnectionAddr::TcpTls { host: asked, insecure, tls_params, .. } => Some(ConnectionAddr::TcpTls {
            host: host(asked),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
