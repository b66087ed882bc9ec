//! The server and the role: whether the service can work on it at all.

use std::time::Duration;

use super::{Finding, lasting};

/// `server_version_num` of the oldest that has what our SQL asks for.
const OLDEST: i32 = 150_000;
/// The newest major version that our tests have run on.
const NEWEST_KNOWN: i32 = 18;
/// Less than this is left to the network.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);
/// A token of an hour is refused for a minute of it, or taken for one too long.
const CLOCKS_WRONG: Duration = Duration::from_secs(60);
/// A pool can't be smaller.
const FEWEST: i64 = 4;

/// What PostgreSQL says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `server_version_num`.
    pub version: i32,
    /// `server_version`.
    pub named: String,
    pub standby: bool,
    /// Transactions begin so unless they say otherwise.
    pub read_only: bool,
    /// Whom it takes us for, quoted where SQL wants that.
    pub role: String,
    /// How far its clock is ahead of ours, in milliseconds.
    pub ahead: i64,
    /// Within so many milliseconds of that, since the question took time.
    pub within: i64,
    pub connections: Connections,
}

/// Of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Those that are for everybody.
    pub places: i64,
    /// By anybody but this look.
    pub taken: i64,
    /// Of them by nodes of ours.
    pub ours: i64,
}

/// One trigger that a migration made, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    pub name: String,
    pub table: String,
    /// `pg_trigger.tgenabled`; `None` where there is no such trigger.
    pub enabled: Option<String>,
}

/// Sessions in which no ordinary trigger fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Quoted; `None` is everybody.
    pub role: Option<String>,
    /// Quoted; `None` is every database.
    pub database: Option<String>,
}

/// Of what is known to work, by its number.
pub fn version(server: &Server) -> Finding {
    let what = "version";
    let found = format!("PostgreSQL {}", server.named);
    match server.version {
        ..OLDEST => Finding::wrong(what, found, "this program needs PostgreSQL 15 or newer; upgrade the server"),
        number if number / 10_000 > NEWEST_KNOWN => Finding::note(
            what,
            found,
            format!("this program was tried on 15 to {NEWEST_KNOWN}; look for a newer one of it"),
        ),
        _ => Finding::ok(what, found),
    }
}

/// Whether it can be written to.
pub fn primary(server: &Server) -> Finding {
    let what = "primary";
    if server.standby {
        return Finding::wrong(
            what,
            "the server is a standby, which gives no position in the stream",
            "promote it (SELECT pg_promote()), or let DATABASE_URL lead to the primary",
        );
    }
    if server.read_only {
        let next = format!(
            "let it write: ALTER ROLE {} SET default_transaction_read_only = off (or in the database, or postgresql.conf)",
            server.role
        );
        return Finding::wrong(
            what,
            "every transaction of this role begins read-only, and no tick can be recorded",
            next,
        );
    }
    Finding::ok(what, "the server is a primary and takes writes")
}

/// Tokens go by time, which is taken to be the same everywhere.
pub fn clock(server: &Server) -> Finding {
    let what = "clock";
    let ahead = server.ahead;
    let apart = Duration::from_millis(ahead.unsigned_abs().saturating_sub(server.within.unsigned_abs()));
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let found = format!("the database's clock is {} {side} this machine's", lasting(apart));
    let next = "let both machines follow a time server (`timedatectl`, `chronyc tracking`): a token is good up to its `exp` by the clock of the node; JWT_LEEWAY forgives some of it";
    match apart {
        apart if apart >= CLOCKS_WRONG => Finding::wrong(what, found, next),
        apart if apart >= CLOCKS_DIFFER => Finding::note(what, found, next),
        _ => Finding::ok(what, "database and this machine agree on the time"),
    }
}

/// Whether a node finds places for `wanted` in its pools, and one to listen.
pub fn connections(found: Connections, wanted: u32) -> Finding {
    let what = "connections";
    let Connections { places, taken, ours } = found;
    let (left, node) = ((places - taken).max(0), i64::from(wanted) + 1);
    let told = format!("{taken} of {places} are taken, {ours} of them by nodes; a node takes up to {node}");
    let next = "a higher max_connections in postgresql.conf (and a restart), or a lower REALTIME_DATABASE_CONNECTIONS";
    match left {
        left if left < FEWEST && ours == 0 => Finding::wrong(what, told, next),
        left if left + ours < node => Finding::note(what, told, next),
        _ => Finding::ok(what, told),
    }
}

