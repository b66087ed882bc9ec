//! Whether the database holds our schema as this program expects it.

use sqlx::{PgConnection, PgPool};

use super::{
    migrations::{self, FORUM_TABLES, OWN_TABLES},
    pool::Lent,
};

/// Triggers note its rows, and what they count stands in `posts`: it is opened to nobody.
const NEVER_READ: &str = "public.votes";

/// Why this database can't be served from.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error(
        "the database has no schema curia_realtime; run `curia-realtime migrate up` as the owner of the forum's tables"
    )]
    Missing,
    #[error(
        "the schema curia_realtime has version {found}, this program needs {needed}; run `curia-realtime migrate up`"
    )]
    Older { found: i32, needed: i32 },
    #[error(
        "the schema curia_realtime has version {found}, this program knows {needed}; use a newer program, or go back with the newer one's `curia-realtime migrate down` and this one's `curia-realtime migrate up`"
    )]
    Newer { found: i32, needed: i32 },
    #[error("the role {user} may not read {}; run GRANT curia_realtime TO {user}; as a superuser, or as the role that installed the schema (`curia-realtime migrate up`)", .tables.join(", "))]
    Rights { user: String, tables: Vec<String> },
    #[error(
        "the role {user} may not read {}, though it was granted curia_realtime: a table was made anew, or rights were taken back; run `curia-realtime migrate down` and `curia-realtime migrate up`, then GRANT curia_realtime TO {user} again", .tables.join(", ")
    )]
    Revoked { user: String, tables: Vec<String> },
    #[error(
        "the role {user} may not call {}, by which a database that was restored or promoted is told from the one before; run GRANT EXECUTE ON FUNCTION {} TO curia_realtime; in this database as a superuser", .functions.join(", "), .functions.join(", ")
    )]
    Functions { user: String, functions: Vec<String> },
    #[error("the database could not be asked for its version of the schema curia_realtime")]
    Database(#[from] sqlx::Error),
}

impl SchemaError {
    /// Whether the schema itself is to be mended, by a command of ours.
    pub fn wants_migration(&self) -> bool {
        matches!(self, Self::Missing | Self::Older { .. } | Self::Newer { .. })
    }

    /// Whether it was the connection, so that asking again makes sense.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Database(_))
    }
}

/// Passes when the schema has the version of this program, and the pool's role may read it and the forum's tables and may ask
/// where the database is.
pub async fn require_schema(pool: &PgPool) -> Result<(), SchemaError> {
    let mut connection = Lent::of(pool).await?;
    schema_of(&mut connection).await?;
    connection.give_back();
    Ok(())
}

/// As [`require_schema`], on a connection.
pub(super) async fn schema_of(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let read = OWN_TABLES.iter().chain(FORUM_TABLES).filter(|table| **table != NEVER_READ);
    let tables: Vec<String> = read.map(|table| (*table).to_owned()).collect();
    let standing = sqlx::query_file!("sql/migrations/standing.sql", &tables).fetch_one(&mut *connection).await?;
    if !standing.installed {
        return Err(SchemaError::Missing);
    }
    // Tables that a later migration opens can't be read before it: the version comes first, where it may be read.
    let readable = !standing.unreadable.iter().any(|table| table == "curia_realtime.migration");
    if readable {
        let history = sqlx::query_file!("sql/migrations/history.sql").fetch_all(&mut *connection).await?;
        let found = history.last().map_or(0, |applied| applied.version);
        let needed = migrations::latest();
        match found.cmp(&needed) {
            std::cmp::Ordering::Less => return Err(SchemaError::Older { found, needed }),
            std::cmp::Ordering::Greater => return Err(SchemaError::Newer { found, needed }),
            std::cmp::Ordering::Equal => {}
        }
    }
    if !standing.unreadable.is_empty() {
        let (user, tables) = (standing.user, standing.unreadable);
        let is_granted = sqlx::query_scalar!("SELECT pg_has_role('curia_realtime', 'USAGE') AS \"granted!\"");
        return Err(match is_granted.fetch_one(&mut *connection).await? {
            true => SchemaError::Revoked { user, tables },
            false => SchemaError::Rights { user, tables },
        });
    }
    let functions = sqlx::query_file_scalar!("sql/epoch/uncallable.sql").fetch_one(&mut *connection).await?;
    if !functions.is_empty() {
        return Err(SchemaError::Functions { user: standing.user, functions });
    }
    Ok(())
}
