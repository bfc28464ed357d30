//! Answers to probes that this node sends by its own stack (`manage::stack`): what a port without a kernel interface
//! gives to it. Everything else that is sent to the node's addresses is a stranger's.

use super::core::CorePort;
use crate::{
    packet::{
        Datagram, Family, Flow,
        icmp::{Embedded, Message},
    },
    session::opens,
    types::Protocol,
};
use std::ops::RangeInclusive;

/// Ports that probes come from, and their answers go to: the dynamic ones of RFC 6335.
pub const PROBE_PORTS: RangeInclusive<u16> = 49_152..=65_535;

/// Whether a packet to an own address of `port` may answer a probe. What opens a connection does not.
pub(super) fn answers<F: Family>(flow: &Flow<F>, port: &CorePort) -> bool {
    port.own_stack
        && PROBE_PORTS.contains(&flow.tuple.ports.destination())
        && match flow.protocol {
            Protocol::Tcp => !opens(flow.protocol, flow.signal),
            Protocol::Udp => true,
            Protocol::Sctp => false,
        }
}

/// The same of a packet that the fast path leaves aside: one with options or extension headers, or of ICMP.
pub(super) fn datagram_answers(ip: &[u8], datagram: &Datagram, port: &CorePort) -> bool {
    if !port.own_stack || datagram.fragment.is_some_and(|fragment| !fragment.is_atomic()) {
        return false;
    }
    match Protocol::from_number(datagram.protocol) {
        Some(Protocol::Tcp | Protocol::Udp) => {
            datagram.ports(ip).is_some_and(|ports| PROBE_PORTS.contains(&ports.destination()))
        }
        Some(Protocol::Sctp) => false,
        None => match Message::parse(ip, datagram) {
            Ok(Message::EchoReply) => true,
            Ok(Message::Error(_)) => is_about_probe(ip, datagram),
            _ => false,
        },
    }
}

/// Whether an error message quotes a packet that may be a probe.
fn is_about_probe(ip: &[u8], datagram: &Datagram) -> bool {
    let Ok(embedded) = Embedded::find(ip, datagram) else { return false };
    let quoted = ip.get(embedded.at..).unwrap_or_default();
    embedded.datagram.ports(quoted).is_some_and(|ports| PROBE_PORTS.contains(&ports.source()))
}
