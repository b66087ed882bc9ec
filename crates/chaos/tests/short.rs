//! A short run over the service that the workspace builds, and the patches that break it on purpose.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One seed, two nodes, 15 seconds: every promise kept, and enough happened to say so.
#[test]
fn a_short_run_keeps_every_promise() {
    let run = Command::new(env!("CARGO_BIN_EXE_curia-chaos"))
        .args(["--seed", "3", "--minutes", "0.25", "--clients", "30"])
        .output()
        .expect("the chaos run");
    let (said, more) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}\n{more}");
}

/// The function that holds this place of a source text: the name, and the text from there to its end.
fn function_at(source: &str, place: usize) -> Option<(&str, &str)> {
    let mut from = place;
    loop {
        from = source[..from].rfind("fn ")?;
        let line = source[..from].rfind('\n').map_or(0, |at| at + 1);
        let before = source[line..from].trim_start();
        if before.split_whitespace().all(|word| word.starts_with("pub") || ["async", "const"].contains(&word)) {
            let name = source[from + 3..].split(['(', '<']).next()?;
            let indent = source[line..].len() - source[line..].trim_start().len();
            let end = source[line..].find(&format!("\n{}}}", &source[line..line + indent]))?;
            return Some((name, &source[line..line + end]));
        }
    }
}

/// Lines of a patch as they stand in a source.
fn kept<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
}

/// File and function of each hunk, of its first changed line.
fn touched(patch: &str) -> Vec<(String, String)> {
    let mut touched = Vec::new();
    for file in patch.split("\n--- a/").skip(1) {
        let (name, hunks) = file.split_once('\n').expect("a file's name");
        let source = std::fs::read_to_string(project().join(name)).expect("a source");
        for hunk in hunks.split("\n@@ ").skip(1) {
            let lines = || hunk.lines().skip(1);
            let old = kept(lines().filter(|line| !line.starts_with('+')));
            let ahead = kept(lines().take_while(|line| !line.starts_with(['+', '-'])));
            let at = source.find(&old).expect("what is to be broken") + ahead.len();
            let (function, _) = function_at(&source, at).expect("a function");
            touched.push((name.to_owned(), function.to_owned()));
        }
    }
    touched
}

/// What a patch says that it breaks: file and function, and file and function through which the service comes there.
fn named(patch: &str) -> Vec<[(String, String); 2]> {
    let place = |words: &str| {
        let (file, function) = words.split_once(' ').expect("a file and a function");
        (file.to_owned(), function.to_owned())
    };
    let lines = patch.lines().filter_map(|line| line.strip_prefix("breaks: "));
    lines
        .map(|line| line.split_once(", called by ").expect("a caller"))
        .map(|(of, by)| [place(of), place(by)])
        .collect()
}

/// Each hunk is in a function that the patch names and none is named in vain; and each is still called from where it counts, since
/// what nobody takes any longer can be broken without harm.
fn assert_breaks_what_it_names(path: &Path) {
    let patch = std::fs::read_to_string(path).expect("a patch");
    let named = named(&patch);
    let broken: BTreeSet<_> = named.iter().map(|[broken, _]| broken.clone()).collect();
    assert_eq!(touched(&patch).into_iter().collect::<BTreeSet<_>>(), broken, "{}", path.display());
    for [(_, broken), (file, caller)] in named {
        let source = std::fs::read_to_string(project().join(&file)).expect("a source");
        let mut functions =
            source.match_indices("fn ").filter_map(|(at, start)| function_at(&source, at + start.len()));
        let found = functions.find(|(name, _)| *name == caller);
        let (_, body) = found.unwrap_or_else(|| panic!("{file} has no {caller}"));
        let called = body.contains(&format!(".{broken}("));
        assert!(called, "{}: {caller} of {file} calls {broken} no longer", path.display());
    }
}

/// What `cargo xtask chaos --broken` breaks is still there to be broken, and the service still comes by it.
#[test]
fn every_broken_build_can_still_be_made() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("broken");
    let mut patches = 0;
    for entry in std::fs::read_dir(folder).expect("the patches") {
        let path = entry.expect("a patch").path();
        let patch = Command::new("patch")
            .args(["-p1", "--dry-run", "--force", "--fuzz=0", "-d"])
            .arg(project())
            .arg("-i")
            .arg(&path)
            .output()
            .expect("patch");
        assert!(patch.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&patch.stdout));
        assert_breaks_what_it_names(&path);
        patches += 1;
    }
    assert!(patches >= 4);
}
