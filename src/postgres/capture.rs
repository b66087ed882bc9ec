//! Whether every change that the forum commits is noted: all triggers there, and switched on.
//!
//! What was written while one was not is lost to whoever follows, and nothing else tells him: somebody made a table anew, or switched
//! its triggers off for a bulk load. So it is looked at again and again, and what is seen leaves a mark that also tells of what came and went
//! between two looks.

use std::fmt;

use sqlx::PgConnection;

use super::migrations::TRIGGERS;

/// So many triggers are named.
const NAMED: usize = 4;

/// What was seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The same as long as no trigger was made anew or switched, nor a key made.
    pub mark: String,
    /// What keeps changes from being noted.
    pub lacking: Option<Lacking>,
}

/// Why not every change is noted, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// As `name of table`.
    missing: Vec<String>,
    /// As above.
    off: Vec<String>,
    /// Whether the outbox and its ticks have their keys.
    keyed: bool,
}

/// Looks at the catalogue, which everybody may. Takes no lock, and a fraction of a millisecond.
pub async fn look(connection: &mut PgConnection) -> Result<Capture, sqlx::Error> {
    let (tables, names): (Vec<String>, Vec<String>) = TRIGGERS
        .iter()
        .flat_map(|(table, names)| names.iter().map(|name| ((*table).to_owned(), (*name).to_owned())))
        .unzip();
    let seen = sqlx::query_file!("sql/outbox/capture.sql", &tables, &names).fetch_one(connection).await?;
    let lacking = Lacking { missing: seen.missing, off: seen.off, keyed: seen.keyed };
    let is_whole = lacking.missing.is_empty() && lacking.off.is_empty() && lacking.keyed;
    Ok(Capture { mark: seen.mark, lacking: (!is_whole).then_some(lacking) })
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, off, keyed } = self;
        let keys = (!keyed).then(|| "keys of curia_realtime.outbox and curia_realtime.tick are missing".to_owned());
        let missing_some = !missing.is_empty() || !keyed;
        let is_missing = (!missing.is_empty()).then(|| format!("missing: {}", Named(missing)));
        let is_off = (!off.is_empty()).then(|| format!("switched off: {}", Named(off)));
        let what: Vec<String> = [keys, is_missing, is_off].into_iter().flatten().collect();
        write!(f, "{} (", what.join("; "))?;
        if missing_some {
            f.write_str(
                "while a dump is being restored they come last; otherwise run `curia-realtime migrate down` and `curia-realtime migrate up`",
            )?;
        }
        if !off.is_empty() {
            let also = if missing_some { "; " } else { "" };
            write!(f, "{also}ALTER TABLE ... ENABLE TRIGGER ... switches one on")?;
        }
        f.write_str(")")
    }
}

/// The first of them.
struct Named<'a>(&'a [String]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(all) = self;
        let first = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
        f.write_str(&first.join(", "))?;
        match all.len() - first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("zz_{n} of public.votes")).collect()
    }

    #[test]
    fn what_is_lacking_is_named_with_what_to_do() {
        let off = Lacking { missing: Vec::new(), off: names(1), keyed: true };
        assert_eq!(
            off.to_string(),
            "switched off: zz_1 of public.votes (ALTER TABLE ... ENABLE TRIGGER ... switches one on)"
        );
        let both = Lacking { missing: names(6), off: names(1), keyed: false }.to_string();
        for part in ["keys of", "missing: zz_1 of public.votes, zz_2", "zz_4 of public.votes and 2 more; switched off"]
        {
            assert!(both.contains(part), "{part} in {both}");
        }
        assert!(both.contains("`curia-realtime migrate up`; ALTER TABLE"), "{both}");
    }
}
