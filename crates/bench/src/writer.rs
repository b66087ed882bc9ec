//! What noting a change costs whoever writes it: the forum's commit rate with each kind of trigger against none.
//!
//! Every variant has a database of its own on one server. A round runs all of them, one right after the other and each time in
//! another order, and is compared only with itself: what else the machine does then falls on all alike. After some rounds all of them are
//! made anew: where the pages and files of a database happen to lie is worth some percent. The service reads, and the session
//! listens, only while its own variant runs.

use std::{fs, path::PathBuf};

use curia_driver::{Person, Service};
use curia_scratch::Postgres;

use crate::{
    error::BenchError,
    forum::{self, COMMUNITY, Session},
    observer::{Account, Observer},
    pgbench::{self, Load, People, Rate},
    statistics::{Sample, Verdict},
};

/// What is to be measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// Rounds; each runs every variant once for each number of clients
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u64).range(1..=500))]
    rounds: u64,
    /// How often the databases are made anew, after equal numbers of rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    databases: u64,
    /// How long one variant runs in a round
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// pgbench clients; may be given several times
    #[arg(long = "clients", default_values_t = [8, 32], value_parser = clap::value_parser!(u32).range(1..=200))]
    clients: Vec<u32>,
    /// Another folder of migrations, measured unread beside ours: how a change of the triggers is tried out
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
}

/// The share of the commit rate without triggers that ours is to keep.
const TARGET: f64 = 0.80;
/// Seconds that each database runs before anything counts: caches fill and files grow.
const WARM_UP: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    None,
    Ours,
    /// Our triggers, and nobody who reads: what the writer's own transaction pays.
    Unread,
    Against,
    Notify,
}

impl Variant {
    fn name(self) -> &'static str {
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
struct Contender {
    variant: Variant,
    /// Of its database.
    name: String,
    url: String,
    session: Session,
    people: People,
    /// See [`Load::drawn`].
    drawn: u64,
    /// By number of clients, then by round.
    rates: Vec<Vec<f64>>,
    account: Option<Account>,
    commits: u64,
    notified: u64,
}

impl Contender {
    /// Adds what another database of the same variant did.
    fn join(&mut self, other: Self) {
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

/// Runs the benchmark and prints its table.
pub async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (server, programs) = forum::server()?;
    let pgbench = pgbench::find(&programs)?;
    let token = curia_driver::token(&Person::new("1", COMMUNITY)).await?;
    println!(
        "PostgreSQL {}, fsync and synchronous_commit on; {} rounds of {} s; load average at the start {}",
        programs.version(),
        arguments.rounds,
        arguments.seconds,
        load_average()
    );
    let bench = Bench { pgbench, token };
    let mut contenders: Vec<Contender> = Vec::new();
    for set in 0..arguments.databases.min(arguments.rounds) {
        let measured = bench.set(&server, arguments, set).await?;
        if contenders.is_empty() {
            contenders = measured;
        } else {
            contenders.iter_mut().zip(measured).for_each(|(contender, measured)| contender.join(measured));
        }
    }
    for (place, clients) in arguments.clients.iter().enumerate() {
        print_table(&contenders, place, *clients);
    }
    print_proof(&contenders);
    Ok(server.stop()?)
}

async fn prepare(
    server: &Postgres,
    variant: Variant,
    arguments: &Arguments,
    set: u64,
) -> Result<Contender, BenchError> {
    let name = format!("{}_{set}", variant.database());
    let url = forum::create(server, &name)?;
    match (variant, &arguments.against) {
        (Variant::Ours | Variant::Unread, _) => forum::migrate(server, &name, &forum::migrations())?,
        (Variant::Against, Some(folder)) => forum::migrate(server, &name, folder)?,
        (Variant::Notify, _) => server.run_script(&name, include_str!("../sql/notify.sql"))?,
        _ => {}
    }
    let session = Session::open(&url).await?;
    let rates = vec![Vec::new(); arguments.clients.len()];
    let sizes = session.client.query_one(include_str!("../sql/sizes.sql"), &[]).await;
    let sizes = sizes.map_err(BenchError::database("count its people and posts"))?;
    let people = People { users: sizes.get::<_, i64>("users") as u64, posts: sizes.get::<_, i64>("posts") as u64 };
    let drawn = arguments.rounds * arguments.clients.len() as u64 * pgbench::pairs(u64::from(arguments.seconds));
    if drawn + pgbench::pairs(u64::from(WARM_UP)) > people.users * people.posts {
        return Err(BenchError::Unproved(
            "so many rounds of so many seconds would give a vote twice; take fewer".to_owned(),
        ));
    }
    Ok(Contender { variant, name, url, session, people, drawn: 0, rates, account: None, commits: 0, notified: 0 })
}

/// What every run needs.
struct Bench {
    pgbench: PathBuf,
    token: String,
}

impl Bench {
    /// Its share of the rounds, in databases of their own.
    async fn set(&self, server: &Postgres, arguments: &Arguments, set: u64) -> Result<Vec<Contender>, BenchError> {
        let variants = [Variant::None, Variant::Ours, Variant::Unread, Variant::Against, Variant::Notify];
        let mut contenders = Vec::new();
        for variant in variants {
            if variant != Variant::Against || arguments.against.is_some() {
                contenders.push(prepare(server, variant, arguments, set).await?);
            }
        }
        for contender in &mut contenders {
            let clients = arguments.clients.iter().copied().max().unwrap_or(1);
            self.one(contender, clients, WARM_UP).await?;
        }
        let sets = arguments.databases.min(arguments.rounds);
        for round in arguments.rounds * set / sets..arguments.rounds * (set + 1) / sets {
            for (place, clients) in arguments.clients.iter().enumerate() {
                let count = contenders.len();
                for turn in 0..count {
                    let contender = &mut contenders[(turn + round as usize) % count];
                    let rate = self.one(contender, *clients, arguments.seconds).await?;
                    contender.rates[place].push(rate.a_second);
                }
            }
            eprintln!("round {} of {} done", round + 1, arguments.rounds);
        }
        for contender in &contenders {
            server.run_script("postgres", &format!("DROP DATABASE {} WITH (FORCE)", contender.name))?;
        }
        Ok(contenders)
    }

