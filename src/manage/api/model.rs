//! The JSON of the API, with LoxiLB's names where it is LoxiLB's.

use crate::{
    config::Scheduler,
    manage::{BackendEntry, ServiceEntry, Shared},
    plane::{Counter, Tally},
    session::{Record, State},
    types::{DropReason, Mac, Protocol},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::net::IpAddr;

/// `GET version`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// This program's.
    pub version: String,
    /// What it was built with.
    pub build_info: String,
}

impl Version {
    /// Of the running program.
    pub fn this() -> Self {
        #[cfg(feature = "dpdk")]
        let build_info = crate::dpdk::version();
        #[cfg(not(feature = "dpdk"))]
        let build_info = "built without DPDK".to_owned();
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), build_info }
    }
}

/// An element of `lbAttr`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// The service.
    pub service_arguments: ServiceArguments,
    /// Its backends.
    pub endpoints: Vec<Endpoint>,
}

/// A service in LoxiLB's words.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceArguments {
    /// Virtual address.
    #[serde(rename = "externalIP")]
    pub external_ip: IpAddr,
    /// First port.
    pub port: u16,
    /// Last port of a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_max: Option<u16>,
    /// tcp, udp or sctp.
    pub protocol: &'static str,
    /// Scheduler: 0 rr, 1 hash, 2 weighted, 3 source, 4 least connections.
    pub sel: u8,
    /// 2: full NAT.
    pub mode: u8,
    /// Idle timeout in seconds.
    #[serde(rename = "inactiveTimeOut")]
    pub inactive_timeout: u64,
    /// Its name.
    pub name: String,
    /// Its scheduler as the configuration spells it.
    pub scheduler: &'static str,
    /// The HA instance that owns it.
    pub instance: String,
    /// Where it was defined.
    pub source: &'static str,
}

/// A backend in LoxiLB's words.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its address.
    #[serde(rename = "endpointIP")]
    pub endpoint_ip: IpAddr,
    /// Its port; 0: the port the client asked for.
    pub target_port: u16,
    /// Its weight.
    pub weight: u16,
    /// `active` or `inactive`.
    pub state: &'static str,
    /// `packets:bytes`, both directions.
    pub counter: String,
    /// Sessions now.
    pub sessions: u64,
    /// Sessions since it was added.
    pub sessions_total: u64,
}

const fn selection(scheduler: Scheduler) -> u8 {
    match scheduler {
        Scheduler::RoundRobin => 0,
        Scheduler::Maglev => 1,
        Scheduler::WeightedRoundRobin => 2,
        Scheduler::SourceHash => 3,
        Scheduler::LeastConnections => 4,
    }
}

impl LoadBalancer {
    /// A service with its counters.
    pub fn of(entry: &ServiceEntry, shared: &Shared) -> Self {
        let wanted = &entry.wanted;
        let endpoint = |entry: &BackendEntry| {
            let (backend, id) = (&entry.wanted, &entry.id);
            let mut totals = (0, 0, 0, 0);
            for counters in &shared.backends {
                let (packets, bytes, opened) = counters.totals(*id);
                totals = (
                    totals.0 + packets,
                    totals.1 + bytes,
                    totals.2 + opened,
                    totals.3 + counters.active(*id),
                );
            }
            Endpoint {
                endpoint_ip: backend.address,
                target_port: backend.port.unwrap_or(0),
                weight: backend.weight,
                state: if entry.is_available() { "active" } else { "inactive" },
                counter: format!("{}:{}", totals.0, totals.1),
                sessions: totals.3,
                sessions_total: totals.2,
            }
        };
        Self {
            service_arguments: ServiceArguments {
                external_ip: wanted.vip,
                port: wanted.port.first(),
                port_max: (!wanted.port.is_one()).then(|| wanted.port.last()),
                protocol: wanted.protocol.name(),
                sel: selection(wanted.scheduler),
                mode: 2,
                inactive_timeout: wanted.idle_timeout.as_millis() / 1000,
                name: wanted.name.clone(),
                scheduler: wanted.scheduler.name(),
                instance: wanted.instance.clone(),
                source: entry.source.name(),
            },
            endpoints: entry.backends.iter().map(endpoint).collect(),
        }
    }
}

/// An element of `ctAttr`: one direction of a session.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conntrack {
    #[serde(rename = "destinationIP")]
    destination_ip: IpAddr,
    #[serde(rename = "sourceIP")]
    source_ip: IpAddr,
    destination_port: u16,
    source_port: u16,
    protocol: &'static str,
    conntrack_state: &'static str,
    ident: &'static str,
    conntrack_act: String,
    packets: u64,
    bytes: u64,
    serv_name: String,
    idle_ms: u32,
}

/// LoxiLB's word for a state.
const fn state_name(protocol: Protocol, state: State) -> &'static str {
    match (protocol, state) {
        (Protocol::Udp, State::Opening) => "udp-uni",
        (Protocol::Udp, _) => "udp-est",
        (Protocol::Sctp, State::Opening) => "init",
        (_, State::Opening) => "sync-sent",
        (_, State::Answered) => "sync-ack",
        (_, State::Established) => "est",
        (_, State::ClientClosed | State::BackendClosed | State::Closing) => "fini",
        (_, State::Closed | State::Reset) => "closed-wait",
    }
}

