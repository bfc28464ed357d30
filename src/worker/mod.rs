//! L5: the worker, one pinned polling thread, run to completion.
//!
//! ```text
//!  receive queues ─┐                                        ┌─► transmit queues
//!  other workers ──┼─► parse ─► look up ─► decide, rewrite ─┼─► the owner's ring
//!  held packets ───┘            (a verdict a packet)        ├─► control core, kernel interface
//!                                                           ├─► held for a next hop
//!                                                           └─► dropped, and counted
//! ```
//!
//! No lock, no allocation, no system call, no clock: time is an argument. `core` decides and rewrites, this file
//! moves packets and carries the verdicts out.

mod burst;
mod core;
mod dump;
mod egress;
mod exception;
mod family;
mod forward;
mod fragment;
mod hold;
mod icmp;
mod inform;
mod open;
mod rings;
mod run;
mod verdict;

pub use self::core::{PortSettings, Settings};
pub use dump::{Command, Dump, Dumped};
pub use open::SYNC_PORT;
pub use rings::{FarEnds, OnPort, RingSizes, Rings, rings};
pub use run::{Idle, Rest, Stop, run};

use self::{
    core::{Core, Views},
    egress::Egress,
    hold::Hold,
    verdict::{Arrival, Source, Verdict},
};
use crate::{
    plane::{Counter, Counters, Reader, Routes, Tally},
    port::{BURST, Burst, Packet, Port},
    service::ServiceTable,
    types::{DropReason, Instant, PortId},
};
use std::sync::Arc;

/// One worker.
#[derive(Debug)]
pub struct Worker<P: Port> {
    ports: Vec<P>,
    core: Core,
    services: Reader<ServiceTable>,
    routes: Reader<Routes>,
    rings: Rings<P::Packet>,
    egress: Egress<P::Packet>,
    hold: Hold<P::Packet>,
    counters: Arc<Counters>,
    published_ms: u32,
}

impl<P: Port> Worker<P> {
    /// A worker on its queue pairs, in the order of the configuration's ports.
    pub fn new(
        ports: Vec<P>,
        settings: Settings,
        services: Reader<ServiceTable>,
        routes: Reader<Routes>,
        rings: Rings<P::Packet>,
        counters: Arc<Counters>,
    ) -> Self {
        let egress = Egress::new(ports.len(), Arc::clone(&settings.links));
        let hold = Hold::new(settings.held_packets);
        let core = Core::new(settings);
        Self { ports, core, services, routes, rings, egress, hold, counters, published_ms: 0 }
    }

    /// Its queue pairs.
    pub fn ports_mut(&mut self) -> &mut [P] {
        &mut self.ports
    }

    /// Allocates what its thread needs. Called on that thread, before the first turn.
    pub fn prepare(&mut self) {
        self.services.prepare();
        self.routes.prepare();
    }

    /// One turn at `now`: takes what has arrived, decides, sends. Returns whether there was anything to do.
    pub fn turn(&mut self, now: Instant) -> bool {
        self.core.begin(now);
        // What waited leaves before what comes behind it.
        let mut found =
            self.hold.is_due(&self.core.context.next_hops, self.core.context.now_ms) && self.release_held();
        for port in 0..self.ports.len() {
            let mut burst = Burst::new();
            let received = self.ports[port].receive(&mut burst);
            if received > 0 {
                found = true;
                self.core.context.tally.add(Counter::Received, received as u64);
                self.process(&mut burst, Source { port: PortId(port as u8), arrival: Arrival::Wire });
            }
        }
        found |= self.take_handed_in();
        self.egress.flush(&mut self.ports, &mut self.core.context.tally);
        found |= self.inject();
        self.keep_house(found);
        found
    }

    /// Every packet of `burst` gets its verdict, and the verdict is carried out.
    fn process(&mut self, burst: &mut Burst<P::Packet>, from: Source) {
        let views = Views { services: self.services.load(), routes: self.routes.load() };
        // Before the verdicts: a frame that changes its VLAN leaves with another length.
        let bytes: usize = burst.iter().map(Packet::length).sum();
        self.core.context.tally.add(Counter::Rx, burst.len() as u64);
        self.core.context.tally.add(Counter::RxBytes, bytes as u64);
        let verdicts = self.core.decide(&views, burst, from);
        for (packet, verdict) in burst.take().into_iter().zip(verdicts) {
            self.carry_out(verdict, packet, from.port);
        }
        for key in self.core.context.wanted.drain(..) {
            self.rings.request(key);
        }
    }

