//! What documents name as shown by a test is shown by one that there is.

use std::{
    collections::BTreeSet,
    fs::{read_dir, read_to_string},
    path::{Path, PathBuf},
};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with this ending.
fn below(folder: &Path, ending: &str, files: &mut Vec<PathBuf>) {
    for entry in read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "node_modules" && name != "target") {
                below(&path, ending, files);
            }
        } else if path.extension().is_some_and(|extension| extension == ending) {
            files.push(path);
        }
    }
}

/// What follows `fn ` anywhere in the sources.
fn functions() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "crates", "fuzz", "xtask"] {
        below(&project().join(folder), "rs", &mut files);
    }
    let texts = files.iter().map(|file| read_to_string(file).expect("a source"));
    let of = |text: String| -> Vec<String> {
        let behind = text.split("fn ").skip(1);
        behind.map(|rest| rest.chars().take_while(|one| one.is_ascii_alphanumeric() || *one == '_').collect()).collect()
    };
    texts.flat_map(of).collect()
}

/// In backticks and of four words or more, which names of settings, columns and codes are not; those of metrics begin with ours.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_';
    let is_name =
        move |name: &&str| name.chars().all(is_word) && name.matches('_').count() > 2 && !name.starts_with("curia_");
    text.split('`').skip(1).step_by(2).filter(is_name)
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let functions = functions();
    let mut documents = vec![project().join("README.md")];
    below(&project().join("docs"), "md", &mut documents);
    let mut count = 0;
    for document in documents {
        let text = read_to_string(&document).expect("a document");
        for name in named(&text) {
            count += 1;
            assert!(functions.contains(name), "{}: there is no {name}", document.display());
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn every_line_of_the_security_tables_names_a_test() {
    let text = read_to_string(project().join("docs/security.md")).expect("a document");
    let mut lines = text.lines();
    let mut count = 0;
    while let Some(line) = lines.next() {
        if !line.ends_with("| shown by |") {
            continue;
        }
        for row in lines.by_ref().skip(1).take_while(|row| row.starts_with('|')) {
            count += 1;
            assert!(named(row).next().is_some(), "nothing shows: {row}");
        }
    }
    assert!(count > 30, "{count}");
}
