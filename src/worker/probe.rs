//! Answers to probes that this node sends by its own stack: what a port without a kernel interface gives to it.
//! Everything else that is sent to the node's addresses is a stranger's.

use crate::{
    packet::{
        Datagram, Family, Flow,
        icmp::{EchoId, Embedded, Message},
    },
    plane::ProbePorts,
    types::Protocol,
};

/// Whether a packet to an address of the node may answer a probe that is under way.
pub(super) fn answers<F: Family>(flow: &Flow<F>, probes: &ProbePorts) -> bool {
    flow.protocol != Protocol::Sctp && probes.contains(flow.tuple.ports.destination())
}

/// The same of a packet that the fast path leaves aside: one with options or extension headers, or of ICMP.
pub(super) fn datagram_answers(ip: &[u8], datagram: &Datagram, probes: &ProbePorts) -> bool {
    if datagram.fragment.is_some_and(|fragment| !fragment.is_atomic()) {
        return false;
    }
    match Protocol::from_number(datagram.protocol) {
        Some(Protocol::Tcp | Protocol::Udp) => {
            datagram.ports(ip).is_some_and(|ports| probes.contains(ports.destination()))
        }
        Some(Protocol::Sctp) => false,
        None => match Message::parse(ip, datagram) {
            Ok(Message::EchoReply) => {
                EchoId::of_reply(ip, datagram).is_ok_and(|id| probes.contains(id.identifier))
            }
            Ok(Message::Error(_)) => is_about_probe(ip, datagram, probes),
            _ => false,
        },
    }
}

/// Whether an error message quotes a probe.
fn is_about_probe(ip: &[u8], datagram: &Datagram, probes: &ProbePorts) -> bool {
    let Ok(embedded) = Embedded::find(ip, datagram) else { return false };
    let quoted = ip.get(embedded.at..).unwrap_or_default();
    embedded.datagram.ports(quoted).is_some_and(|ports| probes.contains(ports.source()))
}
