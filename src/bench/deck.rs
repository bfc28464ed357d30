//! Prepared frames, and the ports of the benches that deal them out.

use crate::port::Port;

/// A cache line.
pub(super) type Line = [u8; 64];

/// Prepared frames, all of one length, each from the start of a cache line on.
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

    /// Frames, one after the other.
    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.chunks(self.lines_per_frame()).map(|lines| &lines.as_flattened()[..self.length])
    }

    const fn lines_per_frame(&self) -> usize {
        self.length.div_ceil(size_of::<Line>())
    }
}

/// Frames dealt out one after another, for ever or a given number of times, and copies of what was sent. They lie
/// in memory in the order they are dealt, so reading them costs bandwidth and not latency, as a receive ring would.
#[derive(Debug, Default)]
pub(super) struct Deck {
    templates: Templates,
    next: usize,
    /// Frames still to deal.
    pub(super) remaining: u64,
    /// Frames that were sent.
    pub(super) taken: u64,
    /// Copies of them, while it has room.
    recorded: Vec<u8>,
    room: usize,
}

impl Deck {
    /// Deals `templates`, `remaining` frames in all.
    pub(super) fn load(&mut self, templates: Templates, remaining: u64) {
        self.next = 0;
        self.templates = templates;
        self.remaining = remaining;
    }

    /// Bytes of a frame.
    pub(super) const fn length(&self) -> usize {
        self.templates.length
    }

    /// The next frame, in whole lines. Counts as dealt.
    #[inline]
    pub(super) fn deal(&mut self) -> &[Line] {
        let (from, lines) = (self.next, self.templates.lines_per_frame());
        self.remaining -= 1;
        self.next += lines;
        if self.next >= self.templates.lines.len() {
            self.next = 0;
        }
        &self.templates.lines[from..][..lines]
    }

    /// Keeps copies of the next `count` frames sent, of `length` bytes each, instead of those kept before.
    pub(super) fn record(&mut self, count: usize, length: usize) {
        self.room = count * length;
        self.recorded = Vec::with_capacity(self.room);
    }

    /// The copies; no more are kept.
    pub(super) fn recorded(&mut self) -> Vec<u8> {
        self.room = 0;
        std::mem::take(&mut self.recorded)
    }

    /// Whether more copies are wanted.
    #[inline]
    pub(super) const fn records(&self) -> bool {
        self.recorded.len() < self.room
    }

    /// Keeps a copy of a frame that is sent.
    pub(super) fn keep(&mut self, frame: &[u8]) {
        if self.records() {
            self.recorded.extend_from_slice(frame);
        }
    }
}

/// A port that deals out frames.
pub(super) trait Dealer: Port {
    /// What it deals.
    fn deck(&mut self) -> &mut Deck;
}
