//! `/hitless/v1/services`: services with the keys of the configuration file.

use crate::{
    config::Service,
    manage::{
        BackendEntry, Parked, Put, Refusal, ServiceEntry, ServiceKey, Shared, Source, Transaction,
        api::{
            Api,
            answer::{Answer, Problem, Refused, code, done},
            extract::{Path, PlainJson},
        },
        health::Report,
    },
};
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use serde_json::Value;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use utoipa::ToSchema;

/// All services.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::manage::api) struct Services {
    services: Vec<ServiceStatus>,
    /// Services of the state file that do not fit the configuration, and wait until they do.
    waiting: Vec<WaitingService>,
}

/// A service and how it does.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::manage::api) struct ServiceStatus {
    /// With the keys of `[[service]]`.
    #[schema(value_type = Object)]
    service: Value,
    /// `file` or `api`: where it was defined.
    source: &'static str,
    /// Its backends, and those that leave.
    backends: Vec<BackendStatus>,
}

/// A backend and how it does.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct BackendStatus {
    #[schema(value_type = String)]
    address: IpAddr,
    /// Absent: the port the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    weight: u16,
    /// `up`, `down`, `draining`, `drained` or `leaving`.
    state: &'static str,
    /// When the sessions it has end, while it drains or leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in_ms: Option<u64>,
    /// Now.
    sessions: u64,
    /// Since it was added.
    sessions_total: u64,
    /// Both directions.
    packets: u64,
    /// Both directions.
    bytes: u64,
    /// How its probes go; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthStatus>,
}

/// How probes of a backend go.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct HealthStatus {
    /// Absent before the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    alive: Option<bool>,
    /// Probes that were answered.
    answered: u64,
    /// Probes that were not.
    failed: u64,
    /// Probes that this node could not send.
    unsent: u64,
    /// Why the last that failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// The mean time to an answer, in microseconds.
    mean_us: u64,
    /// The longest.
    longest_us: u64,
}

impl HealthStatus {
    fn of(report: &Report) -> Self {
        Self {
            alive: report.alive,
            answered: report.answered,
            failed: report.failed,
            unsent: report.unsent,
            failure: report.failure.map(|failure| failure.to_string()),
            mean_us: report.mean().as_micros(),
            longest_us: report.longest.as_micros(),
        }
    }
}

/// A service that waits.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct WaitingService {
    /// As it stands in the state file.
    #[schema(value_type = Object)]
    service: Value,
    /// Why it does not serve.
    reason: String,
}

impl ServiceStatus {
    fn of(entry: &ServiceEntry, shared: &Shared, now: Instant) -> Self {
        let statuses = shared.health.load();
        let backends = entry.backends.iter().map(|backend| {
            let health = statuses.backends.get(&backend.id).map(|status| HealthStatus::of(&status.read()));
            BackendStatus { health, ..BackendStatus::of(backend, shared, now) }
        });
        Self { service: entry.wanted.to_json(), source: entry.source.name(), backends: backends.collect() }
    }
}

impl BackendStatus {
    fn of(entry: &BackendEntry, shared: &Shared, now: Instant) -> Self {
        let load = shared.load_of(entry.id);
        let state = match entry.drain {
            Some(drain) if drain.leaving => "leaving",
            Some(drain) if drain.over => "drained",
            Some(_) => "draining",
            None if entry.healthy && entry.host_up => "up",
            None => "down",
        };
        let left =
            entry.drain.filter(|drain| !drain.over).map(|drain| drain.until.saturating_duration_since(now));
        Self {
            address: entry.wanted.address,
            port: entry.wanted.port,
            weight: entry.wanted.weight,
            state,
            ends_in_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            sessions: load.sessions,
            sessions_total: load.opened,
            packets: load.packets,
            bytes: load.bytes,
            health: None,
        }
    }
}

/// All services, those of the file and those of the API.
#[utoipa::path(get, path = "/services", tag = "services", responses((status = 200, body = Services), Refused))]
pub(in crate::manage::api) async fn list(State(api): State<Arc<Api>>) -> Json<Services> {
    let now = Instant::now();
    let services = api.shared.services.load();
    let waits =
        |parked: &Parked| WaitingService { service: parked.value.clone(), reason: parked.reason.clone() };
    Json(Services {
        services: services.iter().map(|entry| ServiceStatus::of(entry, &api.shared, now)).collect(),
        waiting: api.changes.saved().parked.iter().map(waits).collect(),
    })
}

