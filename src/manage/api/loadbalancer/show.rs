//! From services to rules.

use super::convert::selection;
use crate::{
    config::{Health, Probe},
    manage::{BackendEntry, Rule, ServiceEntry, Shared},
};
use serde::Serialize;
use std::net::IpAddr;
use utoipa::ToSchema;

/// All rules.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::manage::api) struct LoadBalancers {
    #[serde(rename = "lbAttr")]
    rules: Vec<LoadBalancer>,
}

/// A rule, as clients read it. What is empty or zero is left out, as LoxiLB does.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LoadBalancer {
    service_arguments: ServiceArguments,
    endpoints: Vec<Endpoint>,
    #[serde(rename = "secondaryIPs", skip_serializing_if = "Vec::is_empty")]
    secondary_ips: Vec<SecondaryAddress>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_sources: Vec<Source>,
}

/// The service of a rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServiceArguments {
    /// Virtual address.
    #[serde(rename = "externalIP")]
    #[schema(value_type = String)]
    external_ip: IpAddr,
    /// First port.
    port: u16,
    /// Last port of a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    port_max: Option<u16>,
    /// tcp, udp or sctp.
    protocol: &'static str,
    /// Scheduler: 0 rr, 1 hash, 2 weighted, 3 source, 4 least connections.
    sel: usize,
    /// 2: full NAT.
    mode: u8,
    #[serde(skip_serializing_if = "is_false")]
    monitor: bool,
    #[serde(skip_serializing_if = "is_false")]
    managed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    probetype: String,
    #[serde(skip_serializing_if = "is_zero")]
    probeport: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    probereq: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    proberesp: String,
    #[serde(skip_serializing_if = "is_zero")]
    probe_timeout: u32,
    #[serde(skip_serializing_if = "is_zero")]
    probe_retries: u32,
    /// Idle timeout in seconds.
    #[serde(rename = "inactiveTimeOut")]
    inactive_timeout: u64,
    /// The name it was created with, possibly empty, possibly that of several.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    /// Its own name on this node.
    service: String,
    /// Its scheduler as the configuration spells it.
    scheduler: &'static str,
    /// The HA instance that owns it.
    instance: String,
    /// Where it was defined: `file` or `api`.
    source: &'static str,
}

/// An endpoint of a rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LoadBalancerEndpoint)]
struct Endpoint {
    /// Its address.
    #[serde(rename = "endpointIP")]
    #[schema(value_type = String)]
    endpoint_ip: IpAddr,
    /// Its port; 0: the port the client asked for.
    target_port: u16,
    /// Its share of new sessions.
    weight: u16,
    /// `active`, or `inactive` while it gets no new sessions.
    state: &'static str,
    /// `packets:bytes`, both directions.
    counter: String,
    /// Sessions now.
    sessions: u64,
    /// Sessions since it was added.
    sessions_total: u64,
    /// It gets no new sessions and its own end at a deadline.
    #[serde(skip_serializing_if = "is_false")]
    draining: bool,
}

/// A further virtual address.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct SecondaryAddress {
    #[serde(rename = "secondaryIP")]
    #[schema(value_type = String)]
    secondary_ip: IpAddr,
}

/// A subnet whose clients may use the service.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LoadBalancerSource)]
struct Source {
    prefix: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl LoadBalancers {
    /// Of a node.
    pub(in crate::manage::api) fn of(shared: &Shared) -> Self {
        let services = shared.services.load();
        Self { rules: services.iter().map(|entry| LoadBalancer::of(entry, shared)).collect() }
    }
}

impl LoadBalancer {
    fn of(entry: &ServiceEntry, shared: &Shared) -> Self {
        let wanted = &entry.wanted;
        let rule = entry.rule.clone().unwrap_or_else(|| rule_of(&wanted.health));
        let secondary_ips: Vec<SecondaryAddress> =
            wanted.secondary_vips.iter().map(|vip| SecondaryAddress { secondary_ip: *vip }).collect();
        let mut allowed_sources: Vec<Source> =
            wanted.allowed_sources.iter().map(|prefix| Source { prefix: prefix.to_string() }).collect();
        // loxicmd takes a source for every second address, once there is one (R11 of LoxiLB's rules).
        if let Some(last) = allowed_sources.last().cloned()
            && allowed_sources.len() < secondary_ips.len()
        {
            allowed_sources.resize(secondary_ips.len(), last);
        }
        Self {
            service_arguments: ServiceArguments {
                external_ip: wanted.vip,
                port: wanted.port.first(),
                port_max: (!wanted.port.is_one()).then(|| wanted.port.last()),
                protocol: wanted.protocol.name(),
                sel: selection(wanted.scheduler),
                mode: 2,
                monitor: rule.monitor,
                managed: rule.managed,
                probetype: rule.probe_type,
                probeport: rule.probe_port.into(),
                probereq: rule.probe_request,
                proberesp: rule.probe_response,
                probe_timeout: rule.probe_timeout_s,
                probe_retries: rule.probe_retries.into(),
                inactive_timeout: wanted.idle_timeout.as_millis() / 1000,
                name: entry.rule_name().to_owned(),
                service: wanted.name.clone(),
                scheduler: wanted.scheduler.name(),
                instance: wanted.instance.clone(),
                source: entry.source.name(),
            },
            // Those that leave are no part of the rule any more.
            endpoints: entry.listed().map(|backend| Endpoint::of(backend, shared)).collect(),
            secondary_ips,
            allowed_sources,
        }
    }
}

/// What a rule would say of backends that are probed like this.
fn rule_of(health: &Health) -> Rule {
    if health.probe == Probe::None {
        return Rule::default();
    }
    let probe_request = match health.probe {
        Probe::Http | Probe::Https => health.path.clone(),
        Probe::Udp => health.payload.clone(),
        _ => String::new(),
    };
    Rule {
        monitor: true,
        probe_type: health.probe.name().into(),
        probe_port: health.port.unwrap_or(0),
        probe_request,
        probe_response: health.reply.clone(),
        probe_timeout_s: u32::try_from(health.interval.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
        probe_retries: health.fall,
        ..Rule::default()
    }
}

impl Endpoint {
    fn of(entry: &BackendEntry, shared: &Shared) -> Self {
        let (wanted, load) = (&entry.wanted, shared.load_of(entry.id));
        Self {
            endpoint_ip: wanted.address,
            target_port: wanted.port.unwrap_or(0),
            weight: wanted.weight,
            state: if entry.is_available() { "active" } else { "inactive" },
            counter: format!("{}:{}", load.packets, load.bytes),
            sessions: load.sessions,
            sessions_total: load.opened,
            draining: entry.drain.is_some(),
        }
    }
}
