//! A moment of the database, as `pg_snapshot` names it: which transactions were over.

use std::{fmt, str::FromStr};

/// What was committed at one moment. It has the text that PostgreSQL gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    text: String,
    /// The first transaction that had not begun.
    end: u64,
    /// Those before it that were running, ascending.
    running: Vec<u64>,
}

/// The text is not one that PostgreSQL writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a pg_snapshot")]
pub struct NotASnapshot;

impl Snapshot {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether everything that was committed at `earlier` is committed here: then it is the same moment or a later one.
    pub fn covers(&self, earlier: &Self) -> bool {
        let open = |xid: &u64| *xid >= earlier.end || earlier.running.binary_search(xid).is_ok();
        self.end >= earlier.end && self.running.iter().all(open)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Snapshot {
    type Err = NotASnapshot;

    /// Takes what PostgreSQL takes back, in the one form in which it writes it.
    fn from_str(text: &str) -> Result<Self, NotASnapshot> {
        let mut parts = text.split(':');
        let (Some(begin), Some(end), Some(running), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotASnapshot);
        };
        let (begin, end) = (xid(begin)?, xid(end)?);
        let running: Vec<u64> = match running {
            "" => Vec::new(),
            list => list.split(',').map(xid).collect::<Result<_, _>>()?,
        };
        let within = running.iter().all(|xid| (begin..end).contains(xid)) && begin <= end;
        if !within || !running.is_sorted_by(|one, next| one < next) {
            return Err(NotASnapshot);
        }
        Ok(Self { text: text.to_owned(), end, running })
    }
}

/// A transaction's id as it is written: from 1, without signs or leading zeros.
fn xid(text: &str) -> Result<u64, NotASnapshot> {
    let xid: u64 = text.parse().map_err(|_| NotASnapshot)?;
    // PostgreSQL takes none above.
    let taken =
        (1..=i64::MAX.unsigned_abs()).contains(&xid) && text.starts_with(|first: char| ('1'..='9').contains(&first));
    if taken { Ok(xid) } else { Err(NotASnapshot) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_postgresql_writes_is_one() {
        for text in ["10:10:", "10:20:10,14,15", "3:9223372036854775807:"] {
            assert_eq!(at(text).as_str(), text);
        }
        for text in [
            "",
            "10",
            "10:20",
            "10:20:5",
            "10:20:20",
            "20:10:",
            "10:20:15,14",
            "10:20:14,14",
            "0:1:",
            "10:20:14,",
            "10:20: 14",
            "+10:20:",
            "010:20:",
            "10:20::",
            "10:9223372036854775808:",
            "-1:2:",
            "1:2:;DROP",
        ] {
            assert_eq!(text.parse::<Snapshot>(), Err(NotASnapshot), "{text}");
        }
    }

    #[test]
    fn a_later_moment_covers_an_earlier_one_and_not_the_other_way_round() {
        for (earlier, later) in [("10:10:", "10:11:10"), ("10:12:10", "12:12:"), ("10:20:10,14", "14:25:14,22")] {
            assert!(at(later).covers(&at(earlier)) && at(later).covers(&at(later)), "{earlier} {later}");
        }
        for (earlier, later) in [("10:12:10", "12:12:"), ("12:12:", "12:13:"), ("10:20:10,14", "14:25:14,22")] {
            assert!(!at(earlier).covers(&at(later)), "{earlier} {later}");
        }
    }

    proptest! {
        #[test]
        fn it_covers_exactly_what_it_sees(
            one in snapshot(), other in snapshot(),
        ) {
            let sees = |snapshot: &Snapshot, xid: u64| xid < snapshot.end && !snapshot.running.contains(&xid);
            let covered = (1..60).all(|xid| !sees(&other, xid) || sees(&one, xid));
            prop_assert_eq!(one.covers(&other), covered && one.end >= other.end);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9:, ]{0,40}") {
            let _ = text.parse::<Snapshot>();
        }
    }

    fn snapshot() -> impl Strategy<Value = Snapshot> {
        (1_u64..40, proptest::collection::btree_set(1_u64..50, 0..6), 0_u64..10).prop_map(|(begin, running, more)| {
            let running: BTreeSet<u64> = running.into_iter().filter(|xid| *xid >= begin).collect();
            let end = running.last().map_or(begin, |last| last + 1) + more;
            let list: Vec<String> = running.iter().map(u64::to_string).collect();
            at(&format!("{begin}:{end}:{}", list.join(",")))
        })
    }
}
