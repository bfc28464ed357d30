//! Taking the configuration file again while the node runs.

use super::{
    Severity, Source,
    api::Api,
    registry::{Refusal, Refusals},
    routes,
};
use crate::config::{Config, Machine, Mistakes};
use std::{fmt, path::Path, time::Instant};

/// Keys that take effect at once. All others need a restart.
const LIVE: [&str; 3] = ["service", "route", "log"];

/// Why a file was not taken. Nothing has changed then.
#[derive(Debug)]
pub enum ReloadError {
    /// It has mistakes.
    Mistakes(Mistakes),
    /// Its services do not fit the node as it runs.
    Services(Refusals),
    /// It could not be kept.
    Refused(Refusal),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mistakes(mistakes) => mistakes.fmt(f),
            Self::Services(refusals) => refusals.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for ReloadError {}

/// Reads the file at `path` and makes the node as it says, as far as that can be without a restart. Tells what came
/// of it.
///
/// # Errors
///
/// Everything that is wrong, which has been told already.
pub async fn reload(api: &Api, path: &Path) -> Result<(), ReloadError> {
    let began = Instant::now();
    let file = path.to_owned();
    let checked = tokio::task::spawn_blocking(move || Config::check_file(&file, &Machine::this())).await;
    let outcome = match checked {
        Ok(checked) => {
            for warning in &checked.warnings {
                api.events.tell(Severity::Warn, "reload", warning.to_string());
            }
            match checked.config {
                Ok(config) => apply(api, config).await,
                Err(mistakes) => Err(ReloadError::Mistakes(mistakes)),
            }
        }
        Err(_) => Err(ReloadError::Refused(Refusal::Unavailable("this node is stopping".into()))),
    };
    match &outcome {
        Ok(restart) => {
            if !restart.is_empty() {
                let text = format!("{}: take effect when this node is restarted", restart.join(", "));
                api.events.tell(Severity::Warn, "reload", text);
            }
            let took = began.elapsed().as_millis();
            api.events.tell(Severity::Info, "reload", format!("{} taken in {took} ms", path.display()));
        }
        Err(error) => {
            for line in error.to_string().lines() {
                api.events.tell(Severity::Error, "reload", line.to_owned());
            }
            let text =
                format!("{} not taken: nothing has changed, mend it and send SIGHUP again", path.display());
            api.events.tell(Severity::Error, "reload", text);
        }
    }
    outcome.map(drop)
}

/// The keys that need a restart.
async fn apply(api: &Api, config: Config) -> Result<Vec<String>, ReloadError> {
    let services: Vec<_> = config.services.iter().map(|service| (service.clone(), None)).collect();
    let made = api.changes.make(move |transaction| {
        let now = transaction.now;
        let savepoint = transaction.registry.savepoint();
        let replaced = transaction.registry.replace_all(Source::File, services, now);
        match &replaced {
            Ok(()) => transaction.retry_parked(),
            Err(_) => transaction.registry.rollback(&savepoint),
        }
        Ok(replaced)
    });
    made.await.map_err(ReloadError::Refused)?.map_err(ReloadError::Services)?;
    let started = &api.shared.config;
    let live = Config { ports: started.ports.clone(), routes: config.routes.clone(), ..Config::default() };
    api.shared.registry.lock().reroute(routes(&live));
    api.shared.routes.lock().publish(routes(&live));
    if config.log.level != api.file.lock().log.level {
        api.log.set(config.log.level);
    }
    let bare = |config: &Config| Config { services: Vec::new(), ..config.clone() };
    let mut restart = bare(started).differences(&bare(&config));
    restart.retain(|key| !LIVE.iter().any(|live| key.split(['.', '[']).next() == Some(live)));
    *api.file.lock() = config;
    Ok(restart)
}
