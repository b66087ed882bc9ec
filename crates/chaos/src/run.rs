//! One run: the world, whoever writes and whoever looks, the faults of the plan, and the end, in which everything is mended and
//! everybody has to be told everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use curia_driver::Person;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    account::Account,
    client::{Phase, Visitor},
    error::ChaosError,
    history::{History, Micros, Row, Snapshot, What},
    log::{Entry, Log, now},
    people::{Persona, Room, personas},
    plan::{self, Fault, Stream},
    work,
    world::{World, connect},
};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub length: Duration,
    pub nodes: usize,
    pub clients: u64,
    pub writers: u64,
    pub program: PathBuf,
}

/// Tells hanging from working.
const MENDED_WITHIN: Duration = Duration::from_secs(30);
/// Longer than counts are held back.
const QUIET: Duration = Duration::from_millis(500);
const GLANCE: Duration = Duration::from_millis(50);
/// How often the database's snapshot is noted.
const SAMPLE: Duration = Duration::from_millis(20);

/// A snapshot and the time before which it was not taken.
type Samples = Arc<Mutex<Vec<(Micros, Snapshot)>>>;

/// What a run leaves to be accounted for.
pub struct Outcome {
    pub account: Account,
    pub faults: BTreeMap<&'static str, usize>,
    /// What happened when, for whoever looks into a failure.
    pub happened: Vec<(Micros, String)>,
}

/// Runs a seed.
pub async fn run(settings: &Settings) -> Result<Outcome, ChaosError> {
    let mut world = World::start(settings.program.clone(), settings.nodes).await?;
    let samples = Samples::default();
    let mut samplers = JoinSet::new();
    samplers.spawn(sample(world.url(), Arc::clone(&samples)));
    let (phase, phases) = watch::channel(Phase::Running);
    let (stop, stops) = watch::channel(false);
    let (people, logs, mut visitors) = visitors(settings, &world, &phases).await?;
    let mut writers = writers(settings, &world.url(), &stops);

    let began = Instant::now();
    let (mut faults, mut happened) = (BTreeMap::new(), Vec::new());
    for planned in plan::faults(settings.seed, settings.length, settings.nodes) {
        sleep_until(began + planned.at).await;
        happened.push((now(), planned.fault.to_string()));
        *faults.entry(world.suffer(planned.fault).await?.kind()).or_default() += 1;
    }
    sleep_until(began + settings.length).await;
    world.require_nodes()?;
    world.mend();

    stop.send_replace(true);
    while writers.join_next().await.is_some() {}
    phase.send_replace(Phase::Closing);
    happened.push((now(), "mended; nobody writes".to_owned()));
    let history = read_history(&world.url()).await?;
    let expected: Vec<BTreeSet<Room>> = people.iter().map(|persona| open_rooms(&history, persona)).collect();
    let settled = || logs.iter().zip(&expected).all(|(log, rooms)| log.sits_in().is_superset(rooms));
    let all_settled = until(settled).await;
    happened.push((now(), format!("everybody sits where he may: {all_settled}")));
    write_markers(&world.url()).await?;
    let history = read_history(&world.url()).await?;
    let markers = markers(&history, &people, &expected);
    let told = || logs.iter().zip(&markers).all(|(log, markers)| has_heard(log, markers));
    let all_told = until(told).await;
    happened.push((now(), format!("everybody was told the last: {all_told}")));
    sleep(QUIET).await;
    visitors.shutdown().await;
    samplers.shutdown().await;

    let ticks = read_ticks(&world.url()).await?;
    let samples = samples.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let clients = people.into_iter().zip(logs.iter().map(|log| log.entries().clone())).collect();
    let account = Account { history, ticks, samples, clients, expected, markers };
    Ok(Outcome { account, faults, happened })
}

type Visitors = (Vec<Persona>, Vec<Arc<Log>>, JoinSet<()>);

async fn visitors(settings: &Settings, world: &World, phases: &watch::Receiver<Phase>) -> Result<Visitors, ChaosError> {
    let people = personas(settings.seed, settings.clients);
    let (mut logs, mut visitors) = (Vec::new(), JoinSet::new());
    for (number, persona) in (0..).zip(&people) {
        let Persona { user, community, roles, admin, .. } = persona.clone();
        let token = curia_driver::token(&Person { user, community, roles, admin }).await?;
        let log = Arc::new(Log::default());
        logs.push(Arc::clone(&log));
        let visitor = Visitor {
            persona: persona.clone(),
            token,
            fronts: world.fronts(),
            draw: plan::stream(settings.seed, Stream::Client(number)),
            log,
            phase: phases.clone(),
        };
        visitors.spawn(visitor.live());
    }
    Ok((people, logs, visitors))
}

fn writers(settings: &Settings, url: &str, stops: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for number in 0..settings.writers {
        let draw = plan::stream(settings.seed, Stream::Writer(number));
        writers.spawn(work::write(number, draw, url.to_owned(), stops.clone()));
    }
    let draw = plan::stream(settings.seed, Stream::Writer(settings.writers));
    writers.spawn(work::linger(draw, url.to_owned(), stops.clone()));
    let draw = plan::stream(settings.seed, Stream::Writer(settings.writers + 1));
    writers.spawn(work::keep_the_door(draw, url.to_owned(), stops.clone()));
    writers
}

