//! Packets on their way out, gathered per port so that a burst is one call.

use super::exits::drop_packet;
use crate::{
    plane::{Counter, Tally},
    port::{Burst, Packet, Port},
    types::{DropReason, PortId},
};

#[derive(Debug)]
pub(super) struct Egress<P> {
    queues: Vec<Burst<P>>,
}

impl<P: Packet> Egress<P> {
    pub(super) fn new(ports: usize) -> Self {
        Self { queues: (0..ports).map(|_| Burst::new()).collect() }
    }

    /// Makes room for `count` packets on every port, so that nothing is sent before all of a burst is decided: what the
    /// peer must know of them goes first.
    #[inline]
    pub(super) fn make_room<Q: Port<Packet = P>>(
        &mut self,
        count: usize,
        ports: &mut [Q],
        tally: &mut Tally,
    ) {
        for (queue, port) in self.queues.iter_mut().zip(ports) {
            if queue.remaining_capacity() < count {
                send(queue, port, tally);
            }
        }
    }

    /// Room was made.
    #[inline]
    pub(super) fn push(&mut self, out: PortId, packet: P, tally: &mut Tally) {
        let Some(queue) = self.queues.get_mut(out.index()) else {
            return drop_packet(tally, &packet, DropReason::NoRoute);
        };
        if let Err(full) = queue.try_push(packet) {
            drop_packet(tally, &full.element(), DropReason::TransmitFull);
        }
    }

    pub(super) fn flush<Q: Port<Packet = P>>(&mut self, ports: &mut [Q], tally: &mut Tally) {
        for (queue, port) in self.queues.iter_mut().zip(ports) {
            if !queue.is_empty() {
                send(queue, port, tally);
            }
        }
    }
}

/// Sends a burst, and counts all of it: a packet that went out was received.
#[inline(never)]
fn send<P: Packet, Q: Port<Packet = P>>(queue: &mut Burst<P>, port: &mut Q, tally: &mut Tally) {
    let bytes: usize = queue.iter().map(Packet::length).sum();
    tally.add(Counter::Rx, queue.len() as u64);
    tally.add(Counter::RxBytes, bytes as u64);
    let sent = port.transmit(queue);
    tally.add(Counter::Forwarded, sent as u64);
    let mut left = 0;
    for packet in queue.drain(..) {
        left += packet.length();
        tally.drop(DropReason::TransmitFull);
    }
    tally.add(Counter::TxBytes, (bytes - left) as u64);
}
