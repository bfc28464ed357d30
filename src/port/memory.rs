//! A port in memory: what tests and the simulator use in place of a NIC. Its far end plays the wire.

use super::{Burst, Checksum, Packet, Port};
use crate::types::Instant;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// Bytes before a fresh frame, so that a header can grow.
const HEADROOM: usize = 64;

#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    received_at: Option<Instant>,
    ip_checksum: Checksum,
    l4_checksum: Checksum,
}

/// A fixed number of buffers of one size.
#[derive(Clone, Debug)]
pub struct Pool {
    free: Arc<ArrayQueue<Box<Buffer>>>,
}

impl Pool {
    /// `count` buffers for frames of up to `size` bytes.
    pub fn new(count: usize, size: usize) -> Self {
        let free = ArrayQueue::new(count.max(1));
        for _ in 0..count {
            let bytes = vec![0; HEADROOM + size].into_boxed_slice();
            let buffer = Buffer {
                bytes,
                start: HEADROOM,
                end: HEADROOM,
                received_at: None,
                ip_checksum: Checksum::Unknown,
                l4_checksum: Checksum::Unknown,
            };
            let _ = free.push(Box::new(buffer));
        }
        Self { free: Arc::new(free) }
    }

    /// An empty packet; `None` when all are in use.
    pub fn allocate(&self) -> Option<MemoryPacket> {
        let mut buffer = self.free.pop()?;
        buffer.start = HEADROOM.min(buffer.bytes.len());
        buffer.end = buffer.start;
        buffer.received_at = None;
        buffer.ip_checksum = Checksum::Unknown;
        buffer.l4_checksum = Checksum::Unknown;
        Some(MemoryPacket { buffer: Some(buffer), pool: self.clone() })
    }

    /// A packet with these bytes; `None` when all are in use or the frame is too long.
    pub fn packet(&self, frame: &[u8]) -> Option<MemoryPacket> {
        let mut packet = self.allocate()?;
        packet.resize(frame.len()).then(|| {
            packet.data_mut().copy_from_slice(frame);
            packet
        })
    }

    /// Buffers not in use.
    pub fn available(&self) -> usize {
        self.free.len()
    }
}

/// A packet in a buffer of a [`Pool`].
#[derive(Debug)]
pub struct MemoryPacket {
    /// `None` only while dropping.
    buffer: Option<Box<Buffer>>,
    pool: Pool,
}

impl MemoryPacket {
    /// Sets what the NIC would have said.
    #[must_use]
    pub fn with_checksums(mut self, ip: Checksum, l4: Checksum) -> Self {
        if let Some(buffer) = &mut self.buffer {
            buffer.ip_checksum = ip;
            buffer.l4_checksum = l4;
        }
        self
    }

    /// Sets when the NIC would have received it.
    #[must_use]
    pub fn with_received_at(mut self, at: Instant) -> Self {
        if let Some(buffer) = &mut self.buffer {
            buffer.received_at = Some(at);
        }
        self
    }
}

impl Drop for MemoryPacket {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let _ = self.pool.free.push(buffer);
        }
    }
}

impl Packet for MemoryPacket {
    fn data(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer.bytes[buffer.start..buffer.end])
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut().map_or(&mut [], |buffer| &mut buffer.bytes[buffer.start..buffer.end])
    }

    fn length(&self) -> usize {
        self.data().len()
    }

    fn resize(&mut self, length: usize) -> bool {
        let Some(buffer) = &mut self.buffer else { return false };
        let end = buffer.start + length;
        let fits = end <= buffer.bytes.len();
        if fits {
            buffer.end = end;
        }
        fits
    }

    fn move_start(&mut self, delta: isize) -> bool {
        let Some(buffer) = &mut self.buffer else { return false };
        match buffer.start.checked_add_signed(delta) {
            Some(start) if start <= buffer.end => {
                buffer.start = start;
                true
            }
            _ => false,
        }
    }

    fn received_at(&self) -> Option<Instant> {
        self.buffer.as_ref().and_then(|buffer| buffer.received_at)
    }

    fn ip_checksum(&self) -> Checksum {
        self.buffer.as_ref().map_or(Checksum::Unknown, |buffer| buffer.ip_checksum)
    }

    fn l4_checksum(&self) -> Checksum {
        self.buffer.as_ref().map_or(Checksum::Unknown, |buffer| buffer.l4_checksum)
    }

    fn prefetch(&self) {}
}

type Queue = Arc<ArrayQueue<MemoryPacket>>;

/// One queue pair.
#[derive(Debug)]
pub struct MemoryPort {
    pool: Pool,
    incoming: Queue,
    outgoing: Queue,
}

/// The wire: puts frames into a port's receive queues and takes what it sent.
#[derive(Debug)]
pub struct Wire {
    incoming: Vec<Queue>,
    outgoing: Queue,
}