    /// One run of one variant, with whoever reads it.
    async fn one(&self, contender: &mut Contender, clients: u32, seconds: u32) -> Result<Rate, BenchError> {
        // Every run begins with tables in the same order, whoever wrote more before.
        contender.session.run("vacuum its tables", "VACUUM (ANALYZE) posts, votes, comments").await?;
        let url = contender.url.clone();
        let load =
            Load { database: &url, clients, seconds, rate: None, drawn: contender.drawn, people: contender.people };
        contender.drawn += pgbench::pairs(u64::from(seconds));
        let rate = match contender.variant {
            Variant::None | Variant::Unread | Variant::Against => pgbench::run(&self.pgbench, &load).await?,
            Variant::Notify => {
                let listener = Session::open(&url).await?;
                listener.run("listen", "LISTEN changes").await?;
                let rate = pgbench::run(&self.pgbench, &load).await?;
                // What is pending is sent before the next answers.
                listener.run("answer the listener", "SELECT 1").await?;
                listener.run("answer the listener", "SELECT 1").await?;
                let notified = listener.close().await;
                if notified < 2 * rate.commits {
                    let why = format!("{notified} notifications of {} commits with two rows each", rate.commits);
                    return Err(BenchError::Unproved(why));
                }
                contender.notified += notified;
                rate
            }
            Variant::Ours => {
                let mut service = Service::start(&url).await?;
                let observer = Observer::begin(&contender.session, service.port, &self.token).await?;
                let rate = pgbench::run(&self.pgbench, &load).await?;
                service.require_ready().await?;
                let account = observer.finish(&contender.session).await?;
                service.require_ready().await?;
                service.stop()?;
                let events = contender.account.as_ref().map_or(0, |account| account.events) + account.events;
                contender.account = Some(Account { events, ..account });
                rate
            }
        };
        contender.commits += rate.commits;
        Ok(rate)
    }
}

/// The rates with this many clients, and what each variant keeps of those without triggers, round by round.
fn print_table(contenders: &[Contender], place: usize, clients: u32) {
    let Some(base) = contenders.iter().find(|one| one.variant == Variant::None).map(|one| &one.rates[place]) else {
        return;
    };
    println!("\n{clients} clients            commits/s: median (quartiles)      of the rate without triggers");
    let mut verdicts = Vec::new();
    for contender in contenders {
        let rates = &contender.rates[place];
        let ratios = Sample::new(rates.iter().zip(base).map(|(rate, base)| rate / base));
        let (Some(rates), Some(ratios)) = (Sample::new(rates.iter().copied()), ratios) else { continue };
        let ((low, high), (least, most)) = (rates.quartiles(), ratios.quartiles());
        let name = contender.variant.name();
        println!(
            "  {name:<22} {:>8.0} ({low:.0} to {high:.0})            {:.3} ({least:.3} to {most:.3})",
            rates.median(),
            ratios.median()
        );
        if contender.variant == Variant::Ours {
            verdicts.push(format!("  {name}: at least {TARGET:.2} {}", Verdict::of(&ratios, TARGET)));
        }
    }
    let rates = |variant| contenders.iter().find(|one| one.variant == variant).map(|one| &one.rates[place]);
    if let (Some(ours), Some(against)) = (rates(Variant::Unread), rates(Variant::Against)) {
        let ratios = Sample::new(against.iter().zip(ours).map(|(against, ours)| against / ours));
        if let Some(ratios) = ratios {
            let (low, high) = ratios.quartiles();
            verdicts.push(format!("  --against / ours, both unread: {:.3} ({low:.3} to {high:.3})", ratios.median()));
        }
    }
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
}

/// That what was measured did its work.
fn print_proof(contenders: &[Contender]) {
    println!("\nOnly ratios carry over to another machine. That everybody did his work:");
    for contender in contenders {
        let name = contender.variant.name();
        match &contender.account {
            Some(Account { events, rows, ticks }) => println!(
                "  {name}: {} commits; the service lived, read all {rows} rows in {ticks} ticks and told a browser {events} events, \
                 of every post in its board the newest counts",
                contender.commits
            ),
            None if contender.variant == Variant::Notify => {
                println!("  {name}: {} commits, {} notifications received", contender.commits, contender.notified);
            }
            None => println!("  {name}: {} commits", contender.commits),
        }
    }
    println!("  load average at the end {} (pgbench's own in it)", load_average());
}

/// As the system tells it, where it does.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|word| !word.is_empty()).unwrap_or("unknown").to_owned()
}
