//! `config/port`, `config/ipv4address`, `config/neighbor`, `config/route`: the network in LoxiLB's words.

use super::{Api, answer::Refused};
use crate::{
    config,
    port::PortFacts,
    protocol::neighbor::Neighbor,
    types::{Mac, PortId},
};
use axum::{Json, extract::State};
use serde::Serialize;
use std::{net::IpAddr, sync::Arc};
use utoipa::ToSchema;

/// All ports.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Ports {
    #[serde(rename = "portAttr")]
    ports: Vec<PortEntry>,
}

/// A port.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PortEntry {
    port_name: String,
    port_no: u8,
    zone: &'static str,
    /// The device DPDK knows it by.
    device: String,
    port_software_information: PortSoftware,
    port_hardware_information: PortHardware,
    port_statistic_information: PortCounters,
    port_l3_information: PortAddresses,
    port_l2_information: PortVlan,
    #[serde(rename = "DataplaneSync")]
    dataplane_sync: u8,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PortSoftware {
    os_id: u8,
    port_active: bool,
    /// 1: physical.
    port_type: u8,
    port_prop: u8,
    bpf_loaded: bool,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PortCounters {
    rx_bytes: u64,
    tx_bytes: u64,
    rx_packets: u64,
    tx_packets: u64,
    rx_errors: u64,
    tx_errors: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PortHardware {
    raw_mac_address: [u8; 6],
    mac_address: String,
    mtu: u16,
    link: bool,
    state: bool,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct PortAddresses {
    routed: bool,
    #[serde(rename = "IPv4Address")]
    ipv4: Vec<String>,
    #[serde(rename = "IPv6Address")]
    ipv6: Vec<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PortVlan {
    is_pvid: bool,
    vid: u16,
}

/// Ports.
#[utoipa::path(get, path = "/config/port/all", tag = "network",
    responses((status = 200, body = Ports), Refused))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Ports> {
    let known = api.shared.port_status.lock().clone();
    let ports = api.shared.ports.iter().zip(&api.shared.config.ports).map(|(facts, port)| {
        let status = known.get(facts.id.index()).copied().unwrap_or_default();
        // A driver that does not say has no link to lose.
        let link = status.link.unwrap_or(true);
        PortEntry {
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
            port_software_information: PortSoftware {
                os_id: facts.id.0,
                port_active: link,
                port_type: 1,
                port_prop: 0,
                bpf_loaded: false,
            },
            port_statistic_information: PortCounters {
                rx_bytes: status.bytes[0],
                tx_bytes: status.bytes[1],
                rx_packets: status.packets[0],
                tx_packets: status.packets[1],
                rx_errors: status.errors[0],
                tx_errors: status.errors[1],
            },
            port_l3_information: PortAddresses {
                routed: true,
                ipv4: addresses(port, true),
                ipv6: addresses(port, false),
            },
            port_l2_information: PortVlan { is_pvid: facts.vlan != 0, vid: facts.vlan },
            dataplane_sync: 0,
        }
    });
    Json(Ports { ports: ports.collect() })
}

fn addresses(port: &config::Port, v4: bool) -> Vec<String> {
    let own = port.addresses.iter().filter(|own| own.address().is_ipv4() == v4);
    own.map(ToString::to_string).collect()
}

/// The ports' IPv4 addresses.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Addresses {
    #[serde(rename = "ipAttr")]
    addresses: Vec<AddressEntry>,
}

/// A port's IPv4 addresses.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AddressEntry {
    dev: String,
    ip_address: Vec<String>,
    sync: u8,
}

/// IPv4 addresses.
#[utoipa::path(get, path = "/config/ipv4address/all", tag = "network",
    responses((status = 200, body = Addresses), Refused))]
pub(super) async fn list_addresses(State(api): State<Arc<Api>>) -> Json<Addresses> {
    let entry = |port: &config::Port| AddressEntry {
        dev: port.name.clone(),
        ip_address: addresses(port, true),
        sync: 0,
    };
    Json(Addresses { addresses: api.shared.config.ports.iter().map(entry).collect() })
}

/// All neighbours.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Neighbors {
    #[serde(rename = "neighborAttr")]
    neighbors: Vec<NeighborEntry>,
}

/// A neighbour.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NeighborEntry {
    #[schema(value_type = String)]
    ip_address: IpAddr,
    /// Empty while it is not known.
    mac_address: String,
    dev: String,
    state: String,
    /// The configuration or a service names it.
    pinned: bool,
}

/// Neighbours: next hops and their Ethernet addresses.
#[utoipa::path(get, path = "/config/neighbor/all", tag = "network",
    responses((status = 200, body = Neighbors), Refused))]
pub(super) async fn list_neighbors(State(api): State<Arc<Api>>) -> Json<Neighbors> {
    neighbors(&api)
}

/// Neighbours: next hops and their Ethernet addresses.
#[utoipa::path(get, path = "/neighbors", tag = "status",
    responses((status = 200, body = Neighbors), Refused))]
pub(super) async fn list_neighbors_own(State(api): State<Arc<Api>>) -> Json<Neighbors> {
    neighbors(&api)
}

fn neighbors(api: &Api) -> Json<Neighbors> {
    let port = |id: PortId| name_of(&api.shared.ports, id);
    let entry = |neighbor: Neighbor| NeighborEntry {
        ip_address: neighbor.address,
        mac_address: neighbor.mac.as_ref().map(Mac::to_string).unwrap_or_default(),
        dev: port(neighbor.port),
        state: neighbor.state.to_string(),
        pinned: neighbor.pinned,
    };
    Json(Neighbors { neighbors: api.shared.neighbors.list().into_iter().map(entry).collect() })
}

fn name_of(ports: &[PortFacts], id: PortId) -> String {
    ports.get(id.index()).map_or_else(String::new, |port| port.name.clone())
}

/// All routes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RouteList {
    #[serde(rename = "routeAttr")]
    routes: Vec<RouteEntry>,
}

/// A route.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RouteEntry {
    #[serde(rename = "destinationIPNet")]
    destination: String,
    /// Empty where the destination is on the port's own subnet.
    gateway: String,
    protocol: &'static str,
    flags: String,
    dev: String,
    sync: u8,
}

/// Routes.
#[utoipa::path(get, path = "/config/route/all", tag = "network",
    responses((status = 200, body = RouteList), Refused))]
pub(super) async fn list_routes(State(api): State<Arc<Api>>) -> Json<RouteList> {
    let routes = api.shared.routes.lock().current();
    let entry = |route: &crate::plane::Route| RouteEntry {
        destination: route.to.to_string(),
        gateway: route.via.map(|via| via.to_string()).unwrap_or_default(),
        protocol: if route.via.is_some() { "static" } else { "kernel" },
        flags: if route.via.is_some() { "Ind" } else { "Self" }.into(),
        dev: name_of(&api.shared.ports, route.port),
        sync: 0,
    };
    Json(RouteList { routes: routes.iter().map(entry).collect() })
}
