//! `config/endpoint` and `config/endpointhoststate`: hosts to be probed, and what others say of them.

use super::{
    Api,
    answer::{Answer, Problem, Refused, code, done},
    extract::{LoxiJson, Path, Query},
};
use crate::{
    config::Probe,
    manage::{
        BackendEntry, Endpoint, HostState, MAX_SAVED, Refusal, Saved, ServiceEntry,
        health::{Report, Status},
    },
    types::{Duration, Protocol},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use utoipa::{IntoParams, ToSchema};

/// All endpoints: those that were created, and the backends of all services.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Endpoints {
    #[serde(rename = "Attr")]
    endpoints: Vec<EndpointEntry>,
}

/// An endpoint.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointEntry {
    #[schema(value_type = String)]
    host_name: IpAddr,
    name: String,
    #[serde(rename = "inactiveReTries")]
    inactive_retries: u32,
    probe_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    probe_req: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    probe_resp: String,
    probe_duration: u32,
    probe_port: u16,
    /// The shortest time to an answer; empty before the first.
    min_delay: String,
    avg_delay: String,
    max_delay: String,
    /// `ok` until a probe or its host's state says `nok`.
    curr_state: &'static str,
}

/// Endpoints.
#[utoipa::path(get, path = "/config/endpoint/all", tag = "endpoint",
    responses((status = 200, body = Endpoints), Refused))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Endpoints> {
    let (saved, health) = (api.changes.saved(), api.shared.health.load());
    let report = |status: Option<&Arc<Status>>| status.map(|status| status.read()).unwrap_or_default();
    let mut entries: BTreeMap<(IpAddr, String), EndpointEntry> = BTreeMap::new();
    for service in api.shared.services.load().iter() {
        for backend in service.listed() {
            let mut entry = EndpointEntry::of_backend(service, backend);
            entry.set_delays(&report(health.backends.get(&backend.id)));
            entries.insert((entry.host_name, entry.name.clone()), entry);
        }
    }
    for (key, endpoint) in &saved.endpoints {
        let report = report(health.endpoints.get(key));
        entries.insert(key.clone(), EndpointEntry::of(endpoint, &saved, &report));
    }
    Json(Endpoints { endpoints: entries.into_values().collect() })
}

const fn state(up: bool) -> &'static str {
    if up { "ok" } else { "nok" }
}

impl EndpointEntry {
    fn set_delays(&mut self, report: &Report) {
        if report.answered > 0 {
            let text = |delay: Duration| format!("{:.3}ms", delay.as_secs_f64() * 1e3);
            self.min_delay = text(report.shortest);
            self.avg_delay = text(report.mean());
            self.max_delay = text(report.longest);
        }
    }

    fn of(endpoint: &Endpoint, saved: &Saved, report: &Report) -> Self {
        let is_down = |host: &HostState| {
            host.host == endpoint.host && (endpoint.port == 0 || host.port == endpoint.port) && !host.up
        };
        let up = report.alive != Some(false) && !saved.hosts.iter().any(is_down);
        let mut entry = Self {
            host_name: endpoint.host,
            name: endpoint.name.clone(),
            inactive_retries: endpoint.retries,
            probe_type: endpoint.probe.clone(),
            probe_req: endpoint.request.clone(),
            probe_resp: endpoint.response.clone(),
            probe_duration: endpoint.interval_s,
            probe_port: endpoint.port,
            min_delay: String::new(),
            avg_delay: String::new(),
            max_delay: String::new(),
            curr_state: state(up),
        };
        entry.set_delays(report);
        entry
    }

    fn of_backend(service: &ServiceEntry, backend: &BackendEntry) -> Self {
        let (wanted, health) = (&service.wanted, &service.wanted.health);
        let port = backend.wanted.port.unwrap_or_else(|| wanted.port.first());
        let probe = if health.probe == Probe::None { "none" } else { health.probe.name() };
        Self {
            host_name: backend.wanted.address,
            name: format!("{}_{}_{port}", backend.wanted.address, wanted.protocol),
            inactive_retries: health.fall.into(),
            probe_type: probe.into(),
            probe_req: if matches!(health.probe, Probe::Http | Probe::Https) {
                health.path.clone()
            } else {
                String::new()
            },
            probe_resp: health.reply.clone(),
            probe_duration: u32::try_from(health.interval.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
            probe_port: health.port.unwrap_or(port),
            min_delay: String::new(),
            avg_delay: String::new(),
            max_delay: String::new(),
            curr_state: state(backend.healthy && backend.host_up),
        }
    }
}

/// A host to be probed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct WantedEndpoint {
    /// Its IP address.
    #[serde(rename = "hostName", alias = "hostname")]
    host_name: String,
    /// Empty: made of the other values.
    #[serde(default)]
    name: String,
    #[serde(rename = "inactiveReTries", alias = "inactiveretries", default)]
    inactive_retries: u32,
    /// tcp, udp, sctp, ping, http, https or none.
    #[serde(rename = "probeType", alias = "probetype", default)]
    probe_type: String,
    #[serde(rename = "probeReq", alias = "probereq", default)]
    probe_req: String,
    #[serde(rename = "probeResp", alias = "proberesp", default)]
    probe_resp: String,
    /// Seconds.
    #[serde(rename = "probeDuration", alias = "probeduration", default)]
    probe_duration: u32,
    #[serde(rename = "probePort", alias = "probeport", default)]
    probe_port: u16,
}

const PROBES: [&str; 7] = ["tcp", "udp", "sctp", "ping", "http", "https", "none"];

/// A probe as it is called now, or was called once.
fn probe(text: &str) -> Option<&'static str> {
    let text = text.strip_prefix("connect-").unwrap_or(text);
    PROBES.into_iter().find(|probe| *probe == text)
}

