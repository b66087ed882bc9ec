//! The inputs that the fuzz targets begin with, and those that once broke something, each given to the code it is meant for.

use std::{collections::BTreeSet, path::Path};

use crate::fuzz::TARGETS;

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

/// The names in a folder, without endings.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let stem = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    entries.map(|entry| stem(&entry.expect("an entry").path())).collect()
}

#[test]
fn every_seed_is_taken_or_refused_and_breaks_nothing() {
    for (target, take) in TARGETS {
        let folder = fuzz().join("seeds").join(target);
        let seeds = names(&folder);
        assert!(seeds.len() > 3, "{target} has seeds");
        for seed in seeds {
            println!("{target}/{seed}");
            take(&std::fs::read(folder.join(seed)).expect("a seed"));
        }
    }
}

#[test]
fn every_target_is_fuzzed_and_has_seeds() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets);
    assert_eq!(names(&fuzz().join("seeds")), targets);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    for target in &targets {
        let body = std::fs::read_to_string(fuzz().join("fuzz_targets").join(format!("{target}.rs"))).expect("a target");
        assert!(body.contains(&format!("curia_realtime_fuzz::{target}(input)")), "{target} calls its own function");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target} is built");
    }
}
