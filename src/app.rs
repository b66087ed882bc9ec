//! The wiring: the only file that builds edges. Everybody else is handed what he needs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use chrono::{TimeDelta, Utc};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    actor::Actor,
    admission::{NotAdmitted, admitted},
    config::{ClientLimits, Config, Effective, Provenance, RedisConfig},
    demo::{self, DemoState},
    dispatch::{self, Dispatcher, Reached},
    follow::{Follower, Stream},
    gateway::Gateway,
    http::{
        ListenError, Metrics, Readiness, ServeError, ServeOptions, listen, metrics_page, pages, readiness::State,
        serve, stream::TcpOptions,
    },
    ids::{Epoch, NodeId, Place, RoleId, Tick},
    inquiry::Inquiry,
    lifecycle::{Drain, Ending, Tasks},
    limiter::InMemory,
    limits::Rates,
    meeting::{Ends, Meeting},
    ports::{Limits, Sessions},
    postgres::{
        archive::OutboxArchive,
        connect::{ConnectError, connect},
        departed,
        facts::PostgresFacts,
        migrations::{self, MigrateError},
        pool::{self, Pools},
        retention::Retention,
        why::NotifiedAnswers,
    },
    recall::Recall,
    redis::{
        facts::{Shared, SharedFacts, kept::Seals},
        limits::SharedLimits,
        sessions::SharedSessions,
    },
    relay::Relay,
    rotation,
    sessions::Alone,
    socket::{self, Doors, Entry, Guests, Members, Pending, SocketLimits, SocketSink, SocketTasks},
    sweep::sweep,
    telemetry::chain,
    versions::Versions,
    wake::Wake,
    why::Node,
};

