//! The process's clock: the TSC, as nanoseconds since the start.

use crate::{
    dpdk::{cycles, cycles_hz},
    types::Instant,
};

/// A clock; copies agree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: u64,
    /// Nanoseconds a cycle, times 2³².
    scale: u64,
}

impl Clock {
    /// Begins now. The EAL must run.
    pub(super) fn start() -> Self {
        Self { start: cycles(), scale: ((1_000_000_000u128 << 32) / u128::from(cycles_hz().max(1))) as u64 }
    }

    /// The time since the start.
    #[inline]
    pub(super) fn now(&self) -> Instant {
        let elapsed = cycles().wrapping_sub(self.start);
        Instant::from_nanos(((u128::from(elapsed) * u128::from(self.scale)) >> 32) as u64)
    }
}