    #[inline]
    fn carry_out(&mut self, verdict: Verdict, packet: P::Packet, port: PortId) {
        let tally = &mut self.core.context.tally;
        match verdict {
            Verdict::Transmit(out) => self.egress.push(out, packet, &mut self.ports, tally),
            Verdict::Hold(key) => {
                self.rings.request(key);
                let length = packet.length();
                match self.hold.add(key, (port, packet), self.core.context.now_ms) {
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
                self.inform(message, &packet, port);
            }
            Verdict::Control | Verdict::Urgent | Verdict::Kernel => {
                match self.rings.punt(verdict, (port, packet)) {
                    Ok(counter) => tally.add(counter, 1),
                    Err((_, reason)) => tally.drop(reason),
                }
            }
        }
    }

    fn take_handed_in(&mut self) -> bool {
        let mut found = false;
        for ring in 0..self.rings.handed_in.len() {
            let mut burst = Burst::new();
            let mut port = PortId(0);
            for _ in 0..BURST {
                let Ok((from, packet)) = self.rings.handed_in[ring].pop() else { break };
                found = true;
                self.core.context.tally.add(Counter::HandedIn, 1);
                if from != port && !burst.is_empty() {
                    self.process(&mut burst, Source { port, arrival: Arrival::Again });
                }
                port = from;
                burst.push(packet);
            }
            if !burst.is_empty() {
                self.process(&mut burst, Source { port, arrival: Arrival::Again });
            }
        }
        found
    }

    /// Packets whose next hop has answered come again; those that waited too long die.
    fn release_held(&mut self) -> bool {
        let mut released = false;
        for _ in 0..self.hold.len() {
            let Some(waiting) = self.hold.next() else { break };
            if self.core.context.next_hops.find(waiting.key.0, waiting.key.1).is_some() {
                released = true;
                let mut burst = Burst::new();
                burst.push(waiting.packet);
                self.process(&mut burst, Source { port: waiting.port, arrival: Arrival::Again });
            } else if waiting.is_due(self.core.context.now_ms) {
                let tally = &mut self.core.context.tally;
                tally.add(Counter::Rx, 1);
                tally.add(Counter::RxBytes, waiting.packet.length() as u64);
                tally.drop(DropReason::NeighborUnresolved);
            } else {
                self.hold.put_back(waiting);
            }
        }
        released
    }

    /// Sends frames of the control core and of the kernel interface.
    fn inject(&mut self) -> bool {
        let mut found = false;
        for ring in &mut self.rings.injected {
            for _ in 0..BURST {
                let Ok((port, packet)) = ring.pop() else { break };
                found = true;
                let Some(queue) = self.ports.get_mut(port.index()) else { continue };
                let mut burst = Burst::new();
                burst.push(packet);
                let sent = queue.transmit(&mut burst) as u64;
                self.core.context.tally.add(Counter::Injected, sent);
                self.core.context.tally.add(Counter::InjectedLost, 1 - sent);
            }
        }
        found
    }

    fn keep_house(&mut self, found: bool) {
        let core = &mut self.core;
        core.age(self.services.load());
        core.end(found);
        self.rings.dump.step(&core.sessions, core.context.now_ms);
        self.counters.beat(core.context.tally.get(Counter::Turns));
        if core.context.now_ms != self.published_ms {
            self.published_ms = core.context.now_ms;
            core.context.tally.set(Counter::Held, self.hold.len() as u64);
            core.count_sessions();
            self.counters.publish(&core.context.tally);
        }
    }
}

/// A packet whose fate is not decided yet, or by another worker, is not counted yet, or there.
fn take_back(tally: &mut Tally, length: usize) {
    tally.subtract(Counter::Rx, 1);
    tally.subtract(Counter::RxBytes, length as u64);
}
