//! A packet of a known session: state, next hop, rewrite.

use super::{
    core::{Context, CorePort, Views},
    family::{WorkerFamily, rewrite_transport},
    verdict::{Source, Verdict},
};
use crate::{
    packet::{Divisible, ETHER_VLAN, Family, Flow, icmp::ErrorMessage, limit_mss},
    plane::NextHop,
    port::Packet,
    session::{Direction, Session, State, is_steady, negotiates, track},
    types::{DropReason, Mac, PortId, Protocol},
};

/// Forwards a packet as nearly all are: of a session that this node serves and that it leaves as it is, to a known next hop,
/// by a port that takes it whole. Rewrites it and counts it; the port it leaves by. `None`: there is more to do, and nothing
/// has been.
#[inline(always)]
pub(super) fn pass<F: WorkerFamily, P: Packet>(
    session: &mut Session<F>,
    direction: Direction,
    flow: &Flow<F>,
    context: &Context,
    packet: &mut P,
    from: Source,
) -> Option<PortId> {
    context.serves(session.instance()).ok()?;
    let hop = context.next_hops.get(session.next_hop(direction))?;
    let outside = context.port(hop.port)?;
    if !is_steady(session.state, direction, flow.signal) || flow.length > outside.mtu {
        return None;
    }
    if from.port.vlan != outside.vlan {
        return pass_between_vlans(session, direction, flow, context, packet, (from.port, outside, hop.mac));
    }
    translate(session, direction, flow, F::HEADER, context, packet, (outside, hop.mac));
    Some(outside.id)
}

/// The end of [`pass`] where the frame gets another tag. A function of its own, so that nothing is kept for it elsewhere.
#[inline(never)]
fn pass_between_vlans<F: WorkerFamily, P: Packet>(
    session: &mut Session<F>,
    direction: Direction,
    flow: &Flow<F>,
    context: &Context,
    packet: &mut P,
    (inside, outside, to): (&CorePort, &CorePort, Mac),
) -> Option<PortId> {
    retag(packet, inside, outside).then(|| {
        translate(session, direction, flow, F::HEADER, context, packet, (outside, to));
        outside.id
    })
}

/// Forwards any packet whose transport header begins `transport` bytes into its IP packet. Rewrites it, if it goes out, and
/// counts it.
#[inline(never)]
#[allow(clippy::too_many_arguments, reason = "what the rounds know of a packet, nothing packed and unpacked")]
pub(super) fn forward<F: WorkerFamily, P: Packet>(
    session: &mut Session<F>,
    direction: Direction,
    flow: &Flow<F>,
    transport: usize,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
) -> Verdict {
    if let Err(reason) = context.forwards(session.instance()) {
        return Verdict::Drop(reason);
    }
    let hop = match context.next_hops.get(session.next_hop(direction)) {
        Some(hop) => hop,
        None => match find_hop(session, direction, context, views) {
            Ok(hop) => hop,
            Err(verdict) => return verdict,
        },
    };
    let inside = from.port;
    let Some(outside) = context.port(hop.port) else { return Verdict::Drop(DropReason::NoRoute) };
    let too_big = flow.length > outside.mtu;
    if too_big && !may_split(packet, inside, outside.mtu) {
        return Verdict::Refuse(DropReason::TooBig, ErrorMessage::TooBig { mtu: outside.mtu });
    }
    if inside.vlan != outside.vlan && !retag(packet, inside, outside) {
        return Verdict::Drop(DropReason::TooBig);
    }
    translate(session, direction, flow, transport, context, packet, (outside, hop.mac));
    if !is_steady(session.state, direction, flow.signal) {
        let segment = packet.data_mut().get_mut(outside.l2_length + transport..);
        move_on(session, direction, flow, (segment, inside.mtu.min(outside.mtu)), context);
    }
    if too_big { Verdict::Split(outside.id) } else { Verdict::Transmit(outside.id) }
}

