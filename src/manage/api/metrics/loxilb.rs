//! LoxiLB's metrics, by the names its dashboards know: those of today, and beside each its older name.
//!
//! Left out is what this node does not know: samples a client (their number has no bound), flows that are closed and
//! not yet forgotten, errors and loads a service, firewall rules, LCUs.

use super::{
    ledger::{Ledger, Totals},
    machine::Utilization,
    services::Overview,
    text::{Exposition, Kind, Label},
};
use crate::{
    manage::{ServiceEntry, Shared},
    plane::{Counter, Tally},
    types::{DropReason, Protocol},
};
use std::{collections::BTreeMap, net::IpAddr};

/// What the node knows.
pub(super) struct Facts<'a> {
    pub(super) shared: &'a Shared,
    /// All workers together.
    pub(super) total: &'a Tally,
    pub(super) overview: &'a Overview<'a>,
    pub(super) ledger: &'a Ledger,
    /// Sessions opened in ten seconds.
    pub(super) new_flows: f64,
    pub(super) utilization: Utilization,
}

pub(super) fn write(out: &mut Exposition, facts: &Facts<'_>) {
    sessions(out, facts);
    services(out, facts);
    traffic(out, facts);
    let Utilization { cpu, memory, disk } = facts.utilization;
    let percents = [
        (
            "loxilb_system_cpu_utilization_percent",
            "Share of the machine's CPU time in use. Polling is use.",
            cpu,
        ),
        ("loxilb_system_memory_utilization_percent", "Share of the machine's memory in use.", memory),
        ("loxilb_system_disk_utilization_percent", "Share of the root file system in use.", disk),
    ];
    for (name, help, value) in percents {
        if let Some(value) = value {
            out.one(name, Kind::Gauge, help, value);
        }
    }
}

/// A value by today's name and the older one.
fn both(out: &mut Exposition, name: &str, kind: Kind, older: &str, help: &str, value: f64) {
    out.one(name, kind, help, value);
    out.one(older, Kind::Untyped, help, value);
}

fn sessions(out: &mut Exposition, facts: &Facts<'_>) {
    let total = facts.total;
    let active = total.get(Counter::SessionsV4) + total.get(Counter::SessionsV6);
    let help = "Sessions now.";
    both(out, "loxilb_active_conntrack_entries", Kind::Gauge, "active_conntrack_count", help, active as f64);
    let help = "Sessions there is room for.";
    out.one("loxilb_conntrack_max_entries", Kind::Gauge, help, facts.shared.config.nat.max_sessions);
    for protocol in Protocol::ALL {
        let of_protocol = facts.overview.all.iter().filter(|service| service.wanted.protocol == protocol);
        let backends = of_protocol.flat_map(|service| &service.backends);
        let active: u64 = backends.map(|backend| facts.shared.load_of(backend.id).sessions).sum();
        let name = format!("loxilb_active_flow_count_{protocol}");
        let help = format!("Sessions of protocol {protocol} now.");
        both(out, &name, Kind::Gauge, &format!("active_flow_count_{protocol}"), &help, active as f64);
    }
    let help = "Sessions opened in ten seconds.";
    both(out, "loxilb_new_flows", Kind::Gauge, "new_flow_count", help, facts.new_flows);
    let ended = total.get(Counter::SessionsEnded);
    let help = "Sessions ended.";
    out.one("loxilb_closed_connections_processed_total", Kind::Counter, help, ended);
}

