//! One deadline for each slot, the earliest at hand: a binary heap that knows where each slot stands in it.

use crate::types::{Instant, NextHopId};

const ABSENT: u32 = u32::MAX;

/// Deadlines of a fixed number of slots.
#[derive(Debug)]
pub(super) struct Deadlines {
    heap: Vec<(Instant, NextHopId)>,
    /// Where each slot stands in the heap.
    place: Box<[u32]>,
}

impl Deadlines {
    pub(super) fn new(slots: usize) -> Self {
        Self { heap: Vec::with_capacity(slots), place: vec![ABSENT; slots].into() }
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<(Instant, NextHopId)> {
        self.heap.first().copied()
    }

    /// Sets or moves the deadline of `slot`.
    pub(super) fn set(&mut self, slot: NextHopId, at: Instant) {
        match self.place[slot.index()] {
            ABSENT => {
                self.place[slot.index()] = self.heap.len() as u32;
                self.heap.push((at, slot));
                self.rise(self.heap.len() - 1);
            }
            place => {
                let place = place as usize;
                self.heap[place].0 = at;
                self.settle(place);
            }
        }
    }

    /// Forgets the deadline of `slot`, if it has one.
    pub(super) fn remove(&mut self, slot: NextHopId) {
        let place = std::mem::replace(&mut self.place[slot.index()], ABSENT);
        if place == ABSENT {
            return;
        }
        self.heap.swap_remove(place as usize);
        if let Some((_, moved)) = self.heap.get(place as usize) {
            self.place[moved.index()] = place;
            self.settle(place as usize);
        }
    }

    /// Moves an item whose deadline changed to where it belongs.
    fn settle(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.exchange(parent, place);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let right = left + 1;
            let Some(mut least) = self.heap.get(left).map(|_| left) else { return };
            if self.heap.get(right).is_some_and(|item| item.0 < self.heap[left].0) {
                least = right;
            }
            if self.heap[place].0 <= self.heap[least].0 {
                return;
            }
            self.exchange(place, least);
            place = least;
        }
    }

    fn exchange(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            self.place[self.heap[place].1.index()] = place as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn the_earliest_is_the_least_of_a_plain_map(
            steps in prop::collection::vec((0u32..20, prop::option::of(0u64..50)), 0..300)
        ) {
            let mut deadlines = Deadlines::new(20);
            let mut plain = HashMap::new();
            for (slot, at) in steps {
                let slot = NextHopId(slot);
                match at {
                    Some(at) => {
                        deadlines.set(slot, Instant::from_nanos(at));
                        plain.insert(slot, Instant::from_nanos(at));
                    }
                    None => {
                        deadlines.remove(slot);
                        plain.remove(&slot);
                    }
                }
                prop_assert_eq!(deadlines.first().map(|(at, _)| at), plain.values().min().copied());
                if let Some((at, slot)) = deadlines.first() {
                    prop_assert_eq!(plain.get(&slot), Some(&at));
                }
                prop_assert_eq!(deadlines.heap.len(), plain.len());
            }
            while let Some((at, slot)) = deadlines.first() {
                deadlines.remove(slot);
                prop_assert_eq!(plain.remove(&slot), Some(at));
            }
            prop_assert!(plain.is_empty());
        }
    }
}
