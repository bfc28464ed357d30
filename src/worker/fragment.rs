//! Fragments: the first shows the ports and decides, the later ones follow it. Both get a new identification, so
//! that the datagrams of two clients never mix in one backend's reassembly (RFC 6864 section 5.3).

use super::{
    core::{Context, Sessions, Views},
    exception::forward_flow,
    family::WorkerFamily,
    forward::{address_frame, may_split},
    icmp::lower_hop_limit,
    verdict::{Arrival, Source, Verdict},
};
use crate::{
    packet::{
        Datagram, Difference, Family, Flow, Fragment,
        bytes::{read, write},
    },
    port::Packet,
    session::{FragmentKey, Heading},
    types::{DropReason, Protocol},
};

const DROP_UNSUPPORTED: Verdict = Verdict::Drop(DropReason::FragmentUnsupported);

pub(super) fn decide<F: WorkerFamily, P: Packet>(
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
    datagram: &Datagram,
) -> Verdict {
    let (Some(fragment), Some(protocol)) = (datagram.fragment, Protocol::from_number(datagram.protocol))
    else {
        return DROP_UNSUPPORTED;
    };
    let key = FragmentKey {
        source: datagram.source,
        destination: datagram.destination,
        id: fragment.id,
        protocol: if F::VERSION == 4 { datagram.protocol } else { 0 },
    };
    let decided = if datagram.is_later_fragment() {
        later::<F, P>(context, views, packet, from, datagram, &fragment, key)
    } else {
        first::<F, P>(sessions, context, views, packet, from, datagram, (&fragment, key, protocol))
    };
    decided.unwrap_or_else(|verdict| verdict)
}

fn first<F: WorkerFamily, P: Packet>(
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
    datagram: &Datagram,
    (fragment, key, protocol): (&Fragment, FragmentKey, Protocol),
) -> Result<Verdict, Verdict> {
    // SCTP's checksum covers what the later fragments hold, and an unfinished handshake has no fragments.
    if protocol == Protocol::Sctp {
        return Err(DROP_UNSUPPORTED);
    }
    let start = from.port.l2_length;
    let ip = packet.data().get(start..).unwrap_or_default();
    let tuple = datagram.tuple::<F>(ip).ok_or(DROP_UNSUPPORTED)?;
    let owner = from.port.facts.steering.owner(&tuple, protocol);
    if owner != context.worker && from.arrival == Arrival::Wire {
        remember(context, key, Heading::HandOver(owner))?;
        return Err(Verdict::HandOver(owner));
    }
    if !context.fragments.has_room(&key, context.now_ms) {
        return Err(Verdict::Drop(DropReason::FragmentTableFull));
    }
    let signal = match protocol {
        Protocol::Tcp => read(ip, datagram.l4_offset + 13).map_or(0, |[flags]| flags),
        _ => 0,
    };
    let length = u16::try_from(datagram.end).unwrap_or(u16::MAX);
    let flow = Flow { tuple, protocol, signal, length };
    let hash = F::table(sessions).hash(&flow.tuple, flow.protocol);
    let verdict = forward_flow(&flow, hash, datagram.l4_offset, sessions, context, views, packet, from);
    // Held or sent, the later fragments go the same way.
    if matches!(verdict, Verdict::Transmit(_) | Verdict::Split(_) | Verdict::Hold(_)) {
        let heading = heading(sessions, context, &flow, &key).ok_or(DROP_UNSUPPORTED)?;
        remember(context, key, heading)?;
        if let (Verdict::Transmit(out) | Verdict::Split(out), Heading::Translate { id, .. }) =
            (verdict, heading)
        {
            let start = context.port(out).map_or(start, |port| port.l2_length);
            if let Some(ip) = packet.data_mut().get_mut(start..) {
                renumber::<F>(ip, fragment, id);
            }
        }
    }
    Ok(verdict)
}

