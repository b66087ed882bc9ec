//! `curia-realtime doctor`

use std::fs;

use chrono::{TimeDelta, Utc};
use clap::Args;

use super::{
    CliError,
    flags::{Flags, Server},
    print,
};
use crate::{
    actor::Actor,
    config::{Config, DatabaseConfig, RedisConfig, TokenConfig},
    doctor::{
        Finding, Report, database,
        keys::{self, Keys},
        process, redis as store, stream,
    },
    postgres::{
        database_url::DatabaseUrl,
        doctor::{self as asking, Installed, Seen, listening},
        schema::SchemaError,
    },
    redis,
    telemetry::chain,
};

/// What is wanted, and the settings of `serve`.
#[derive(Args)]
pub(super) struct Wanted {
    /// The same as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Flags<Server>,
}

/// Not everything is in order; which, stands on standard output.
#[derive(Debug, thiserror::Error)]
#[error("{wrong} of {all} checks are WRONG; behind each stands what to do")]
pub struct NotInOrder {
    wrong: usize,
    all: usize,
}

/// Looks at everything that `serve` with these settings would need. Changes nothing.
pub(super) async fn run(Wanted { json, settings }: Wanted) -> Result<(), CliError> {
    let config = Config::read(&settings.sources()?)?;
    let (of_database, of_redis) = tokio::join!(of_database(&config), of_redis(config.redis.as_ref()));
    let report = Report([of_settings(&config), of_database, of_redis, of_process(&config)].concat());
    match json {
        true => print(&report.json().map_err(std::io::Error::from)?)?,
        false => print(&report.to_string())?,
    }
    match report.wrong() {
        0 => Ok(()),
        wrong => Err(NotInOrder { wrong, all: report.0.len() }.into()),
    }
}

fn of_settings(config: &Config) -> Vec<Finding> {
    let what = "settings";
    let warnings =
        config.warnings().iter().map(|warning| Finding::note(what, warning, "look at `curia-realtime config`"));
    let mut found: Vec<Finding> = warnings.collect();
    if found.is_empty() {
        found.push(Finding::ok(what, "every one can be read"));
    }
    found
}

async fn of_database(config: &Config) -> Vec<Finding> {
    let DatabaseConfig { url, .. } = &config.database;
    let what = "database";
    let seen = match asking::examine(url).await {
        Ok(seen) => seen,
        Err(error) => {
            let next = "see to PostgreSQL, or to DATABASE_URL";
            return vec![Finding::error(what, &error.to_string(), next), unseen("PostgreSQL could not be asked")];
        }
    };
    let Seen { server, schema, installed } = seen;
    let role = server.as_ref().map_or(url.user(), |server| &server.role).to_owned();
    let mut found = vec![
        Finding::of(what, &server, |_| Finding::ok(what, format!("{} lets the role {role} in", url.place()))),
        Finding::of("version", &server, database::version),
        Finding::of("primary", &server, database::primary),
        Finding::of("clock", &server, database::clock),
        Finding::of("connections", &server, |server| {
            database::connections(server.connections, config.database_connections)
        }),
        Finding::of("schema", &schema, of_schema),
    ];
    match installed {
        Some(installed) => {
            found.extend(of_installed(&installed, config, &role));
            found.push(of_listening(&config.database).await);
        }
        None => found.push(unseen("first the above has to be mended")),
    }
    found
}

/// What needs a database that can be worked with.
fn unseen(why: &str) -> Finding {
    let rest = "triggers, rights, lease, ticks, outbox, transactions and listening were not looked at";
    Finding::note("the rest", format!("{rest}: {why}"), "look again then")
}

fn of_schema(schema: &Result<i32, SchemaError>) -> Finding {
    let what = "schema";
    match schema {
        Ok(version) => Finding::ok(what, format!("curia_realtime is at version {version}, as this program needs it")),
        Err(error) => Finding::error(what, &error.to_string(), "run `curia-realtime migrate status`"),
    }
}

fn of_installed(installed: &Installed, config: &Config, role: &str) -> Vec<Finding> {
    let Installed { triggers, replicas, refused, missing, nodes, position, outbox, transactions } = installed;
    let retention = config.stream.retention;
    let unknown = stream::Nodes::default();
    let among = nodes.as_ref().unwrap_or(&unknown);
    let rights = |refused: &Option<String>| {
        Finding::of("rights", missing, |missing| database::rights(role, refused.as_deref(), missing))
    };
    vec![
        Finding::of("triggers", triggers, |found| database::triggers(found)),
        Finding::of("replication role", replicas, |found| database::replicas(found)),
        Finding::of("rights", refused, rights),
        Finding::of("lease", nodes, stream::lease),
        Finding::of("ticks", position, |position| stream::ticks(position, among)),
        Finding::of("outbox", outbox, |outbox| stream::outbox(outbox, retention, config.stream.outbox_max_size)),
        Finding::of("transactions", transactions, |open| stream::transactions(open, retention, role)),
    ]
}

async fn of_listening(database: &DatabaseConfig) -> Finding {
    let what = "listening";
    let direct: &DatabaseUrl = database.direct();
    match listening::listen(&database.url, direct).await {
        Ok(()) => {
            Finding::ok(what, format!("{} keeps a session, and a bell rung over DATABASE_URL is heard", direct.place()))
        }
        Err(error) => {
            Finding::error(what, &chain(&error), "see to LISTEN_DATABASE_URL (where it is not set: DATABASE_URL)")
        }
    }
}

async fn of_redis(config: Option<&RedisConfig>) -> Vec<Finding> {
    let Some(RedisConfig { url, prefix }) = config else { return vec![store::absent()] };
    match redis::doctor::examine(url, prefix).await {
        Ok(seen) => store::findings(url.place(), &seen.servers, &seen.published),
        Err(error) => vec![store::unreached(url.place(), &error.with_causes())],
    }
}

fn of_process(config: &Config) -> Vec<Finding> {
    let browsers = config.limits.max_connections;
    let read = |path: &str| fs::read_to_string(path).ok();
    let files = read("/proc/self/limits").and_then(|limits| process::open_files(&limits));
    let somaxconn = read("/proc/sys/net/core/somaxconn").and_then(|most| most.trim().parse().ok());
    vec![
        keys::keys(&of_keys(&config.tokens)),
        process::files(files, browsers, config.database_connections),
        process::backlog(somaxconn, browsers),
    ]
}

/// A file was read with the configuration, which can't be used without.
fn of_keys(tokens: &TokenConfig) -> Keys {
    match tokens.key_file() {
        Some(file) => Keys::File {
            path: file.path.display().to_string(),
            keys: file.keys().map(|keys| keys.count()).map_err(|error| chain(&error)),
        },
        None => Keys::Secrets { count: tokens.secrets().len(), believed: is_believed(tokens) },
    }
}

/// Whether what the forum would sign is taken.
fn is_believed(tokens: &TokenConfig) -> bool {
    let now = Utc::now();
    let somebody = Actor {
        user: "doctor".into(),
        community: "doctor".into(),
        roles: Vec::new().into_iter().collect(),
        admin: false,
        name: None,
        picture: None,
        device: None,
        expires_at: now + TimeDelta::minutes(1),
    };
    let token = tokens.signer().and_then(|signer| signer.mint(&somebody, now).ok());
    token.is_some_and(|token| tokens.verifier().verify(&token, now).is_ok())
}
