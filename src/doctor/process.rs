//! What the system lets a process have.

use super::Finding;

/// Beside browsers and the database: files of keys, Redis, listeners, the log.
const OTHERS: u64 = 64;
/// As Linux has it since 5.4.
const USUAL_BACKLOG: u64 = 4_096;

/// The soft limit of open files in `/proc/self/limits`; `None` where it says none that is a number.
pub fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether so many browsers find a file each, beside the connections to the database. Where the system does not say, there is no limit
/// that we know of.
pub fn files(limit: Option<u64>, browsers: u32, database: u32) -> Finding {
    let what = "open files";
    let wanted = u64::from(browsers) + u64::from(database) + OTHERS;
    match limit {
        Some(limit) if limit < wanted => Finding::note(
            what,
            format!("this process may open {limit}, and REALTIME_MAX_CONNECTIONS of {browsers} wants {wanted}"),
            format!(
                "ulimit -n {wanted} (LimitNOFILE={wanted} of the unit, nofile of the container), or a lower REALTIME_MAX_CONNECTIONS; what a node has stands in /proc/PID/limits"
            ),
        ),
        Some(limit) => Finding::ok(what, format!("this process may open {limit}, and {wanted} are wanted")),
        None => Finding::ok(what, "no limit is known"),
    }
}

/// Whether browsers that come at the same moment find a place to wait.
pub fn backlog(somaxconn: Option<u64>, browsers: u32) -> Finding {
    let what = "somaxconn";
    match somaxconn {
        Some(most) if most < USUAL_BACKLOG.min(u64::from(browsers)) => Finding::note(
            what,
            format!("{most} connections may wait to be accepted"),
            format!(
                "sysctl -w net.core.somaxconn={USUAL_BACKLOG} before the service starts: after a restart all browsers come at once"
            ),
        ),
        Some(most) => Finding::ok(what, format!("{most} connections may wait to be accepted")),
        None => Finding::ok(what, "the system does not say how many connections may wait"),
    }
}
