//! `cargo xtask picture`: the demo, two people in it, and what their windows look like, as `docs/demo.png`.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use curia_scratch::provide;

use crate::{
    demo::{Arguments, Demo},
    interrupt::Interrupt,
    step,
};

const BROWSER: &str = "tests/browser";
const PICTURE: &str = "docs/demo.png";
/// Everybody who clones the project loads it.
const LARGEST_KIB: u64 = 350;

/// Takes the picture and puts it in place.
pub fn run() -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    let chromium = provide::chromium()?;
    provide::node_packages(Path::new(BROWSER))?;
    let Some(mut demo) = Demo::start(&Arguments::default(), &interrupt)? else { return Err("interrupted".into()) };
    if !demo.answers(&interrupt)? {
        return Err("interrupted".into());
    }
    // Taken beside and put in place when it is whole.
    let work = PathBuf::from(format!("target/picture-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    let taken = take(&demo, &chromium, &work, &interrupt);
    fs::remove_dir_all(&work)?;
    taken?;
    demo.end()
}

fn take(demo: &Demo, chromium: &Path, work: &Path, interrupt: &Interrupt) -> Result<(), Box<dyn Error>> {
    let fresh = work.join("demo.png");
    let mut camera = Command::new("node");
    camera.arg(Path::new(BROWSER).join("picture.mjs")).arg(demo.address()).arg(chromium).arg(work).arg(&fresh);
    let (status, _) = step::run(&mut camera, interrupt)?;
    if interrupt.asked() {
        return Err("interrupted".into());
    }
    if !status.success() {
        return Err(format!("no picture was taken ({status}); {PICTURE} is as it was").into());
    }
    let kib = fs::metadata(&fresh)?.len() / 1024;
    if kib > LARGEST_KIB {
        return Err(format!("the picture takes {kib} KiB, more than {LARGEST_KIB}; {PICTURE} is as it was").into());
    }
    fs::copy(&fresh, PICTURE)?;
    println!("{PICTURE}: {kib} KiB");
    Ok(())
}