/// A service.
#[utoipa::path(get, path = "/services/{name}", tag = "services", params(("name" = String, Path)),
    responses((status = 200, body = ServiceStatus), Refused))]
pub(in crate::manage::api) async fn get(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<ServiceStatus>, Problem> {
    let services = api.shared.services.load();
    match services.iter().find(|entry| entry.wanted.name == name) {
        Some(entry) => Ok(Json(ServiceStatus::of(entry, &api.shared, Instant::now()))),
        None => Err(unknown(&name).into()),
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::NotFound(format!("there is no service {name}: see `get lb`"))
}

fn parsed(mut value: Value, name: Option<&str>) -> Result<Service, Problem> {
    if let (Some(name), Some(keys)) = (name, value.as_object_mut()) {
        let said = keys.entry("name").or_insert_with(|| name.into());
        if said.is_null() {
            *said = name.into();
        }
        if said.as_str() != Some(name) {
            let text = format!("name: is {said}, allowed is the name in the path, or none");
            return Err(Problem::unfit(code::TYPE, text));
        }
    }
    Service::from_json(&value).map_err(|mistakes| Problem::unfit(code::TYPE, mistakes.join("; ")))
}

/// Create a service, or replace it. With the keys of `[[service]]`.
#[utoipa::path(put, path = "/services/{name}", tag = "services", params(("name" = String, Path)),
    request_body(content = Object, description = "A service with the keys of [[service]]"),
    responses((status = 200, body = super::super::answer::Done), Refused))]
pub(in crate::manage::api) async fn put(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    PlainJson(value): PlainJson,
) -> Answer {
    let service = parsed(value, Some(&name))?;
    api.changes.make(move |transaction| put_named(transaction, service)).await?;
    Ok(done())
}

fn put_named(transaction: &mut Transaction<'_>, service: Service) -> Result<Put, Refusal> {
    let key = ServiceKey::of(&service);
    let known = transaction.registry.named(&service.name).map(|entry| entry.key());
    if let Some(elsewhere) = known.filter(|known| *known != key) {
        // It moves: the place it leaves must be free for others.
        transaction.registry.remove(&elsewhere, Source::Api, transaction.now)?;
    }
    transaction.registry.put(service, None, Source::Api, transaction.now)
}

/// Delete a service that the API created.
#[utoipa::path(delete, path = "/services/{name}", tag = "services", params(("name" = String, Path)),
    responses((status = 200, body = super::super::answer::Done), Refused))]
pub(in crate::manage::api) async fn delete(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer {
    api.changes
        .make(move |transaction| {
            let Some(key) = transaction.registry.named(&name).map(|entry| entry.key()) else {
                let waiting = &mut transaction.saved_mut().parked;
                let before = waiting.len();
                waiting.retain(|parked| parked.name() != name);
                return if waiting.len() < before { Ok(()) } else { Err(unknown(&name)) };
            };
            transaction.registry.remove(&key, Source::Api, transaction.now).map(drop)
        })
        .await?;
    Ok(done())
}

/// Make these all the services of the API. What stays as it is does not notice.
#[utoipa::path(put, path = "/services", tag = "services",
    request_body(content = Object, description = "{\"services\": [...]}, each with the keys of [[service]]"),
    responses((status = 200, body = super::super::answer::Done), Refused))]
pub(in crate::manage::api) async fn put_all(
    State(api): State<Arc<Api>>,
    PlainJson(mut value): PlainJson,
) -> Answer {
    let list = value.get_mut("services").map(Value::take);
    let Some(Value::Array(list)) = list else {
        return Err(Problem::unfit(code::REQUIRED, "services: is missing, allowed is an array of services"));
    };
    let mut services = Vec::with_capacity(list.len());
    for (place, value) in list.into_iter().enumerate() {
        let service = Service::from_json(&value).map_err(|mistakes| {
            let path = |mistake: &String| format!("services[{place}].{mistake}");
            Problem::unfit(code::TYPE, mistakes.iter().map(path).collect::<Vec<_>>().join("; "))
        })?;
        services.push((service, None));
    }
    api.changes
        .make(move |transaction| {
            let now = transaction.now;
            transaction
                .registry
                .replace_all(Source::Api, services, now)
                .map_err(|refusals| refusals.0.into_iter().next().map_or_else(nothing, told))
        })
        .await?;
    Ok(done())
}