/// What an endpoint is known by.
fn name(name: &str, host: IpAddr, probe: &str, port: u16) -> String {
    match name {
        "" => format!("{host}_{probe}_{port}"),
        name => name.to_owned(),
    }
}

fn host(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, format!("hostarm-args error: {text:?} is no IP address"))
    })
}

/// Create a host to be probed, or change it.
#[utoipa::path(post, path = "/config/endpoint", tag = "endpoint", request_body = WantedEndpoint,
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    LoxiJson(wanted): LoxiJson<WantedEndpoint>,
) -> Answer {
    let host = host(&wanted.host_name)?;
    let asked = if wanted.probe_type.is_empty() { "ping" } else { &wanted.probe_type };
    let Some(probe) = probe(asked) else {
        let text = format!("probeType in body should be one of [{}]", PROBES.join(" "));
        return Err(Problem::unfit(code::ENUM, text));
    };
    if probe == "sctp" {
        let text = "probeType sctp is not supported: use ping";
        return Err(Problem::new(StatusCode::BAD_REQUEST, text));
    }
    if !matches!(probe, "ping" | "none") && wanted.probe_port == 0 {
        let text = format!("malformed probePort: a {probe} probe needs one");
        return Err(Problem::new(StatusCode::BAD_REQUEST, text));
    }
    if [&wanted.name, &wanted.probe_req, &wanted.probe_resp].into_iter().any(|text| text.len() > 1024) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed endpoint: a text is longer than 1024 bytes",
        ));
    }
    let endpoint = Endpoint {
        host,
        name: name(&wanted.name, host, probe, wanted.probe_port),
        probe: probe.into(),
        request: wanted.probe_req,
        response: wanted.probe_resp,
        interval_s: if wanted.probe_duration == 0 { 60 } else { wanted.probe_duration },
        port: wanted.probe_port,
        retries: if wanted.inactive_retries == 0 { 2 } else { wanted.inactive_retries },
    };
    if endpoint.probe != "none" && endpoint.health().is_none() {
        let text = format!(
            "malformed probeReq or probeResp: a {probe} probe does not take them, see [service.health]"
        );
        return Err(Problem::new(StatusCode::BAD_REQUEST, text));
    }
    api.changes
        .make(move |transaction| {
            let endpoints = &mut transaction.saved_mut().endpoints;
            let key = (endpoint.host, endpoint.name.clone());
            if endpoints.len() >= MAX_SAVED && !endpoints.contains_key(&key) {
                return Err(Refusal::Full { what: "endpoints" });
            }
            endpoints.insert(key, endpoint);
            Ok(())
        })
        .await?;
    Ok(done())
}

/// What an endpoint was created with.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfEndpoint {
    #[serde(default)]
    name: String,
    #[serde(default)]
    probe_type: String,
    #[serde(default)]
    probe_port: u16,
}

/// Delete a host to be probed.
#[utoipa::path(delete, path = "/config/endpoint/epipaddress/{ip_address}", tag = "endpoint",
    params(("ip_address" = String, Path), OfEndpoint),
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(ip_address): Path<String>,
    Query(of): Query<OfEndpoint>,
) -> Answer {
    let host = host(&ip_address)?;
    let asked = if of.probe_type.is_empty() { "ping" } else { &of.probe_type };
    let name = name(&of.name, host, probe(asked).unwrap_or("none"), of.probe_port);
    api.changes
        .make(move |transaction| match transaction.saved_mut().endpoints.remove(&(host, name.clone())) {
            Some(_) => Ok(()),
            None => {
                Err(Refusal::NotFound(format!("host-notfound error: there is no endpoint {name} at {host}")))
            }
        })
        .await?;
    Ok(done())
}

/// What somebody outside says of a host.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct WantedHostState {
    /// Its IP address.
    #[serde(rename = "hostName", alias = "hostname", default)]
    host_name: String,
    /// The port of the backends it is about; 0: those that get the port the client asked for.
    #[serde(rename = "epPort", alias = "epport", default)]
    port: u16,
    /// tcp, udp or sctp.
    #[serde(rename = "epProto", alias = "epproto", default)]
    protocol: String,
    /// green, yellow or red: red gets no new sessions.
    #[serde(default)]
    state: String,
}

/// Say whether the backends at a host and port take new sessions.
#[utoipa::path(post, path = "/config/endpointhoststate", tag = "endpoint", request_body = WantedHostState,
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn set_host_state(
    State(api): State<Arc<Api>>,
    LoxiJson(wanted): LoxiJson<WantedHostState>,
) -> Answer {
    let host = host(&wanted.host_name)?;
    let malformed = |text: String| Problem::new(StatusCode::BAD_REQUEST, text);
    let protocol: Protocol = wanted
        .protocol
        .parse()
        .map_err(|()| malformed(format!("malformed epProto {:?}: use tcp, udp or sctp", wanted.protocol)))?;
    let up = match wanted.state.as_str() {
        "green" | "yellow" => true,
        "red" => false,
        other => return Err(malformed(format!("invalid state {other:?}: use green, yellow or red"))),
    };
    let state =
        HostState { host, port: wanted.port, protocol: protocol.name().into(), up, word: wanted.state };
    api.changes
        .make(move |transaction| {
            transaction.registry.set_host(host, state.port, protocol, up);
            let hosts = &mut transaction.saved_mut().hosts;
            hosts.retain(|known| {
                (known.host, known.port, &known.protocol) != (state.host, state.port, &state.protocol)
            });
            if hosts.len() >= MAX_SAVED {
                return Err(Refusal::Full { what: "endpoints" });
            }
            hosts.insert(state);
            Ok(())
        })
        .await?;
    Ok(done())
}
