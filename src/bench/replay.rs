//! A port in memory that deals out prepared frames for ever, as a capture replayed without end would: each frame
//! is copied from its template into a buffer that has left the first-level cache.

use crate::{
    port::{BURST, Burst, Checksum, Packet, Port},
    types::Instant,
};
use std::collections::VecDeque;

/// Bytes before a frame.
const HEADROOM: usize = 64;
/// Room for a frame.
const ROOM: usize = 1600;

const _: () = assert!(HEADROOM.is_multiple_of(64) && ROOM.is_multiple_of(64), "whole cache lines");

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
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[usize::from(self.start)..usize::from(self.end)]
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
/// the order they are dealt, so reading them costs bandwidth and not latency, as a receive ring would. Whole cache
/// lines are copied, as a NIC writes them.
#[derive(Debug)]
pub(super) struct Replay {
    templates: Templates,
    next: usize,
    free: VecDeque<Box<Frame>>,
    /// Frames still to deal.
    pub(super) remaining: u64,
    /// Packets a call to [`Port::receive`] gives, at most.
    pub(super) burst: usize,
    /// Frames taken back by [`Port::transmit`].
    pub(super) taken: u64,
    /// Copies of what was sent, while it has room for them.
    pub(super) recorded: Vec<u8>,
    room: usize,
}

/// A cache line.
type Line = [u8; 64];

/// Prepared frames, all of one length.
#[derive(Debug, Default)]
pub(super) struct Templates {
    lines: Vec<Line>,
    /// Bytes of a frame.
    pub(super) length: usize,
}

impl Templates {
    /// Room for so many frames.
    pub(super) fn with_capacity(frames: usize, length: usize) -> Self {
        Self { lines: Vec::with_capacity(frames * length.div_ceil(size_of::<Line>())), length }
    }

    /// Adds a frame; all have the first one's length.
    pub(super) fn push(&mut self, frame: &[u8]) {
        self.length = frame.len();
        let (whole, rest) = frame.as_chunks();
        self.lines.extend(whole);
        if !rest.is_empty() {
            let mut last = [0; size_of::<Line>()];
            last[..rest.len()].copy_from_slice(rest);
            self.lines.push(last);
        }
    }

    fn lines_per_frame(&self) -> usize {
        self.length.div_ceil(size_of::<Line>())
    }
}

impl Replay {
    pub(super) fn new(buffers: usize) -> Self {
        Self {
            templates: Templates::default(),
            next: 0,
            free: (0..buffers).map(|_| Frame::empty()).collect(),
            remaining: 0,
            burst: BURST,
            taken: 0,
            recorded: Vec::new(),
            room: 0,
        }
    }

    /// Deals `templates`, `remaining` frames in all.
    pub(super) fn load(&mut self, templates: Templates, remaining: u64) {
        self.next = 0;
        self.templates = templates;
        self.remaining = remaining;
    }

    /// Keeps copies of the next `count` frames sent, instead of those kept before.
    pub(super) fn record(&mut self, count: usize) {
        self.room = count * self.templates.length;
        self.recorded = Vec::with_capacity(self.room);
    }
}

impl Port for Replay {
    type Packet = Box<Frame>;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<Box<Frame>>) -> usize {
        let lines = self.templates.lines_per_frame();
        let room = self.burst.min(burst.remaining_capacity()).min(self.free.len());
        let count = room.min(usize::try_from(self.remaining).unwrap_or(room));
        for mut frame in self.free.drain(..count) {
            let template = &self.templates.lines[self.next..][..lines];
            let body = &mut frame.bytes.as_chunks_mut().0[HEADROOM / size_of::<Line>()..][..lines];
            body.copy_from_slice(template);
            frame.start = HEADROOM as u16;
            frame.end = (HEADROOM + self.templates.length) as u16;
            self.next += lines;
            if self.next == self.templates.lines.len() {
                self.next = 0;
            }
            burst.push(frame);
        }
        self.remaining -= count as u64;
        count
    }

    #[inline]
    fn transmit(&mut self, burst: &mut Burst<Box<Frame>>) -> usize {
        let sent = burst.len();
        self.taken += sent as u64;
        if self.recorded.len() < self.room {
            self.recorded.extend(burst.iter().flat_map(|frame| frame.data()));
        }
        self.free.extend(burst.drain(..));
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
