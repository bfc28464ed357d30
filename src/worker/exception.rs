//! Packets the fast path leaves aside: options and extension headers, fragments, ICMP, hop limits that end, other
//! protocols, group addresses, checksums that nobody has filled in yet.

use super::{
    core::{Context, CorePort, Sessions, Views},
    family::WorkerFamily,
    forward::forward,
    fragment, icmp,
    open::{locate, stranger},
    probe,
    verdict::{Source, Verdict},
};
use crate::{
    packet::{
        Datagram, ETHER_ARP, ETHER_IPV4, ETHER_IPV6, Ethernet, Exception, Flow, IP_ICMP, IP_ICMPV6, V4, V6,
        fill_in_checksums, icmp::ErrorMessage, is_martian_source, transport,
    },
    port::{Checksum, Packet},
    service::Role,
    types::DropReason,
};

/// ICMPv6 neighbour solicitation and advertisement.
const NEIGHBOR_MESSAGES: [u8; 2] = [135, 136];

/// IPv4 options by which a sender chooses its packet's way.
const SOURCE_ROUTES: [u8; 2] = [131, 137];

#[cold]
pub(super) fn decide<P: Packet>(
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
) -> Verdict {
    let frame = packet.data();
    let port = from.port;
    let ethernet = match Ethernet::parse(frame) {
        Ok((ethernet, _)) => ethernet,
        Err(reason) => return Verdict::Drop(reason),
    };
    match ethernet.ether_type {
        ETHER_ARP => return Verdict::Control,
        ETHER_IPV4 | ETHER_IPV6 => {}
        _ if port.kernel_interface => return Verdict::Kernel,
        _ => return Verdict::Drop(DropReason::UnknownEtherType),
    }
    let ip = frame.get(port.l2_length..).unwrap_or_default();
    let (ip_checksum, l4_checksum) = (packet.ip_checksum(), packet.l4_checksum());
    let datagram = match Datagram::parse(ip, matches!(ip_checksum, Checksum::Good | Checksum::Partial)) {
        Ok(datagram) if datagram.source.is_ipv4() == (ethernet.ether_type == ETHER_IPV4) => datagram,
        Ok(_) => return Verdict::Drop(DropReason::MalformedHeader),
        Err(reason) => return Verdict::Drop(reason),
    };
    if is_neighbor_discovery(ip, &datagram) {
        return Verdict::Control;
    }
    if [ip_checksum, l4_checksum].contains(&Checksum::Partial)
        && let Some(ip) = packet.data_mut().get_mut(port.l2_length..)
    {
        fill_in_checksums(ip, &datagram);
    }
    if ethernet.destination.is_multicast() {
        return stranger(from);
    }
    let to_node = match views.services.role(datagram.destination) {
        Some(Role::Vip(instance) | Role::Local(instance)) => match context.serves(instance) {
            Ok(()) => false,
            // Of known sessions too: the other node has them.
            Err(reason) => return context.turn_away(instance, reason),
        },
        Some(Role::Node(_)) if !port.kernel_interface && answers_probe(context, port, packet, &datagram) => {
            return Verdict::Kernel;
        }
        Some(Role::Node(_)) if context.ping_witness && icmp::is_echo_reply(packet, port, &datagram) => {
            return Verdict::Urgent;
        }
        Some(Role::Node(_)) if !port.kernel_interface => true,
        _ => return stranger(from),
    };
    if ethernet.source.is_multicast()
        || is_martian_source(datagram.source)
        || views.services.role(datagram.source).is_some()
    {
        return Verdict::Drop(DropReason::MartianSource);
    }
    match to_node {
        true => icmp::answer(context, packet, from, &datagram),
        false => ours(sessions, context, views, packet, from, &datagram),
    }
}

fn answers_probe<P: Packet>(context: &Context, port: &CorePort, packet: &P, datagram: &Datagram) -> bool {
    let ip = packet.data().get(port.l2_length..).unwrap_or_default();
    probe::datagram_answers(ip, datagram, &context.probes)
}

