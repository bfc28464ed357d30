//! `hitless check`.

use super::{Failure, table};
use crate::{
    config::{Config, Machine},
    manage::missing,
};
use std::path::Path;

pub(super) fn run(file: &Path, show: bool) -> Result<(), Failure> {
    let checked = Config::check_file_with(file, &Machine::this(), missing);
    for warning in &checked.warnings {
        table::complain(&warning.to_string());
    }
    let config = checked.config.map_err(|mistakes| Failure::Bad(mistakes.to_string()))?;
    if show {
        table::say(config.show().trim_end());
    } else {
        table::say(&format!("{}: {}", file.display(), summary(&config)));
    }
    Ok(())
}

fn summary(config: &Config) -> String {
    let backends: usize = config.services.iter().map(|service| service.backends.len()).sum();
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    format!(
        "good: {}, {}, {}, {}",
        count(config.ports.len(), "port"),
        count(config.cores.workers.len(), "worker"),
        count(config.services.len(), "service"),
        count(backends, "backend"),
    )
}
