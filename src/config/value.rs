//! The texts of settings, read strictly: what is not quite the expected form is refused, not guessed at.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use axum::http::{HeaderName, header::FORWARDED};
use tracing_subscriber::EnvFilter;
use url::Host;

use crate::jwt::Secret;

const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Clocks that differ by more want to be set.
const LONGEST_LEEWAY: Duration = Duration::from_secs(5 * 60);
const SIZES: RangeInclusive<u64> = 1 << 10..=1 << 40;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// What the names of keys and channels begin with: visible ASCII, and not much of it.
pub fn prefix(text: &str) -> Option<String> {
    let fits = (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// `250ms`, `10s`, `5m`, `1h`, `2d`.
pub fn duration(text: &str) -> Option<Duration> {
    let (amount, unit) = amount_and_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let duration = Duration::from_millis(amount.checked_mul(milliseconds)?);
    (!duration.is_zero() && duration <= LONGEST).then_some(duration)
}

/// As [`duration`], and no longer than `longest`.
pub fn duration_up_to(longest: Duration) -> impl Fn(&str) -> Option<Duration> {
    move |text| duration(text).filter(|duration| *duration <= longest)
}

/// As [`duration`], from none to five minutes.
pub fn leeway(text: &str) -> Option<Duration> {
    none_up_to(LONGEST_LEEWAY)(text)
}

/// As [`duration`], from none to `longest`.
pub fn none_up_to(longest: Duration) -> impl Fn(&str) -> Option<Duration> {
    move |text| match amount_and_unit(text) {
        Some((0, "" | "ms" | "s" | "m")) => Some(Duration::ZERO),
        _ => duration_up_to(longest)(text),
    }
}

/// The name of a file.
pub fn path(text: &str) -> Option<PathBuf> {
    (!text.trim().is_empty()).then(|| PathBuf::from(text))
}

/// Bytes: `64KiB`, `2GB`, `65536`.
pub fn size(text: &str) -> Option<u64> {
    let (amount, unit) = amount_and_unit(text)?;
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    amount.checked_mul(bytes).filter(|size| SIZES.contains(size))
}

/// Digits and what follows them.
fn amount_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (amount, unit) = text.split_at(digits);
    Some((amount.parse().ok()?, unit.trim_start()))
}

/// A whole number within `range`.
pub fn count(range: RangeInclusive<u32>) -> impl Fn(&str) -> Option<u32> {
    move |text| text.parse().ok().filter(|number| range.contains(number))
}

/// A whole number within `range`, or none where it is `off`.
pub fn count_or_off(range: RangeInclusive<u32>) -> impl Fn(&str) -> Option<Option<u32>> {
    let count = count(range);
    move |text| if text == "off" { Some(None) } else { count(text).map(Some) }
}

/// `60/10s`: so many within so long a time.
pub fn rate(text: &str) -> Option<(u32, Duration)> {
    let (count, within) = text.split_once('/')?;
    Some((count.trim().parse().ok()?, duration(within.trim())?))
}

/// The name of a header that lists addresses. `Forwarded` says them in another form.
pub fn address_header(text: &str) -> Option<HeaderName> {
    text.parse().ok().filter(|name| *name != FORWARDED)
}

/// A TCP port.
pub fn port(text: &str) -> Option<u16> {
    text.parse().ok()
}

/// An address or a name to listen on; an IPv6 address with or without brackets.
pub fn host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let known = bare.parse::<std::net::IpAddr>().is_ok() || matches!(Host::parse(text), Ok(Host::Domain(_)));
    known.then(|| bare.to_owned())
}

/// Secrets separated by commas. Blanks around a lone one are its own, as the forum takes the variable as it stands.
pub fn secrets(text: &str) -> Option<Vec<Secret>> {
    if !text.contains(',') {
        return (!text.trim().is_empty()).then(|| vec![Secret::from(text.to_owned())]);
    }
    let secret = |text: &str| (!text.is_empty()).then(|| Secret::from(text.to_owned()));
    text.split(',').map(|one| secret(one.trim())).collect()
}

