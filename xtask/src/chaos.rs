//! `cargo xtask chaos`: the chaos run and the service, built as they are deployed, then run.

use std::{error::Error, process::Command};

use curia_scratch::provide;

use crate::{interrupt::Interrupt, step};

/// Hands `words` to `curia-chaos`, which explains itself.
pub fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    step::build_release(&["curia-chaos", "curia-realtime"], &interrupt)?;
    provide::postgres()?;
    provide::redis()?;
    let program = std::env::current_exe()?.with_file_name("../release/curia-chaos");
    let (status, _) = step::run(Command::new(program).args(words), &interrupt)?;
    if interrupt.asked() {
        return Err("interrupted".into());
    }
    if status.success() { Ok(()) } else { Err("the run did not prove what it is for; the reason stands above".into()) }
}
