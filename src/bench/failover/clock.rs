//! A node's clock: it runs while the node does. So two nodes take turns on one core and yet live at the same time, and a
//! machine that stands still, or does something else, costs neither of them anything.

use crate::{
    bench::timer::Timer,
    types::{Duration, Instant},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The clock; copies are the same one. All nodes' clocks have one zero.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    timer: Timer,
    /// No turn counts for more.
    longest: Duration,
    moments: Arc<Moments>,
}

#[derive(Debug, Default)]
struct Moments {
    /// What it shows at the beginning of the turn, and what the timer showed then; in nanoseconds.
    shows: AtomicU64,
    begun: AtomicU64,
}

impl Clock {
    /// Shows `at`. A turn that takes longer than `longest` counts for that, and is told by [`Self::end`].
    pub(super) fn new(at: Instant, longest: Duration) -> Self {
        let clock = Self { timer: Timer::start(), longest, moments: Arc::default() };
        clock.moments.shows.store(at.as_nanos(), Relaxed);
        clock
    }

    /// A turn begins; when.
    pub(super) fn begin(&self) -> Instant {
        self.moments.begun.store(self.timer.now().as_nanos(), Relaxed);
        self.shows()
    }

    /// Between turns.
    pub(super) fn shows(&self) -> Instant {
        Instant::from_nanos(self.moments.shows.load(Relaxed))
    }

    /// In the middle of a turn.
    pub(super) fn now(&self) -> Instant {
        self.shows() + self.elapsed().min(self.longest)
    }

    fn elapsed(&self) -> Duration {
        self.timer.now().since(Instant::from_nanos(self.moments.begun.load(Relaxed)))
    }

    /// The turn is over; how long it took if that was too long.
    pub(super) fn end(&self) -> Option<Duration> {
        let elapsed = self.elapsed();
        let counts = elapsed.min(self.longest);
        self.moments.shows.store((self.shows() + counts).as_nanos(), Relaxed);
        (elapsed > self.longest).then_some(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_in_turns_only_and_never_for_too_long() {
        let longest = Duration::from_millis(5);
        let clock = Clock::new(Instant::from_nanos(7), longest);
        std::thread::sleep(std::time::Duration::from_millis(6));
        assert_eq!(clock.begin(), Instant::from_nanos(7));
        std::thread::sleep(std::time::Duration::from_millis(6));
        assert_eq!(clock.now(), Instant::from_nanos(7) + longest);
        assert!(clock.end().is_some_and(|took| took > longest));
        assert_eq!(clock.shows(), Instant::from_nanos(7) + longest);
    }
}