/// A port of `queues` queue pairs that hold `depth` packets each, and the wire it is on.
pub fn port(pool: &Pool, queues: usize, depth: usize) -> (Vec<MemoryPort>, Wire) {
    let queue = |depth: usize| Arc::new(ArrayQueue::new(depth.max(1)));
    let incoming: Vec<Queue> = (0..queues).map(|_| queue(depth)).collect();
    let outgoing = queue(depth * queues.max(1));
    let pairs = incoming
        .iter()
        .map(|incoming| MemoryPort {
            pool: pool.clone(),
            incoming: Arc::clone(incoming),
            outgoing: Arc::clone(&outgoing),
        })
        .collect();
    (pairs, Wire { incoming, outgoing })
}

/// Two ports of one queue pair each, joined by a cable that holds `depth` packets in each direction. What one sends
/// stays in its own pool's buffer until the other lets it go.
pub fn link(pools: [&Pool; 2], depth: usize) -> [MemoryPort; 2] {
    let cable = || Arc::new(ArrayQueue::new(depth.max(1)));
    let (there, back): (Queue, Queue) = (cable(), cable());
    let end = |pool: &Pool, incoming: &Queue, outgoing: &Queue| MemoryPort {
        pool: pool.clone(),
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
    };
    [end(pools[0], &back, &there), end(pools[1], &there, &back)]
}

impl Wire {
    /// Puts a packet into a receive queue; gives it back when that is full or does not exist.
    pub fn send(&self, queue: usize, packet: MemoryPacket) -> Result<(), MemoryPacket> {
        match self.incoming.get(queue) {
            Some(incoming) => incoming.push(packet),
            None => Err(packet),
        }
    }

    /// The next packet the port sent.
    pub fn receive(&self) -> Option<MemoryPacket> {
        self.outgoing.pop()
    }
}

impl Port for MemoryPort {
    type Packet = MemoryPacket;

    fn receive(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        let before = burst.len();
        while !burst.is_full() {
            match self.incoming.pop() {
                Some(packet) => burst.push(packet),
                None => break,
            }
        }
        burst.len() - before
    }

    fn transmit(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        let mut left = Burst::new();
        let mut sent = 0;
        for packet in burst.drain(..) {
            match self.outgoing.push(packet) {
                Ok(()) => sent += 1,
                Err(packet) => left.push(packet),
            }
        }
        *burst = left;
        sent
    }

    fn allocate(&mut self) -> Option<MemoryPacket> {
        self.pool.allocate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_travel_and_buffers_come_back() {
        let pool = Pool::new(4, 100);
        let (mut queues, wire) = port(&pool, 2, 2);
        wire.send(1, pool.packet(b"one").unwrap()).unwrap();
        wire.send(1, pool.packet(b"two").unwrap()).unwrap();
        assert!(wire.send(1, pool.packet(b"three").unwrap()).is_err());
        assert!(wire.send(2, pool.packet(b"four").unwrap()).is_err());
        let mut burst = Burst::new();
        assert_eq!(queues[0].receive(&mut burst), 0);
        assert_eq!(queues[1].receive(&mut burst), 2);
        assert_eq!(burst[0].data(), b"one");
        assert_eq!((queues[1].transmit(&mut burst), burst.len()), (2, 0));
        assert_eq!(wire.receive().unwrap().data(), b"one");
        assert_eq!(pool.available(), 3);
        drop((wire, queues));
        assert_eq!(pool.available(), 4);
        assert!(pool.packet(&[0; 101]).is_none());
    }

    #[test]
    fn a_cable_joins_two_ports() {
        let pools = [Pool::new(2, 100), Pool::new(2, 100)];
        let [mut a, mut b] = link(pools.each_ref(), 1);
        let mut burst: Burst<_> =
            pools[0].packet(b"one").into_iter().chain(pools[0].packet(b"two")).collect();
        assert_eq!((a.transmit(&mut burst), burst.len()), (1, 1));
        let mut received = Burst::new();
        assert_eq!((a.receive(&mut received), b.receive(&mut received)), (0, 1));
        assert_eq!(received[0].data(), b"one");
        drop((burst, received));
        assert_eq!([pools[0].available(), pools[1].available()], [2, 2]);
    }

    #[test]
    fn a_frame_s_ends_move_within_its_buffer() {
        let pool = Pool::new(1, 10);
        let mut packet = pool.packet(b"0123456789").unwrap();
        assert!(!packet.resize(11) && packet.move_start(4) && !packet.move_start(7));
        assert_eq!(packet.data(), b"456789");
        assert!(packet.move_start(-4) && packet.move_start(-(HEADROOM as isize)) && !packet.move_start(-1));
        assert_eq!(packet.length(), 10 + HEADROOM);
    }
}