async fn until(is: impl Fn() -> bool) -> bool {
    let waiting = async {
        while !is() {
            sleep(GLANCE).await;
        }
    };
    timeout(MENDED_WITHIN, waiting).await.is_ok()
}

/// Notes snapshots until it is dropped.
async fn sample(url: String, samples: Samples) {
    loop {
        if let Ok(session) = connect(&url).await {
            loop {
                let before = now();
                let Ok(row) = session.query_one("SELECT pg_current_snapshot()::text", &[]).await else { break };
                if let Some(snapshot) = Snapshot::read(row.get(0)) {
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push((before, snapshot));
                }
                sleep(SAMPLE).await;
            }
        }
        sleep(SAMPLE).await;
    }
}

/// The rooms of a persona that are open when everything is over.
fn open_rooms(history: &History, persona: &Persona) -> BTreeSet<Room> {
    let end = i64::MAX;
    let open = |room: &Room| match room {
        Room::Feed => true,
        Room::Board(board) => history.may_open(persona, *board, end),
        Room::Post(post) => history.board_of(*post, end).is_some_and(|board| history.may_open(persona, board, end)),
    };
    persona.rooms.iter().filter(|room| open(room)).copied().collect()
}

/// Of each client the rows that it has to be told in the end.
fn markers(history: &History, people: &[Persona], expected: &[BTreeSet<Room>]) -> Vec<Vec<i64>> {
    let marks = history.rows.iter().filter(|row| row.stamp().is_some_and(|stamp| stamp.starts_with("marker")));
    let marks: Vec<&Row> = marks.collect();
    let due = |persona: &Persona, rooms: &BTreeSet<Room>| {
        let told = |row: &&&Row| match (row.what, row.board, row.post) {
            (What::PostCreated, Some(board), _) => {
                rooms.contains(&Room::Board(board))
                    || (rooms.contains(&Room::Feed) && history.may_open(persona, board, row.seq))
            }
            (What::CommentCreated, _, Some(post)) => rooms.contains(&Room::Post(post)),
            _ => false,
        };
        marks.iter().filter(told).map(|row| row.seq).collect()
    };
    people.iter().zip(expected).map(|(persona, rooms)| due(persona, rooms)).collect()
}

/// As many markers as it has to be told; which ones is accounted for later.
fn has_heard(log: &Log, markers: &[i64]) -> bool {
    let entries = log.entries();
    let marker = |entry: &Entry| match entry {
        Entry::Told(told) if matches!(told.name.as_str(), "board:newPost" | "post:newComment") => {
            told.stamp.as_ref().is_some_and(|stamp| stamp.starts_with("marker"))
        }
        _ => false,
    };
    entries.iter().filter(|logged| marker(&logged.entry)).count() >= markers.len()
}

async fn write_markers(url: &str) -> Result<(), ChaosError> {
    let doing = "take the last posts and comments";
    let session = connect(url).await.map_err(ChaosError::database(doing))?;
    session.batch_execute(include_str!("../sql/markers.sql")).await.map_err(ChaosError::database(doing))
}

async fn read_history(url: &str) -> Result<History, ChaosError> {
    let doing = "give its history";
    let session = connect(url).await.map_err(ChaosError::database(doing))?;
    let rows =
        session.query(include_str!("../sql/read_history.sql"), &[]).await.map_err(ChaosError::database(doing))?;
    let read = |row: &tokio_postgres::Row| {
        let seq: i64 = row.get("seq");
        let wrong = |what| ChaosError::History { seq, what };
        Ok(Row {
            seq,
            xid: u64::try_from(row.get::<_, i64>("xid")).map_err(|_| wrong("its transaction"))?,
            snapshot: Snapshot::read(row.get("snapshot")).ok_or_else(|| wrong("its snapshot"))?,
            at: row.get("at"),
            what: What::read(row.get("what")).ok_or_else(|| wrong("what it says"))?,
            board: row.get("board_id"),
            post: row.get("post_id"),
            comment: row.get("row_id"),
            data: serde_json::from_str(row.get("data")).map_err(|_| wrong("its data"))?,
        })
    };
    Ok(History::new(rows.iter().map(read).collect::<Result<_, ChaosError>>()?))
}

async fn read_ticks(url: &str) -> Result<Vec<Snapshot>, ChaosError> {
    let doing = "give its ticks";
    let session = connect(url).await.map_err(ChaosError::database(doing))?;
    let rows = session.query(include_str!("../sql/read_ticks.sql"), &[]).await.map_err(ChaosError::database(doing))?;
    Ok(rows.iter().filter_map(|row| Snapshot::read(row.get(0))).collect())
}

/// That a fault of each kind took place.
pub fn kinds(faults: &BTreeMap<&'static str, usize>) -> usize {
    Fault::KINDS.iter().filter(|kind| faults.contains_key(*kind)).count()
}
