//! ARP and neighbour discovery: answering for what is ours, asking for what workers need, and writing what is
//! learned where workers read it.

use super::{Control, Event, PER_TURN, addresses::Owned};
use crate::{
    packet::{Arp, Datagram, ETHER_ARP, Ethernet, Ndp},
    plane::NextHop,
    port::{Packet, Port},
    protocol::{
        bfd::Hop,
        neighbor::{Effect, Neighbor},
        responder::{answer_arp, answer_solicitation},
    },
    service::ServiceTable,
    types::{Duration, Instant, PortId},
};
use parking_lot::Mutex;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// Neighbours looked at in one turn of the machine.
const POLL_BUDGET: usize = 16;
/// How often the list for people is renewed, and next hops in use are asked for again.
const REVIEW: Duration = Duration::from_secs(1);

/// The neighbours, for people.
#[derive(Debug, Default)]
pub struct NeighborView(Mutex<Vec<Neighbor>>);

impl NeighborView {
    /// All of them, as of a second ago.
    pub fn list(&self) -> Vec<Neighbor> {
        self.0.lock().clone()
    }
}

/// Next hops of the configuration.
#[derive(Debug, Default)]
pub(super) struct Pinned {
    /// The table they were taken from.
    services: Option<Arc<ServiceTable>>,
    hops: BTreeSet<(PortId, IpAddr)>,
    reviewed: Instant,
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
                if self.addresses.on_link(port, address) || self.pinned.hops.contains(&(port, address)) {
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
        let owner =
            Owned { addresses: &self.addresses, services: self.services.load(), ownership: &self.ownership };
        if ethernet.ether_type == ETHER_ARP {
            let Ok(arp) = Arp::parse(body) else { return false };
            self.neighbors.hear_arp(port, &arp, &owner, now);
            return self.outlet.send(port, |out, _| answer_arp(port, &ethernet, &arp, &owner, out));
        }
        let Ok(datagram) = Datagram::parse(body, false) else { return false };
        let Ok(message) = Ndp::parse(body, &datagram) else { return false };
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

    /// Pins the next hops that the tables name, and keeps those alive that sessions use.
    pub(super) fn keep_neighbors(&mut self, now: Instant) {
        let services = self.services.load();
        if !self.pinned.services.as_ref().is_some_and(|known| Arc::ptr_eq(known, services)) {
            self.pinned.services = Some(Arc::clone(services));
            self.pin(now);
        }
        if now.since(self.pinned.reviewed) >= REVIEW {
            self.pinned.reviewed = now;
            self.review(now);
        }
    }

    fn pin(&mut self, now: Instant) {
        let routes = self.routes.load();
        let gateways = routes.iter().filter_map(|route| route.via.map(|gateway| (route.port, gateway)));
        let backends = self.services.load().services().flat_map(|service| service.backends().iter());
        let ways =
            backends.filter_map(|backend| routes.way(backend.address)).map(|way| (way.port, way.neighbor));
        let peers = self.bfd.sessions().iter().filter_map(|(_, session)| {
            let path = session.settings().path;
            match path.hop {
                Hop::Single => Some((path.port, path.remote)),
                Hop::Multi { .. } => routes.way(path.remote).map(|way| (way.port, way.neighbor)),
            }
        });
        let wanted: BTreeSet<_> = gateways.chain(ways).chain(peers).collect();
        for &(port, address) in self.pinned.hops.difference(&wanted) {
            self.neighbors.unpin(port, address, now);
        }
        // A next hop that finds no room is asked for again when a session wants it.
        let kept = wanted.iter().filter(|&&(port, address)| {
            self.pinned.hops.contains(&(port, address)) || self.neighbors.pin(port, address, now).is_ok()
        });
        self.pinned.hops = kept.copied().collect();
    }

    fn review(&mut self, now: Instant) {
        let all: Vec<Neighbor> = self.neighbors.neighbors().collect();
        for neighbor in &all {
            if self.next_hops.take_used(neighbor.slot) {
                self.neighbors.want(neighbor.port, neighbor.address, now);
            }
        }
        *self.view.0.lock() = all;
    }
}
