//! One variant of the triggers: its database, its load, and whoever reads what it notes.

use std::path::{Path, PathBuf};

use curia_driver::Service;
use curia_scratch::Postgres;

use crate::{
    error::BenchError,
    forum::{self, Session},
    observer::{Account, Observer},
    pgbench::{self, Load, People, Rate, Running},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    None,
    Ours,
    /// Our triggers, and nobody who reads: what the writer's own transaction pays.
    Unread,
    Against,
    Notify,
}

impl Variant {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "no triggers",
            Self::Ours => "curia_realtime",
            Self::Unread => "curia_realtime, unread",
            Self::Against => "--against, unread",
            Self::Notify => "row as JSON in NOTIFY",
        }
    }

    fn database(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ours => "ours",
            Self::Unread => "unread",
            Self::Against => "against",
            Self::Notify => "notify",
        }
    }
}

/// A variant's database and what it did.
pub struct Contender {
    pub variant: Variant,
    /// Of its database.
    name: String,
    url: String,
    session: Session,
    people: People,
    /// See [`Load::drawn`].
    drawn: u64,
    /// By number of clients, then by round.
    pub rates: Vec<Vec<f64>>,
    pub account: Option<Account>,
    pub commits: u64,
    pub notified: u64,
}

impl Contender {
    /// In a database made for this round.
    pub async fn prepare(
        server: &Postgres,
        variant: Variant,
        migrations: Option<&Path>,
        round: u64,
    ) -> Result<Self, BenchError> {
        let name = format!("{}_{round}", variant.database());
        let url = forum::create(server, &name)?;
        if let Some(folder) = migrations {
            forum::migrate(server, &name, folder)?;
        }
        if variant == Variant::Notify {
            server.run_script(&name, include_str!("../../sql/notify.sql"))?;
        }
        let session = Session::open(&url).await?;
        let sizes = session.client.query_one(include_str!("../../sql/sizes.sql"), &[]).await;
        let sizes = sizes.map_err(BenchError::database("count its people and posts"))?;
        let people = People { users: sizes.get::<_, i64>("users") as u64, posts: sizes.get::<_, i64>("posts") as u64 };
        let (drawn, rates) = (0, Vec::new());
        Ok(Self { variant, name, url, session, people, drawn, rates, account: None, commits: 0, notified: 0 })
    }

    /// Its round is over.
    pub fn drop_database(&self, server: &Postgres) -> Result<(), BenchError> {
        Ok(server.run_script("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name))?)
    }

    /// Adds what another database of the same variant did.
    pub fn join(&mut self, other: Self) {
        for (rates, more) in self.rates.iter_mut().zip(other.rates) {
            rates.extend(more);
        }
        self.account = match (self.account.take(), other.account) {
            (Some(one), Some(other)) => Some(one.and(&other)),
            (one, other) => one.or(other),
        };
        self.commits += other.commits;
        self.notified += other.notified;
    }
}

/// Whoever reads.
enum Reader {
    Nobody,
    Listener(Session),
    Service(Box<Service>, Box<Observer>),
}

/// A load under way, and its reader.
pub struct Measuring {
    pub load: Running,
    reader: Reader,
}

/// What every load needs.
pub struct Bench {
    pub pgbench: PathBuf,
    pub token: String,
}

impl Bench {
    /// Begins a load of so many seconds, the time in which it is held among them, and holds it when its beginning is over.
    pub async fn begin(&self, contender: &mut Contender, clients: u32, seconds: u32) -> Result<Measuring, BenchError> {
        // Every load begins with tables in the same order, whoever wrote more before.
        contender.session.run("vacuum its tables", "VACUUM (ANALYZE) posts, votes, comments").await?;
        let url = &contender.url;
        let reader = match contender.variant {
            Variant::None | Variant::Unread | Variant::Against => Reader::Nobody,
            Variant::Notify => {
                let listener = Session::open(url).await?;
                listener.run("listen", "LISTEN changes").await?;
                Reader::Listener(listener)
            }
            Variant::Ours => {
                let service = Service::start(url).await?;
                let observer = Observer::begin(&contender.session, service.port, &self.token).await?;
                Reader::Service(Box::new(service), Box::new(observer))
            }
        };
        let drawn = contender.drawn;
        contender.drawn += pgbench::pairs(u64::from(seconds));
        if contender.drawn > contender.people.users * contender.people.posts {
            let why = "so many turns of so many seconds would give a vote twice; take fewer";
            return Err(BenchError::Unproved(why.to_owned()));
        }
        let load = Load { database: url, clients, seconds, rate: None, drawn, people: contender.people };
        let mut load = Running::start(&self.pgbench, &load)?;
        load.has_begun().await;
        load.hold().await?;
        Ok(Measuring { load, reader })
    }

    /// Waits for the end of the load, and for the proof that its reader did his work.
    pub async fn end(
        &self,
        contender: &mut Contender,
        Measuring { load, reader }: Measuring,
    ) -> Result<(), BenchError> {
        let rate = load.finish().await?;
        contender.rates.push(vec![rate.a_second]);
        contender.commits += rate.commits;
        match reader {
            Reader::Nobody => {}
            Reader::Listener(listener) => contender.notified += heard(listener, rate).await?,
            Reader::Service(mut service, observer) => {
                service.require_ready().await?;
                let account = observer.finish(&contender.session).await?;
                service.require_ready().await?;
                service.stop()?;
                let events = contender.account.as_ref().map_or(0, |account| account.events) + account.events;
                contender.account = Some(Account { events, ..account });
            }
        }
        Ok(())
    }
}

/// How many notifications came: two of each commit at least.
async fn heard(listener: Session, rate: Rate) -> Result<u64, BenchError> {
    // What is pending is sent before the next answers.
    listener.run("answer the listener", "SELECT 1").await?;
    listener.run("answer the listener", "SELECT 1").await?;
    let notified = listener.close().await;
    if notified < 2 * rate.commits {
        let why = format!("{notified} notifications of {} commits with two rows each", rate.commits);
        return Err(BenchError::Unproved(why));
    }
    Ok(notified)
}