/// Batches read ahead of the dispatcher.
const BATCHES_AHEAD: usize = 4;
/// Requests of the gateway that may wait for the dispatcher.
const REQUESTS_WAITING: usize = 1_024;
/// What operators ask.
const QUESTIONS_WAITING: usize = 16;
/// How long tasks and connections to the database may take to end.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// Whoever stops a demo stands before it.
const DEMO_DRAIN: Duration = Duration::from_millis(200);

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("the demo's forum could not be set up; it needs an empty database of its own")]
    Demo(#[from] demo::DemoError),
    #[error("the demo signs its visitors' tokens; give it JWT_SECRET instead of a file of public keys")]
    DemoWithoutSecret,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    #[error(
        "the task {0:?} ended before it was told to, and the service with it; its reason stands in the log. Start it again"
    )]
    TaskDied(&'static str),
    #[error("serving ended before it was told to")]
    Serve(#[from] ServeError),
}

/// A service that listens, and does not serve yet.
pub struct App {
    config: Config,
    pools: Pools,
    listener: TcpListener,
    /// Pages beside ours: the demo's.
    beside: Router,
    /// Of the process, with a port where they have one of their own.
    metrics: Option<(Metrics, Option<TcpListener>)>,
    /// The demo's people who write without end.
    crowd: bool,
}

impl App {
    /// Opens the port. The database is not asked yet: one that can't be reached is waited for.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        let pools = Pools::new(&config.database.url, config.database_connections);
        let listener = listen(&config.http.host, config.http.port, another_port(&config)).await?;
        Ok(Self { config, pools, listener, beside: Router::new(), metrics: None, crowd: false })
    }

    /// Serves the metrics of this process: on a port of their own, which is opened now, or beside the other pages.
    pub async fn with_metrics(self, metrics: Metrics) -> Result<Self, AppError> {
        let alone = match self.config.http.metrics_port {
            Some(port) => {
                let listener =
                    listen(&self.config.http.host, port, "Set METRICS_PORT (--metrics-port) to another").await?;
                if let Ok(address) = listener.local_addr() {
                    tracing::info!(%address, "metrics have a port of their own");
                }
                Some(listener)
            }
            None => None,
        };
        Ok(Self { metrics: Some((metrics, alone)), ..self })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Fills an empty database with the demo's forum and our triggers, and puts its page beside the service. With `crowd`
    /// somebody is always writing. It takes its leave quickly.
    pub async fn with_demo(mut self, crowd: bool) -> Result<Self, AppError> {
        let signer = self.config.tokens.signer().ok_or(AppError::DemoWithoutSecret)?;
        demo::install(&self.pools.asking).await?;
        let mut connection = connect(self.config.database.direct()).await?;
        migrations::up(&mut connection, pool::CONNECTED_WITHIN, &mut |progress| tracing::debug!("{progress}")).await?;
        let mint: demo::Mint = Arc::new(move |user| {
            let now = Utc::now();
            let actor = Actor {
                user: user.user_id.into(),
                community: user.community_id.into(),
                roles: user.roles.iter().map(|role| RoleId::from(*role)).collect(),
                admin: user.admin,
                name: Some(user.name.into()),
                picture: Some(user.picture()),
                device: None,
                expires_at: now + TimeDelta::hours(1),
            };
            Ok(signer.mint(&actor, now)?)
        });
        self.beside = demo::router(DemoState { pool: self.pools.asking.clone(), mint });
        self.crowd = crowd;
        self.config.drain = self.config.drain.min(DEMO_DRAIN);
        Ok(self)
    }

    /// Serves until it is told to end, then ends every task it started.
    pub async fn run(self, ending: Ending) -> Result<(), AppError> {
        let Self { config, pools, listener, beside, metrics, crowd } = self;
        let pool = &pools.asking;
        let shutdown = ending.stopped().clone();
        let node = named(&listener);
        let readiness = Readiness::default();
        let stream = readiness.component("stream", State::NotReady("the outbox has not been read yet".to_owned()));
        let stream = Stream::new(config.database.url.clone(), pool.clone(), stream);
        let (batches, batch) = mpsc::channel(BATCHES_AHEAD);
        let (requests, request) = mpsc::channel(REQUESTS_WAITING);
        let (questions, question) = mpsc::channel(QUESTIONS_WAITING);
        let (position, from) = oneshot::channel();
        let versions = Arc::new(Versions::default());
        let ClientLimits { max_pending: bytes, max_pending_frames, .. } = config.limits;
        let members = Members::new(Pending { bytes, frames: max_pending_frames as usize });

        let tasks = Tasks::new(shutdown.clone());
        let draining = readiness.component("draining", State::Ready);
        let drain = Drain { members: members.clone(), draining, window: config.drain };
        tasks.spawn("drain", drain.run(ending));
        let (refused, refusal) = oneshot::channel();
        let wake = Wake::new(
            config.database.direct().clone(),
            pool.clone(),
            config.stream.pace,
            readiness.component("listening", State::Ready),
            questions,
        );
        let me = NodeId(node.id);
        let limits = limits(config.limits.rates, config.redis.as_ref(), &tasks, &shutdown);
        let sessions = sessions(me, config.limits.places.per_user, config.redis.as_ref(), &tasks, &shutdown);
        let meeting = config.redis.as_ref().map(|RedisConfig { url, prefix }| {
            let presence = readiness
                .component("presence", State::Degraded("it waits for the stream, and then for Redis".to_owned()));
            let (meeting, ends) = Meeting::new(url.clone(), prefix, me, presence, config.patience.offline_grace);
            let (begin, begun) = oneshot::channel::<()>();
            let stop = shutdown.clone();
            tasks.spawn("meeting", async move {
                // Without a dispatcher the service is stopping.
                if begun.await.is_ok() {
                    meeting.run(stop).await;
                }
            });
            (begin, ends)
        });
        let begun = Place::end_of(Tick(0));
        let (reached, watched) = watch::channel(Reached { epoch: Epoch(0), told: begun, floor: begun });
        let shared = shared_facts(&config, &versions, &watched, &tasks, &shutdown);
        let relay = config.redis.map(|RedisConfig { url, prefix }| {
            let redis = readiness.component("redis", State::Degraded("Redis has not been reached yet".to_owned()));
            let (relay, ends) = Relay::new(url, &prefix, redis, wake.leads());
            tasks.spawn("relay", relay.run(shutdown.clone()));
            ends
        });
        let content_limit = usize::try_from(config.stream.max_content_size).unwrap_or(usize::MAX);
        let (ticks, ticking) = watch::channel(false);
        let follower = Follower { pool: pools.reading.clone(), content_limit, wake, stream, ticks, batches, relay };
        let retention =
            Retention { pool: pool.clone(), keep: config.stream.retention, max_size: config.stream.outbox_max_size };
        let outbox = readiness.component("outbox", State::Ready);
        tasks.spawn("sweep", sweep(retention, ticking, outbox, shutdown.clone()));
        let stop = shutdown.clone();
        tasks.spawn("follow", async move {
            let Stream { url, asking, component, .. } = &follower.stream;
            if let Err(error) = admitted(url, asking, component, &stop).await {
                // The receiver waits at the end of this function.
                let _ = refused.send(error);
                return stop.cancel();
            }
            follower.run(position, stop).await;
        });
        let (sink, known) = (SocketSink(members.clone()), Arc::clone(&versions));
        let options = dispatch::Options {
            max_rooms: config.limits.rooms_per_socket as usize,
            merge_window: config.stream.merge_window,
            history: config.replay,
            patience: config.patience,
        };
        let (stop, outbox, kept) = (shutdown.clone(), pool.clone(), config.stream.retention);
        tasks.spawn("dispatch", async move {
            // Without a position the service is stopping.
            let Ok((epoch, tick)) = from.await else { return };
            stop.run_until_cancelled(departed::remember(&outbox, &known, kept)).await;
            let mut dispatcher = Dispatcher::new(sink, known, &options, epoch, tick).reporting(reached);
            if let Some((begin, Ends { words, heard })) = meeting {
                dispatcher = dispatcher.among(me, options.patience, words, heard);
                // Whoever waits for it is there as long as this is.
                let _ = begin.send(());
            }
            dispatcher.run(batch, request, stop).await;
        });
        let (recall, recalled) = mpsc::channel(REQUESTS_WAITING);
        let archive = OutboxArchive { pool: pool.clone(), content_limit };
        let asker = Recall { archive, requests: requests.clone(), reached: watched.clone(), options };
        tasks.spawn("recall", asker.run(recalled, shutdown.clone()));
        let inquiry = Inquiry { node, requests: requests.clone(), answers: NotifiedAnswers { pool: pool.clone() } };
        tasks.spawn("inquiry", inquiry.run(question, shutdown.clone()));
        if crowd {
            let (writing, stop) = (pool.clone(), shutdown.clone());
            tasks.spawn("crowd", async move {
                if let Err(error) = demo::simulate(writing, stop).await {
                    tracing::error!(error = chain(&error), "nobody writes");
                }
            });
        }
        let metrics = metrics.and_then(|(metrics, alone)| {
            tasks.spawn("metrics", metrics.clone().upkeep(shutdown.clone()));
            let Some(listener) = alone else { return Some(metrics) };
            tasks.spawn("metrics port", serve_metrics(listener, metrics, shutdown.clone()));
            None
        });

        let facts = SharedFacts::new(PostgresFacts { pool: pool.clone(), reached: watched.clone() }, shared);
        let verifier = Arc::new(config.tokens.verifier());
        if let Some(file) = config.tokens.key_file() {
            let keys = readiness.component("keys", State::Ready);
            tasks.spawn("keys", rotation::follow(file.clone(), Arc::clone(&verifier), keys, shutdown.clone()));
        }
        let gateway =
            Arc::new(Gateway::new(facts, versions, requests, watched, recall).refusing_in(config.limits.refusal_step));
        let guests = Guests::new(config.limits.places);
        let entry = Entry { limits, guests, sessions, proxies: config.limits.proxies };
        let attending = SocketTasks::new(shutdown.clone());
        tasks.spawn("sockets", attending.clone().run());
        let doors = Doors::new(gateway, verifier, entry, members, attending);
        let limits = SocketLimits {
            message_bytes: usize::try_from(config.limits.max_message_size).unwrap_or(usize::MAX),
            connect_within: config.limits.connect_timeout,
            ping_every: config.limits.ping_interval,
            pong_within: config.limits.ping_timeout,
        };
        let served = socket::layer(pages(readiness, metrics).merge(beside), doors, limits);
        let app = config.http.allowed_origins.guard(served);
        let tcp = TcpOptions { user_timeout: config.limits.stall_timeout, ..TcpOptions::default() };
        let usual = ServeOptions::default();
        let answer_within = usual.answer_within.max(config.limits.ping_interval * 2);
        let connections = config.limits.max_connections as usize;
        serve(listener, app, ServeOptions { tcp, connections, answer_within, ..usual }, shutdown.clone()).await?;

        shutdown.cancel();
        let ended = async {
            tasks.ended().await;
            pools.close().await;
        };
        if timeout(ENDED_WITHIN, ended).await.is_err() {
            tracing::warn!("the database gives no answer; its connections are left to end with the process");
        }
        match (refusal.await, tasks.died()) {
            (Ok(error), _) => Err(error.into()),
            (Err(_), Some(task)) => Err(AppError::TaskDied(task)),
            // It followed the outbox until it was told to stop.
            (Err(_), None) => Ok(()),
        }
    }
}

/// What to do where the port is taken.
fn another_port(config: &Config) -> &'static str {
    let of_file = |setting: &Effective| setting.variable == "PORT" && setting.from == Provenance::File;
    if config.effective().iter().any(of_file) {
        "PORT stands in .env, where it may be the forum's own: leave it there and give this service another by --port"
    } else {
        "Set PORT (--port) to another"
    }
}

