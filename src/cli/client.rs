//! The command line as a client of the API.

use super::{Daemon, Failure};
use serde_json::Value;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the daemon.
pub(super) fn get(daemon: &Daemon, path: &str) -> Result<Value, Failure> {
    let host =
        if daemon.server.contains(':') { format!("[{}]", daemon.server) } else { daemon.server.clone() };
    let url = format!("http://{host}:{}{path}", daemon.port);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent.get(&url).call().map_err(|error| unreachable_daemon(daemon, &error))?;
    let status = response.status();
    let body: Value = response
        .body_mut()
        .with_config()
        .limit(1 << 30)
        .read_json()
        .map_err(|error| Failure::Refused(format!("the answer of {url} cannot be read: {error}")))?;
    if status.is_success() {
        return Ok(body);
    }
    let reason =
        body.get("result").or(body.get("message")).and_then(Value::as_str).unwrap_or("no reason given");
    Err(Failure::Refused(format!("the daemon refused: {reason}")))
}

fn unreachable_daemon(daemon: &Daemon, error: &ureq::Error) -> Failure {
    Failure::Unreachable(format!(
        "no hitless answers at {}:{} ({error}): start it with `hitless run -c FILE`, or name it with --server and --port",
        daemon.server, daemon.port
    ))
}
