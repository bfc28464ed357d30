//! Packets larger than the MTU of the port they leave by, where IPv4 lets a router cut them. The first piece is the packet
//! itself; the others are made.

use super::{core::Context, exits::Exits};
use crate::{
    packet::Divisible,
    plane::Counter,
    port::{Burst, Packet, Port},
    types::{DropReason, PortId},
};
use arrayvec::ArrayVec;

/// Pieces made of one packet: a datagram of 64 KB has 53 on a link of 1,280 bytes.
const PIECES: usize = 64;

type Pieces<P> = ArrayVec<P, PIECES>;

impl<P: Port> Exits<P> {
    /// Sends a packet in pieces by `out`.
    #[cold]
    pub(super) fn send_in_pieces(&mut self, out: PortId, mut packet: P::Packet, context: &mut Context) {
        let Some(queue) = self.ports.get_mut(out.index()) else {
            return context.tally.drop(DropReason::NoRoute);
        };
        let mut pieces = match cut(&mut packet, context, out, || queue.allocate()) {
            Ok(pieces) => pieces,
            Err(reason) => return context.tally.drop(reason),
        };
        context.flush_journal();
        let tally = &mut context.tally;
        self.egress.push(out, packet, tally);
        // The first piece shows the ports: nobody should have to wait for it.
        self.flush(tally);
        let Some(queue) = self.ports.get_mut(out.index()) else { return };
        while !pieces.is_empty() {
            let mut burst: Burst<_> = pieces.drain(..pieces.len().min(crate::port::BATCH)).collect();
            let made = burst.len() as u64;
            let sent = queue.transmit(&mut burst) as u64;
            tally.add(Counter::FragmentsMade, sent);
            tally.add(Counter::InjectedLost, made - sent);
        }
    }
}

/// Makes `packet` its own first piece and returns the others. On failure nothing is sent, and the packet is void.
fn cut<P: Packet>(
    packet: &mut P,
    context: &mut Context,
    out: PortId,
    mut allocate: impl FnMut() -> Option<P>,
) -> Result<Pieces<P>, DropReason> {
    let port = context.port(out).ok_or(DropReason::NoRoute)?;
    let (start, mtu) = (port.l2_length, port.mtu);
    let (head, ip) = packet.data().split_at_checked(start).ok_or(DropReason::Truncated)?;
    let mut whole = Divisible::new(ip, mtu).ok_or(DropReason::TooBig)?;
    if whole.is_whole() {
        // Two clients may have chosen the same number towards one backend (RFC 6864 section 5.3).
        whole.renumber(context.next_datagram_id() as u16);
    }
    let mut pieces = Pieces::new();
    for number in 1..whole.count() {
        let (header, payload) = whole.piece(number);
        let payload = ip.get(payload).ok_or(DropReason::Truncated)?;
        let mut piece = allocate().ok_or(DropReason::NoBuffer)?;
        if !piece.resize(start + header.len() + payload.len()) {
            return Err(DropReason::NoBuffer);
        }
        let rest = fill(piece.data_mut(), head);
        let rest = fill(rest, &header);
        fill(rest, payload);
        pieces.try_push(piece).map_err(|_| DropReason::TooBig)?;
    }
    let (header, payload) = whole.piece(0);
    if let Some(ip) = packet.data_mut().get_mut(start..) {
        fill(ip, &header);
    }
    if packet.resize(start + payload.end) { Ok(pieces) } else { Err(DropReason::TooBig) }
}

/// Copies `bytes` to the front of `to`, which has room for them; returns the rest.
fn fill<'a>(to: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    match to.split_at_mut_checked(bytes.len()) {
        Some((front, rest)) => {
            front.copy_from_slice(bytes);
            rest
        }
        None => &mut [],
    }
}
