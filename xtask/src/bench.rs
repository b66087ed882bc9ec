//! `cargo xtask bench`: the benchmarks and the service, built as they are deployed, then run.

use std::{error::Error, process::Command};

use curia_scratch::provide;

use crate::{interrupt::Interrupt, step};

/// Hands `words` to `curia-bench`, which explains itself.
pub fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    step::build_release(&["curia-bench", "curia-realtime"], &interrupt)?;
    provide::postgres()?;
    let program = std::env::current_exe()?.with_file_name("../release/curia-bench");
    let (status, _) = step::run(Command::new(program).args(words), &interrupt)?;
    if interrupt.asked() {
        return Err("interrupted".into());
    }
    if status.success() { Ok(()) } else { Err("there is no measurement; the reason stands above".into()) }
}