/// A refusal of one service among several.
fn told((name, refusal): (String, Refusal)) -> Refusal {
    let text = format!("service {name}: {refusal}");
    match refusal.kind() {
        crate::manage::RefusalKind::Conflict => Refusal::Conflict(text),
        crate::manage::RefusalKind::Capacity => Refusal::Unavailable(text),
        _ => Refusal::Malformed(text),
    }
}

fn nothing() -> Refusal {
    Refusal::Unavailable("try again".into())
}

/// Which backend to drain.
#[derive(Clone, Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::manage::api) struct WantedDrain {
    /// ADDRESS or ADDRESS:PORT; an IPv6 address with a port in brackets.
    backend: String,
    /// When the sessions it has end; absent: after the service's drain_timeout_s.
    #[serde(default)]
    deadline_s: Option<u32>,
    /// Take it back.
    #[serde(default)]
    undo: bool,
}

/// Give a backend no new sessions, and end those it has at a deadline. `name` may be VIP:PORT/PROTOCOL.
#[utoipa::path(post, path = "/services/{name}/drain", tag = "services", params(("name" = String, Path)),
    request_body = WantedDrain,
    responses((status = 200, body = super::super::answer::Done), Refused))]
pub(in crate::manage::api) async fn drain(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    PlainJson(value): PlainJson,
) -> Answer {
    let wanted: WantedDrain =
        serde_json::from_value(value).map_err(|error| Problem::unfit(code::TYPE, error.to_string()))?;
    let Some(backend) = backend(&wanted.backend) else {
        let text = format!("backend {:?}: write ADDRESS or ADDRESS:PORT", wanted.backend);
        return Err(Problem::new(StatusCode::BAD_REQUEST, text));
    };
    api.changes
        .make(move |transaction| {
            let now = transaction.now;
            let named: Vec<(ServiceKey, Duration)> = transaction
                .registry
                .services()
                .filter(|entry| is_meant(entry, &name))
                .map(|entry| (entry.key(), entry.wanted.drain_timeout.into()))
                .collect();
            let mut refused = unknown(&name);
            let mut count = 0;
            for (key, timeout) in named {
                let left = wanted.deadline_s.map_or(timeout, |seconds| Duration::from_secs(seconds.into()));
                let until = (!wanted.undo).then(|| now + left);
                match transaction.registry.drain(&key, backend, until) {
                    Ok(backends) => count += backends,
                    Err(refusal) => refused = refusal,
                }
            }
            if count > 0 { Ok(()) } else { Err(refused) }
        })
        .await?;
    Ok(done())
}

/// ADDRESS or ADDRESS:PORT.
fn backend(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, None));
    }
    text.parse::<SocketAddr>().ok().map(|place| (place.ip(), Some(place.port())))
}

/// Whether a service is called `name`, on this node or by LoxiLB's clients, or listens at that place.
fn is_meant(entry: &ServiceEntry, name: &str) -> bool {
    let wanted = &entry.wanted;
    let port = wanted.port.first();
    wanted.name == name
        || entry.rule_name() == name
        || format!("{}/{}", SocketAddr::new(wanted.vip, port), wanted.protocol) == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_an_address_with_or_without_a_port() {
        let v4 = IpAddr::from([10, 0, 0, 1]);
        let v6: IpAddr = "fd00::1".parse().unwrap();
        for (text, found) in [
            ("10.0.0.1", Some((v4, None))),
            ("10.0.0.1:8080", Some((v4, Some(8080)))),
            ("fd00::1", Some((v6, None))),
            ("[fd00::1]:80", Some((v6, Some(80)))),
            ("10.0.0.1:", None),
            ("web", None),
            ("", None),
        ] {
            assert_eq!(backend(text), found, "{text}");
        }
    }
}
