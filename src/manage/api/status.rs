//! `version`, `config/params` and `status/process`.

use super::{
    Api,
    answer::{Answer, Problem, Refused, code, done},
    extract::LoxiJson,
};
use crate::config::LogLevel;
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use std::{fs, sync::Arc};
use utoipa::ToSchema;

/// This program.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    version: &'static str,
    /// What it was built with.
    build_info: String,
}

/// The version.
#[utoipa::path(get, path = "/version", tag = "status",
    responses((status = 200, body = Version), Refused))]
pub(super) async fn version() -> Json<Version> {
    #[cfg(feature = "dpdk")]
    let build_info = crate::dpdk::version();
    #[cfg(not(feature = "dpdk"))]
    let build_info = "built without DPDK".to_owned();
    Json(Version { version: env!("CARGO_PKG_VERSION"), build_info })
}

/// What can be set while it runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Parameters {
    /// trace, debug, info, notice, warning, error, critical, emergency or alert.
    #[serde(rename = "logLevel", alias = "loglevel")]
    log_level: String,
}

/// LoxiLB's levels, and ours.
const LEVELS: [(&str, LogLevel); 9] = [
    ("trace", LogLevel::Trace),
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("notice", LogLevel::Info),
    ("warning", LogLevel::Warn),
    ("error", LogLevel::Error),
    ("critical", LogLevel::Error),
    ("emergency", LogLevel::Error),
    ("alert", LogLevel::Error),
];

/// The log level.
#[utoipa::path(get, path = "/config/params", tag = "status",
    responses((status = 200, body = Parameters), Refused))]
pub(super) async fn parameters(State(api): State<Arc<Api>>) -> Json<Parameters> {
    let level = api.log.level();
    let name = LEVELS.iter().find(|(_, known)| *known == level).map_or("info", |(name, _)| name);
    Json(Parameters { log_level: name.into() })
}

/// Set the log level, until the next start or reload.
#[utoipa::path(post, path = "/config/params", tag = "status", request_body = Parameters,
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn set_parameters(
    State(api): State<Arc<Api>>,
    LoxiJson(wanted): LoxiJson<Parameters>,
) -> Answer {
    let names: Vec<&str> = LEVELS.iter().map(|(name, _)| *name).collect();
    match LEVELS.iter().find(|(name, _)| *name == wanted.log_level) {
        Some((_, level)) => {
            api.log.set(*level);
            Ok(done())
        }
        None => {
            let text = format!("logLevel in body should be one of [{}]", names.join(" "));
            Err(Problem::unfit(code::ENUM, text))
        }
    }
}

/// Processes: this one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Processes {
    #[serde(rename = "processAttr")]
    processes: Vec<Process>,
}

/// A process, as `top` shows it.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Process {
    pid: String,
    user: String,
    priority: String,
    nice: String,
    virt_memory: String,
    resident_size: String,
    shared_memory: String,
    status: String,
    #[serde(rename = "CPUUsage")]
    cpu_usage: String,
    #[serde(rename = "MemoryUsage")]
    memory_usage: String,
    time: String,
    command: String,
}

/// The process.
#[utoipa::path(get, path = "/status/process", tag = "status",
    responses((status = 200, body = Processes), Refused))]
pub(super) async fn processes() -> Json<Processes> {
    Json(Processes { processes: Process::this().into_iter().collect() })
}

/// Clock ticks a second in `/proc`, on every architecture Linux runs DPDK on.
const TICKS: f64 = 100.0;

impl Process {
    /// Reads `/proc`, see proc_pid_stat(5); `None` where there is none.
    fn this() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let memory = fs::read_to_string("/proc/meminfo").ok()?;
        // The command may hold blanks; what follows its parenthesis does not.
        let (head, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number =
            |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        let kilobytes = |text: &str, key: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0)
        };
        let resident = kilobytes(&status, "VmRSS:");
        let shared = kilobytes(&status, "RssFile:") + kilobytes(&status, "RssShmem:");
        let seconds = (number(11) + number(12)) / TICKS;
        let age = uptime.split_whitespace().next()?.parse::<f64>().ok()? - number(19) / TICKS;
        let share = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
        Some(Self {
            pid: head.split_whitespace().next()?.into(),
            user: kilobytes(&status, "Uid:").to_string(),
            priority: number(15).to_string(),
            nice: number(16).to_string(),
            virt_memory: format!("{}k", kilobytes(&status, "VmSize:")),
            resident_size: format!("{resident}k"),
            shared_memory: format!("{shared}k"),
            status: fields.first().copied().unwrap_or_default().into(),
            cpu_usage: format!("{:.1}", share(seconds, age)),
            memory_usage: format!("{:.1}", share(resident, kilobytes(&memory, "MemTotal:"))),
            time: format!("{}:{:05.2}", (seconds / 60.0).floor(), seconds % 60.0),
            command: head.split_once('(').map(|(_, name)| name.to_owned()).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let process = Process::this().unwrap();
        assert_eq!(process.pid, std::process::id().to_string());
        assert!(process.resident_size.trim_end_matches('k').parse::<f64>().unwrap() > 100.0);
        assert!(process.cpu_usage.parse::<f64>().is_ok() && !process.command.is_empty());
    }
}
