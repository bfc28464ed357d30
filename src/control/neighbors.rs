//! ARP and neighbour discovery: answering for what is ours, asking for what workers need, and writing what is
//! learned where workers read it.

use super::{Control, Event, PER_TURN, addresses::Owned};
use crate::{
    packet::{Arp, Datagram, ETHER_ARP, Ethernet, Ndp},
    plane::NextHop,
    port::{Packet, Port},
    protocol::{
        neighbor::Effect,
        responder::{answer_arp, answer_solicitation},
    },
    types::{Instant, NextHopId, PortId},
};

/// Neighbours looked at in one turn of the machine.
const POLL_BUDGET: usize = 16;
/// Calls, one a millisecond, in which every neighbour is looked at once.
const REVIEW_STEPS: usize = 1000;

/// What the node owns now, borrowing only what it needs.
macro_rules! owned {
    ($control:expr) => {
        Owned {
            addresses: &$control.addresses,
            services: $control.services.load(),
            ownership: &$control.ownership,
            virtual_macs: $control.ha.as_ref().map_or(&[], |ha| &ha.virtual_macs),
        }
    };
}

impl<P: Port> Control<P> {
    pub(super) fn hear_neighbors(&mut self, now: Instant) -> bool {
        let mut found = false;
        for ring in 0..self.neighbor_rings.len() {
            for _ in 0..PER_TURN {
                let Ok((port, packet)) = self.neighbor_rings[ring].pop() else { break };
                found = true;
                let answered = self.hear(port, packet.data(), now);
                if !answered && self.kernel_interfaces.get(port.index()) == Some(&true) {
                    // The kernel has questions of its own. Without room for the answer it asks again.
                    let _ = self.kernel.push((port, packet));
                }
            }
        }
        for ring in &mut self.requests {
            for _ in 0..PER_TURN {
                let Ok((port, address)) = ring.pop() else { break };
                found = true;
                if self.addresses.on_link(port, address) || self.pinned.contains((port, address)) {
                    self.neighbors.want(port, address, now);
                }
            }
        }
        found
    }

    /// Whether it was a question to this node, and was answered.
    fn hear(&mut self, port: PortId, frame: &[u8], now: Instant) -> bool {
        let Ok((ethernet, start)) = Ethernet::parse(frame) else { return false };
        let body = frame.get(start..).unwrap_or_default();
        if ethernet.ether_type == ETHER_ARP {
            let Ok(arp) = Arp::parse(body) else { return false };
            self.hear_arp_of_others(port, &arp, now);
            let owner = owned!(self);
            self.neighbors.hear_arp(port, &arp, &owner, now);
            return self.outlet.send(port, |out, _| answer_arp(port, &ethernet, &arp, &owner, out));
        }
        let Ok(datagram) = Datagram::parse(body, false) else { return false };
        let Ok(message) = Ndp::parse(body, &datagram) else { return false };
        self.hear_ndp_of_others(port, &message, now);
        let owner = owned!(self);
        self.neighbors.hear_ndp(port, &message, &owner, now);
        match &message {
            Ndp::Solicitation(question) => {
                self.outlet.send(port, |out, _| answer_solicitation(port, &ethernet, question, &owner, out))
            }
            Ndp::Advertisement(_) => false,
        }
    }

    /// Runs the machine and carries its effects out.
    pub(super) fn ask_neighbors(&mut self, now: Instant) -> bool {
        if self.neighbors.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.neighbors.poll(now, POLL_BUDGET);
        }
        let mut found = false;
        for _ in 0..PER_TURN {
            let Some(effect) = self.neighbors.next_effect() else { break };
            found = true;
            match effect {
                Effect::Ask(ask) => {
                    let Some(own) = self.addresses.source_for(ask.port, ask.address) else { continue };
                    self.outlet.send(ask.port, |out, facts| ask.frame(facts.mac, own, facts.vlan, out));
                }
                Effect::Changed { slot, port, address, mac: Some(mac) } => {
                    self.next_hops.resolve(slot, address, NextHop { mac, port });
                }
                Effect::Changed { slot, port, address, mac: None } => {
                    self.next_hops.clear(slot, port, address)
                }
                Effect::Conflict { port, address, mac } => {
                    self.tell(Event::AddressConflict { port, address, mac });
                }
            }
        }
        found
    }

    /// Goes on with what takes many turns: pins what management names, asks behind links that came up, and looks at
    /// some neighbours, at all of them within a second.
    pub(super) fn keep_neighbors(&mut self, now: Instant) {
        self.pinned.step(self.pins.load(), &mut self.neighbors, now);
        self.risen.step(&mut self.neighbors, now);
        let slots = self.neighbors.slots();
        for _ in 0..slots.div_ceil(REVIEW_STEPS) {
            let slot = NextHopId(self.reviewed as u32);
            self.reviewed = (self.reviewed + 1) % slots;
            self.review(slot, now);
        }
    }

    /// Renews the record for people, and keeps the next hop alive if sessions use it.
    fn review(&mut self, slot: NextHopId, now: Instant) {
        let neighbor = self.neighbors.neighbor(slot);
        self.view.set(slot, neighbor.as_ref());
        if let Some(neighbor) = neighbor
            && self.next_hops.take_used(slot)
        {
            self.neighbors.want(neighbor.port, neighbor.address, now);
        }
    }
}
