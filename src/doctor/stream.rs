//! The stream: who makes it, how far it is, and what holds it back.

use std::time::Duration;

use super::{Finding, bytes, lasting, many};

/// A node makes a tick within some milliseconds, and another stands in for it within two seconds.
const TICKED_WITHIN: Duration = Duration::from_secs(10);
/// Nodes cut every 30 s.
const CUT_WITHIN: Duration = Duration::from_secs(120);
/// The forum's own transactions take milliseconds.
const LONG: Duration = Duration::from_secs(60);
/// So many rows that no tick holds are counted.
pub const COUNTED: i64 = 100_000;

/// Nodes, as the database sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Those that listen.
    pub listening: i64,
    /// Who makes the ticks, in words.
    pub lease: Option<String>,
}

/// Where the stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// What keeps changes from being noted, and what to do about it.
    pub lacking: Option<String>,
    /// Why it does not go on here.
    pub broken: Option<String>,
    /// Of the newest epoch, where it goes on.
    pub newest: Option<Newest>,
}

/// The newest tick, and what it does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    pub tick: i64,
    pub age: Duration,
    /// [`COUNTED`] at most.
    pub waiting: i64,
    /// How long the oldest of these waits.
    pub since: Option<Duration>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// By estimate.
    pub size: u64,
    /// Of its oldest row.
    pub age: Option<Duration>,
}

/// A transaction that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// `None` where it is prepared.
    pub pid: Option<i32>,
    /// Quoted, where it is prepared.
    pub gid: Option<String>,
    /// Quoted.
    pub role: Option<String>,
    pub state: Option<String>,
    /// `None` where our role is not shown it.
    pub age: Option<Duration>,
    /// When it began, or before when, for people.
    pub since: Option<String>,
    /// It has changed something.
    pub writes: bool,
}

/// Who makes ticks.
pub fn lease(nodes: &Nodes) -> Finding {
    let what = "lease";
    match (&nodes.lease, nodes.listening) {
        (Some(holder), listening) => {
            let others = if listening > 1 { format!("; {listening} nodes listen") } else { String::new() };
            Finding::ok(what, format!("held by {holder}{others}"))
        }
        (None, 0) => Finding::note(
            what,
            "nobody holds it, and no node listens",
            "start `curia-realtime serve`, unless it is meant to be down; /readyz of a node that runs says why it does not listen",
        ),
        (None, listening) => Finding::wrong(
            what,
            format!("nobody holds it, with {} listening", many(listening, "node")),
            "look at /readyz of the nodes; a node that was cut off a moment ago gives it to another within two seconds",
        ),
    }
}

/// Whether the stream goes on, and how much of what was committed is not in it yet.
pub fn ticks(position: &Position, nodes: &Nodes) -> Finding {
    let what = "ticks";
    if let Some(lacking) = &position.lacking {
        return Finding::wrong(what, "not every change is noted, and nothing is told before it is", lacking.clone());
    }
    if let Some(why) = &position.broken {
        return Finding::note(
            what,
            format!("the stream does not go on here: {why}"),
            "nothing, when that was meant: the next node to read begins a new epoch, and every client loads its state anew",
        );
    }
    let Some(Newest { tick, age, waiting, since }) = position.newest else {
        return Finding::note(
            what,
            "the newest tick was cut while it was looked at",
            "look again; when it stays so, see to the log of the nodes",
        );
    };
    let told = format!("tick {tick}, {} old", lasting(age));
    let Some(since) = since.filter(|_| waiting > 0) else {
        return Finding::ok(what, format!("{told}; everything committed is in it or before it"));
    };
    let more = if waiting >= COUNTED { "at least " } else { "" };
    let told =
        format!("{told}; {more}{} waiting to be told, the oldest for {}", many(waiting, "change"), lasting(since));
    match since {
        since if since < TICKED_WITHIN => Finding::ok(what, told),
        _ if nodes.lease.is_none() && nodes.listening == 0 => Finding::wrong(
            what,
            told,
            "start `curia-realtime serve`; where it is to stay down for days, docs/outbox.md says how to forget what waits",
        ),
        _ => Finding::wrong(
            what,
            told,
            "look at /readyz and the log of the nodes, the one with the lease first; one that hangs may be started anew, another takes over",
        ),
    }
}

/// How full it is, and whether it is cut.
pub fn outbox(outbox: &Outbox, retention: Duration, most: u64) -> Finding {
    let what = "outbox";
    let Outbox { size, age } = *outbox;
    let oldest = age.map_or_else(|| "no row".to_owned(), |age| format!("its oldest row {} old", lasting(age)));
    let told = format!("about {} of {}, {oldest}, kept for {}", bytes(size), bytes(most), lasting(retention));
    let larger = "a larger REALTIME_OUTBOX_MAX_SIZE or a shorter REALTIME_RETENTION, unless nobody makes ticks: see `lease` and `ticks`";
    match age {
        _ if size > most => Finding::wrong(what, told, larger),
        _ if size > most / 2 => Finding::note(what, told, larger),
        Some(age) if age > retention + CUT_WITHIN => Finding::note(
            what,
            told,
            "nothing, while no node runs; otherwise /readyz of the node with the lease says under `outbox` why it is not cut",
        ),
        _ => Finding::ok(what, told),
    }
}

/// Whether somebody keeps his own changes, and what was cut, from going. `role` is ours, quoted.
pub fn transactions(open: &[Open], retention: Duration, role: &str) -> Finding {
    let what = "transactions";
    let oldest = open.iter().filter_map(|one| Some((one, one.age?))).max_by_key(|(_, age)| *age);
    let long = LONG.min(retention);
    if let Some((one, age)) = oldest.filter(|(_, age)| *age >= long) {
        let holds = if one.writes {
            "what it changed is not told before it commits, and no space of the outbox is used again until it ends"
        } else {
            "no space of the outbox is used again until it ends"
        };
        let told = format!("{} is open for {}: {holds}", one.name(), lasting(age));
        let end = one.end();
        return match one.writes && age >= retention {
            true => Finding::wrong(what, told, end),
            false => Finding::note(what, told, end),
        };
    }
    match open.iter().filter(|one| one.age.is_none()).count() {
        0 => Finding::ok(what, format!("none is open for more than {}", lasting(long))),
        hidden => Finding::note(
            what,
            format!(
                "{} of other roles open, and since when is not shown to the role {role}",
                many(hidden, "transaction")
            ),
            format!("GRANT pg_read_all_stats TO {role}; or look as a superuser"),
        ),
    }
}

impl Open {
    fn name(&self) -> String {
        let role = self.role.as_ref().map(|role| format!(" of role {role}")).unwrap_or_default();
        let since = self.since.as_ref().map(|since| format!(", begun {since}")).unwrap_or_default();
        let state = self.state.as_ref().map(|state| format!(", {state}")).unwrap_or_default();
        match (&self.gid, self.pid) {
            (Some(gid), _) => format!("the prepared transaction {gid}{role}{since}"),
            (None, pid) => {
                let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
                format!("the transaction of process {pid}{role}{state}{since}")
            }
        }
    }

    fn end(&self) -> String {
        match (&self.gid, self.pid) {
            (Some(gid), _) => format!("COMMIT PREPARED {gid}; or ROLLBACK PREPARED {gid}; by whoever prepared it"),
            (None, pid) => {
                let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
                format!("let it come to its end, or SELECT pg_terminate_backend({pid});")
            }
        }
    }
}
