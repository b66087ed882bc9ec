//! A short run over the service that the workspace builds, and the patches that break it on purpose.

use std::{
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

/// What `cargo xtask chaos --broken` breaks is still there to be broken.
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
        patches += 1;
    }
    assert!(patches >= 3);
}