fn is_neighbor_discovery(ip: &[u8], datagram: &Datagram) -> bool {
    datagram.protocol == IP_ICMPV6
        && !datagram.is_later_fragment()
        && ip.get(datagram.l4_offset).is_some_and(|kind| NEIGHBOR_MESSAGES.contains(kind))
}

/// To a virtual or local address of an instance that this node serves.
fn ours<P: Packet>(
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
    datagram: &Datagram,
) -> Verdict {
    if has_source_route(packet, from.port, datagram) {
        return Verdict::Drop(DropReason::MalformedHeader);
    }
    match (datagram.protocol, datagram.source.is_ipv4()) {
        (IP_ICMP, true) => return icmp::decide::<V4, P>(sessions, context, views, packet, from, datagram),
        (IP_ICMPV6, false) => return icmp::decide::<V6, P>(sessions, context, views, packet, from, datagram),
        _ => {}
    }
    if datagram.ttl <= 1 {
        return Verdict::Refuse(DropReason::TtlExpired, ErrorMessage::TimeExceeded);
    }
    let whole = datagram.fragment.is_none_or(|fragment| fragment.is_atomic());
    match (datagram.source.is_ipv4(), whole) {
        (true, true) => flow::<V4, P>(sessions, context, views, packet, from, datagram),
        (false, true) => flow::<V6, P>(sessions, context, views, packet, from, datagram),
        (true, false) => fragment::decide::<V4, P>(sessions, context, views, packet, from, datagram),
        (false, false) => fragment::decide::<V6, P>(sessions, context, views, packet, from, datagram),
    }
}

fn has_source_route<P: Packet>(packet: &P, port: &CorePort, datagram: &Datagram) -> bool {
    if datagram.source.is_ipv6() {
        return false;
    }
    let start = port.l2_length;
    let mut options = packet.data().get(start + 20..start + datagram.l4_offset).unwrap_or_default();
    while let [kind, rest @ ..] = options {
        options = match *kind {
            0 => return false,
            1 => rest,
            kind if SOURCE_ROUTES.contains(&kind) => return true,
            _ => match rest.first() {
                Some(&length) if length >= 2 => options.get(usize::from(length)..).unwrap_or_default(),
                _ => return false,
            },
        };
    }
    false
}

/// A whole packet of a flow, with options or extension headers.
fn flow<F: WorkerFamily, P: Packet>(
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
    datagram: &Datagram,
) -> Verdict {
    let ip = packet.data().get(from.port.l2_length..).unwrap_or_default();
    let length = u16::try_from(datagram.end).unwrap_or(u16::MAX);
    let (protocol, signal) = match transport(datagram.protocol, ip, datagram.l4_offset, length) {
        Ok(found) => found,
        Err(Exception::Bad(reason)) => return Verdict::Drop(reason),
        Err(Exception::Uncommon) => return Verdict::Drop(DropReason::UnsupportedProtocol),
    };
    match datagram.tuple::<F>(ip) {
        Some(tuple) => {
            let flow = Flow { tuple, protocol, signal, length };
            let hash = F::table(sessions).hash(&flow.tuple, flow.protocol);
            forward_flow(&flow, hash, datagram.l4_offset, sessions, context, views, packet, from)
        }
        None => Verdict::Drop(DropReason::UnsupportedProtocol),
    }
}

/// Finds or opens the session of a flow that the batched look-up did not find or was not asked for, and forwards. `hash` is
/// the table's of its tuple.
#[allow(clippy::too_many_arguments, reason = "as for `forward`")]
pub(super) fn forward_flow<F: WorkerFamily, P: Packet>(
    flow: &Flow<F>,
    hash: u64,
    transport: usize,
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
) -> Verdict {
    let reference = match locate(flow, hash, sessions, context, views, from) {
        Ok(reference) => reference,
        Err(verdict) => return verdict,
    };
    match F::table_mut(sessions).get_mut(reference) {
        Some(session) => {
            forward(session, reference.direction(), flow, transport, context, views, packet, from)
        }
        None => Verdict::Drop(DropReason::NoSession),
    }
}
