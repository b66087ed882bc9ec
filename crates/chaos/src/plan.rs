//! What a seed decides: when which fault happens, and the streams that writers and clients draw from.
//!
//! The plan of a seed is the same on every machine. How real processes take it is not: what a run of the same seed finds may differ.

use std::{fmt, time::Duration};

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Whose draws they are: each has a stream of its own, so that how often one draws does not change another's.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    Faults,
    Personas,
    Writer(u64),
    Client(u64),
}

/// The draws of one of them.
pub fn stream(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(match stream {
        Stream::Faults => 0,
        Stream::Personas => 1,
        Stream::Writer(number) => 1_000 + number,
        Stream::Client(number) => 1_000_000 + number,
    });
    generator
}

/// A connection that a proxy of ours stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// From the clients to a node.
    Front,
    /// From a node to PostgreSQL.
    Postgres,
    /// From a node to Redis.
    Redis,
}

/// What is done to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and a new process after a while.
    KillNode {
        node: usize,
        down: Duration,
    },
    /// The same, to whichever node makes the ticks.
    KillTicking {
        down: Duration,
    },
    /// SIGTERM, and a new process after a while.
    Drain {
        node: usize,
        down: Duration,
    },
    RestartPostgres,
    RestartRedis,
    /// Every connection of the link is closed.
    Cut {
        link: Link,
        node: usize,
    },
    /// Nothing passes, and nothing is closed.
    Stall {
        link: Link,
        node: usize,
        lasting: Duration,
    },
    /// What the connections of the link carry goes nowhere any more, and nothing is closed; new ones are as ever. Not those of
    /// clients: they notice after a minute, as the node does, and a run is over by then.
    Swallow {
        link: Link,
        node: usize,
    },
    /// Everything passes late.
    Delay {
        link: Link,
        node: usize,
        by: Duration,
        lasting: Duration,
    },
}

impl Fault {
    /// How it is called in a summary.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::KillNode { .. } => "kill -9 of a node",
            Self::KillTicking { .. } => "kill -9 of the ticking node",
            Self::Drain { .. } => "node drained",
            Self::RestartPostgres => "PostgreSQL restarted",
            Self::RestartRedis => "Redis restarted",
            Self::Cut { .. } => "link cut",
            Self::Stall { .. } => "link stalled",
            Self::Swallow { .. } => "link swallowed",
            Self::Delay { .. } => "link delayed",
        }
    }

    /// Every kind.
    pub const KINDS: [&'static str; 9] = [
        "kill -9 of a node",
        "kill -9 of the ticking node",
        "PostgreSQL restarted",
        "Redis restarted",
        "link cut",
        "link stalled",
        "link delayed",
        "node drained",
        "link swallowed",
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::KillNode { node, down } | Self::Drain { node, down } => write!(f, " {node}, down for {down:?}"),
            Self::KillTicking { down } => write!(f, ", down for {down:?}"),
            Self::RestartPostgres | Self::RestartRedis => Ok(()),
            Self::Cut { link, node } | Self::Swallow { link, node } => write!(f, ": {link:?} of node {node}"),
            Self::Stall { link, node, lasting } => write!(f, ": {link:?} of node {node} for {lasting:?}"),
            Self::Delay { link, node, by, lasting } => write!(f, ": {link:?} of node {node} by {by:?} for {lasting:?}"),
        }
    }
}

/// A fault and when it happens, from the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub at: Duration,
    pub fault: Fault,
}

/// The faults of a run of this length: first one of each kind as far as there is time, then whatever is drawn.
pub fn faults(seed: u64, length: Duration, nodes: usize) -> Vec<Planned> {
    let mut draw = stream(seed, Stream::Faults);
    let mut first: Vec<usize> = (0..Fault::KINDS.len()).collect();
    first.shuffle(&mut draw);
    let mut planned = Vec::new();
    let mut at = Duration::from_millis(draw.random_range(800..1_600));
    while at + Duration::from_millis(500) < length {
        let kind = first.pop().unwrap_or_else(|| draw.random_range(0..Fault::KINDS.len()));
        planned.push(Planned { at, fault: fault(&mut draw, kind, nodes) });
        at += Duration::from_millis(draw.random_range(700..2_800));
    }
    planned
}

fn fault(draw: &mut ChaCha8Rng, kind: usize, nodes: usize) -> Fault {
    let node = draw.random_range(0..nodes);
    let down = Duration::from_millis(draw.random_range(100..1_500));
    let link = [Link::Front, Link::Postgres, Link::Postgres, Link::Redis][draw.random_range(0..4)];
    match kind {
        0 => Fault::KillNode { node, down },
        1 => Fault::KillTicking { down },
        2 => Fault::RestartPostgres,
        3 => Fault::RestartRedis,
        4 => Fault::Cut { link, node },
        5 => Fault::Stall { link, node, lasting: Duration::from_millis(draw.random_range(200..2_500)) },
        7 => Fault::Drain { node, down },
        8 => Fault::Swallow { link: if link == Link::Redis { link } else { Link::Postgres }, node },
        _ => Fault::Delay {
            link,
            node,
            by: Duration::from_millis(draw.random_range(5..120)),
            lasting: Duration::from_millis(draw.random_range(1_000..4_000)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_plan_and_a_minute_has_every_kind() {
        let minute = Duration::from_secs(60);
        assert_eq!(faults(7, minute, 2), faults(7, minute, 2));
        assert_ne!(faults(7, minute, 2), faults(8, minute, 2));
        for seed in 0..20 {
            let kinds: Vec<_> = faults(seed, minute, 3).iter().map(|planned| planned.fault.kind()).collect();
            assert!(Fault::KINDS.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
        }
    }
}
