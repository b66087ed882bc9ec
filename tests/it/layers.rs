//! The rooms of the house: the core imports only the core, edges never import each other, nobody imports the wiring.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const CORE: &[&str] = &[
    "access",
    "actor",
    "asyncapi",
    "audience",
    "batch",
    "change",
    "chronicle",
    "circle",
    "command",
    "contract",
    "doctor",
    "event",
    "excerpt",
    "fence",
    "frame",
    "history",
    "ids",
    "limits",
    "merge",
    "outlook",
    "presence",
    "rooms",
    "snapshot",
    "span",
    "tail",
    "typescript",
    "typing",
    "why",
];
const FLOWS: &[&str] = &["dispatch", "gateway", "inquiry", "limiter", "ports", "recall", "sessions", "versions"];
const EDGES: &[&str] = &["demo", "http", "jwt", "link", "postgres", "redis", "socket"];
const WIRING: &[&str] = &[
    "admission",
    "app",
    "cli",
    "config",
    "files",
    "follow",
    "lifecycle",
    "main",
    "lib",
    "meeting",
    "relay",
    "rotation",
    "sweep",
    "telemetry",
    "wake",
];
/// An edge that stands on another, and why: a link is the connection itself, shared by who serves it and who cuts it; the
/// socket's door verifies tokens.
const ALLOWED: &[(&str, &str)] = &[("http", "link"), ("socket", "link"), ("socket", "jwt")];

/// Whether `module` may use `used`.
fn may_use(module: &str, used: &str) -> bool {
    let core = CORE.contains(&used);
    match module {
        _ if module == used => true,
        // It imports everything, and whoever starts the program imports it.
        _ if used == "app" => ["cli", "main"].contains(&module),
        _ if WIRING.contains(&module) => true,
        _ if CORE.contains(&module) => core,
        _ if FLOWS.contains(&module) => core || FLOWS.contains(&used),
        _ => core || FLOWS.contains(&used) || ALLOWED.contains(&(module, used)),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the sources").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn is_code(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "rs") && !file.ends_with("tests.rs")
}

/// The modules of the crate that a source text names.
fn used(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let flat: String = code.flat_map(str::split_whitespace).collect();
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = Vec::new();
    for (at, start) in flat.match_indices("crate::") {
        let rest = &flat[at + start.len()..];
        match rest.strip_prefix('{') {
            None => used.push(name(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut begins = true;
                for (at, c) in list.char_indices() {
                    if depth == 0 && begins && c != '}' {
                        used.push(name(&list[at..]));
                    }
                    begins = c == ',';
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        _ => {}
                    }
                }
            }
        }
    }
    used
}

#[test]
fn no_module_uses_what_its_layer_forbids() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let known: Vec<&str> = [CORE, FLOWS, EDGES, WIRING].concat();
    let mut forbidden: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files(&source).into_iter().filter(|file| is_code(file)) {
        let inner = file.strip_prefix(&source).expect("below src");
        let module = inner.iter().next().expect("a name").to_string_lossy().trim_end_matches(".rs").to_owned();
        assert!(known.contains(&module.as_str()), "{module} has no layer yet: give it one in this test");
        for used in used(&std::fs::read_to_string(&file).expect("text")) {
            if known.contains(&used.as_str()) && !may_use(&module, &used) {
                forbidden.entry(module.clone()).or_default().push(used);
            }
        }
    }
    assert_eq!(forbidden, BTreeMap::new());
}

#[test]
fn a_forbidden_use_is_seen() {
    assert_eq!(used("use crate::{\n    ids::{BoardId, PostId},\n    postgres::rows,\n};"), ["ids", "postgres"]);
    assert_eq!(used("crate::socket::Doors"), ["socket"]);
    assert!(!may_use("rooms", "postgres") && !may_use("postgres", "socket") && !may_use("gateway", "jwt"));
}
