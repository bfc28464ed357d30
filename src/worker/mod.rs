//! L5: the worker, one pinned polling thread, run to completion.
//!
//! ```text
//!  receive queues ─┐                                        ┌─► transmit queues
//!  other workers ──┼─► parse ─► look up ─► decide, rewrite ─┼─► the owner's ring
//!  held packets ───┘            (a verdict a packet)        ├─► control core, kernel interface, own stack
//!                                                           ├─► held for a next hop
//!                                                           └─► dropped, and counted
//! ```
//!
//! No lock, no allocation, no system call, no clock: time is an argument. `burst` decides, `exits` carries
//! the verdicts out.

mod adopt;
mod burst;
mod copy;
mod core;
mod dump;
mod egress;
mod exception;
mod exits;
mod family;
mod forward;
mod fragment;
mod hold;
mod icmp;
mod inform;
mod inlet;
mod journal;
mod open;
mod probe;
mod rings;
mod run;
mod split;
mod verdict;

pub use self::core::{PortSettings, Settings};
pub use dump::{Command, Dump, Dumped};
pub use open::ECHO_PORT;
pub use rings::{FarEnds, OnPort, RingSizes, Rings, SyncRings, Urgent, rings};
pub use run::{Idle, Rest, Stop, run};

use self::{
    burst::{Stages, stages},
    core::{Core, Views},
    exits::Exits,
    inlet::Inlet,
    verdict::Arrival,
};
use crate::{
    plane::{Counter, Counters, Examined, Reader, Routes},
    port::{BURST, Burst, Packet, Port},
    service::ServiceTable,
    types::{DropReason, Instant, PortId},
};
use std::{mem, sync::Arc};

/// One worker.
#[derive(Debug)]
pub struct Worker<P: Port> {
    core: Core,
    stages: Box<Stages>,
    exits: Exits<P>,
    services: Reader<ServiceTable>,
    routes: Reader<Routes>,
    counters: Arc<Counters>,
    inlets: Vec<Inlet<P::Packet>>,
    examined: Arc<Examined>,
    published_ms: u32,
}

impl<P: Port> Worker<P> {
    /// A worker on its queue pairs, in the order of the configuration's ports.
    pub fn new(
        ports: Vec<P>,
        settings: Settings,
        services: Reader<ServiceTable>,
        routes: Reader<Routes>,
        mut rings: Rings<P::Packet>,
        counters: Arc<Counters>,
    ) -> Self {
        let held_packets = settings.held_packets;
        let inlets = settings.ports.iter().map(|port| Inlet::new(port.facts.rx_descriptors)).collect();
        let examined = Arc::clone(&settings.examined);
        let (links, relay) = (Arc::clone(&settings.links), Arc::clone(&settings.relay));
        let core = Core::new(settings, rings.sync.take());
        let exits = Exits::new(ports, rings, Arc::clone(&examined), links, relay, held_packets);
        Self { core, stages: stages(), exits, services, routes, counters, inlets, examined, published_ms: 0 }
    }

    /// Its queue pairs.
    pub fn ports_mut(&mut self) -> &mut [P] {
        &mut self.exits.ports
    }

    /// Allocates what its thread needs. Called on that thread, before the first turn.
    pub fn prepare(&mut self) {
        self.services.prepare();
        self.routes.prepare();
    }

    /// One turn at `now`: takes what has arrived, decides, sends. Returns whether there was anything to do.
    pub fn turn(&mut self, now: Instant) -> bool {
        self.core.begin(now);
        let mut found = self.core.has_records();
        if found {
            self.core.adopt(&Views { services: self.services.load(), routes: self.routes.load() });
            self.exits.request_all(&mut self.core.context.wanted);
        }
        // What waited leaves before what comes behind it.
        found |= self.exits.hold.is_due(&self.core.context.next_hops, self.core.context.now_ms)
            && self.release_held();
        for port in 0..self.exits.ports.len() {
            let mut burst = Burst::new();
            let looked_through = self.inlets[port].receive(&mut self.exits.ports[port], &mut burst, now);
            if !burst.is_empty() {
                found = true;
                self.core.context.behind |= self.inlets[port].is_behind();
                self.core.context.tally.add(Counter::Received, burst.len() as u64);
                self.process(&mut burst, PortId(port as u8), Arrival::Wire);
                if mem::take(&mut self.core.context.newcomers) {
                    self.inlets[port].note_newcomers();
                }
            }
            // After its packets: what is the control core's lies in the ring by now.
            if let Some(until) = looked_through {
                if self.inlets[port].take_overrun() {
                    self.examined.count_lost();
                }
                self.examined.set(port, until);
            }
        }
        found |= self.take_handed_in();
        self.exits.flush(&mut self.core.context.tally);
        found |= self.exits.inject(&mut self.core.context.tally);
        self.keep_house(found);
        found
    }

    fn take_handed_in(&mut self) -> bool {
        let mut found = false;
        for ring in 0..self.exits.rings.handed_in.len() {
            let mut burst = Burst::new();
            let mut port = PortId(0);
            for _ in 0..BURST {
                let Ok((from, packet)) = self.exits.rings.handed_in[ring].pop() else { break };
                found = true;
                self.core.context.tally.add(Counter::HandedIn, 1);
                if from != port && !burst.is_empty() {
                    self.process(&mut burst, port, Arrival::Again);
                }
                port = from;
                burst.push(packet);
            }
            if !burst.is_empty() {
                self.process(&mut burst, port, Arrival::Again);
            }
        }
        found
    }

    /// Packets whose next hop has answered come again; those that waited too long die.
    fn release_held(&mut self) -> bool {
        let mut released = false;
        for _ in 0..self.exits.hold.len() {
            let Some(waiting) = self.exits.hold.next() else { break };
            if self.core.context.next_hops.find(waiting.key.0, waiting.key.1).is_some() {
                released = true;
                let mut burst = Burst::new();
                burst.push(waiting.packet);
                self.process(&mut burst, waiting.port, Arrival::Again);
            } else if waiting.is_due(self.core.context.now_ms) {
                let tally = &mut self.core.context.tally;
                tally.add(Counter::Rx, 1);
                tally.add(Counter::RxBytes, waiting.packet.length() as u64);
                tally.drop(DropReason::NeighborUnresolved);
            } else {
                self.exits.hold.put_back(waiting);
            }
        }
        released
    }

    fn keep_house(&mut self, found: bool) {
        let core = &mut self.core;
        let next_ms = core.context.now_ms != self.published_ms;
        if next_ms {
            core.owe_looks();
        }
        if next_ms || !found {
            self.exits.rings.dump.hear();
        }
        if core.owes_looks() {
            core.age(&Views { services: self.services.load(), routes: self.routes.load() });
            self.exits.request_all(&mut core.context.wanted);
        }
        core.keep_journal();
        core.end(found);
        self.exits.rings.dump.step(&core.sessions, core.context.now_ms);
        self.counters.beat(core.context.tally.get(Counter::Turns));
        if next_ms {
            self.published_ms = core.context.now_ms;
            core.context.tally.set(Counter::Held, self.exits.hold.len() as u64);
            core.count_sessions();
            self.counters.publish(&core.context.tally);
        }
    }
}
