//! A receive queue as the worker empties it, and whether the worker keeps up with it.
//!
//! A queue that is never found empty need not be long: clients that wait for answers keep a few packets in it at any
//! load, and slow down with the worker. So once half as many packets have come out as the queue holds without its being
//! found empty, and somebody new among them, the worker measures it: it takes as many again at a stroke. If there are
//! so many, more come than it can take. What was taken is looked at in its order, before the queue is asked again.

use crate::{
    plane::Queue,
    port::{BATCH, Burst, LEFT_BEHIND, Port, is_short},
    types::Instant,
};
use std::collections::VecDeque;

/// While the worker is behind, the queue is measured so many times less often: to learn that it is not takes time from those
/// that are there.
const PATIENCE: usize = 8;

/// A receive queue.
#[derive(Debug)]
pub(super) struct Inlet<P> {
    reckoning: Queue,
    /// Taken and not yet looked at, the oldest first; never more than there was room for at the start.
    ahead: VecDeque<P>,
    /// Half the packets that the queue holds.
    half: usize,
    /// Packets that have come out since it was found empty or measured, and how many must before it is measured again.
    unmeasured: usize,
    enough: usize,
    /// Since it was measured somebody asked for a new session, which is what measuring is for.
    newcomers: bool,
    behind: bool,
}

impl<P> Inlet<P> {
    /// A queue of so many descriptors.
    pub(super) fn new(descriptors: u16) -> Self {
        let half = usize::from(descriptors / 2).max(BATCH);
        Self {
            reckoning: Queue::new(
                descriptors.into(),
                u32::from(descriptors) + half as u32,
                LEFT_BEHIND as u32,
            ),
            ahead: VecDeque::with_capacity(half),
            half,
            unmeasured: 0,
            enough: half,
            newcomers: false,
            behind: false,
        }
    }

    /// Appends what comes next to the empty `burst`, in a turn that began at `now`. Returns a moment before which nothing
    /// received waits behind this burst, if a new one is known.
    #[inline(always)]
    pub(super) fn receive(
        &mut self,
        port: &mut impl Port<Packet = P>,
        burst: &mut Burst<P>,
        now: Instant,
    ) -> Option<Instant> {
        if !self.ahead.is_empty() {
            return self.next_ahead(burst, now);
        }
        let mut last = port.receive(burst);
        let mut packets = last;
        // No queue is asked for a batch at once.
        if !is_short(last) && !burst.is_full() {
            last = port.receive(burst);
            packets += last;
        }
        let short = is_short(last);
        if short {
            (self.unmeasured, self.enough, self.behind) = (0, self.half, false);
        } else {
            self.unmeasured += packets;
            if self.newcomers && self.unmeasured >= self.enough {
                self.measure(port);
            }
        }
        self.reckoning.after(packets, short, now)
    }

    /// Packets come faster than they are taken: the queue was found half full, and since then neither empty nor nearly so.
    #[inline]
    pub(super) const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Somebody asked for a new session in what was received last.
    pub(super) const fn note_newcomers(&mut self) {
        self.newcomers = true;
    }

    /// As [`Queue::take_overrun`].
    #[inline]
    pub(super) const fn take_overrun(&mut self) -> bool {
        self.reckoning.take_overrun()
    }

    #[cold]
    fn next_ahead(&mut self, burst: &mut Burst<P>, now: Instant) -> Option<Instant> {
        let packets = self.ahead.len().min(BATCH);
        burst.extend(self.ahead.drain(..packets));
        self.reckoning.after(packets, false, now)
    }

    #[cold]
    fn measure(&mut self, port: &mut impl Port<Packet = P>) {
        (self.unmeasured, self.newcomers) = (0, false);
        let full = self.take_half(port);
        self.behind = full || self.behind && self.ahead.len() > self.half / 4;
        self.enough = if self.behind { PATIENCE * self.half } else { self.half };
    }

    /// Whether there was so much.
    fn take_half(&mut self, port: &mut impl Port<Packet = P>) -> bool {
        while self.ahead.len() + BATCH <= self.half {
            let mut burst = Burst::new();
            let packets = port.receive(&mut burst);
            self.ahead.extend(burst);
            if is_short(packets) {
                return false;
            }
        }
        true
    }
}
