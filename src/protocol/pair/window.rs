//! Which sequence numbers have been seen: a sliding window (RFC 4303 section 3.4.3), so that messages may overtake
//! each other and none is taken twice.

/// Numbers behind the highest that are still told apart.
const WIDTH: u64 = 128;

/// The numbers of one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Window {
    highest: u64,
    /// Bit `i`: `highest` − `i` has been seen.
    seen: u128,
}

impl Window {
    /// Whether `sequence` is new; numbers too old to tell are not.
    pub(super) const fn admits(&self, sequence: u64) -> bool {
        if sequence > self.highest {
            return true;
        }
        let behind = self.highest - sequence;
        sequence > 0 && behind < WIDTH && self.seen >> behind & 1 == 0
    }

    /// `sequence`, which was admitted, has been seen.
    pub(super) fn note(&mut self, sequence: u64) {
        if sequence > self.highest {
            self.seen = u32::try_from(sequence - self.highest).ok().map_or(0, |by| {
                // Shifted out altogether.
                self.seen.checked_shl(by).unwrap_or(0)
            }) | 1;
            self.highest = sequence;
        } else {
            self.seen |= 1 << (self.highest - sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn far_jumps_forget_everything_before() {
        let mut window = Window::default();
        assert!(!window.admits(0));
        for sequence in [1, 2, 130, 1 << 40, u64::MAX] {
            assert!(window.admits(sequence));
            window.note(sequence);
            assert!(!window.admits(sequence));
            assert!(sequence < 3 || window.admits(sequence - 1));
            assert!(sequence < 200 || !window.admits(sequence - WIDTH));
        }
    }

    proptest! {
        #[test]
        fn takes_each_number_once(steps in prop::collection::vec(0..400u64, 1..300)) {
            let mut window = Window::default();
            let mut taken = HashSet::new();
            for sequence in steps {
                let highest = taken.iter().max().copied().unwrap_or(0);
                let expected = sequence > highest
                    || (sequence > 0 && highest - sequence < WIDTH && !taken.contains(&sequence));
                prop_assert_eq!(window.admits(sequence), expected);
                if expected {
                    window.note(sequence);
                    taken.insert(sequence);
                }
            }
        }
    }
}
