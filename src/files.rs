//! How many files the system lets this process have open: each connection is one.

use std::fs;

/// What it takes beside clients: connections to servers, the log, what was accepted and is not yet refused.
const BESIDE: u64 = 200;

/// What to say where fewer than `connections` clients can be there at a time, in a line that names both numbers.
pub fn warning(connections: u64) -> Option<String> {
    warning_of(most(&fs::read_to_string("/proc/self/limits").ok()?)?, connections)
}

fn warning_of(most: u64, connections: u64) -> Option<String> {
    let needed = connections.saturating_add(BESIDE);
    (most < needed).then(|| {
        format!(
            "this process may have {most} files open and REALTIME_MAX_CONNECTIONS is {connections}: nobody is let in any more once they run out, nor is /readyz answered; raise the limit to {needed} (ulimit -n, LimitNOFILE, nofile), or lower REALTIME_MAX_CONNECTIONS"
        )
    })
}

/// The limit that counts, in what the kernel writes (proc(5)); none where there is none.
fn most(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_counts_is_the_first() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             63430                63430                processes \n\
                      Max open files            1024                 1048576              files     \n";
        assert_eq!(most(limits), Some(1_024));
        assert_eq!(most("Max open files            unlimited            unlimited            files"), None);
        assert_eq!(most(""), None);
    }

    #[test]
    fn too_few_files_are_told_with_both_numbers() {
        assert_eq!(warning_of(20_200, 20_000), None);
        let warning = warning_of(1_024, 20_000).unwrap();
        for part in ["may have 1024 files", "REALTIME_MAX_CONNECTIONS is 20000", "to 20200"] {
            assert!(warning.contains(part), "{part} in {warning}");
        }
    }
}
