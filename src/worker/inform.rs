//! ICMP errors of this node's own: telling a sender why its packet died.

use super::{core::Context, exits::Exits};
use crate::{
    packet::{
        Datagram,
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
        let Some(l2_length) = context.port(port).map(|port| port.l2_length) else { return };
        let (Some(queue), true) =
            (self.ports.get_mut(port.index()), context.icmp_budget.take(context.now_ms))
        else {
            return;
        };
        let Some(error) = build(message, packet, l2_length, queue) else { return };
        let mut burst = Burst::new();
        burst.push(error);
        let sent = queue.transmit(&mut burst);
        context.tally.add(Counter::IcmpErrors, sent as u64);
    }
}

fn build<P: Port>(
    message: ErrorMessage,
    about: &P::Packet,
    l2_length: usize,
    queue: &mut P,
) -> Option<P::Packet> {
    let frame = about.data();
    let (header, ip) = frame.split_at_checked(l2_length)?;
    let datagram = Datagram::parse(ip, true).ok()?;
    let mut error = queue.allocate()?;
    if !error.resize(l2_length + MAX_ERROR_V6) {
        return None;
    }
    let (l2, out) = error.data_mut().split_at_mut_checked(l2_length)?;
    l2.copy_from_slice(header);
    l2.first_chunk_mut::<12>()?.rotate_left(6);
    // Its destination is one of our addresses: that is who answers.
    let length = build_error(message, datagram.destination, (ip, &datagram), false, out)?;
    error.resize(l2_length + length).then_some(error)
}
