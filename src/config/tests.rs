use std::collections::BTreeMap;

use super::*;
use crate::{
    limits::{Class, Rate},
    socket::Places,
};

const DATABASE: &str = "postgres://forum:hunter2@db:5432/forum";
const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// The least that serving takes, and these.
fn sources(environment: &[(&str, &str)], file: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Sources {
    let mut sources = Sources {
        flags: flags.iter().map(|(flag, value)| (*flag, value.to_string())).collect(),
        environment: map(&[("DATABASE_URL", DATABASE), ("JWT_SECRET", SECRET)]),
        file: map(file),
        ..Sources::default()
    };
    sources.environment.extend(map(environment));
    sources
}

fn complaint(sources: &Sources) -> String {
    Config::read(sources).expect_err("a problem").to_string()
}

#[test]
fn the_least_is_enough_and_the_rest_are_the_contracts_defaults() {
    let config = Config::read(&sources(&[], &[], &[])).unwrap();
    assert_eq!((config.http.host.as_str(), config.http.port), ("0.0.0.0", 4000));
    assert!(
        config.http.allowed_origins == AllowedOrigins::default()
            && config.redis.is_none()
            && config.warnings().is_empty()
    );
    assert_eq!(config.limits.rooms_per_socket, 200);
    assert_eq!(config.limits.max_message_size, 64 * 1024);
    assert_eq!(config.limits.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.limits.ping_interval + config.limits.ping_timeout, Duration::from_secs(45));
    assert_eq!(config.limits.stall_timeout, Duration::from_secs(15));
    assert_eq!((config.limits.max_pending, config.limits.max_pending_frames), (8 * 1024 * 1024, 8_192));
    assert_eq!(config.limits.max_connections, 20_000);
    assert_eq!(config.limits.places, Places { per_user: Some(50), per_address: None });
    let rate = |class| config.limits.rates.of(class);
    let ten_seconds = |count| Rate { count, within: Duration::from_secs(10) };
    assert_eq!([rate(Class::Connect), rate(Class::Join), rate(Class::Typing)], [60, 60, 20].map(ten_seconds));
    assert_eq!(
        [rate(Class::PresenceList), rate(Class::SessionRefresh), rate(Class::Other)],
        [10, 5, 60].map(ten_seconds)
    );
    assert_eq!(config.stream.max_content_size, 16 * 1024);
    assert_eq!(config.stream.merge_window, Duration::from_millis(50));
    assert_eq!(config.stream.retention, Duration::from_secs(3600));
    assert_eq!(config.stream.outbox_max_size, 2_000_000_000);
    assert_eq!(config.stream.pace.park_after, Duration::from_millis(10));
    let Patience { offline_grace, typing_silence, told_a_second } = config.patience;
    assert_eq!(told_a_second, 20_000);
    assert_eq!([offline_grace, typing_silence], [5, 8].map(Duration::from_secs));
    assert_eq!(config.drain, Duration::from_secs(25));
    assert_eq!(config.database.direct().place(), "database \"forum\" on db:5432");
}

#[test]
fn a_flag_counts_before_the_environment_that_before_the_file() {
    let port = |environment, file, flags| Config::read(&sources(environment, file, flags)).unwrap().http.port;
    assert_eq!(port(&[("PORT", "2")], &[("PORT", "3")], &[("port", "1")]), 1);
    assert_eq!(port(&[("PORT", "2")], &[("PORT", "3")], &[]), 2);
    assert_eq!(port(&[], &[("PORT", "3")], &[]), 3);
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let config =
        Config::read(&sources(&[("PORT", ""), ("REDIS_URL", "")], &[("PORT", "3"), ("HOST", "")], &[])).unwrap();
    assert_eq!((config.http.port, config.http.host.as_str()), (3, "0.0.0.0"));
    assert!(config.redis.is_none());
    let told = complaint(&sources(&[("JWT_SECRET", "")], &[], &[]));
    assert!(told.starts_with("JWT_SECRET (or --jwt-secret) is not set; it takes"), "{told}");
}

#[test]
fn everything_wrong_is_told_at_once_a_line_each() {
    let told = complaint(&Sources {
        environment: map(&[("PORT", "http"), ("ALLOWED_ORIGINS", "*")]),
        file: map(&[("REALTIME_DRAIN", "25")]),
        flags: [("log-format", "xml".to_owned())].into(),
        ..Sources::default()
    });
    let lines: Vec<&str> = told.lines().collect();
    for (line, expected) in lines.iter().zip([
        "DATABASE_URL (or --database-url) is not set; it takes a URL like",
        "JWT_SECRET (or --jwt-secret) is not set; it takes the forum's secret",
        "PORT (or --port) is \"http\" (environment); it takes a number",
        "ALLOWED_ORIGINS (or --allowed-origins) is \"*\" (environment); it takes origins",
        "LOG_FORMAT (or --log-format) is \"xml\" (flag); it takes text or json",
        "REALTIME_DRAIN (or --drain) is \"25\" (.env); it takes a duration",
    ]) {
        assert!(line.starts_with(expected), "{line}");
    }
    assert_eq!(lines.len(), 6, "{told}");
}

#[test]
fn each_limit_is_read_and_what_is_none_is_refused_with_what_it_takes() {
    for (variable, good, bad, takes) in [
        ("REALTIME_ROOMS_PER_SOCKET", "1", "0", "a number from 1"),
        ("REALTIME_MAX_MESSAGE_SIZE", "1MiB", "1", "a size"),
        ("REALTIME_CONNECT_TIMEOUT", "1s", "1", "a duration"),
        ("REALTIME_PING_INTERVAL", "1s", "0s", "a duration"),
        ("REALTIME_PING_TIMEOUT", "1s", "soon", "a duration"),
        ("REALTIME_STALL_TIMEOUT", "1s", "-1s", "a duration"),
        ("REALTIME_MAX_PENDING", "1MiB", "much", "a size"),
        ("REALTIME_MAX_PENDING_FRAMES", "4000", "15", "a number from 16"),
        ("REALTIME_MAX_CONNECTIONS", "1", "0", "a number from 1"),
        ("REALTIME_CONNECTIONS_PER_USER", "off", "0", "a number from 1 to 1000000, or off"),
        ("REALTIME_CONNECTIONS_PER_ADDRESS", "1", "none", "a number from 1 to 1000000, or off"),
        ("REALTIME_TRUSTED_PROXIES", "10.0.0.0/8, ::1", "proxy", "addresses and networks"),
        ("REALTIME_TRUSTED_PROXY_HEADER", "X-Real-IP", "Forwarded", "the name of a header"),
        ("REALTIME_RATE_CONNECT", "1/1s", "60/s", "a number from 1 to 10000, a slash"),
        ("REALTIME_RATE_JOIN", "1/1s", "1", "a number from 1 to 10000, a slash"),
        ("REALTIME_RATE_TYPING", "10000/7d", "10001/1s", "a number from 1 to 10000, a slash"),
        ("REALTIME_RATE_PRESENCE_LIST", "1/1m", "0/1m", "a number from 1 to 10000, a slash"),
        ("REALTIME_RATE_SESSION_REFRESH", "1/1m", "1/999ms", "a number from 1 to 10000, a slash"),
        ("REALTIME_RATE_OTHER", "1/1m", "off", "a number from 1 to 10000, a slash"),
        ("REALTIME_POLL_INTERVAL", "250ms", "251ms", "a duration from 1ms to 250ms"),
        ("REALTIME_DRAIN", "1s", "1", "a duration"),
    ] {
        let config = Config::read(&sources(&[(variable, good)], &[], &[])).unwrap_or_else(|told| panic!("{told}"));
        let shown = config.effective().iter().find(|one| one.variable == variable).unwrap();
        assert_eq!((shown.shown.as_deref(), shown.from), (Some(good), Provenance::Environment));
        let told = complaint(&sources(&[(variable, bad)], &[], &[]));
        let expected = format!("is {bad:?} (environment); it takes {takes}");
        assert!(told.starts_with(variable) && told.contains(&expected) && told.lines().count() == 1, "{told}");
    }
}

#[test]
fn more_than_can_be_sent_at_once_is_no_limit_of_a_replay() {
    let told = complaint(&sources(&[("REALTIME_REPLAY_LIMIT", "4097")], &[], &[]));
    let expected = "REALTIME_REPLAY_LIMIT (or --replay-limit) is \"4097\" (environment); it takes at most half of \
                    REALTIME_MAX_PENDING_FRAMES, which is 8192";
    assert_eq!(told, expected);
    let lower = complaint(&sources(&[("REALTIME_MAX_PENDING_FRAMES", "3998")], &[], &[]));
    assert!(lower.starts_with("REALTIME_REPLAY_LIMIT (or --replay-limit) is \"2000\" (default)"), "{lower}");
    let both = [("REALTIME_REPLAY_LIMIT", "5000"), ("REALTIME_MAX_PENDING_FRAMES", "10000")];
    assert_eq!(Config::read(&sources(&both, &[], &[])).unwrap().replay.missed, 5_000);
}

#[test]
fn a_problem_never_shows_a_secret() {
    let told = complaint(&sources(
        &[("DATABASE_URL", "mysql://u:hunter2@h/d"), ("JWT_SECRET", "hunter2,"), ("REDIS_URL", "http://:hunter2@h")],
        &[],
        &[],
    ));
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn neither_do_debug_and_the_effective_configuration() {
    let environment =
        [("REDIS_URL", "redis://:hunter2@redis:6379"), ("JWT_SECRET", "hunter2-hunter2-hunter2-hunter2-hunter2")];
    let config = Config::read(&sources(&environment, &[], &[])).unwrap();
    let effective = format!("{:?}", config.effective());
    assert!(!effective.contains("hunter2"), "{effective}");
    for shown in ["postgres://forum:[secret]@db:5432/forum", "redis://:[secret]@redis:6379", "Some(\"[secret]\")"] {
        assert!(effective.contains(shown), "{shown} in {effective}");
    }
    let debug = format!("{config:?}");
    assert!(!debug.contains("hunter2"), "{debug}");
}

#[test]
fn effective_names_every_setting_and_its_source() {
    let config = Config::read(&sources(&[], &[("PORT", "5")], &[("host", "::1")])).unwrap();
    let names: Vec<_> = config.effective().iter().map(|one| one.variable).collect();
    let expected: Vec<_> = settings::OF_SERVER.iter().map(|setting| setting.variable).collect();
    assert_eq!(names, expected);
    let from = |name| config.effective().iter().find(|one| one.variable == name).unwrap().from;
    assert_eq!(from("DATABASE_URL"), Provenance::Environment);
    assert_eq!(from("PORT"), Provenance::File);
    assert_eq!(from("HOST"), Provenance::Flag);
    assert_eq!(from("REALTIME_DRAIN"), Provenance::Default);
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let environment = [("JWT_SECRET", "")];
    let config = Config::read(&sources(&environment, &[("JWT_SECRET", "short$")], &[])).unwrap();
    let warnings = config.warnings().join("\n");
    for part in ["JWT_SECRET in .env holds a $", "fewer than 32 bytes"] {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
    assert!(!warnings.contains("short$"), "{warnings}");
}

#[test]
fn a_variable_of_ours_that_is_misspelt_is_warned_of_by_the_name_that_was_meant() {
    let mut given = sources(&[], &[("REALTIME_DRIAN", "secret1"), ("REALTIME_DRAIN", "1s"), ("FORUM_DRAIN", "2")], &[]);
    given.strange = ["REALTIME_RATE_JOINS".to_owned()].into();
    let config = Config::read(&given).unwrap();
    let [first, second] = config.warnings() else { panic!("{:?}", config.warnings()) };
    assert!(first.starts_with("REALTIME_RATE_JOINS in the environment is no setting of this program"), "{first}");
    assert!(first.contains("was REALTIME_RATE_JOIN meant?"), "{first}");
    assert!(second.starts_with("REALTIME_DRIAN in .env is no setting") && second.contains("was REALTIME_DRAIN meant?"));
    assert!(!second.contains("secret1"), "{second}");
}

#[test]
fn keys_come_from_one_place() {
    let fixture = |name: &str| format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"));
    let read = |pairs: &[(&str, &str)]| {
        let environment = map(&[&[("DATABASE_URL", DATABASE)], pairs].concat());
        Config::read(&Sources { environment, ..Sources::default() })
    };
    let (key, private) = (fixture("rsa.pub.pem"), fixture("rsa.pem"));
    let config = read(&[("JWT_PUBLIC_KEY_FILE", &key)]).unwrap();
    assert!(config.tokens.signer().is_none() && config.tokens.key_file().is_some());
    assert!(!format!("{config:?}").contains("DecodingKey"));
    for (pairs, parts) in [
        (&[][..], &["JWT_SECRET (or --jwt-secret) is not set", "JWT_PUBLIC_KEY_FILE or JWT_JWKS_FILE"][..]),
        (
            &[("JWT_SECRET", SECRET), ("JWT_PUBLIC_KEY_FILE", &key)],
            &["JWT_PUBLIC_KEY_FILE (or --jwt-public-key-file) is", "JWT_SECRET is set as well"],
        ),
        (&[("JWT_SECRET", SECRET), ("JWT_JWKS_FILE", "x")], &["JWT_JWKS_FILE", "JWT_SECRET is set as well"]),
        (&[("JWT_PUBLIC_KEY_FILE", &key), ("JWT_JWKS_FILE", "x")], &["JWT_PUBLIC_KEY_FILE is set as well"]),
        (&[("JWT_PUBLIC_KEY_FILE", &private)], &["JWT_PUBLIC_KEY_FILE", "block 1 is a private key"]),
        (&[("JWT_JWKS_FILE", &key)], &["JWT_JWKS_FILE", "not a JWK set"]),
        (
            &[("JWT_JWKS_FILE", "/no/such/file")],
            &["JWT_JWKS_FILE", "\"/no/such/file\"", "can't be read", "No such file"],
        ),
        (&[("JWT_JWKS_FILE", "/")], &["not a plain file"]),
        (&[("JWT_SECRET", SECRET), ("JWT_LEEWAY", "1h")], &["JWT_LEEWAY", "from 0s to 5m"]),
    ] {
        let told = read(pairs).expect_err("a problem").to_string();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(parts.iter().all(|part| told.contains(part)) && !told.contains(SECRET), "{told}");
    }
}

#[test]
fn a_command_asks_for_its_own_settings_alone() {
    let only_secret = Sources { environment: map(&[("JWT_SECRET", SECRET)]), ..Sources::default() };
    assert!(TokenConfig::read(&only_secret).is_ok());
    let told = DatabaseConfig::read(&only_secret).unwrap_err().to_string();
    assert!(told.starts_with("DATABASE_URL (or --database-url) is not set"), "{told}");
}

#[test]
fn a_cluster_has_no_database_and_its_password_is_not_shown() {
    let told = complaint(&sources(&[("REDIS_URL", "redis-cluster://:hunter2@one:7000,two/3")], &[], &[]));
    assert!(
        told.starts_with("REDIS_URL (or --redis-url) can't be used as it is (environment); a Cluster has no databases"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
    let config = Config::read(&sources(&[("REDIS_URL", "rediss-cluster://:hunter2@one:7000,two")], &[], &[])).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let shown = config.effective().iter().find(|setting| setting.variable == "REDIS_URL").unwrap();
    assert_eq!(shown.shown.as_deref(), Some("rediss-cluster://:[secret]@one:7000,two:6379"));
}

#[test]
fn authorities_of_redis_are_read_at_once_and_are_of_use_over_tls_alone() {
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/certificate.pem");
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/rsa.pub.pem");
    let read = |url, file| Config::read(&sources(&[("REDIS_URL", url), ("REDIS_CA_FILE", file)], &[], &[]));
    read("rediss://redis", certificate).unwrap();
    read("", "/nowhere").unwrap();
    for (url, file, why) in [
        ("redis://redis", certificate, "REDIS_URL asks for no TLS"),
        ("redis-cluster://redis", certificate, "REDIS_URL asks for no TLS"),
        ("rediss://redis", key, "holds no certificate"),
        ("rediss-cluster://redis", "/nowhere", "can't be read"),
    ] {
        let told = read(url, file).expect_err("a problem").to_string();
        assert!(told.starts_with("REDIS_CA_FILE") && told.contains(why), "{told}");
    }
}
