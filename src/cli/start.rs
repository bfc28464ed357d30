//! `hitless run`.

use super::{Failure, table};
use crate::{
    config::{Config, LogLevel, Machine},
    manage::api::serve,
};
use std::{io::IsTerminal, path::Path};
use tracing_subscriber::filter::LevelFilter;

pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let checked = Config::check_file(file, &Machine::this());
    for warning in &checked.warnings {
        table::complain(&warning.to_string());
    }
    let config = checked.config.map_err(|mistakes| Failure::Bad(mistakes.to_string()))?;
    log_to_stderr(config.log.level);
    serve::run(config).map_err(|error| Failure::Refused(error.to_string()))
}

fn log_to_stderr(level: LogLevel) {
    let level: LevelFilter = level.name().parse().unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(level)
        .init();
}