/// As operators tell nodes apart.
fn named(listener: &TcpListener) -> Node {
    let process = std::process::id();
    let name = listener.local_addr().map(|address| format!("{address}, process {process}"));
    Node { name: name.unwrap_or_else(|_| format!("process {process}")), id: getrandom::u64().unwrap_or_default() }
}

/// Over all nodes where there is Redis, else of this one.
fn limits(rates: Rates, redis: Option<&RedisConfig>, tasks: &Tasks, shutdown: &CancellationToken) -> Arc<dyn Limits> {
    let memory = InMemory::new(rates);
    let Some(RedisConfig { url, prefix }) = redis else { return Arc::new(memory) };
    let (limits, keeper) = SharedLimits::new(memory, url.clone(), prefix.clone());
    tasks.spawn("rate limits", keeper.run(shutdown.clone()));
    Arc::new(limits)
}

/// As [`limits`].
fn sessions(
    me: NodeId,
    most: Option<u32>,
    redis: Option<&RedisConfig>,
    tasks: &Tasks,
    shutdown: &CancellationToken,
) -> Arc<dyn Sessions> {
    let Some(RedisConfig { url, prefix }) = redis else { return Arc::new(Alone) };
    let (sessions, keeper) = SharedSessions::new(url.clone(), prefix.clone(), me, most);
    tasks.spawn("sessions", keeper.run(shutdown.clone()));
    Arc::new(sessions)
}

/// Where there is Redis, and a secret by which what stands there is known to be ours.
fn shared_facts(
    config: &Config,
    versions: &Arc<Versions>,
    reached: &watch::Receiver<Reached>,
    tasks: &Tasks,
    shutdown: &CancellationToken,
) -> Option<Shared> {
    let RedisConfig { url, prefix } = config.redis.as_ref()?;
    let secrets = config.tokens.secrets().iter().map(|secret| secret.expose().as_bytes());
    let Some(seals) = Seals::of_secrets(secrets) else {
        tracing::info!("without JWT_SECRET nothing of rights is kept in Redis: each node asks the database");
        return None;
    };
    let (shared, keeper) = Shared::new(url.clone(), prefix.clone(), seals, Arc::clone(versions), reached.clone());
    tasks.spawn("facts", keeper.run(shutdown.clone()));
    Some(shared)
}

/// Ends the service with it: an operator who sees no metrics would not see what is wrong either.
async fn serve_metrics(listener: TcpListener, metrics: Metrics, shutdown: CancellationToken) {
    if let Err(error) = serve(listener, metrics_page(metrics), ServeOptions::default(), shutdown).await {
        tracing::error!(error = chain(&error), "metrics are no longer served");
    }
}
