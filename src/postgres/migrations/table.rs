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

/// By table of the schema public: the triggers that note its changes.
pub const TRIGGERS: &[(&str, &[&str])] = &[
    ("boards", &["zz_curia_board_created", "zz_curia_board_updated", "zz_curia_board_deleted", "zz_curia_reset"]),
    (
        "comments",
        &["zz_curia_comment_created", "zz_curia_comment_updated", "zz_curia_comment_deleted", "zz_curia_reset"],
    ),
    (
        "communities",
        &["zz_curia_community_created", "zz_curia_community_updated", "zz_curia_community_deleted", "zz_curia_reset"],
    ),
    (
        "imported_boards",
        &["zz_curia_import_created", "zz_curia_import_updated", "zz_curia_import_deleted", "zz_curia_reset"],
    ),
    (
        "posts",
        &[
            "zz_curia_post_created",
            "zz_curia_post_updated",
            "zz_curia_post_moved",
            "zz_curia_post_upvotes_counted",
            "zz_curia_post_comments_counted",
            "zz_curia_post_deleted",
            "zz_curia_reset",
        ],
    ),
    ("users", &["zz_curia_user_deleted", "zz_curia_reset"]),
    ("votes", &["zz_curia_vote_added", "zz_curia_vote_removed", "zz_curia_reset"]),
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
    fn every_trigger_that_a_file_makes_is_looked_for() {
        let made: BTreeSet<(String, String)> = MIGRATIONS
            .iter()
            .flat_map(|migration| migration.up.split("CREATE TRIGGER ").skip(1))
            .map(|text| {
                let name = text.split_whitespace().next().unwrap();
                let table = text.split(" ON public.").nth(1).unwrap().split_whitespace().next().unwrap();
                (table.to_owned(), name.to_owned())
            })
            .collect();
        let looked_for: BTreeSet<(String, String)> = TRIGGERS
            .iter()
            .flat_map(|(table, names)| names.iter().map(|name| ((*table).to_owned(), (*name).to_owned())))
            .collect();
        assert_eq!(looked_for, made);
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