/// Any text with something in it.
pub fn text(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// A filter that the log understands.
pub fn log_filter(text: &str) -> Option<String> {
    EnvFilter::builder().parse(text).is_ok().then(|| text.to_owned())
}

/// `text` or `json`.
pub fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("250ms", Some(ms(250))),
            ("10s", Some(ms(10_000))),
            ("5 m", Some(ms(300_000))),
            ("1h", Some(ms(3_600_000))),
            ("7d", Some(LONGEST)),
            ("8d", None),
            ("0s", None),
            ("10", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5s", None),
            ("s", None),
            ("", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_leeway_may_be_none_and_is_small() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (text, expected) in [("0s", seconds(0)), ("0", seconds(0)), ("30s", seconds(30)), ("5m", seconds(300))] {
            assert_eq!(leeway(text), expected, "{text}");
        }
        assert!(["6m", "1h", "30", "-1s", ""].into_iter().all(|text| leeway(text).is_none()));
    }

    #[test]
    fn sizes_know_both_systems() {
        for (text, expected) in [
            ("64KiB", Some(65_536)),
            ("2GB", Some(2_000_000_000)),
            ("65536", Some(65_536)),
            ("1 MiB", Some(1_048_576)),
            ("1", None),
            ("2TiB", None),
            ("2gb", None),
            ("KiB", None),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn rates_are_a_count_and_a_duration() {
        let seconds = Duration::from_secs;
        for (text, expected) in [
            ("60/10s", Some((60, seconds(10)))),
            ("1 / 1 m", Some((1, seconds(60)))),
            ("60", None),
            ("60/10", None),
            ("/10s", None),
            ("60/", None),
            ("60/10s/1", None),
            ("-1/10s", None),
            ("off", None),
        ] {
            assert_eq!(rate(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_count_may_be_off() {
        let read = count_or_off(1..=9);
        assert_eq!(
            [read("off"), read("1"), read("0"), read("10"), read("Off"), read("")],
            [Some(None), Some(Some(1)), None, None, None, None]
        );
    }

    #[test]
    fn a_header_has_to_list_addresses() {
        assert_eq!(address_header("X-Forwarded-For").unwrap(), "x-forwarded-for");
        for text in ["Forwarded", "", "X Forwarded For", "X-Forwarded-For:"] {
            assert_eq!(address_header(text), None, "{text:?}");
        }
    }

    #[test]
    fn secrets_are_separated_by_commas() {
        let texts = |text| secrets(text).map(|list| list.iter().map(|one| one.expose().to_owned()).collect::<Vec<_>>());
        assert_eq!(texts("one"), Some(vec!["one".to_owned()]));
        assert_eq!(texts("new, old"), Some(vec!["new".to_owned(), "old".to_owned()]));
        assert_eq!(texts(""), None);
        assert_eq!(texts(" "), None);
        assert_eq!(texts("new,"), None);
    }

    #[test]
    fn hosts_and_filters_are_checked() {
        assert_eq!(host("0.0.0.0").as_deref(), Some("0.0.0.0"));
        assert_eq!(host("::").as_deref(), Some("::"));
        assert_eq!(host("[::1]").as_deref(), Some("::1"));
        assert_eq!(host("localhost").as_deref(), Some("localhost"));
        assert_eq!(host("http://localhost"), None);
        assert_eq!(host("host:80"), None);
        assert!(log_filter("curia_realtime=debug,warn").is_some());
        assert!(log_filter("curia_realtime=loud").is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(input in "\\PC{0,40}") {
            duration(&input);
            leeway(&input);
            size(&input);
            host(&input);
            port(&input);
            prefix(&input);
            rate(&input);
            address_header(&input);
            secrets(&input);
        }
    }
}
