//! The files of `migrations/`, built into the program.

use std::fmt;

/// The forum's tables that we read or watch.
pub const FORUM_TABLES: &[&str] = &[
    "public.boards",
    "public.comments",
    "public.communities",
    "public.imported_boards",
    "public.posts",
    "public.users",
    "public.votes",
];

/// Ours.
pub const OWN_TABLES: &[&str] =
    &["curia_realtime.epoch", "curia_realtime.migration", "curia_realtime.outbox", "curia_realtime.tick"];

/// One step between two versions, in both directions.
#[derive(Debug)]
pub struct Migration {
    /// Counted from 1 without a gap.
    pub version: i32,
    /// What it is about.
    pub name: &'static str,
    /// A transaction that takes the step.
    pub up: &'static str,
    /// A transaction that takes it back.
    pub down: &'static str,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}_{}", self.version, self.name)
    }
}

macro_rules! migrations {
    ($($version:literal $number:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            up: include_str!(concat!("../../../migrations/", $number, "_", $name, ".up.sql")),
            down: include_str!(concat!("../../../migrations/", $number, "_", $name, ".down.sql")),
        }),*]
    };
}

/// All of them, oldest first.
pub static MIGRATIONS: &[Migration] = migrations![
    1 "0001" "schema",
    2 "0002" "posts",
    3 "0003" "votes",
    4 "0004" "comments",
    5 "0005" "boards",
    6 "0006" "communities",
    7 "0007" "imported_boards",
    8 "0008" "users",
    9 "0009" "communities_begin",
];

/// The version this program works with.
pub fn latest() -> i32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files: BTreeSet<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let built_in: BTreeSet<String> = MIGRATIONS
            .iter()
            .flat_map(|migration| [format!("{migration}.up.sql"), format!("{migration}.down.sql")])
            .collect();
        assert_eq!(files, built_in);
    }

    #[test]
    fn versions_follow_each_other_and_each_file_records_its_own() {
        for (place, migration) in MIGRATIONS.iter().enumerate() {
            let Migration { version, name, up, down } = migration;
            assert_eq!(*version, place as i32 + 1);
            assert!(up.contains(&format!("VALUES ({version}, '{name}')")), "{migration}");
            assert!(down.contains(&format!("WHERE version = {version};")), "{migration}");
            for file in [up, down] {
                assert!(file.contains("\nBEGIN;\n") && file.trim_end().ends_with("COMMIT;"), "{migration}");
                assert!(file.contains("SET LOCAL lock_timeout"), "{migration}");
            }
        }
    }
}
