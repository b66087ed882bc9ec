//! What noting a change costs whoever writes it: the forum's commit rate with each kind of trigger against none.
//!
//! Every variant has a database of its own on one server. In a round all of them run their load by turns of some seconds, each turn in
//! another order, while the loads of the others are held; so what else the machine does meanwhile falls on all alike. A round is compared only with
//! itself, and has databases of its own: where the pages and files of a database happen to lie is worth some percent.

mod contender;

use std::{fs, path::PathBuf, time::Duration};

use curia_driver::Person;
use curia_scratch::Postgres;
use tokio::time::sleep;

use self::contender::{Bench, Contender, Variant};
use crate::{
    error::BenchError,
    forum::{self, COMMUNITY},
    observer::Account,
    pgbench,
    statistics::{Sample, Verdict},
};

/// What is to be measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// Rounds; each has databases of its own and gives one ratio for each number of clients
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u64).range(1..=500))]
    rounds: u64,
    /// How often each variant has its turn in a round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
    /// How long a turn is
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// pgbench clients; may be given several times
    #[arg(long = "clients", default_values_t = [8, 32], value_parser = clap::value_parser!(u32).range(1..=60))]
    clients: Vec<u32>,
    /// Another folder of migrations, measured unread beside ours: how a change of the triggers is tried out
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
}

/// The share of the commit rate without triggers that ours is to keep.
const TARGET: f64 = 0.80;
/// Between two turns: what is under way is done, and a reader is through with it.
const PAUSE: Duration = Duration::from_millis(300);
/// Seconds that a load may take to begin.
const START: u32 = 4;

/// Runs the benchmark and prints its table.
pub async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (server, programs) = forum::server()?;
    let pgbench = pgbench::find(&programs)?;
    let token = curia_driver::token(&Person::new("1", COMMUNITY)).await?;
    println!(
        "PostgreSQL {}, fsync and synchronous_commit on; {} rounds of {} turns of {} s; load average at the start {}",
        programs.version(),
        arguments.rounds,
        arguments.turns,
        arguments.seconds,
        load_average()
    );
    let bench = Bench { pgbench, token };
    let mut contenders: Vec<Contender> = Vec::new();
    for number in 0..arguments.rounds {
        let measured = round(&bench, &server, arguments, number).await?;
        if contenders.is_empty() {
            contenders = measured;
        } else {
            contenders.iter_mut().zip(measured).for_each(|(contender, measured)| contender.join(measured));
        }
        eprintln!("round {} of {} done", number + 1, arguments.rounds);
    }
    for (place, clients) in arguments.clients.iter().enumerate() {
        print_table(&contenders, place, *clients);
    }
    print_proof(&contenders);
    Ok(server.stop()?)
}

/// One round, in databases of its own.
async fn round(
    bench: &Bench,
    server: &Postgres,
    arguments: &Arguments,
    number: u64,
) -> Result<Vec<Contender>, BenchError> {
    let mut contenders = Vec::new();
    for variant in [Variant::None, Variant::Ours, Variant::Unread, Variant::Against, Variant::Notify] {
        let migrations = match variant {
            Variant::Ours | Variant::Unread => Some(forum::migrations()),
            Variant::Against if arguments.against.is_none() => continue,
            Variant::Against => arguments.against.clone(),
            Variant::None | Variant::Notify => None,
        };
        contenders.push(Contender::prepare(server, variant, migrations.as_deref(), number).await?);
    }
    for clients in &arguments.clients {
        by_turns(bench, arguments, &mut contenders, *clients, number).await?;
    }
    for contender in &contenders {
        contender.drop_database(server)?;
    }
    Ok(contenders)
}

/// All of them with so many clients, one at a time.
async fn by_turns(
    bench: &Bench,
    arguments: &Arguments,
    contenders: &mut [Contender],
    clients: u32,
    number: u64,
) -> Result<(), BenchError> {
    let Ok(count) = u32::try_from(contenders.len()) else { return Ok(()) };
    let turn = Duration::from_secs(u64::from(arguments.seconds));
    let all_turns = (turn + PAUSE).as_secs_f64().ceil() as u32 * arguments.turns * count;
    let mut running = Vec::new();
    for contender in contenders.iter_mut() {
        running.push(bench.begin(contender, clients, count * START + all_turns).await?);
    }
    for time in 0..arguments.turns as usize {
        for place in 0..running.len() {
            let whose = (place + time + number as usize) % contenders.len();
            running[whose].load.go_on().await?;
            sleep(turn).await;
            running[whose].load.hold().await?;
            sleep(PAUSE).await;
        }
    }
    for (contender, running) in contenders.iter_mut().zip(running) {
        bench.end(contender, running).await?;
    }
    Ok(())
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
