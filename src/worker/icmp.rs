//! ICMP to virtual and local addresses: pings are answered, errors about sessions are translated and go on to the
//! side that must hear of them.

use super::{
    core::{Context, CorePort, Sessions, Views},
    family::WorkerFamily,
    forward::{address_frame, find_hop},
    open::stranger,
    verdict::{Arrival, Source, Verdict},
};
use crate::{
    packet::{
        Datagram, Difference, Family,
        bytes::{read, write},
        icmp::{Embedded, ErrorMessage, Message, reply_in_place, translate_error},
    },
    plane::Counter,
    port::Packet,
    types::{DropReason, Protocol},
};

/// An ICMP message to a virtual or local address.
pub(super) fn decide<F: WorkerFamily, P: Packet>(
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
    datagram: &Datagram,
) -> Verdict {
    let ip = packet.data().get(from.port.l2_length..).unwrap_or_default();
    match Message::parse(ip, datagram) {
        Ok(Message::EchoRequest) => answer(context, packet, from, datagram),
        Ok(Message::Error(_)) => translate::<F, P>(sessions, context, views, packet, from, datagram)
            .unwrap_or_else(|verdict| verdict),
        Ok(_) => Verdict::Drop(DropReason::IcmpUnsupported),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// Whether it answers a ping of this node's own.
pub(super) fn is_echo_reply<P: Packet>(packet: &P, port: &CorePort, datagram: &Datagram) -> bool {
    let ip = packet.data().get(port.l2_length..).unwrap_or_default();
    matches!(Message::parse(ip, datagram), Ok(Message::EchoReply))
}

/// Answers a ping of one of our addresses, in place; other packets are not ours.
pub(super) fn answer<P: Packet>(
    context: &mut Context,
    packet: &mut P,
    from: Source,
    datagram: &Datagram,
) -> Verdict {
    let start = from.port.l2_length;
    let ip = packet.data().get(start..).unwrap_or_default();
    match Message::parse(ip, datagram) {
        Ok(Message::EchoRequest) => {}
        Ok(_) | Err(DropReason::UnsupportedProtocol) => return stranger(from),
        Err(reason) => return Verdict::Drop(reason),
    }
    if !context.icmp_budget.take(context.now_ms) {
        return Verdict::Drop(DropReason::IcmpLimited);
    }
    let frame = packet.data_mut();
    let replied = frame.get_mut(start..).map(|ip| reply_in_place(ip, datagram));
    match (replied, frame.first_chunk_mut::<12>()) {
        (Some(Ok(())), Some(macs)) => {
            macs.rotate_left(6);
            context.tally.add(Counter::EchoReplies, 1);
            Verdict::Transmit(from.port.id)
        }
        (Some(Err(reason)), _) => Verdict::Drop(reason),
        _ => Verdict::Drop(DropReason::Truncated),
    }
}

fn translate<F: WorkerFamily, P: Packet>(
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    packet: &mut P,
    from: Source,
    datagram: &Datagram,
) -> Result<Verdict, Verdict> {
    let start = from.port.l2_length;
    let ip = packet.data().get(start..).unwrap_or_default();
    let embedded = Embedded::find(ip, datagram).map_err(Verdict::Drop)?;
    let unmatched = Verdict::Drop(DropReason::IcmpUnmatched);
    let protocol = Protocol::from_number(embedded.datagram.protocol).ok_or(unmatched)?;
    // The error goes the way of the packets that would have answered the quoted one.
    let tuple = embedded.tuple::<F>(ip).ok_or(unmatched)?.swapped();
    let table = F::table_mut(sessions);
    let Some(reference) = table.find(table.hash(&tuple, protocol), &tuple, protocol) else {
        let owner = from.port.facts.steering.owner(&tuple, protocol);
        let elsewhere = from.arrival == Arrival::Wire && owner != context.worker;
        return Err(if elsewhere { Verdict::HandOver(owner) } else { unmatched });
    };
    if datagram.ttl <= 1 {
        return Err(Verdict::Refuse(DropReason::TtlExpired, ErrorMessage::TimeExceeded));
    }
    let direction = reference.direction();
    let session = table.get_mut(reference).ok_or(unmatched)?;
    let hop = match context.next_hops.get(session.next_hop(direction)) {
        Some(hop) => hop,
        None => find_hop(session, direction, context, views)?,
    };
    let inner = session.arriving(direction.reversed());
    let outer = session.leaving(direction).addresses;
    let outside = context.port(hop.port).ok_or(Verdict::Drop(DropReason::NoRoute))?;
    if datagram.end > usize::from(outside.facts.mtu) {
        return Err(Verdict::Drop(DropReason::TooBig));
    }
    if let Some(ip) = packet.data_mut().get_mut(start..) {
        translate_error::<F>(ip, datagram, outer, &inner).map_err(Verdict::Drop)?;
        lower_hop_limit::<F>(ip);
    }
    let verdict = address_frame(packet, from.port, outside, hop.mac);
    context.tally.add(Counter::IcmpTranslated, 1);
    Ok(verdict)
}

/// One hop less, and the IPv4 header checksum after it.
pub(super) fn lower_hop_limit<F: Family>(ip: &mut [u8]) {
    let at = if F::VERSION == 4 { 8 } else { 7 };
    let Some([limit]) = read(ip, at) else { return };
    write(ip, at, [limit.saturating_sub(1)]);
    if F::VERSION == 4
        && let Some(checksum) = read(ip, 10)
    {
        let difference = Difference::between(u16::from_ne_bytes([1, 0]), 0);
        write(ip, 10, difference.apply(u16::from_ne_bytes(checksum)).to_ne_bytes());
    }
}

/// What may be sent in answer to what anybody sends: so many a millisecond, and a burst.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: u32,
    filled_ms: u32,
}

impl Budget {
    /// Answers a millisecond, and the most at once.
    const RATE: u32 = 10;
    const BURST: u32 = 1000;

    pub(super) const fn new() -> Self {
        Self { tokens: Self::BURST, filled_ms: 0 }
    }

    /// Whether one more may be sent.
    pub(super) const fn take(&mut self, now_ms: u32) -> bool {
        let elapsed = now_ms.wrapping_sub(self.filled_ms);
        self.filled_ms = now_ms;
        let filled = self.tokens.saturating_add(elapsed.saturating_mul(Self::RATE));
        self.tokens = if filled > Self::BURST { Self::BURST } else { filled };
        let any = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        any
    }
}
