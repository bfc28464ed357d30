//! Numbers that are given out, and given out again only after a rest.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A slot rests so long before another thing gets it: sessions and counters of the old one are gone by then.
const REST: Duration = Duration::from_secs(30);

/// The slots of one kind.
#[derive(Debug)]
pub(super) struct Slots {
    next: u32,
    limit: u32,
    /// Never seen by a worker since they were given back.
    free: Vec<u32>,
    resting: VecDeque<(Instant, u32)>,
}

impl Slots {
    /// Slots 0 to `limit` - 1.
    pub(super) const fn new(limit: u32) -> Self {
        Self { next: 0, limit, free: Vec::new(), resting: VecDeque::new() }
    }

    /// A slot, if there is one; those that rested first, so that numbers stay small.
    pub(super) fn take(&mut self, now: Instant) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        if self.resting.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= REST) {
            return self.resting.pop_front().map(|(_, slot)| slot);
        }
        (self.next < self.limit).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// Takes back a slot that workers may know.
    pub(super) fn give_back(&mut self, slot: u32, now: Instant) {
        self.resting.push_back((now, slot));
    }

    /// Takes back a slot that was never published.
    pub(super) fn give_back_unused(&mut self, slot: u32) {
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_rest_before_they_are_used_again() {
        let start = Instant::now();
        let mut slots = Slots::new(3);
        let take = |slots: &mut Slots, seconds| slots.take(start + Duration::from_secs(seconds));
        assert_eq!([0; 4].map(|_| take(&mut slots, 0)), [Some(0), Some(1), Some(2), None]);
        slots.give_back(1, start + Duration::from_secs(1));
        slots.give_back_unused(2);
        assert_eq!([0, 0, 30].map(|at| take(&mut slots, at)), [Some(2), None, None]);
        assert_eq!([31, 31].map(|at| take(&mut slots, at)), [Some(1), None]);
    }
}