fn heading<F: WorkerFamily>(
    sessions: &mut Sessions,
    context: &mut Context,
    flow: &Flow<F>,
    key: &FragmentKey,
) -> Option<Heading> {
    let table = F::table(sessions);
    let reference = table.find(table.hash(&flow.tuple, flow.protocol), &flow.tuple, flow.protocol)?;
    let session = table.get(reference)?;
    let leaving = session.leaving(reference.direction());
    let to = (leaving.source(), leaving.destination());
    // A first fragment that comes twice, or was held, belongs to the later ones that went before.
    let known = match context.fragments.find(key, context.now_ms) {
        Some(Heading::Translate { source, destination, id, .. }) if (source, destination) == to => Some(id),
        _ => None,
    };
    Some(Heading::Translate {
        source: to.0,
        destination: to.1,
        id: known.unwrap_or_else(|| context.next_datagram_id()),
        instance: session.instance(),
        backend: session.backend(),
    })
}

fn remember(context: &mut Context, key: FragmentKey, heading: Heading) -> Result<(), Verdict> {
    let now_ms = context.now_ms;
    let kept = context.fragments.insert(key, heading, now_ms);
    kept.then_some(()).ok_or(Verdict::Drop(DropReason::FragmentTableFull))
}

fn later<F: WorkerFamily, P: Packet>(
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
    datagram: &Datagram,
    fragment: &Fragment,
    key: FragmentKey,
) -> Result<Verdict, Verdict> {
    let unmatched = Verdict::Drop(DropReason::FragmentUnmatched);
    let (source, destination, id, instance, backend) =
        match context.fragments.find(&key, context.now_ms).ok_or(unmatched)? {
            Heading::Translate { source, destination, id, instance, backend } => {
                (source, destination, id, instance, backend)
            }
            Heading::HandOver(owner) if from.arrival == Arrival::Wire => {
                return Err(Verdict::HandOver(owner));
            }
            Heading::HandOver(_) => return Err(unmatched),
        };
    context.forwards(instance).map_err(Verdict::Drop)?;
    let way = views.routes.way(destination).ok_or(Verdict::Drop(DropReason::NoRoute))?;
    let hold = Verdict::Hold((way.port, way.neighbor));
    let slot = context.next_hops.find(way.port, way.neighbor).ok_or(hold)?;
    let hop = context.next_hops.get(slot).ok_or(hold)?;
    let (inside, outside) = (from.port, context.port(hop.port).ok_or(Verdict::Drop(DropReason::NoRoute))?);
    let mtu = outside.mtu;
    let too_big = datagram.end > usize::from(mtu);
    if too_big && !may_split(packet, inside, mtu) {
        return Err(Verdict::Drop(DropReason::TooBig));
    }
    let to = F::pair(source, destination).ok_or(unmatched)?;
    context.backends.packet(backend, datagram.end as u64);
    if let Some(ip) = packet.data_mut().get_mut(inside.l2_length..) {
        lower_hop_limit::<F>(ip);
        renumber::<F>(ip, fragment, id);
        readdress::<F>(ip, datagram, to);
    }
    match address_frame(packet, inside, outside, hop.mac) {
        Verdict::Transmit(out) if too_big => Ok(Verdict::Split(out)),
        verdict => Ok(verdict),
    }
}

/// New addresses; there is no transport header to follow them.
fn readdress<F: Family>(ip: &mut [u8], datagram: &Datagram, to: F::Pair) {
    let mut at = if F::VERSION == 4 { 12 } else { 8 };
    F::bytes(to, |byte| {
        if let Some(place) = ip.get_mut(at) {
            *place = byte;
        }
        at += 1;
    });
    if let Some(from) = F::pair(datagram.source, datagram.destination) {
        change_header_checksum::<F>(ip, Difference::between(F::sum(from), F::sum(to)));
    }
}

/// A new identification.
fn renumber<F: Family>(ip: &mut [u8], fragment: &Fragment, id: u32) {
    if F::VERSION == 6 {
        write(ip, fragment.header_at + 4, id.to_be_bytes());
        return;
    }
    let [_, _, new @ ..] = id.to_be_bytes();
    if let Some(old) = read(ip, 4) {
        write(ip, 4, new);
        change_header_checksum::<F>(
            ip,
            Difference::between(u16::from_ne_bytes(old), u16::from_ne_bytes(new)),
        );
    }
}

fn change_header_checksum<F: Family>(ip: &mut [u8], difference: Difference) {
    if F::VERSION == 4
        && let Some(checksum) = read(ip, 10)
    {
        write(ip, 10, difference.apply(u16::from_ne_bytes(checksum)).to_ne_bytes());
    }
}
