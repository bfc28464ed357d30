//! What others see of the conversation with the peer: refusals, and what keeps the nodes from sharing sessions.

use crate::protocol::pair::{Difference, Pair, Refusal};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Written by the control core; any thread reads.
#[derive(Debug)]
pub struct PairView {
    refusals: [AtomicU64; Refusal::COUNT],
    difference: AtomicU64,
}

impl Default for PairView {
    fn default() -> Self {
        Self { refusals: [const { AtomicU64::new(0) }; Refusal::COUNT], difference: AtomicU64::new(0) }
    }
}

/// A difference in one word: its kind in the lowest byte, 0 for none, and two numbers.
const fn pack(difference: Option<Difference>) -> u64 {
    match difference {
        None => 0,
        Some(Difference::Workers { ours, theirs }) => 1 | (ours as u64) << 16 | (theirs as u64) << 32,
        Some(Difference::Ports { ours, theirs }) => 2 | (ours as u64) << 16 | (theirs as u64) << 32,
        Some(Difference::Steering) => 3,
        Some(Difference::Instances) => 4,
        Some(Difference::Nat) => 5,
    }
}

const fn unpack(word: u64) -> Option<Difference> {
    let (ours, theirs) = ((word >> 16) as u16, (word >> 32) as u16);
    match word as u8 {
        1 => Some(Difference::Workers { ours, theirs }),
        2 => Some(Difference::Ports { ours, theirs }),
        3 => Some(Difference::Steering),
        4 => Some(Difference::Instances),
        5 => Some(Difference::Nat),
        _ => None,
    }
}

impl PairView {
    /// Messages refused for this reason, as of a millisecond ago.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refusals[reason as usize].load(Relaxed)
    }

    /// What keeps the nodes from sharing sessions; `None` also while the peer is unknown.
    pub fn difference(&self) -> Option<Difference> {
        unpack(self.difference.load(Relaxed))
    }

    pub(super) fn publish(&self, pair: &Pair) {
        for (word, (_, count)) in self.refusals.iter().zip(pair.refusals().iter()) {
            word.store(count, Relaxed);
        }
        self.difference.store(pack(pair.difference()), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_come_back() {
        for difference in [
            None,
            Some(Difference::Workers { ours: 3, theirs: 0xffff }),
            Some(Difference::Ports { ours: 0xffff, theirs: 0 }),
            Some(Difference::Steering),
            Some(Difference::Instances),
            Some(Difference::Nat),
        ] {
            assert_eq!(unpack(pack(difference)), difference);
        }
    }
}
