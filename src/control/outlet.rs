//! How the control core sends: from its own transmit queue where a port has one to spare, otherwise through a ring
//! to the first worker.

use crate::{
    port::{Burst, Packet, Port, PortFacts},
    types::PortId,
    worker::OnPort,
};
use rtrb::Producer;

/// Gives an empty packet of a port's pool.
pub type Allocator<P> = Box<dyn FnMut() -> Option<P> + Send>;

/// Where the peer's packets arrive on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reception {
    /// All of them in the control core's own queue: flow rules bring them there.
    Own,
    /// All of them in workers' queues.
    #[default]
    Workers,
    /// Some here, some there.
    Both,
}

/// One port, as the control core sends on it.
pub struct OutletPort<P: Port> {
    /// The port.
    pub facts: PortFacts,
    /// The control core's own queue pair.
    pub queue: Option<P>,
    /// Where what the peer sends arrives.
    pub reception: Reception,
    /// Where packets come from.
    pub allocate: Allocator<P::Packet>,
}

impl<P: Port> std::fmt::Debug for OutletPort<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutletPort").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// All ports.
pub struct Outlet<P: Port> {
    ports: Vec<(OutletPort<P>, Burst<P::Packet>)>,
    ring: Producer<OnPort<P::Packet>>,
    sent: u64,
    lost: u64,
}

impl<P: Port> std::fmt::Debug for Outlet<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("sent", &self.sent).field("lost", &self.lost).finish_non_exhaustive()
    }
}

/// Room for what the control core writes.
const FRAME: usize = 256;

impl<P: Port> Outlet<P> {
    /// Over the ports in the order of the configuration; `ring` leads to the first worker.
    pub fn new(ports: Vec<OutletPort<P>>, ring: Producer<OnPort<P::Packet>>) -> Self {
        Self { ports: ports.into_iter().map(|port| (port, Burst::new())).collect(), ring, sent: 0, lost: 0 }
    }

    /// The port's facts.
    pub fn facts(&self, port: PortId) -> Option<&PortFacts> {
        self.ports.get(port.index()).map(|(port, _)| &port.facts)
    }

    /// Where the peer's packets arrive on a port.
    pub fn reception(&self, port: PortId) -> Reception {
        self.ports.get(port.index()).map_or(Reception::Workers, |(port, _)| port.reception)
    }

    /// Receives from the control core's own queue; `None` without one.
    pub fn receive(&mut self, port: PortId, burst: &mut Burst<P::Packet>) -> Option<usize> {
        let (outlet, _) = self.ports.get_mut(port.index())?;
        Some(outlet.queue.as_mut()?.receive(burst))
    }

    /// Sends a frame of up to 256 bytes that `write` writes, returning its length, or `None` for nothing to send.
    /// Returns whether there was something to send; without a packet or room it is counted as lost.
    pub fn send(&mut self, port: PortId, write: impl FnOnce(&mut [u8], &PortFacts) -> Option<usize>) -> bool {
        let Some((outlet, _)) = self.ports.get_mut(port.index()) else { return false };
        let mut frame = [0; FRAME];
        let Some(frame) = write(&mut frame, &outlet.facts).and_then(|length| frame.get(..length)) else {
            return false;
        };
        self.sent += 1;
        match (outlet.allocate)().and_then(|packet| filled(packet, frame)) {
            Some(packet) => self.pass(port, packet),
            None => self.lost += 1,
        }
        true
    }

    /// Sends a frame of up to `room` bytes, which `write` writes where it will be sent from. Otherwise as
    /// [`Self::send`], but that nothing can be said without a packet: then it is counted as lost.
    pub fn send_long(
        &mut self,
        port: PortId,
        room: usize,
        write: impl FnOnce(&mut [u8], &PortFacts) -> Option<usize>,
    ) -> bool {
        let Some((outlet, _)) = self.ports.get_mut(port.index()) else { return false };
        let packet = (outlet.allocate)().and_then(|mut packet| packet.resize(room).then_some(packet));
        let Some(mut packet) = packet else {
            self.sent += 1;
            self.lost += 1;
            return true;
        };
        match write(packet.data_mut(), &outlet.facts) {
            Some(length) if packet.resize(length) => {
                self.sent += 1;
                self.pass(port, packet);
                true
            }
            _ => false,
        }
    }

    fn pass(&mut self, port: PortId, packet: P::Packet) {
        let Some((outlet, burst)) = self.ports.get_mut(port.index()) else { return };
        let kept = match outlet.queue {
            Some(_) => burst.try_push(packet).is_ok(),
            None => self.ring.push((port, packet)).is_ok(),
        };
        self.lost += u64::from(!kept);
        if burst.is_full() {
            flush(outlet, burst, &mut self.lost);
        }
    }

    /// Sends what is gathered.
    pub fn flush(&mut self) {
        for (outlet, burst) in &mut self.ports {
            if !burst.is_empty() {
                flush(outlet, burst, &mut self.lost);
            }
        }
    }

    /// Frames sent, and of those the ones that found no room.
    pub const fn counts(&self) -> (u64, u64) {
        (self.sent, self.lost)
    }
}

fn filled<P: Packet>(mut packet: P, frame: &[u8]) -> Option<P> {
    packet.resize(frame.len()).then(|| {
        packet.data_mut().copy_from_slice(frame);
        packet
    })
}

fn flush<P: Port>(outlet: &mut OutletPort<P>, burst: &mut Burst<P::Packet>, lost: &mut u64) {
    if let Some(queue) = &mut outlet.queue {
        queue.transmit(burst);
    }
    *lost += burst.len() as u64;
    burst.clear();
}
