//! Packets of this node's own: telling a sender why its packet died, or that its connection is over.

use super::{core::Context, exits::Exits};
use crate::{
    packet::{
        Datagram, MAX_RESET, MIN_FRAME, build_reset,
        icmp::{ErrorMessage, MAX_ERROR_V6, build_error},
    },
    plane::Counter,
    port::{Burst, Packet, Port},
    types::PortId,
};

impl<P: Port> Exits<P> {
    /// Sends `message` about `packet` back to where it came from, if that is allowed and within the budget.
    #[cold]
    pub(super) fn inform(
        &mut self,
        message: ErrorMessage,
        packet: &P::Packet,
        port: PortId,
        context: &mut Context,
    ) {
        if !context.icmp_budget.take(context.now_ms) {
            return;
        }
        // Its destination is one of our addresses: that is who answers.
        let sent = self.reply(packet, port, context, MAX_ERROR_V6, |ip, datagram, out| {
            build_error(message, datagram.destination, (ip, datagram), false, out)
        });
        context.tally.add(Counter::IcmpErrors, sent);
    }

    /// Resets the connection that `packet` is of, within the budget.
    #[cold]
    pub(super) fn reset(&mut self, packet: &P::Packet, port: PortId, context: &mut Context) {
        if context.reset_budget.take(context.now_ms) {
            let sent = self.reply(packet, port, context, MAX_RESET, build_reset);
            context.tally.add(Counter::TcpResets, sent);
        }
    }

    /// Sends what `build` writes about `packet`, of `room` bytes at most, back to where it came from; returns the
    /// packets sent.
    fn reply(
        &mut self,
        packet: &P::Packet,
        port: PortId,
        context: &Context,
        room: usize,
        build: impl FnOnce(&[u8], &Datagram, &mut [u8]) -> Option<usize>,
    ) -> u64 {
        let Some(l2_length) = context.port(port).map(|port| port.l2_length) else { return 0 };
        let Some(queue) = self.ports.get_mut(port.index()) else { return 0 };
        let Some(reply) = write(packet, l2_length, queue, room, build) else { return 0 };
        let mut burst = Burst::new();
        burst.push(reply);
        queue.transmit(&mut burst) as u64
    }
}

fn write<P: Port>(
    about: &P::Packet,
    l2_length: usize,
    queue: &mut P,
    room: usize,
    build: impl FnOnce(&[u8], &Datagram, &mut [u8]) -> Option<usize>,
) -> Option<P::Packet> {
    let (header, ip) = about.data().split_at_checked(l2_length)?;
    let datagram = Datagram::parse(ip, true).ok()?;
    let mut reply = queue.allocate()?;
    if !reply.resize(l2_length + room) {
        return None;
    }
    let (l2, out) = reply.data_mut().split_at_mut_checked(l2_length)?;
    l2.copy_from_slice(header);
    l2.first_chunk_mut::<12>()?.rotate_left(6);
    let length = build(ip, &datagram, out)?;
    let padded = (l2_length + length).max(MIN_FRAME);
    out.get_mut(length..padded - l2_length).unwrap_or_default().fill(0);
    reply.resize(padded).then_some(reply)
}