impl Conntrack {
    /// The two entries LoxiLB's users expect of a session.
    pub fn both_directions(record: &Record, service: &str) -> [Self; 2] {
        let entry = |source: (IpAddr, u16), destination: (IpAddr, u16), conntrack_act| Self {
            destination_ip: destination.0,
            source_ip: source.0,
            destination_port: destination.1,
            source_port: source.1,
            protocol: record.protocol.name(),
            conntrack_state: state_name(record.protocol, record.state),
            ident: "0",
            conntrack_act,
            packets: record.packets,
            bytes: record.bytes,
            serv_name: service.to_owned(),
            idle_ms: record.idle_ms,
        };
        let there = format!("fdnat-{},{}:{}:w0", record.local.0, record.backend.0, record.backend.1);
        let back = format!("fsnat-{},{}:{}:w0", record.vip.0, record.client.0, record.client.1);
        [entry(record.client, record.vip, there), entry(record.backend, record.local, back)]
    }
}

/// An element of `portAttr`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortEntry {
    port_name: String,
    port_no: u8,
    zone: &'static str,
    device: String,
    port_software_information: PortSoftware,
    port_hardware_information: PortHardware,
    port_statistic_information: PortCounters,
    port_l3_information: PortAddresses,
    port_l2_information: PortVlan,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortSoftware {
    port_active: bool,
    /// 1: physical.
    port_type: u8,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortCounters {
    rx_bytes: u64,
    tx_bytes: u64,
    rx_packets: u64,
    tx_packets: u64,
    rx_errors: u64,
    tx_errors: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortHardware {
    raw_mac_address: [u8; 6],
    mac_address: String,
    mtu: u16,
    link: bool,
    state: bool,
}

#[derive(Clone, Debug, Serialize)]
struct PortAddresses {
    routed: bool,
    #[serde(rename = "IPv4Address")]
    ipv4: Vec<String>,
    #[serde(rename = "IPv6Address")]
    ipv6: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortVlan {
    is_pvid: bool,
    vid: u16,
}

impl PortEntry {
    /// All ports.
    pub fn all(shared: &Shared) -> Vec<Self> {
        let known = shared.port_status.lock().clone();
        let entry = |(facts, port): (&crate::port::PortFacts, &crate::config::Port)| {
            let status = known.get(facts.id.index()).copied().unwrap_or_default();
            // A driver that does not say has no link to lose.
            let link = status.link.unwrap_or(true);
            let texts = |v4: bool| {
                let own = port.addresses.iter().filter(|own| own.address().is_ipv4() == v4);
                own.map(ToString::to_string).collect()
            };
            Self {
                port_name: facts.name.clone(),
                port_no: facts.id.0,
                zone: "root",
                device: port.device.clone(),
                port_hardware_information: PortHardware {
                    raw_mac_address: facts.mac.0,
                    mac_address: facts.mac.to_string(),
                    mtu: facts.mtu,
                    link,
                    state: link,
                },
                port_software_information: PortSoftware { port_active: link, port_type: 1 },
                port_statistic_information: PortCounters {
                    rx_bytes: status.bytes[0],
                    tx_bytes: status.bytes[1],
                    rx_packets: status.packets[0],
                    tx_packets: status.packets[1],
                    rx_errors: status.errors[0],
                    tx_errors: status.errors[1],
                },
                port_l3_information: PortAddresses { routed: true, ipv4: texts(true), ipv6: texts(false) },
                port_l2_information: PortVlan { is_pvid: facts.vlan != 0, vid: facts.vlan },
            }
        };
        shared.ports.iter().zip(&shared.config.ports).map(entry).collect()
    }
}

/// An element of `neighborAttr`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NeighborEntry {
    ip_address: IpAddr,
    mac_address: String,
    dev: String,
    state: String,
    pinned: bool,
}

impl NeighborEntry {
    /// All neighbours.
    pub fn all(shared: &Shared) -> Vec<Self> {
        let port = |id: crate::types::PortId| {
            shared.ports.get(id.index()).map_or_else(String::new, |p| p.name.clone())
        };
        let entry = |neighbor: crate::protocol::neighbor::Neighbor| Self {
            ip_address: neighbor.address,
            mac_address: neighbor.mac.as_ref().map(Mac::to_string).unwrap_or_default(),
            dev: port(neighbor.port),
            state: neighbor.state.to_string(),
            pinned: neighbor.pinned,
        };
        shared.neighbors.list().into_iter().map(entry).collect()
    }
}

/// `GET /hitless/v1/stats`.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// One per worker.
    pub workers: Vec<Counts>,
    /// Their sum.
    pub total: Counts,
}

/// A tally as one JSON object: counters by name, and `drops` by reason.
#[derive(Clone, Debug, Default)]
pub struct Counts(pub Tally);

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for &counter in Counter::ALL {
            map.serialize_entry(counter.name(), &self.0.get(counter))?;
        }
        map.serialize_entry("dropped", &self.0.dropped())?;
        map.serialize_entry("drops", &Drops(&self.0))?;
        map.end()
    }
}

struct Drops<'a>(&'a Tally);

impl Serialize for Drops<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(DropReason::ALL.iter().map(|reason| (reason.name(), self.0.drops(*reason))))
    }
}

impl Stats {
    /// The workers' last tallies.
    pub fn of(shared: &Shared) -> Self {
        let tallies: Vec<Tally> = shared.counters.iter().map(|counters| counters.read()).collect();
        let mut total = Tally::default();
        for tally in &tallies {
            total += tally;
        }
        Self { workers: tallies.into_iter().map(Counts).collect(), total: Counts(total) }
    }
}