/// Counts a packet, and rewrites it to one of its session on its way out, by `outside` to the MAC `to`.
#[inline(always)]
fn translate<F: WorkerFamily, P: Packet>(
    session: &mut Session<F>,
    direction: Direction,
    flow: &Flow<F>,
    transport: usize,
    context: &Context,
    packet: &mut P,
    (outside, to): (&CorePort, Mac),
) {
    session.last_seen_ms = context.now_ms;
    session.packets += 1;
    session.bytes += u64::from(flow.length);
    context.backends.packet(session.backend(), u64::from(flow.length));
    let frame = packet.data_mut();
    if let Some(ip) = frame.get_mut(outside.l2_length..) {
        F::rewrite_ip(ip, session, direction);
        rewrite_transport(ip, transport, flow, session, direction);
    }
    write_macs(frame, outside, to);
}

/// A packet of the beginning or the end of a session. TCP's ends are told to send each other no segments that a port on
/// their way would not take: what leaves by one comes back by it, so both ports count.
#[inline(never)]
fn move_on<F: Family>(
    session: &mut Session<F>,
    direction: Direction,
    flow: &Flow<F>,
    (segment, mtu): (Option<&mut [u8]>, u16),
    context: &mut Context,
) {
    if let (Protocol::Tcp, true, Some(segment)) = (flow.protocol, negotiates(flow.signal), segment) {
        limit_mss(segment, mtu.saturating_sub(F::HEADER as u16));
    }
    let before = session.state;
    session.state = track(before, flow.protocol, direction, flow.signal);
    if session.state == before {
        return;
    }
    if before == State::Opening && direction == Direction::Outbound {
        context.backends.answered(session.backend());
    }
    if let Some(journal) = &mut context.journal {
        journal.moved(session, before);
    }
}

/// Whether a packet larger than the MTU may be cut: only IPv4 knows that.
#[cold]
pub(super) fn may_split<P: Packet>(packet: &P, inside: &CorePort, mtu: u16) -> bool {
    packet.data().get(inside.l2_length..).is_some_and(|ip| Divisible::new(ip, mtu).is_some())
}

/// Looks the way up that the session does not remember.
#[cold]
pub(super) fn find_hop<F: WorkerFamily>(
    session: &mut Session<F>,
    direction: Direction,
    context: &Context,
    views: &Views<'_>,
) -> Result<NextHop, Verdict> {
    let destination = session.leaving(direction).destination();
    let way = views.routes.way(destination).ok_or(Verdict::Drop(DropReason::NoRoute))?;
    let hold = Verdict::Hold((way.port, way.neighbor));
    let slot = context.next_hops.find(way.port, way.neighbor).ok_or(hold)?;
    session.set_next_hop(direction, slot);
    context.next_hops.get(slot).ok_or(hold)
}

/// Makes the frame one of the port it leaves by.
pub(super) fn address_frame<P: Packet>(
    packet: &mut P,
    inside: &CorePort,
    outside: &CorePort,
    destination: Mac,
) -> Verdict {
    if inside.vlan != outside.vlan && !retag(packet, inside, outside) {
        return Verdict::Drop(DropReason::TooBig);
    }
    write_macs(packet.data_mut(), outside, destination);
    Verdict::Transmit(outside.id)
}

#[inline]
fn write_macs(frame: &mut [u8], outside: &CorePort, destination: Mac) {
    // Whatever was parsed has an Ethernet header.
    if let Some(header) = frame.first_chunk_mut::<12>() {
        header[..6].copy_from_slice(&destination.0);
        header[6..].copy_from_slice(&outside.mac.0);
    }
}

/// Gives the frame the tag of its new port, or takes the old one away.
#[cold]
fn retag<P: Packet>(packet: &mut P, inside: &CorePort, outside: &CorePort) -> bool {
    let Some(&[type0, type1]) = packet.data().get(inside.l2_length - 2..inside.l2_length) else {
        return false;
    };
    if !packet.move_start(inside.l2_length as isize - outside.l2_length as isize) {
        return false;
    }
    let tag = outside.vlan.to_be_bytes();
    let frame = packet.data_mut();
    if outside.vlan == 0 {
        frame.get_mut(12..14).map(|field| field.copy_from_slice(&[type0, type1]))
    } else {
        let [a, b] = ETHER_VLAN.to_be_bytes();
        frame.get_mut(12..18).map(|fields| fields.copy_from_slice(&[a, b, tag[0], tag[1], type0, type1]))
    }
    .is_some()
}
