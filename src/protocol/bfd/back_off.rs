//! Doubles the intervals of a session that keeps failing (RFC 5880 section 7): three detections within 15 s double
//! them, a minute without one halves them again. They never fall below what is configured.

use crate::types::{Duration, Instant};

const FAILURES: usize = 3;
const WITHIN: Duration = Duration::from_secs(15);
const CALM: Duration = Duration::from_secs(60);
/// 64 times the configured interval at most.
const MAX_DOUBLINGS: u8 = 6;

/// How often the intervals are doubled.
#[derive(Clone, Debug, Default)]
pub(super) struct BackOff {
    failures: [Option<Instant>; FAILURES],
    doublings: u8,
    since: Instant,
}

impl BackOff {
    /// The peer was declared gone. True when the intervals change.
    pub(super) fn failed(&mut self, at: Instant) -> bool {
        self.since = at;
        self.failures.rotate_left(1);
        self.failures[FAILURES - 1] = Some(at);
        let soon = self.failures[0].is_some_and(|first| at.since(first) <= WITHIN);
        if !soon || self.doublings == MAX_DOUBLINGS {
            return false;
        }
        self.failures = [None; FAILURES];
        self.doublings += 1;
        true
    }

    /// All is well at `at`. True when the intervals change.
    pub(super) fn calm(&mut self, at: Instant) -> bool {
        if self.doublings == 0 || at.since(self.since) < CALM {
            return false;
        }
        self.since = at;
        self.doublings -= 1;
        true
    }

    /// `interval_us` made longer, up to a second, never shorter.
    pub(super) fn stretch(&self, interval_us: u32) -> u32 {
        let stretched = u64::from(interval_us) << self.doublings;
        stretched.min(1_000_000).max(u64::from(interval_us)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn three_failures_double_and_a_calm_minute_halves() {
        let mut back_off = BackOff::default();
        assert!(!back_off.failed(at(0)) && !back_off.failed(at(7)));
        assert!(!back_off.failed(at(16)), "sixteen seconds are too long");
        assert!(back_off.failed(at(20)));
        assert_eq!((back_off.stretch(10_000), back_off.stretch(900_000)), (20_000, 1_000_000));
        assert_eq!(back_off.stretch(10_000_000), 10_000_000);
        assert!(!back_off.calm(at(79)));
        assert!(back_off.calm(at(80)));
        assert_eq!(back_off.stretch(10_000), 10_000);
        assert!(!back_off.calm(at(1000)));
    }

    #[test]
    fn doubling_has_an_end() {
        let mut back_off = BackOff::default();
        for second in 0..100 {
            back_off.failed(at(second));
        }
        assert_eq!(back_off.stretch(100), 6400);
    }
}
