//! `hitless run`.

use super::{Failure, table};
use crate::{
    config::{Config, LogLevel, Machine},
    manage::{api::LogSwitch, daemon, missing},
};
use parking_lot::Mutex;
use std::{fmt, io::IsTerminal, path::Path, sync::Arc};
use tracing_subscriber::{
    Registry, filter::LevelFilter, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let checked = Config::check_file_with(file, &Machine::this(), missing);
    for warning in &checked.warnings {
        table::complain(&warning.to_string());
    }
    let config = checked.config.map_err(|mistakes| Failure::Bad(mistakes.to_string()))?;
    let log = Log::to_stderr(config.log.level);
    daemon::run(file, config, Arc::new(log)).map_err(|error| Failure::Refused(error.to_string()))
}

/// The log, whose level can change.
struct Log {
    level: Mutex<LogLevel>,
    filter: reload::Handle<LevelFilter, Registry>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Log {
    fn to_stderr(level: LogLevel) -> Self {
        let (filter, handle) = reload::Layer::new(filter(level));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false);
        tracing_subscriber::registry().with(filter).with(lines).init();
        Self { level: Mutex::new(level), filter: handle }
    }
}

impl LogSwitch for Log {
    fn level(&self) -> LogLevel {
        *self.level.lock()
    }

    fn set(&self, level: LogLevel) {
        *self.level.lock() = level;
        // It fails only when the log is gone, at the very end.
        let _ = self.filter.reload(filter(level));
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    level.name().parse().unwrap_or(LevelFilter::INFO)
}
