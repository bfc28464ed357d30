//! Ports and neighbours.

use super::text::{Exposition, Kind};
use crate::{
    manage::{PortStatus, Shared},
    protocol::neighbor::State,
};

pub(super) fn write(out: &mut Exposition, shared: &Shared) {
    let status = shared.port_status.lock().clone();
    let ports = || shared.ports.iter().zip(&status);
    let mut family = out.family("hitless_port_up", Kind::Gauge, "Whether the port has a link.");
    for (facts, status) in ports() {
        if let Some(up) = status.link {
            family.sample(&[("port", &facts.name)], u8::from(up));
        }
    }
    type Field = fn(&PortStatus) -> u64;
    let counts: [(&str, &str, Field); 6] = [
        ("hitless_port_rx_packets_total", "Packets received, by the device's count.", |port| port.packets[0]),
        ("hitless_port_tx_packets_total", "Packets sent, by the device's count.", |port| port.packets[1]),
        ("hitless_port_rx_bytes_total", "Bytes received, by the device's count.", |port| port.bytes[0]),
        ("hitless_port_tx_bytes_total", "Bytes sent, by the device's count.", |port| port.bytes[1]),
        (
            "hitless_port_rx_errors_total",
            "Packets lost on receipt: queue full, no buffer, or damaged.",
            |port| port.errors[0],
        ),
        ("hitless_port_tx_errors_total", "Packets lost on sending.", |port| port.errors[1]),
    ];
    for (name, help, field) in counts {
        let mut family = out.family(name, Kind::Counter, help);
        for (facts, status) in ports() {
            family.sample(&[("port", &facts.name)], field(status));
        }
    }
    let neighbors = shared.neighbors.list();
    let mut family = out.family("hitless_neighbors", Kind::Gauge, "Next hops, by what is known of them.");
    for (name, states) in [
        ("resolved", &[State::Reachable, State::Stale, State::Probing][..]),
        ("unresolved", &[State::Incomplete]),
        ("failed", &[State::Failed]),
    ] {
        let count = neighbors.iter().filter(|neighbor| states.contains(&neighbor.state)).count();
        family.sample(&[("state", &name)], count);
    }
    let help = "Next hops there is room for.";
    out.one("hitless_neighbor_capacity", Kind::Gauge, help, shared.config.limits.neighbors);
}
