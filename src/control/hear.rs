//! What the peer sends: out of the control core's own queues, and out of the workers' rings. It comes before all else, and
//! silence is judged only up to the moment until which everything received has been looked at.

use super::{Control, outlet::Reception};
use crate::{
    packet::{Datagram, Ethernet, IP_UDP, bytes},
    plane::{Examined, Queue},
    port::{Burst, LEFT_BEHIND, Packet, Port, is_short},
    protocol::{
        bfd::{ECHO_PORT, MULTI_HOP_PORT, SINGLE_HOP_PORT},
        pair::SYNC_PORT,
    },
    types::{Instant, PortId},
    worker::Urgent,
};
use rtrb::Consumer;
use std::sync::Arc;

/// Bursts taken from one queue in one turn.
const BURSTS: usize = 8;
/// Packets taken from one ring in one turn.
const PER_RING: usize = 256;

/// A worker's ring, and what it says of its queues.
#[derive(Debug)]
pub(super) struct FromWorker<P> {
    pub(super) ring: Consumer<Urgent<P>>,
    pub(super) examined: Arc<Examined>,
}

/// One port's reckoning.
#[derive(Debug)]
pub(super) struct Listening {
    /// The control core's own queue.
    queue: Queue,
    /// Until when that has been looked through.
    until: Instant,
    /// How often it may have run over.
    overruns: u64,
    /// Until when all that was received on the port had been looked at, at the last judgement.
    judged_until: Instant,
}

impl Listening {
    pub(super) const fn new(descriptors: u16) -> Self {
        let queue = Queue::new(descriptors as u32, descriptors as u32, LEFT_BEHIND as u32);
        Self { queue, until: Instant::ZERO, overruns: 0, judged_until: Instant::ZERO }
    }
}

impl<P: Port> Control<P> {
    /// Takes what has come, then judges the silence of the others. Returns whether anything came.
    pub(super) fn hear_peer(&mut self, now: Instant) -> bool {
        self.bfd.settle(now);
        let mut found = false;
        for port in 0..self.listening.len() {
            found |= self.hear_queue(port, now);
        }
        // First what the workers say, then their rings: what they had examined by then is in there.
        let examined = self.examined();
        let (heard, emptied) = self.hear_rings(now);
        for (port, listening) in self.listening.iter_mut().enumerate() {
            let id = PortId(port as u8);
            let until = match self.outlet.reception(id) {
                Reception::Own => listening.until,
                Reception::Workers if !emptied => continue,
                Reception::Workers => examined.get(port).copied().unwrap_or(now),
                Reception::Both if !emptied => continue,
                Reception::Both => listening.until.min(examined.get(port).copied().unwrap_or(now)),
            };
            let passed_on: u64 = self.from_workers.iter().map(|worker| worker.examined.lost()).sum();
            listening.judged_until = until;
            self.bfd.judge(id, until, passed_on + listening.overruns, now);
        }
        found | heard
    }

    fn hear_queue(&mut self, port: usize, now: Instant) -> bool {
        let id = PortId(port as u8);
        let mut found = false;
        for _ in 0..BURSTS {
            let mut burst = Burst::new();
            let Some(received) = self.outlet.receive(id, &mut burst) else { return found };
            if let Some(listening) = self.listening.get_mut(port)
                && let Some(until) = listening.queue.after(received, is_short(received), now)
            {
                listening.until = until;
                listening.overruns += u64::from(listening.queue.take_overrun());
            }
            found |= received > 0;
            for packet in burst {
                self.hear_packet(id, packet, now, now);
            }
            // Only nothing means that nothing is left.
            if received == 0 {
                break;
            }
        }
        found
    }

    /// Until when every worker has looked through each port's queue.
    fn examined(&self) -> arrayvec::ArrayVec<Instant, 64> {
        let port = |port| self.from_workers.iter().map(|worker| worker.examined.until(port)).min();
        (0..self.listening.len().min(64)).map(|number| port(number).unwrap_or(Instant::MAX)).collect()
    }

    /// Whether something came, and whether all rings are empty now.
    fn hear_rings(&mut self, now: Instant) -> (bool, bool) {
        let (mut found, mut emptied) = (false, true);
        for worker in 0..self.from_workers.len() {
            for taken in 0.. {
                let Ok(Urgent { port, received_at, packet }) = self.from_workers[worker].ring.pop() else {
                    break;
                };
                found = true;
                self.hear_packet(port, packet, received_at, now);
                if taken == PER_RING {
                    emptied = false;
                    break;
                }
            }
        }
        (found, emptied)
    }

    /// `taken_at` is when the turn began that took the packet from its queue: it was received before.
    fn hear_packet(&mut self, port: PortId, packet: P::Packet, taken_at: Instant, now: Instant) {
        // A stamp from before the queue was last seen empty is wrong, and so is one from the future.
        let floor =
            self.listening.get(port.index()).map_or(Instant::ZERO, |listening| listening.judged_until);
        let stamp = packet.received_at().filter(|at| (floor..=taken_at).contains(at));
        let received = (stamp.unwrap_or(taken_at), stamp.is_some());
        let frame = packet.data();
        let Ok((_, start)) = Ethernet::parse(frame) else { return };
        let Some(ip) = frame.get(start..) else { return };
        match udp_port(ip) {
            Some(SINGLE_HOP_PORT | MULTI_HOP_PORT) => self.bfd.hear(port, ip, received, now),
            Some(SYNC_PORT) => self.hear_pair(frame, received.0, now),
            Some(ECHO_PORT) => self.hear_echo(port, ip, received.0),
            Some(_) => {}
            None => {
                self.hear_ping(ip, received.0);
                if self.kernel_interfaces.get(port.index()) == Some(&true) {
                    // The kernel pings too. Without room it pings again.
                    let _ = self.kernel.push((port, packet));
                }
            }
        }
    }

    /// How many ports there are.
    pub(super) const fn ports(&self) -> usize {
        self.listening.len()
    }

    /// Until when all that was received on a port had been looked at, at the last judgement.
    pub(super) fn looked_through(&self, port: usize) -> Instant {
        self.listening.get(port).map_or(Instant::ZERO, |listening| listening.judged_until)
    }
}

/// The destination port of a UDP packet.
fn udp_port(ip: &[u8]) -> Option<u16> {
    let datagram = Datagram::parse(ip, true).ok()?;
    (datagram.protocol == IP_UDP && !datagram.is_later_fragment())
        .then(|| bytes::read_u16(ip, datagram.l4_offset + 2))?
}
