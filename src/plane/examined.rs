//! Up to which moment a worker has looked at everything its queues received.
//!
//! The control core must not call a peer silent while a packet of it still waits in a receive queue. So each worker says, for
//! each port, until when its queue has been examined: at a burst that comes back short the queue is empty, and under
//! constant load, once as many packets have come out as the queue can hold, all that lay there before have.

use crate::types::Instant;
use crossbeam::utils::CachePadded;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// The worker's reckoning for one queue.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// Packets it can hold.
    capacity: u64,
    /// Packets it can hold, and those that its worker may have taken and not looked at.
    most: u64,
    received: u64,
    /// When so many have come out, everything received before that moment has.
    pending: (Instant, u64),
    /// How many had come out when it was last seen empty.
    at_empty: u64,
    overrun: bool,
}

impl Queue {
    /// A receive queue of `capacity` descriptors. In it, and taken from it but not yet told to [`Self::after`], lie `most`
    /// packets at most.
    pub const fn new(capacity: u32, most: u32) -> Self {
        let (capacity, most) = (capacity as u64, most as u64);
        Self { capacity, most, received: 0, pending: (Instant::ZERO, 0), at_empty: 0, overrun: false }
    }

    /// A burst of `count` packets is looked at in a turn that began at `now`. Fewer than were `asked` for: the queue was
    /// empty. Returns a moment before which nothing received waits behind this burst, if a new one is known.
    #[inline]
    pub fn after(&mut self, count: usize, asked: usize, now: Instant) -> Option<Instant> {
        self.received += count as u64;
        if count < asked {
            self.overrun |= self.received - self.at_empty >= self.capacity;
            self.at_empty = self.received;
            self.pending = (now, self.received);
            return Some(now);
        }
        let (since, enough) = self.pending;
        (self.received >= enough + self.most).then(|| {
            self.overrun = true;
            self.pending = (now, self.received);
            since
        })
    }

    /// Whether it may have been full, and so have lost packets, before the last moment told: as many came out as it
    /// holds without its being seen empty. Asked once a moment told.
    #[inline]
    pub const fn take_overrun(&mut self) -> bool {
        std::mem::replace(&mut self.overrun, false)
    }
}

/// What a worker says, port by port. Written by it alone.
#[derive(Debug)]
pub struct Examined {
    until: CachePadded<Box<[AtomicU64]>>,
    lost: CachePadded<AtomicU64>,
}

impl Examined {
    /// Of a worker on so many ports.
    pub fn new(ports: usize) -> Self {
        Self {
            until: CachePadded::new((0..ports).map(|_| AtomicU64::new(0)).collect()),
            lost: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// What was received on the port before `until` has been examined; what of it is the control core's is in its ring.
    #[inline]
    pub fn set(&self, port: usize, until: Instant) {
        if let Some(word) = self.until.get(port) {
            word.store(until.as_nanos(), Release);
        }
    }

    /// Until when the port's queue has been examined. Read this first, then empty the ring.
    pub fn until(&self, port: usize) -> Instant {
        Instant::from_nanos(self.until.get(port).map_or(u64::MAX, |word| word.load(Acquire)))
    }

    /// A packet for the control core found no room, or may have found none.
    #[cold]
    pub fn count_lost(&self) {
        self.lost.store(self.lost.load(Relaxed) + 1, Relaxed);
    }

    /// How often a packet for the control core found no room, or may have found none.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: usize = 32;

    use std::collections::VecDeque;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_short_burst_says_now() {
        let mut queue = Queue::new(128, 128);
        assert_eq!(queue.after(0, BURST, at(5)), Some(at(5)));
        assert_eq!(queue.after(BURST - 1, BURST, at(6)), Some(at(6)));
        assert_eq!(queue.after(BURST, BURST, at(7)), None);
        assert_eq!(queue.after(3, BURST, at(8)), Some(at(8)));
    }

    #[test]
    fn full_bursts_say_so_after_a_queue_s_worth() {
        let mut queue = Queue::new(128, 128);
        queue.after(0, BURST, at(0));
        let told: Vec<_> = (1..=12).filter_map(|turn| queue.after(BURST, BURST, at(turn))).collect();
        assert_eq!(told, [at(0), at(4), at(8)]);
    }

    #[test]
    fn a_queue_that_may_have_been_full_says_so_once() {
        let mut queue = Queue::new(128, 128);
        let overrun = |queue: &mut Queue, bursts: &[usize]| {
            bursts.iter().for_each(|count| _ = queue.after(*count, BURST, at(1)));
            queue.take_overrun()
        };
        assert!(!overrun(&mut queue, &[0, 32, 32, 31, 5]));
        assert!(!overrun(&mut queue, &[32, 32, 32, 31]), "127 of 128 left room");
        assert!(overrun(&mut queue, &[32, 32, 32, 32, 0]) && !queue.take_overrun());
        assert!(!overrun(&mut queue, &[3]));
        assert!(overrun(&mut queue, &[32, 32, 32, 32]), "who knows what waits behind these");
        assert!(overrun(&mut queue, &[32, 4]), "it has not been empty since");
    }

    proptest::proptest! {
        /// Whenever packets were lost, that is known at the next moment told.
        #[test]
        fn no_loss_goes_unnoticed(arrivals in proptest::collection::vec(0usize..80, 1..200)) {
            const CAPACITY: usize = 64;
            let mut queue = Queue::new(CAPACITY as u32, CAPACITY as u32);
            let (mut waiting, mut lost) = (0, false);
            for (turn, arriving) in arrivals.into_iter().enumerate() {
                lost |= waiting + arriving > CAPACITY;
                waiting = (waiting + arriving).min(CAPACITY);
                let count = waiting.min(BURST);
                waiting -= count;
                if queue.after(count, BURST, at(turn as u64)).is_some() {
                    let told = queue.take_overrun();
                    proptest::prop_assert!(told || !lost);
                    lost = false;
                }
            }
        }

        /// Against a queue with packets in it: whatever is told, no packet received before lies there still.
        #[test]
        fn nothing_older_waits(arrivals in proptest::collection::vec(0usize..80, 1..200)) {
            const CAPACITY: usize = 64;
            let mut queue = Queue::new(CAPACITY as u32, CAPACITY as u32);
            let mut waiting = VecDeque::new();
            for (turn, arriving) in arrivals.into_iter().enumerate() {
                let now = 10 * turn as u64;
                waiting.extend((0..arriving).map(|_| now.saturating_sub(5)));
                waiting.truncate(CAPACITY);
                let count = waiting.len().min(BURST);
                waiting.drain(..count);
                if let Some(until) = queue.after(count, BURST, at(now)) {
                    proptest::prop_assert!(waiting.iter().all(|received| at(*received) >= until || count < BURST));
                }
            }
        }
    }
}
