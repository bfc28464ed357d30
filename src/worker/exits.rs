//! All the ways by which a packet leaves a worker. Whatever way it takes, it is counted once.

use super::{
    core::Context,
    egress::Egress,
    hold::Hold,
    rings::{Rings, Urgent},
    verdict::{HopKey, Verdict},
};
use crate::{
    plane::{Counter, Examined, Links, Relay, Tally},
    port::{BATCH, BURST, Burst, Packet, Port},
    types::{DropReason, PortId},
};
use arrayvec::ArrayVec;
use std::sync::Arc;

pub(super) struct Exits<P: Port> {
    pub(super) ports: Vec<P>,
    pub(super) rings: Rings<P::Packet>,
    pub(super) hold: Hold<P::Packet>,
    pub(super) egress: Egress<P::Packet>,
    examined: Arc<Examined>,
    relay: Arc<Relay>,
}

impl<P: Port> std::fmt::Debug for Exits<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exits").finish_non_exhaustive()
    }
}

impl<P: Port> Exits<P> {
    pub(super) fn new(
        ports: Vec<P>,
        rings: Rings<P::Packet>,
        examined: Arc<Examined>,
        links: Arc<Links>,
        relay: Arc<Relay>,
        held_packets: usize,
    ) -> Self {
        let egress = Egress::new(ports.len(), links);
        Self { ports, rings, hold: Hold::new(held_packets), egress, examined, relay }
    }

    /// Sends `packet` by the port `out`.
    #[inline(always)]
    pub(super) fn transmit(&mut self, out: PortId, packet: P::Packet, context: &mut Context) {
        self.egress.push(out, packet, &mut context.tally);
    }

    /// Does with `packet`, which came by `port`, what the verdict says.
    #[inline(never)]
    pub(super) fn carry_out(
        &mut self,
        verdict: Verdict,
        packet: P::Packet,
        port: PortId,
        context: &mut Context,
    ) {
        let tally = &mut context.tally;
        match verdict {
            Verdict::Transmit(out) => self.egress.push(out, packet, tally),
            Verdict::Split(out) => self.send_in_pieces(out, packet, context),
            Verdict::Relay => self.relay_to_owner(packet, port, context),
            Verdict::Hold(key) => {
                self.rings.request(key);
                let length = packet.length();
                match self.hold.add(key, (port, packet), context.now_ms) {
                    Ok(()) => take_back(tally, length),
                    Err(_) => tally.drop(DropReason::NeighborUnresolved),
                }
            }
            Verdict::HandOver(worker) => {
                let length = packet.length();
                match self.rings.hand_over(worker, (port, packet)) {
                    Ok(()) => {
                        take_back(tally, length);
                        tally.add(Counter::HandedOut, 1);
                    }
                    Err(_) => tally.drop(DropReason::HandoverFull),
                }
            }
            Verdict::Drop(reason) => tally.drop(reason),
            Verdict::Refuse(reason, message) => {
                tally.drop(reason);
                self.inform(message, &packet, port, context);
            }
            Verdict::Reset(reason) => {
                tally.drop(reason);
                self.reset(&packet, port, context);
            }
            Verdict::Control | Verdict::Urgent | Verdict::Kernel => {
                let passed = match verdict {
                    Verdict::Urgent => self.report(Urgent { port, received_at: context.now, packet }),
                    _ => self.rings.punt(verdict, (port, packet)),
                };
                match passed {
                    Ok(counter) => tally.add(counter, 1),
                    Err((_, reason)) => tally.drop(reason),
                }
            }
        }
    }

    /// To the node that serves the instance now.
    fn relay_to_owner(&mut self, mut packet: P::Packet, port: PortId, context: &mut Context) {
        context.tally.add(Counter::Strays, 1);
        let own = context.port(port).map(|port| port.mac);
        let (Some(own), Some(other), Some(macs)) =
            (own, self.relay.get(port), packet.data_mut().first_chunk_mut::<12>())
        else {
            return context.tally.drop(DropReason::NotOwner);
        };
        macs[..6].copy_from_slice(&other.0);
        macs[6..].copy_from_slice(&own.0);
        context.tally.add(Counter::Relayed, 1);
        self.egress.push(port, packet, &mut context.tally);
    }

    /// To the control core; it must know of a packet that did not reach it.
    fn report(&mut self, item: Urgent<P::Packet>) -> Result<Counter, (P::Packet, DropReason)> {
        self.rings.report(item).inspect_err(|_| self.examined.count_lost())
    }

    /// Before a burst of `count` packets is decided.
    #[inline]
    pub(super) fn make_room(&mut self, count: usize, tally: &mut Tally) {
        self.egress.make_room(count, &mut self.ports, tally);
    }

    /// Sends what has been gathered.
    pub(super) fn flush(&mut self, tally: &mut Tally) {
        self.egress.flush(&mut self.ports, tally);
    }

    /// Asks the control core for next hops.
    #[inline]
    pub(super) fn request_all(&mut self, wanted: &mut ArrayVec<HopKey, BATCH>) {
        while let Some(key) = wanted.pop() {
            self.rings.request(key);
        }
    }

    /// Sends frames of the control core and of the kernel interface; returns whether there were any.
    pub(super) fn inject(&mut self, tally: &mut Tally) -> bool {
        let mut found = false;
        for ring in &mut self.rings.injected {
            for _ in 0..BURST {
                let Ok((port, packet)) = ring.pop() else { break };
                found = true;
                let Some(queue) = self.ports.get_mut(port.index()) else { continue };
                let mut burst = Burst::new();
                burst.push(packet);
                let sent = queue.transmit(&mut burst) as u64;
                tally.add(Counter::Injected, sent);
                tally.add(Counter::InjectedLost, 1 - sent);
            }
        }
        found
    }
}

/// A packet whose fate is not decided yet, or by another worker, is not counted yet, or there.
fn take_back(tally: &mut Tally, length: usize) {
    tally.subtract(Counter::Rx, 1);
    tally.subtract(Counter::RxBytes, length as u64);
}
