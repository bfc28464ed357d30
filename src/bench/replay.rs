//! A port in memory that deals out prepared frames for ever, as a capture replayed without end would: each frame
//! is copied from its template into a buffer that has left the first-level cache.

use crate::{
    port::{Burst, Checksum, Packet, Port},
    types::Instant,
};
use std::collections::VecDeque;

/// Bytes before a frame.
const HEADROOM: usize = 64;
/// Room for a frame.
const ROOM: usize = 1600;

/// A packet of a [`Replay`] port.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Frame {
    bytes: [u8; HEADROOM + ROOM],
    start: u16,
    end: u16,
}

impl Frame {
    fn empty() -> Box<Self> {
        Box::new(Self { bytes: [0; HEADROOM + ROOM], start: HEADROOM as u16, end: HEADROOM as u16 })
    }
}

impl Packet for Box<Frame> {
    #[inline]
    fn data(&self) -> &[u8] {
        self.bytes.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        let range = usize::from(self.start)..usize::from(self.end);
        self.bytes.get_mut(range).unwrap_or_default()
    }

    #[inline]
    fn length(&self) -> usize {
        usize::from(self.end - self.start)
    }

    fn resize(&mut self, length: usize) -> bool {
        let fits = usize::from(self.start) + length <= self.bytes.len();
        if fits {
            self.end = self.start + length as u16;
        }
        fits
    }

    fn move_start(&mut self, delta: isize) -> bool {
        match usize::from(self.start).checked_add_signed(delta) {
            Some(start) if start <= usize::from(self.end) => {
                self.start = start as u16;
                true
            }
            _ => false,
        }
    }

    fn received_at(&self) -> Option<Instant> {
        None
    }

    fn ip_checksum(&self) -> Checksum {
        Checksum::Unknown
    }

    fn l4_checksum(&self) -> Checksum {
        Checksum::Unknown
    }

    fn prefetch(&self) {}
}

/// Frames of equal length, dealt out one after another for ever or a given number of times. They lie in memory in
/// the order they are dealt, so reading them costs bandwidth and not latency, as a receive ring would.
#[derive(Debug)]
pub(super) struct Replay {
    templates: Vec<u8>,
    length: usize,
    next: usize,
    free: VecDeque<Box<Frame>>,
    /// Frames still to deal.
    pub(super) remaining: u64,
    /// Frames taken back by [`Port::transmit`].
    pub(super) taken: u64,
    /// Copies of what was sent, while it has room for them.
    pub(super) recorded: Vec<u8>,
    room: usize,
}

impl Replay {
    pub(super) fn new(buffers: usize) -> Self {
        Self {
            templates: Vec::new(),
            length: 0,
            next: 0,
            free: (0..buffers).map(|_| Frame::empty()).collect(),
            remaining: 0,
            taken: 0,
            recorded: Vec::new(),
            room: 0,
        }
    }

    /// Deals `templates`, each `length` bytes, `remaining` frames in all.
    pub(super) fn load(&mut self, templates: Vec<u8>, length: usize, remaining: u64) -> Vec<u8> {
        self.next = 0;
        self.length = length;
        self.remaining = remaining;
        std::mem::replace(&mut self.templates, templates)
    }

    /// Keeps copies of the next `count` frames sent, instead of those kept before.
    pub(super) fn record(&mut self, count: usize) {
        self.room = count * self.length;
        self.recorded = Vec::with_capacity(self.room);
    }
}

impl Port for Replay {
    type Packet = Box<Frame>;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<Box<Frame>>) -> usize {
        let before = burst.len();
        while !burst.is_full() && self.remaining > 0 {
            let Some(template) = self.templates.get(self.next..self.next + self.length) else { break };
            let Some(mut frame) = self.free.pop_front() else { break };
            frame.start = HEADROOM as u16;
            frame.end = (HEADROOM + self.length) as u16;
            frame.bytes[HEADROOM..HEADROOM + self.length].copy_from_slice(template);
            self.remaining -= 1;
            self.next += self.length;
            if self.next == self.templates.len() {
                self.next = 0;
            }
            burst.push(frame);
        }
        burst.len() - before
    }

    #[inline]
    fn transmit(&mut self, burst: &mut Burst<Box<Frame>>) -> usize {
        let sent = burst.len();
        self.taken += sent as u64;
        for frame in burst.take() {
            if self.recorded.len() < self.room {
                self.recorded.extend_from_slice(frame.data());
            }
            self.free.push_back(frame);
        }
        sent
    }

    fn allocate(&mut self) -> Option<Box<Frame>> {
        self.free.pop_front()
    }
}

/// A step near the golden section of `count` that visits every place once, none near the last.
pub(super) fn scattered_step(count: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let mut step = (count as f64 * 0.618_033_988_75) as usize | 1;
    while gcd(step, count) != 1 {
        step += 1;
    }
    step % count.max(1)
}