fn services(out: &mut Exposition, facts: &Facts<'_>) {
    let overview = facts.overview;
    both(out, "loxilb_lb_rules", Kind::Gauge, "lb_rule_count", "Services.", overview.all.len() as f64);
    let listed = || overview.all.iter().flat_map(|service| service.listed());
    let healthy = listed().filter(|backend| backend.healthy && backend.host_up).count();
    let help = "Backends that are alive.";
    both(out, "loxilb_healthy_endpoints", Kind::Gauge, "healthy_host_count", help, healthy as f64);
    let unhealthy = listed().count() - healthy;
    let help = "Backends that are not alive.";
    both(out, "loxilb_unhealthy_endpoints", Kind::Gauge, "unhealthy_host_count", help, unhealthy as f64);

    let opened = facts.total.get(Counter::SessionsOpened) as f64;
    both(out, "loxilb_requests_total", Kind::Counter, "total_requests", "Sessions opened.", opened);
    // Several services may have one name with LoxiLB's clients: each port of a Kubernetes Service is one.
    let mut by_name: BTreeMap<&str, Totals> = BTreeMap::new();
    for service in &overview.services {
        *by_name.entry(service.rule_name()).or_default() += facts.ledger.service(&service.key());
    }
    type Field = fn(&Totals) -> u64;
    let families: [(&str, Kind, &str, Field); 4] = [
        ("loxilb_service_requests_total", Kind::Counter, "Sessions opened.", |totals| totals.opened),
        ("total_requests_per_service", Kind::Untyped, "Sessions opened.", |totals| totals.opened),
        ("loxilb_service_traffic_bytes_total", Kind::Counter, "Bytes forwarded.", |totals| totals.bytes),
        ("loxilb_service_traffic_packets_total", Kind::Counter, "Packets forwarded.", |totals| {
            totals.packets
        }),
    ];
    for (name, kind, help, field) in families {
        let mut family = out.family(name, kind, help);
        for (service, totals) in &by_name {
            family.sample(&[("service", service)], field(totals));
        }
    }
    let mut by_endpoint: BTreeMap<(&str, IpAddr), u64> = BTreeMap::new();
    for shown in &overview.backends {
        let service: &ServiceEntry = shown.service;
        *by_endpoint.entry((service.rule_name(), shown.backend.wanted.address)).or_default() +=
            shown.load.bytes;
    }
    let mut family = out.family("loxilb_endpoint_traffic_bytes_total", Kind::Counter, "Bytes forwarded.");
    for ((service, address), bytes) in &by_endpoint {
        let labels: [Label<'_>; 2] = [("service", service), ("dip", address)];
        family.sample(&labels, bytes);
    }
}

fn traffic(out: &mut Exposition, facts: &Facts<'_>) {
    let total = facts.total;
    let drops =
        |reasons: &[DropReason]| reasons.iter().map(|reason| total.drops(*reason)).sum::<u64>() as f64;
    let errors = [DropReason::NoBackend, DropReason::PortsExhausted, DropReason::SessionTableFull];
    let help = "Packets that would have opened a session and could not.";
    both(out, "loxilb_errors_total", Kind::Counter, "total_errors", help, drops(&errors));
    let help = "Packets refused because of allowed sources.";
    let refused = drops(&[DropReason::SourceRefused]);
    both(out, "loxilb_fw_drop_packets_total", Kind::Counter, "total_fw_drops", help, refused);

    let bytes = total.get(Counter::TxBytes) as f64;
    both(out, "loxilb_processed_bytes_total", Kind::Counter, "processed_bytes", "Bytes forwarded.", bytes);
    let packets = total.get(Counter::Forwarded) as f64;
    both(
        out,
        "loxilb_processed_packets_total",
        Kind::Counter,
        "processed_packets",
        "Packets forwarded.",
        packets,
    );
    for protocol in Protocol::ALL {
        let totals = facts.ledger.protocol(protocol);
        let name = format!("loxilb_processed_{protocol}_bytes_total");
        let help = format!("Bytes of protocol {protocol} forwarded for services.");
        both(out, &name, Kind::Counter, &format!("processed_{protocol}_bytes"), &help, totals.bytes as f64);
        let name = format!("loxilb_processed_{protocol}_packets_total");
        let help = format!("Packets of protocol {protocol} forwarded for services.");
        out.one(&name, Kind::Counter, &help, totals.packets);
    }
}
