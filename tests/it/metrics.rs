//! Every metric is described, is there before it counts, and stands in the documents; and none stands there that is not measured.

use std::{
    collections::BTreeSet,
    fs::{read_dir, read_to_string},
    path::Path,
};

use axum::http::Method;

use crate::support::{postgres::Forum, program::Serving, wire::http};

/// There as soon as they were measured: on a node without Redis most of them never are.
const MEASURED: [&str; 4] = [
    "curia_facts_shared",
    "curia_outbox_bytes",
    "curia_rate_limits_shared",
    "curia_stream_read_until_timestamp_seconds",
];

fn project(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All sources but the table itself.
fn sources(folder: &Path, texts: &mut String) {
    for entry in read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("metrics/known.rs") {
            texts.push_str(&read_to_string(&path).expect("a source"));
        }
    }
}

/// The names that follow each of these in a text.
fn behind(text: &str, marks: &[&str]) -> BTreeSet<String> {
    let follow = marks.iter().flat_map(|mark| text.split(mark).skip(1));
    let names = follow.filter_map(|rest| rest.trim_start().trim_start_matches(['"', '`']).split(['"', '`']).next());
    names.filter(|name| name.starts_with("curia_")).map(str::to_owned).collect()
}

#[test]
fn every_metric_in_the_sources_is_described_and_documented_and_the_other_way_round() {
    let mut texts = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let measured = behind(&texts, &["counter!(", "gauge!(", "histogram!(", "Here::new(Some("]);
    assert!(measured.len() > 25, "{measured:?}");
    let described = behind(&project("src/http/metrics/known.rs"), &["("]);
    assert_eq!(described, measured, "in known.rs, and in the sources");
    let documented = behind(&project("docs/operating.md"), &["\n| `"]);
    assert_eq!(documented, measured, "in docs/operating.md, and in the sources");
    let readme = project("README.md");
    let named = readme.split('`').filter(|name| name.starts_with("curia_") && !name.starts_with("curia_realtime"));
    for name in named {
        assert!(measured.contains(name), "README.md: there is no {name}");
    }
    assert!(readme.contains("(docs/operating.md)"), "README.md leads there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metric_is_there_with_its_help_before_it_counts() {
    let forum = Forum::captured().await;
    let node = Serving::start(&forum.url(), &["--drain", "100ms"]).await;
    node.until_ready().await;
    let text = http(&node.url, Method::GET, "/metrics", &[], String::new()).await.into_body();
    for name in behind(&project("src/http/metrics/known.rs"), &["("]) {
        let is_there = text.contains(&format!("# HELP {name} "));
        assert!(is_there || MEASURED.contains(&name.as_str()), "{name} is not in {text}");
    }
    for (line, value) in [
        ("curia_sockets_closed_slow_total{waiting=\"bytes\"}", 0.0),
        ("curia_connections_refused_total{by=\"address\"}", 0.0),
        ("curia_rate_limited_total{class=\"session:refresh\"}", 0.0),
        ("curia_outbox_poison_total", 0.0),
        ("curia_recall_seconds_count", 0.0),
        ("curia_sockets", 0.0),
        ("curia_events_delivered_total", 0.0),
    ] {
        assert_eq!(node.metric(line).await, Some(value), "{line}");
    }
    let token = crate::support::service::Service::token("ada", "c1", &[], false);
    let _ada = crate::support::wire::Frames::connected(&node.url, &token).await;
    // `session:ready`
    node.until_metric("curia_events_delivered_total", 1.0).await;
    node.stop().await;
}
