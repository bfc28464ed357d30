//! Packets on their way out, gathered per port so that a burst is one call.

use crate::{
    plane::{Counter, Links, Tally},
    port::{BATCH, Burst, Packet, Port},
    types::{DropReason, PortId},
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Egress<P> {
    queues: Vec<Burst<P>>,
    /// Packets in all queues.
    gathered: usize,
    links: Arc<Links>,
}

impl<P: Packet> Egress<P> {
    pub(super) fn new(ports: usize, links: Arc<Links>) -> Self {
        Self { queues: (0..ports).map(|_| Burst::new()).collect(), gathered: 0, links }
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
        if self.gathered + count > BATCH {
            self.flush(ports, tally);
        }
    }

    /// Room was made.
    #[inline]
    pub(super) fn push(&mut self, out: PortId, packet: P, tally: &mut Tally) {
        let Some(queue) = self.queues.get_mut(out.index()) else {
            return tally.drop(DropReason::NoRoute);
        };
        self.gathered += 1;
        if queue.try_push(packet).is_err() {
            tally.drop(DropReason::TransmitFull);
        }
    }

    #[inline]
    pub(super) fn flush<Q: Port<Packet = P>>(&mut self, ports: &mut [Q], tally: &mut Tally) {
        if std::mem::take(&mut self.gathered) == 0 {
            return;
        }
        for ((number, queue), port) in (0..).zip(&mut self.queues).zip(ports) {
            if !queue.is_empty() {
                send(queue, port, self.links.is_up(PortId(number)), tally);
            }
        }
    }
}

/// Sends a burst, and counts all of it.
#[inline(never)]
fn send<P: Packet, Q: Port<Packet = P>>(queue: &mut Burst<P>, port: &mut Q, up: bool, tally: &mut Tally) {
    let bytes: usize = queue.iter().map(Packet::length).sum();
    let (sent, reason) =
        if up { (port.transmit(queue), DropReason::TransmitFull) } else { (0, DropReason::LinkDown) };
    tally.add(Counter::Forwarded, sent as u64);
    tally.add(Counter::TxBytes, bytes as u64);
    if !queue.is_empty() {
        give_up(queue, reason, tally);
    }
}

/// Drops what did not leave.
#[cold]
fn give_up<P: Packet>(queue: &mut Burst<P>, reason: DropReason, tally: &mut Tally) {
    for packet in queue.drain(..) {
        tally.subtract(Counter::TxBytes, packet.length() as u64);
        tally.drop(reason);
    }
}
