//! The benches' process clock: the TSC, read without a system call.

use crate::types::Instant;

/// A clock; copies agree, on every thread.
#[derive(Clone, Debug)]
pub(super) struct Timer {
    clock: quanta::Clock,
    start: u64,
}

impl Timer {
    /// Begins now.
    pub(super) fn start() -> Self {
        let clock = quanta::Clock::new();
        Self { start: clock.raw(), clock }
    }

    /// The time since the start.
    #[inline]
    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.delta_as_nanos(self.start, self.clock.raw()))
    }
}
