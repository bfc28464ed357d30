//! Up to which moment a worker has looked at everything its queues received.
//!
//! The control core must not call a peer silent while a packet of it still waits in a receive queue. So each worker says, for
//! each port, until when its queue has been examined. A queue that gives nothing is empty. One that gives less than it was asked
//! for is so but for the newest few, which some drivers leave until their cache line is full; the next burst has those. And under
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
    /// The newest packets that a short burst may leave in it.
    left_behind: u64,
    received: u64,
    /// When so many have come out, everything received before that moment has.
    pending: (Instant, u64),
    /// How many had come out when it was last seen empty, or nearly so.
    at_empty: u64,
    /// What was received before is out at the next short burst.
    drained: Instant,
    overrun: bool,
}

impl Queue {
    /// A receive queue of `capacity` descriptors. In it, and taken from it but not yet told to [`Self::after`], lie `most`
    /// packets at most; a short burst leaves up to `left_behind` of the newest.
    pub const fn new(capacity: u32, most: u32, left_behind: u32) -> Self {
        let (capacity, most, left_behind) = (capacity as u64, most as u64, left_behind as u64);
        Self {
            capacity,
            most,
            left_behind,
            received: 0,
            pending: (Instant::ZERO, 0),
            at_empty: 0,
            drained: Instant::ZERO,
            overrun: false,
        }
    }

    /// A burst of `count` packets is looked at in a turn that began at `now`; whether it was `short` says that the queue has no
    /// more, or only the newest few that may be left behind. Returns a moment before which nothing received waits behind this
    /// burst, if a new one is known.
    #[inline]
    pub fn after(&mut self, count: usize, short: bool, now: Instant) -> Option<Instant> {
        self.received += count as u64;
        if short {
            let left_behind = if count == 0 { 0 } else { self.left_behind };
            self.overrun |= self.received - self.at_empty + left_behind >= self.capacity;
            self.at_empty = self.received;
            self.pending = (now, self.received);
            let before = std::mem::replace(&mut self.drained, now);
            return Some(if count == 0 { now } else { before });
        }
        let (since, enough) = self.pending;
        (self.received >= enough + self.most).then(|| {
            self.overrun = true;
            self.pending = (now, self.received);
            self.drained = since;
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

    use std::collections::VecDeque;

    const BURST: usize = 32;
    const LEFT_BEHIND: usize = 3;

    impl Queue {
        fn gave(&mut self, count: usize, now: u64) -> Option<Instant> {
            self.after(count, count + LEFT_BEHIND < BURST, at(now))
        }
    }

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn nothing_says_now_and_a_short_burst_what_was_said_before() {
        let mut queue = Queue::new(128, 128, LEFT_BEHIND as u32);
        assert_eq!(queue.gave(0, 5), Some(at(5)));
        assert_eq!(queue.gave(28, 6), Some(at(5)));
        assert_eq!(queue.gave(32, 7), None);
        assert_eq!(queue.gave(29, 8), None, "the others may be on another line");
        assert_eq!(queue.gave(3, 9), Some(at(6)));
        assert_eq!(queue.gave(1, 10), Some(at(9)));
        assert_eq!(queue.gave(0, 11), Some(at(11)));
    }

    #[test]
    fn full_bursts_say_so_after_a_queue_s_worth() {
        let mut queue = Queue::new(128, 128, LEFT_BEHIND as u32);
        queue.gave(0, 0);
        let told: Vec<_> = (1..=12).filter_map(|turn| queue.gave(BURST, turn)).collect();
        assert_eq!(told, [at(0), at(4), at(8)]);
    }

    #[test]
    fn a_queue_that_may_have_been_full_says_so_once() {
        let mut queue = Queue::new(128, 128, LEFT_BEHIND as u32);
        let overrun = |queue: &mut Queue, bursts: &[usize]| {
            bursts.iter().for_each(|count| _ = queue.gave(*count, 1));
            queue.take_overrun()
        };
        assert!(!overrun(&mut queue, &[0, 32, 32, 28, 5, 0]));
        assert!(!overrun(&mut queue, &[32, 32, 32, 28, 0]), "124 of 128, and 3 behind them, left room");
        assert!(!overrun(&mut queue, &[32, 32, 31, 32, 0]), "nothing behind 127");
        assert!(overrun(&mut queue, &[32, 32, 31, 30, 1]), "3 behind 126");
        assert!(overrun(&mut queue, &[0, 32, 32, 32, 32, 0]) && !queue.take_overrun());
        assert!(!overrun(&mut queue, &[3, 0]));
        assert!(overrun(&mut queue, &[32, 32, 32, 32]), "who knows what waits behind these");
        assert!(overrun(&mut queue, &[32, 4]), "it has not been empty since");
    }

    /// What a driver gives of so many: up to a burst, and without the last of more than a cache line of descriptors, so that it
    /// goes on at a line's start, if it is one of those. `at` descriptors it has used.
    fn given(waiting: usize, at: usize, whole_lines: bool) -> usize {
        let count = waiting.min(BURST);
        if whole_lines && count > 4 { count - (at + count) % 4 } else { count }
    }

    proptest::proptest! {
        /// Whenever packets were lost, that is known at the next moment told.
        #[test]
        fn no_loss_goes_unnoticed(
            arrivals in proptest::collection::vec(0usize..80, 1..200),
            whole_lines in proptest::bool::ANY,
        ) {
            const CAPACITY: usize = 64;
            let mut queue = Queue::new(CAPACITY as u32, CAPACITY as u32, LEFT_BEHIND as u32);
            let (mut waiting, mut used, mut lost) = (0, 0, false);
            for (turn, arriving) in arrivals.into_iter().enumerate() {
                lost |= waiting + arriving > CAPACITY;
                waiting = (waiting + arriving).min(CAPACITY);
                let count = given(waiting, used, whole_lines);
                (waiting, used) = (waiting - count, used + count);
                if queue.gave(count, turn as u64).is_some() {
                    let told = queue.take_overrun();
                    proptest::prop_assert!(told || !lost);
                    lost = false;
                }
            }
        }

        /// Against a queue with packets in it: whatever is told, no packet received before lies there still.
        #[test]
        fn nothing_older_waits(
            arrivals in proptest::collection::vec(proptest::prop_oneof![0usize..6, 0usize..80], 1..200),
            whole_lines in proptest::bool::ANY,
        ) {
            const CAPACITY: usize = 64;
            let mut queue = Queue::new(CAPACITY as u32, CAPACITY as u32, LEFT_BEHIND as u32);
            let (mut waiting, mut used, mut told) = (VecDeque::new(), 0, Instant::ZERO);
            for (turn, arriving) in arrivals.into_iter().enumerate() {
                let now = 10 * turn as u64;
                waiting.extend((0..arriving).map(|_| now.saturating_sub(5)));
                waiting.truncate(CAPACITY);
                let count = given(waiting.len(), used, whole_lines);
                waiting.drain(..count);
                used += count;
                if let Some(until) = queue.gave(count, now) {
                    proptest::prop_assert!(waiting.iter().all(|received| at(*received) >= until));
                    proptest::prop_assert!(until >= told, "never back");
                    told = until;
                }
            }
        }
    }
}
