//! The wiring: the only file that builds edges. Everybody else is handed what he needs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use chrono::{TimeDelta, Utc};
use sqlx::postgres::PgPoolOptions;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    actor::Actor,
    config::Settings,
    demo::{self, DemoState},
    dispatch::Dispatcher,
    follow::follow,
    gateway::Gateway,
    http::{Readiness, ServeError, ServeOptions, pages, readiness::State, serve},
    ids::RoleId,
    jwt::{KeySource, Secret, Signer, Verifier},
    postgres::facts::PostgresFacts,
    socket::{self, Doors, Members, SocketLimits, SocketSink},
    versions::Versions,
};

/// Batches read ahead of the dispatcher.
const BATCHES_AHEAD: usize = 4;
/// Requests of the gateway that may wait for the dispatcher.
const REQUESTS_WAITING: usize = 1_024;
const DATABASE_WITHIN: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 10;

/// What `psql` would run, in order.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_schema.up.sql"),
    include_str!("../migrations/0002_posts.up.sql"),
    include_str!("../migrations/0003_votes.up.sql"),
    include_str!("../migrations/0004_comments.up.sql"),
    include_str!("../migrations/0005_boards.up.sql"),
    include_str!("../migrations/0006_communities.up.sql"),
    include_str!("../migrations/0007_imported_boards.up.sql"),
];

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("DATABASE_URL (--database-url) is no PostgreSQL address; expected postgres://user:password@host/database")]
    DatabaseUrl(#[source] sqlx::Error),
    #[error("could not listen on {address}; is another server there? Set HOST and PORT (--host, --port)")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the demo's forum could not be set up; it needs an empty database of its own")]
    Demo(#[from] demo::DemoError),
    #[error("the triggers could not be installed; the demo needs a superuser")]
    Migrate(#[source] sqlx::Error),
    #[error("serving ended before it was told to")]
    Serve(#[from] ServeError),
}

/// A service that listens, and does not serve yet.
pub struct App {
    settings: Settings,
    pool: sqlx::PgPool,
    listener: TcpListener,
    /// Pages beside ours: the demo's.
    beside: Router,
}

impl App {
    /// Checks the settings and opens the port. The database is not asked yet: one that can't be reached is waited for.
    pub async fn build(settings: Settings) -> Result<Self, AppError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(DATABASE_WITHIN)
            .connect_lazy(&settings.database_url)
            .map_err(AppError::DatabaseUrl)?;
        let address = SocketAddr::from((settings.host, settings.port));
        let listen = TcpListener::bind(address).await;
        let listener = listen.map_err(|source| AppError::Listen { address, source })?;
        Ok(Self { settings, pool, listener, beside: Router::new() })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Fills an empty database with the demo's forum and our triggers, and puts its page beside the service. With `crowd`
    /// somebody is always writing.
    pub async fn with_demo(mut self, crowd: bool, shutdown: &CancellationToken) -> Result<Self, AppError> {
        demo::install(&self.pool).await?;
        for migration in MIGRATIONS {
            sqlx::raw_sql(*migration).execute(&self.pool).await.map_err(AppError::Migrate)?;
        }
        // The first secret signs; clap demands at least one.
        let secret = self.settings.jwt_secret.first().cloned().unwrap_or_else(|| Secret::from(String::new()));
        let signer = Signer::new(&secret, self.settings.jwt_issuer.clone(), self.settings.jwt_audience.clone());
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
        self.beside = demo::router(DemoState { pool: self.pool.clone(), mint });
        if crowd {
            tokio::spawn(demo::simulate(self.pool.clone(), shutdown.clone()));
        }
        Ok(self)
    }

    /// Serves until `shutdown`, then ends every task it started.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let Self { settings, pool, listener, beside } = self;
        let readiness = Readiness::default();
        let stream = readiness.component("stream", State::NotReady("the outbox has not been read yet".to_owned()));
        let (batches, batch) = mpsc::channel(BATCHES_AHEAD);
        let (requests, request) = mpsc::channel(REQUESTS_WAITING);
        let (position, from) = oneshot::channel();
        let versions = Arc::new(Versions::default());
        let members = Members::default();

        let tasks = TaskTracker::new();
        tasks.spawn(follow(pool.clone(), settings.content_limit, batches, position, stream, shutdown.clone()));
        let (sink, known) = (SocketSink(members.clone()), Arc::clone(&versions));
        let (max_rooms, merge) = (settings.max_rooms, Duration::from_millis(settings.merge_window_ms));
        let stop = shutdown.clone();
        tasks.spawn(async move {
            // Without a position the service is stopping.
            let Ok((epoch, tick)) = from.await else { return };
            Dispatcher::new(sink, known, max_rooms, merge, epoch, tick).run(batch, request, stop).await;
        });
        tasks.close();

        let keys = KeySource::Secrets(settings.jwt_secret);
        let verifier = Arc::new(Verifier::new(&keys, settings.jwt_issuer, settings.jwt_audience));
        let gateway = Arc::new(Gateway::new(PostgresFacts(pool.clone()), versions, requests));
        let doors = Doors::new(gateway, verifier, members);
        let served = socket::layer(pages(readiness, None).merge(beside), doors, SocketLimits::default());
        let app = settings.allowed_origins.guard(served);
        serve(listener, app, ServeOptions::default(), shutdown.clone()).await?;

        shutdown.cancel();
        tasks.wait().await;
        pool.close().await;
        Ok(())
    }
}
