//! Packets that wait for their next hop's address. Bounded in all and per next hop, so that the flood of an
//! unreachable backend takes nothing from the others.

use super::verdict::HopKey;
use crate::{plane::NextHops, types::PortId};
use std::collections::VecDeque;

/// Packets kept per next hop: a datagram of 32,000 bytes in fragments, and a few more.
const PER_HOP: usize = 32;
/// How long one waits.
const WAIT_MS: u32 = 1_000;

#[derive(Debug)]
pub(super) struct Waiting<P> {
    pub(super) key: HopKey,
    pub(super) port: PortId,
    pub(super) packet: P,
    since_ms: u32,
}

impl<P> Waiting<P> {
    pub(super) const fn is_due(&self, now_ms: u32) -> bool {
        now_ms.wrapping_sub(self.since_ms) >= WAIT_MS
    }
}

/// First in, first looked at.
#[derive(Debug)]
pub(super) struct Hold<P> {
    queue: VecDeque<Waiting<P>>,
    capacity: usize,
    looked_ms: u32,
    resolutions: u64,
}

impl<P> Hold<P> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { queue: VecDeque::with_capacity(capacity), capacity, looked_ms: 0, resolutions: 0 }
    }

    /// Whether a packet may be free to go or have waited too long: a next hop was resolved since the last look, or
    /// a millisecond is over.
    #[inline]
    pub(super) fn is_due(&mut self, next_hops: &NextHops, now_ms: u32) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let resolutions = next_hops.resolutions();
        let due = resolutions != self.resolutions || now_ms != self.looked_ms;
        (self.resolutions, self.looked_ms) = (resolutions, now_ms);
        due
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Keeps a packet, or gives it back.
    pub(super) fn add(&mut self, key: HopKey, (port, packet): (PortId, P), now_ms: u32) -> Result<(), P> {
        let same = self.queue.iter().filter(|waiting| waiting.key == key).count();
        if self.queue.len() >= self.capacity || same >= PER_HOP {
            return Err(packet);
        }
        self.queue.push_back(Waiting { key, port, packet, since_ms: now_ms });
        Ok(())
    }

    pub(super) fn next(&mut self) -> Option<Waiting<P>> {
        self.queue.pop_front()
    }

    pub(super) fn put_back(&mut self, waiting: Waiting<P>) {
        self.queue.push_back(waiting);
    }
}
