//! `compose.yaml`, read as Compose reads it: what it names is there, and fits together.

use std::{collections::BTreeMap, path::Path};

use curia_realtime::config::{Config, Sources, duration};
use serde::Deserialize;
use url::Url;

use crate::support::{balancer::CONFIGURATION, program, service::SECRET};

/// What is used of Compose; anything else is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compose {
    #[serde(rename = "x-realtime")]
    realtime: Service,
    /// No networks: all of them find each other by name.
    services: BTreeMap<String, Service>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    image: Option<String>,
    build: Option<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    depends_on: DependsOn,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    ports: Vec<String>,
    healthcheck: Option<Healthcheck>,
    #[serde(default)]
    ulimits: BTreeMap<String, u32>,
    stop_grace_period: Option<String>,
    restart: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum DependsOn {
    Started(Vec<String>),
    Is(BTreeMap<String, Condition>),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    condition: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum State {
    #[serde(rename = "service_started")]
    Started,
    #[serde(rename = "service_healthy")]
    Healthy,
    #[serde(rename = "service_completed_successfully")]
    Completed,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Healthcheck {
    test: Vec<String>,
    interval: String,
    retries: u32,
}

impl Default for DependsOn {
    fn default() -> Self {
        Self::Started(Vec::new())
    }
}

impl Service {
    fn depends_on(&self) -> Vec<(&str, State)> {
        match &self.depends_on {
            DependsOn::Started(names) => names.iter().map(|name| (name.as_str(), State::Started)).collect(),
            DependsOn::Is(all) => all.iter().map(|(name, is)| (name.as_str(), is.condition)).collect(),
        }
    }

    /// Whether it is our program.
    fn is_ours(&self) -> bool {
        self.build.is_some()
    }
}

fn compose() -> Compose {
    serde_saphyr::from_str(include_str!("../../compose.yaml")).expect("what Compose reads")
}

/// As the user's shell fills it in, who has set the secret alone.
fn filled(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let (variable, after) = rest.split_once('}').expect("an end");
    let value = match variable.split_once(":-") {
        Some((_, default)) => default,
        None => {
            assert!(variable.starts_with("JWT_SECRET:?"), "{variable} has no default and is not asked for");
            SECRET
        }
    };
    format!("{before}{value}{}", filled(after))
}

/// What a service is told; as a file, of which every name that looks like ours is asked what it means.
fn configured(service: &Service) -> Config {
    let file = service.environment.iter().map(|(name, value)| (name.clone(), filled(value))).collect();
    Config::read(&Sources { file, ..Sources::default() }).expect("a configuration")
}

#[test]
fn every_service_is_run_by_something_and_waits_for_what_comes_to_be() {
    let services = compose().services;
    for (name, service) in &services {
        assert!(service.image.is_some() != service.build.is_some(), "{name} is an image or built, not both");
        assert!(service.build.as_deref().is_none_or(|from| from == "."), "{name}");
        for (other, state) in service.depends_on() {
            let other = services.get(other).unwrap_or_else(|| panic!("{name} waits for {other}, which is no service"));
            match state {
                State::Started => {}
                State::Healthy => assert!(other.healthcheck.is_some(), "{name} waits for what tells nothing"),
                State::Completed => assert_eq!(other.restart, None, "{name} waits for ever"),
            }
        }
        if let Some(Healthcheck { test, interval, retries }) = &service.healthcheck {
            assert!(test[0] == "CMD" && test.len() > 1 && duration(interval).is_some() && *retries > 0, "{name}");
        }
        // A service waits for no more others than there are, unless some wait for each other.
        let mut before: Vec<&str> = vec![name];
        for _ in 0..services.len() {
            before = before.iter().flat_map(|of| services[*of].depends_on()).map(|(other, _)| other).collect();
        }
        assert!(before.is_empty(), "{name} waits for itself");
    }
}

#[test]
fn nodes_wait_for_the_schema_and_outlive_their_drain() {
    let Compose { realtime, services } = compose();
    for node in [&realtime, &services["one"], &services["two"]] {
        assert!(node.depends_on().contains(&("migrate", State::Completed)));
        let config = configured(node);
        assert_eq!(config.warnings(), [] as [&str; 0]);
        let grace = duration(node.stop_grace_period.as_deref().expect("a time")).expect("a duration");
        assert!(grace > config.drain, "{grace:?}");
    }
    let migrate = &services["migrate"];
    assert!(migrate.depends_on().contains(&("forum", State::Healthy)));
    assert_eq!(migrate.environment["DATABASE_URL"], realtime.environment["DATABASE_URL"]);
}

#[test]
fn whatever_is_asked_by_name_is_a_service_that_answers_there() {
    let services = compose().services;
    let listens = configured(&services["one"]).http.port;
    let at =
        |service: &str, variable: &str| Url::parse(&filled(&services[service].environment[variable])).expect("a URL");
    for node in ["one", "two"] {
        assert_eq!(at(node, "REDIS_URL").host_str(), Some("redis"));
        let database = at(node, "DATABASE_URL");
        let forum = &services["forum"].environment;
        assert_eq!(database.host_str(), Some("forum"));
        assert_eq!(database.password(), Some(forum["POSTGRES_PASSWORD"].as_str()));
        assert_eq!(database.path().strip_prefix('/'), Some(forum["POSTGRES_DB"].as_str()));
        assert_eq!(
            services["proxy"].environment[&format!("NODE_{}", node.to_uppercase())],
            format!("{node}:{listens}")
        );
        assert!(services["proxy"].depends_on().iter().any(|(on, _)| *on == node), "the proxy waits for {node}");
        assert_eq!(services[node].ports, [] as [&str; 0], "nobody but the proxy reaches {node}");
    }
    let Some((_, inside)) = services["proxy"].ports[0].split_once(':') else { panic!("two ports") };
    assert_eq!(services["proxy"].environment["PROXY_LISTEN"], format!(":{inside}"));
    let dockerfile = include_str!("../../Dockerfile");
    assert!(dockerfile.lines().any(|line| line == format!("EXPOSE {listens}")));
    // What haproxy.cfg asks for, and nothing else.
    let asked = CONFIGURATION.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()));
    let told: Vec<String> = services["proxy"].environment.keys().cloned().collect();
    let mut asked: Vec<String> = asked.collect();
    asked.sort();
    assert_eq!(asked, told);
    assert!(services["proxy"].ulimits["nofile"] > 10_000);
}

#[test]
fn what_is_mounted_is_there_and_stays_as_it_is() {
    let mut mounted = 0;
    for (name, service) in compose().services {
        for volume in service.volumes {
            let [from, to, how] = volume.split(':').collect::<Vec<_>>()[..] else { panic!("{name}: {volume}") };
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
            assert!(file.is_file() && from.starts_with("./"), "{name}: {from} is no file");
            assert!(to.starts_with('/') && how == "ro", "{name}: {volume}");
            mounted += 1;
        }
    }
    assert_eq!(mounted, 3);
}

/// Of the image, where a service names none.
#[tokio::test]
async fn every_command_is_one_of_the_program() {
    let usual = include_str!("../../Dockerfile").lines().find_map(|line| line.strip_prefix("CMD ")).expect("a command");
    let usual: Vec<String> = serde_json::from_str(usual).expect("a list");
    for (name, service) in compose().services {
        if service.is_ours() {
            let command = if service.command.is_empty() { &usual } else { &service.command };
            let asked: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
            let ran = program::run(&asked, &[]).await;
            assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        }
    }
    assert_eq!(program::run(&["migrate", "nowhere", "--help"], &[]).await.code, Some(2), "what is none is refused");
}
