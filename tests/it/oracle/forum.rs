//! The forum as it stands in the database, and the rule asked of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::PgPool;

use super::person::Joined;

/// For a community, roles and `adm`: each board, whether the community is shown it, and whether it is open.
pub const OPEN: &str = "
    SELECT b.id, shown, shown AND c.id IS NOT NULL AND ($3 OR (
        SELECT bool_and(CASE
            WHEN rule IS NULL THEN true
            WHEN jsonb_typeof(rule) <> 'array' THEN false
            ELSE jsonb_array_length(rule) = 0 OR rule ?| $2::text[]
        END)
        FROM (VALUES (c.settings #> '{permissions,allowedRoles}'), (b.settings #> '{permissions,allowedRoles}')) AS rules (rule)
    ))
    FROM boards AS b
    LEFT JOIN communities AS c ON c.id = $1
    CROSS JOIN LATERAL (
        SELECT b.community_id IS NOT DISTINCT FROM $1 OR EXISTS (
            SELECT FROM imported_boards AS i
            WHERE i.source_board_id = b.id AND i.importing_community_id = $1 AND i.is_active
        ) AS shown
    ) AS one
    WHERE b.community_id IS DISTINCT FROM 'cw'";

/// Beside what every test has.
pub const ROWS: &str = "
    INSERT INTO communities (id, name) VALUES ('c3', 'Delta'), ('cw', 'Witness');
    INSERT INTO users (user_id, name) SELECT 'p' || n, 'P' || n FROM generate_series(0, 8) AS n;
    INSERT INTO boards (id, community_id, name) VALUES (4, 'c3', 'Silt'), (90, 'cw', 'Witnessed');
    INSERT INTO posts (id, author_user_id, title, content, board_id)
    VALUES (31, 'p0', 'Of three', '', 3), (41, 'p1', 'Of four', '', 4)";

pub const COMMUNITIES: [&str; 3] = ["c1", "c2", "c3"];
pub const ROLES: [&str; 2] = ["crew", "pilot"];

/// What stands in the tables at a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// With community, if there is one, and settings.
    pub boards: BTreeMap<i32, (Option<String>, Value)>,
    pub communities: BTreeMap<String, Value>,
    /// Active ones.
    imports: BTreeSet<(i32, String)>,
    /// With board and author.
    pub posts: BTreeMap<i32, (i32, String)>,
}

impl Standing {
    pub async fn of(pool: &PgPool) -> Self {
        let boards: Vec<(i32, Option<String>, Value)> =
            sqlx::query_as("SELECT id, community_id, settings FROM boards WHERE community_id IS DISTINCT FROM 'cw'")
                .fetch_all(pool)
                .await
                .expect("boards");
        let communities: Vec<(String, Value)> =
            sqlx::query_as("SELECT id, coalesce(settings, 'null') FROM communities WHERE id <> 'cw'")
                .fetch_all(pool)
                .await
                .expect("communities");
        let imports: Vec<(i32, String)> =
            sqlx::query_as("SELECT source_board_id, importing_community_id FROM imported_boards WHERE is_active")
                .fetch_all(pool)
                .await
                .expect("imports");
        let posts: Vec<(i32, i32, String)> =
            sqlx::query_as("SELECT id, board_id, author_user_id FROM posts WHERE board_id <> 90")
                .fetch_all(pool)
                .await
                .expect("posts");
        Self {
            boards: boards.into_iter().map(|(id, community, settings)| (id, (community, settings))).collect(),
            communities: communities.into_iter().collect(),
            imports: imports.into_iter().collect(),
            posts: posts.into_iter().map(|(id, board, author)| (id, (board, author))).collect(),
        }
    }

    pub fn board(&self, nth: usize) -> Option<i32> {
        self.boards.keys().nth(nth % self.boards.len().max(1)).copied()
    }

    pub fn post(&self, nth: usize) -> Option<i32> {
        self.posts.keys().nth(nth % self.posts.len().max(1)).copied()
    }

    pub fn board_of(&self, post: i32) -> Option<i32> {
        self.posts.get(&post).map(|(board, _)| *board)
    }

    /// All that any answer about the board rests on but for the token: who shows it, whether that community is there, and what it asks. It
    /// may differ where nobody's answer does.
    fn rights(&self, board: i32) -> Option<Vec<(&str, bool, Option<&Value>)>> {
        let (owner, settings) = self.boards.get(&board)?;
        let importers = self.imports.iter().filter(|(of, _)| *of == board).map(|(_, importer)| importer.as_str());
        let shown_in = owner.as_deref().into_iter().chain(importers);
        let of_community = |community| {
            let settings = self.communities.get(community);
            (community, settings.is_some(), rule(settings))
        };
        let mut rights: Vec<_> = shown_in.map(of_community).collect();
        rights.push(("the board", true, rule(Some(settings))));
        Some(rights)
    }
}

fn rule(settings: Option<&Value>) -> Option<&Value> {
    settings?.pointer("/permissions/allowedRoles")
}

/// Whether behind a step the settings of the community changed: nobody of it is caught up across that, whatever they say.
pub fn settings_changed_since(community: &str, step: usize, standings: &[Standing]) -> bool {
    let behind = &standings[step.saturating_sub(1)..];
    behind.windows(2).any(|pair| pair[0].communities.get(community) != pair[1].communities.get(community))
}

/// Whether behind a step anything changed that may have changed somebody's right to what is joined.
pub fn changed_since(what: Joined, boards: &BTreeSet<i32>, step: usize, standings: &[Standing]) -> bool {
    // A cursor of an event may lie before the change of rights that its own transaction made.
    let behind = &standings[step.saturating_sub(1)..];
    behind.windows(2).any(|pair| {
        let [earlier, later] = pair else { return false };
        let differ = |board: &i32| {
            let was = earlier.rights(*board);
            was.is_some() && was != later.rights(*board)
        };
        let ended = || earlier.boards.keys().any(|board| !later.boards.contains_key(board));
        match what {
            Joined::Board(_) => boards.iter().any(differ),
            Joined::Post(post) => boards.iter().any(differ) || earlier.board_of(post) != later.board_of(post),
            Joined::Feed => boards.iter().any(differ) || ended(),
        }
    })
}
