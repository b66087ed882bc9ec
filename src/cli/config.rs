//! `curia-realtime config`

use super::{
    CliError,
    flags::{Flags, Server},
    print,
};
use crate::config::Config;

/// Prints every setting, its value and where that comes from; secrets are masked.
pub(super) fn run(flags: Flags<Server>) -> Result<(), CliError> {
    let config = Config::read(&flags.sources()?)?;
    let rows: Vec<(&str, &str, String)> = config
        .effective()
        .iter()
        .map(|setting| match &setting.shown {
            Some(value) => (setting.variable, value.as_str(), setting.from.to_string()),
            None => (setting.variable, "", "not set".to_owned()),
        })
        .collect();
    let names = rows.iter().map(|row| row.0.len()).max().unwrap_or_default();
    let values = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or_default();
    let table: String =
        rows.iter().map(|(name, value, from)| format!("{name:names$}  {value:values$}  {from}\n")).collect();
    print(&table)?;
    for warning in config.warnings() {
        eprintln!("curia-realtime: {warning}");
    }
    Ok(())
}
