//! A port in memory that deals out prepared frames for ever, as a capture replayed without end would: each frame
//! is copied from its template into a buffer that has left the first-level cache.

use super::deck::{Dealer, Deck, Line};
use crate::{
    plane::zeroed,
    port::{BURST, Burst, Checksum, Packet, Port},
    types::Instant,
};
use bytemuck::Zeroable;
use std::io;

/// Lines before a frame.
const HEADROOM: usize = 1;
/// Lines for a frame.
const ROOM: usize = 25;

/// A packet of a [`Replay`] port, in memory as DPDK's pools have it: on huge pages where there are any.
#[derive(Debug, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Frame {
    lines: [Line; HEADROOM + ROOM],
    start: u16,
    end: u16,
    /// What the port wants to know of it when it comes back.
    pub(super) stamp: u64,
}

/// A frame that is somebody's. One that is dropped is gone.
pub(super) type Buffer = &'static mut Frame;

impl Frame {
    /// Copies a frame of `length` bytes in, in whole lines.
    #[inline(always)]
    pub(super) fn fill(&mut self, lines: &[Line], length: usize) {
        self.lines[HEADROOM..][..lines.len()].copy_from_slice(lines);
        self.start = (HEADROOM * size_of::<Line>()) as u16;
        self.end = self.start + length as u16;
    }
}

impl Packet for Buffer {
    #[inline(always)]
    fn data(&self) -> &[u8] {
        &self.lines.as_flattened()[usize::from(self.start)..usize::from(self.end)]
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.lines.as_flattened_mut()[usize::from(self.start)..usize::from(self.end)]
    }

    #[inline]
    fn length(&self) -> usize {
        usize::from(self.end - self.start)
    }

    fn resize(&mut self, length: usize) -> bool {
        let fits = usize::from(self.start) + length <= size_of_val(&self.lines);
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

/// Free buffers, first in, first out: one that is taken has left the first-level cache.
#[derive(Debug)]
struct Free {
    frames: Box<[Option<Buffer>]>,
    taken: usize,
    given: usize,
}

impl Free {
    fn new(buffers: usize) -> io::Result<Self> {
        let count = buffers.next_power_of_two();
        Ok(Self { frames: zeroed(count)?.iter_mut().map(Some).collect(), taken: 0, given: count })
    }

    #[inline]
    fn take(&mut self) -> Option<Buffer> {
        let place = self.taken & (self.frames.len() - 1);
        let frame = self.frames[place].take()?;
        self.taken += 1;
        Some(frame)
    }

    #[inline]
    fn give(&mut self, frame: Buffer) {
        let place = self.given & (self.frames.len() - 1);
        self.frames[place] = Some(frame);
        self.given += 1;
    }
}

/// The port. Whole cache lines are copied, as a NIC writes them.
#[derive(Debug)]
pub(super) struct Replay {
    deck: Deck,
    free: Free,
    /// Packets a call to [`Port::receive`] gives, at most.
    burst: usize,
}

impl Replay {
    pub(super) fn new(buffers: usize, burst: usize) -> io::Result<Self> {
        Ok(Self { deck: Deck::default(), free: Free::new(buffers)?, burst })
    }

    /// Takes a buffer back that was not sent.
    pub(super) fn give(&mut self, frame: Buffer) {
        self.free.give(frame);
    }
}

impl Dealer for Replay {
    fn deck(&mut self) -> &mut Deck {
        &mut self.deck
    }
}

impl Port for Replay {
    type Packet = Buffer;

    // Also where it is called from two places: the worker's code around it is what is counted.
    #[inline(always)]
    fn receive(&mut self, burst: &mut Burst<Buffer>) -> usize {
        let length = self.deck.length();
        let room = self.burst.saturating_sub(burst.len()).min(BURST);
        let wanted = room.min(usize::try_from(self.deck.remaining).unwrap_or(room));
        for count in 0..wanted {
            let Some(frame) = self.free.take() else { return count };
            frame.fill(self.deck.deal(), length);
            burst.push(frame);
        }
        wanted
    }

    #[inline]
    fn transmit(&mut self, burst: &mut Burst<Buffer>) -> usize {
        let sent = burst.len();
        self.deck.taken += sent as u64;
        if self.deck.records() {
            burst.iter().for_each(|frame| self.deck.keep(frame.data()));
        }
        burst.drain(..).for_each(|frame| self.free.give(frame));
        sent
    }

    fn allocate(&mut self) -> Option<Buffer> {
        self.free.take()
    }
}
