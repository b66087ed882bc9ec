//! Variables that begin as ours do and are none of ours: most likely misspelt, and without a word they would change nothing.

use std::collections::BTreeSet;

use super::{
    reader::Reader,
    setting::{OF_SERVER, OWN_PREFIX},
    source::{FILE, Sources},
};

/// Warns of lines that no name could be read in.
pub(super) fn warn_of_lines(sources: &Sources, reader: &mut Reader<'_>) {
    if let Some(warning) = sources.unread() {
        reader.warn(warning);
    }
}

/// Warns of each, with the name that was most likely meant.
pub(super) fn warn_of(sources: &Sources, reader: &mut Reader<'_>) {
    let known = |name: &str| OF_SERVER.iter().any(|setting| setting.variable == name);
    let of_file = sources.file.keys().filter(|name| name.starts_with(OWN_PREFIX) && !known(name));
    let in_file = of_file.clone().collect::<BTreeSet<_>>();
    for name in sources.strange.iter().chain(of_file.filter(|name| !sources.strange.contains(*name))) {
        let place = if in_file.contains(name) { FILE } else { "the environment" };
        let meant = nearest(name).map(|meant| format!("was {meant} meant? ")).unwrap_or_default();
        reader.warn(format!(
            "{name} in {place} is no setting of this program and changes nothing; {meant}`curia-realtime serve --help` lists them all"
        ));
    }
}

/// What is less alike is another word.
const ALIKE: f64 = 0.8;

/// The name that is written most alike, above all at its beginning: ends are forgotten more easily. None where none is like it.
fn nearest(name: &str) -> Option<&'static str> {
    let own = |name: &str| name.strip_prefix(OWN_PREFIX).unwrap_or(name).to_uppercase();
    let written = own(name);
    let names = OF_SERVER.iter().map(|setting| setting.variable).filter(|known| known.starts_with(OWN_PREFIX));
    let alike = |known: &str| strsim::jaro_winkler(&own(known), &written);
    names.max_by(|one, other| alike(one).total_cmp(&alike(other))).filter(|name| alike(name) >= ALIKE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        for (written, meant) in [
            ("REALTIME_RATE_JOINS", "REALTIME_RATE_JOIN"),
            ("REALTIME_OFFLINE_GRACE_PERIOD", "REALTIME_OFFLINE_GRACE"),
            ("REALTIME_MAX_PENDING_FRAME", "REALTIME_MAX_PENDING_FRAMES"),
            ("REALTIME_MERGEWINDOW", "REALTIME_MERGE_WINDOW"),
            ("REALTIME_TRUSTED_PROXY", "REALTIME_TRUSTED_PROXIES"),
            ("REALTIME_drain", "REALTIME_DRAIN"),
            ("REALTIME_DRIAN", "REALTIME_DRAIN"),
            ("REALTIME_OFFLINE", "REALTIME_OFFLINE_GRACE"),
            ("REALTIME_POOL_INTERVAL", "REALTIME_POLL_INTERVAL"),
        ] {
            assert_eq!(nearest(written), Some(meant), "{written}");
        }
        for written in ["REALTIME_FOO", "REALTIME_COLOUR", "REALTIME_"] {
            assert_eq!(nearest(written), None, "{written}");
        }
    }
}
