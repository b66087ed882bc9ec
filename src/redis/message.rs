//! What nodes tell each other of a tick: a line of text that says which, and behind it, as JSON, what the tick holds.
//!
//! ```text
//! curia-relay 3 <epoch> <tick> <snapshot of the tick before> <its own>
//! {"entries": [...], "rows": {...}}
//! ```
//!
//! The first line alone, without snapshots, says that the tick is recorded: it is too large to be relayed, or there is nothing
//! new. A node reads whatever it can't take from here in PostgreSQL, so a message never has to arrive, and never has to be
//! understood: the number in the first line is the version of all of it, and another one is left alone. JSON, since reading a
//! change costs less than sending it to a single socket (`docs/scaling.md`), and an operator can read it.
//!
//! Whoever may publish is believed as the database is, but what he sends is outside input: bounded in size, and odd rather than
//! a panic. A tick that is taken was read in its own snapshot, its rights with it.

use std::{io, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    batch::{self, Batch, Entry, Made},
    event::Rows,
    ids::{Epoch, Tick},
};

/// Of what stands behind the first line, and of that line. A test fails when the former changes and this does not.
const FORMAT: &str = "3";
const NAME: &str = "curia-relay";
/// A larger tick is read by each node itself.
pub const LARGEST: usize = 1 << 20;
/// More than two snapshots with a thousand transactions each take.
const LONGEST_LINE: usize = 64 << 10;

/// A tick as it is handed to the other nodes. Cheap to make: it is encoded where it does not delay the telling.
#[derive(Clone, Debug)]
pub enum Relayed {
    /// It is recorded.
    At { epoch: Epoch, tick: Tick },
    /// It was made here and is whole.
    Tick { epoch: Epoch, tick: Tick, made: Made, entries: Vec<Entry>, rows: Arc<Rows> },
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    pub epoch: Epoch,
    pub tick: Tick,
    /// Where the tick itself is there too.
    pub made: Option<Made>,
}

/// Why a message can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    #[error("a message in another format")]
    Foreign,
    #[error("a message that can't be read")]
    Odd,
}

/// A message that was heard.
#[derive(Debug)]
pub struct Message {
    pub heading: Heading,
    body: Vec<u8>,
}

#[derive(Serialize)]
struct Written<'a> {
    entries: &'a [Entry],
    rows: &'a Rows,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    entries: Vec<Entry>,
    rows: Rows,
}

impl Relayed {
    /// Of a batch that was recorded.
    pub fn of(batch: &Batch) -> Self {
        let Batch { epoch, tick, .. } = *batch;
        match &batch.made {
            Some(made) => Self::Tick {
                epoch,
                tick,
                made: Made::clone(made),
                entries: batch.entries.clone(),
                rows: Arc::clone(&batch.rows),
            },
            None => Self::At { epoch, tick },
        }
    }

    /// In which the tick stands.
    pub fn epoch(&self) -> Epoch {
        let (Self::At { epoch, .. } | Self::Tick { epoch, .. }) = self;
        *epoch
    }

    /// That the tick is recorded, and no more.
    pub fn announced(&self) -> Self {
        let (Self::At { epoch, tick } | Self::Tick { epoch, tick, .. }) = self;
        Self::At { epoch: *epoch, tick: *tick }
    }

    /// The message; where the tick takes more than [`LARGEST`] bytes, its announcement.
    pub fn encode(&self) -> Vec<u8> {
        let (epoch, tick) = match self {
            Self::At { epoch, tick } => (epoch, tick),
            Self::Tick { epoch, tick, made, entries, rows } => {
                let mut text = Bounded(Vec::with_capacity(1 << 10));
                let line = format!("{NAME} {FORMAT} {} {} {} {}\n", epoch.0, tick.0, made.follows, made.snapshot);
                let fits = line.len() <= LONGEST_LINE
                    && io::Write::write_all(&mut text, line.as_bytes()).is_ok()
                    && serde_json::to_writer(&mut text, &Written { entries, rows }).is_ok();
                if fits {
                    return text.0;
                }
                (epoch, tick)
            }
        };
        format!("{NAME} {FORMAT} {} {}\n", epoch.0, tick.0).into_bytes()
    }
}

impl Message {
    /// Reads the first line.
    pub fn read(bytes: Vec<u8>) -> Result<Self, NotUnderstood> {
        if bytes.len() > LARGEST {
            return Err(NotUnderstood::Odd);
        }
        let line = bytes.iter().take(LONGEST_LINE + 1).position(|byte| *byte == b'\n').ok_or(NotUnderstood::Odd)?;
        let heading = std::str::from_utf8(&bytes[..line]).map_err(|_| NotUnderstood::Odd)?.parse()?;
        let mut bytes = bytes;
        Ok(Self { heading, body: bytes.split_off(line + 1) })
    }

    /// The tick, as it would have been read in PostgreSQL at its own moment. What was set aside there is counted there.
    pub fn batch(&self) -> Result<Batch, NotUnderstood> {
        let Heading { epoch, tick, .. } = self.heading;
        let Read { entries, rows } = serde_json::from_slice(&self.body).map_err(|_| NotUnderstood::Odd)?;
        if !entries.is_sorted_by(|one, next| one.ordinal < next.ordinal)
            || entries.first().is_some_and(|first| first.ordinal == 0)
        {
            return Err(NotUnderstood::Odd);
        }
        let rows = Arc::new(rows);
        let fence = batch::fence_of(&entries, &rows);
        Ok(Batch { epoch, tick, entries, poison: Vec::new(), rows, fence, ahead: None, last: true, made: None })
    }
}

impl FromStr for Heading {
    type Err = NotUnderstood;

    fn from_str(line: &str) -> Result<Self, NotUnderstood> {
        let mut words = line.split(' ');
        if words.next() != Some(NAME) {
            return Err(NotUnderstood::Odd);
        }
        if words.next() != Some(FORMAT) {
            return Err(NotUnderstood::Foreign);
        }
        let mut number = || words.next()?.parse::<i64>().ok().filter(|number| *number >= 0);
        let (epoch, tick) = number().zip(number()).ok_or(NotUnderstood::Odd)?;
        let mut snapshot = || words.next().map(|word| word.parse().map_err(|_| NotUnderstood::Odd)).transpose();
        let made = match (snapshot()?, snapshot()?) {
            (Some(follows), Some(snapshot)) => Some(Made { follows, snapshot }),
            (None, _) => None,
            (Some(_), None) => return Err(NotUnderstood::Odd),
        };
        if words.next().is_some() {
            return Err(NotUnderstood::Odd);
        }
        Ok(Self { epoch: Epoch(epoch), tick: Tick(tick), made })
    }
}

/// Takes no more than [`LARGEST`] bytes.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