/// Whether what the forum commits is noted.
pub fn triggers(found: &[Trigger]) -> Finding {
    let what = "triggers";
    let named = |wanted: &dyn Fn(Option<&str>) -> bool| {
        let of = found.iter().filter(|trigger| wanted(trigger.enabled.as_deref()));
        of.map(|Trigger { name, table, .. }| (name.as_str(), table.as_str())).collect::<Vec<_>>()
    };
    let missing = named(&|enabled| enabled.is_none());
    let silent = named(&|enabled| enabled.is_some_and(|how| !matches!(how, "O" | "A")));
    let list = |of: &[(&str, &str)]| {
        of.iter().map(|(name, table)| format!("{name} on {table}")).collect::<Vec<_>>().join(", ")
    };
    if !missing.is_empty() {
        return Finding::wrong(
            what,
            format!(
                "{} of {} are missing, and what they should note is told to nobody: {}",
                missing.len(),
                found.len(),
                list(&missing)
            ),
            "wait where a dump is being restored; otherwise run `curia-realtime migrate down` and `curia-realtime migrate up`",
        );
    }
    if !silent.is_empty() {
        let enable: Vec<String> =
            silent.iter().map(|(name, table)| format!("ALTER TABLE {table} ENABLE TRIGGER {name};")).collect();
        return Finding::wrong(
            what,
            format!(
                "{} of {} are disabled, and what they should note is told to nobody: {}",
                silent.len(),
                found.len(),
                list(&silent)
            ),
            format!(
                "{} then begin an epoch by hand (docs/outbox.md), since what was committed meanwhile is lost to clients",
                enable.join(" ")
            ),
        );
    }
    Finding::ok(what, format!("all {} are there and enabled", found.len()))
}

/// Whether some write without being noted.
pub fn replicas(found: &[Replicas]) -> Finding {
    let what = "replication role";
    if found.is_empty() {
        return Finding::ok(what, "session_replication_role is replica for nobody; with it no ordinary trigger fires");
    }
    let who = |of: &Replicas| of.role.clone().unwrap_or_else(|| "everybody".to_owned());
    let reset = |of: &Replicas| match (&of.role, &of.database) {
        (Some(role), Some(database)) => {
            format!("ALTER ROLE {role} IN DATABASE {database} RESET session_replication_role")
        }
        (Some(role), None) => format!("ALTER ROLE {role} RESET session_replication_role"),
        (None, Some(database)) => format!("ALTER DATABASE {database} RESET session_replication_role"),
        (None, None) => "take session_replication_role out of postgresql.conf".to_owned(),
    };
    let (who, resets): (Vec<_>, Vec<_>) = found.iter().map(|of| (who(of), reset(of))).unzip();
    Finding::wrong(
        what,
        format!("session_replication_role is replica for {}, and nothing of what they write is noted", who.join(", ")),
        resets.join("; "),
    )
}

/// Whether the role may do what the service does: `refused` is what PostgreSQL said to its readings of the forum, `missing` the
/// privileges on our own tables.
pub fn rights(role: &str, refused: Option<&str>, missing: &[String]) -> Finding {
    let what = "rights";
    let next = format!(
        "GRANT curia_realtime TO {role}; as a superuser, or as the role that installed the schema; where the role belongs to it already, somebody took from curia_realtime what `curia-realtime migrate sql` gives"
    );
    match refused {
        Some(said) => Finding::wrong(what, format!("the role {role} may not read all that is told ({said})"), next),
        None if !missing.is_empty() => {
            Finding::wrong(what, format!("the role {role} lacks {}", missing.join(", ")), next)
        }
        None => Finding::ok(
            what,
            format!("the role {role} reads the forum's tables, reads and cuts the outbox, and records ticks"),
        ),
    }
}
