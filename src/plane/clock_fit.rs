//! A device's clock in terms of the process's: from pairs of readings to a line, and from the line to times.
//!
//! A reading of the device's clock lies between two of the process's, so it is known to half their distance. Of the
//! readings of one stretch of time the narrowest counts. Rate and offset follow from the last few of those; a line that
//! fits them badly is not published, so a clock that jumps makes times of the burst, never wrong ones.

use crate::types::{Duration, Instant};
use arrayvec::ArrayVec;

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The process's time before,
    pub before: Instant,
    /// the device's ticks,
    pub ticks: u64,
    /// and the process's time after.
    pub after: Instant,
}

impl Reading {
    fn width(&self) -> Duration {
        self.after.since(self.before)
    }

    fn middle(&self) -> Instant {
        self.before + Duration::from_nanos(self.width().as_nanos() / 2)
    }
}

/// A device's clock, as a line through one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// A moment in the device's ticks,
    pub ticks: u64,
    /// and in nanoseconds of the process's clock.
    pub nanos: u64,
    /// Nanoseconds a tick, times 2³².
    pub rate: u64,
}

impl Mapping {
    /// The process's time at a tick.
    #[inline]
    pub const fn at(&self, ticks: u64) -> Instant {
        let (ahead, distance) = match ticks.checked_sub(self.ticks) {
            Some(distance) => (true, distance),
            None => (false, self.ticks - ticks),
        };
        let nanos = ((distance as u128 * self.rate as u128) >> 32) as u64;
        Instant::from_nanos(if ahead {
            self.nanos.saturating_add(nanos)
        } else {
            self.nanos.saturating_sub(nanos)
        })
    }
}

/// Readings kept, the oldest first.
const KEPT: usize = 16;
/// A line that misses a reading by more, beyond that reading's own uncertainty, is none.
const TOLERANCE: Duration = Duration::from_micros(2);
/// Two readings nearer together say little about the rate.
const APART: Duration = Duration::from_millis(500);

/// The reckoning for one device. On a management thread.
#[derive(Clone, Debug, Default)]
pub struct ClockFit {
    /// Nanoseconds a tick, times 2³², where it is known from the start.
    known_rate: Option<u64>,
    readings: ArrayVec<Reading, KEPT>,
}

impl ClockFit {
    /// Of a device that counts in units of so many nanoseconds; `None`: in ticks of unknown length.
    pub fn new(nanos_per_tick: Option<u64>) -> Self {
        Self { known_rate: nanos_per_tick.map(|nanos| nanos << 32), readings: ArrayVec::new() }
    }

    /// Adds the narrowest of some readings taken just now. Returns the line to use from now on; `None`: none fits.
    pub fn add(&mut self, readings: impl IntoIterator<Item = Reading>) -> Option<Mapping> {
        let best = readings.into_iter().min_by_key(Reading::width)?;
        if self.readings.is_full() {
            self.readings.remove(0);
        }
        self.readings.push(best);
        let mapping = self.line();
        if mapping.is_none() && self.readings.len() > 2 {
            // The clock was set, or stood still: what was known of it is void.
            self.readings.clear();
            self.readings.push(best);
        }
        mapping
    }

    fn line(&self) -> Option<Mapping> {
        let (first, last) = (self.readings.first()?, self.readings.last()?);
        let rate = match self.known_rate {
            // Its own oscillator may differ from ours by parts in a million: measured as soon as that shows.
            Some(known) => self
                .measured_rate(first, last)
                .filter(|rate| rate.abs_diff(known) <= known / 1000)
                .unwrap_or(known),
            None => self.measured_rate(first, last)?,
        };
        let mapping = Mapping { ticks: last.ticks, nanos: last.middle().as_nanos(), rate };
        let fits = |reading: &Reading| {
            let told = mapping.at(reading.ticks);
            told + TOLERANCE >= reading.before && told <= reading.after + TOLERANCE
        };
        self.readings.iter().all(fits).then_some(mapping)
    }

    fn measured_rate(&self, first: &Reading, last: &Reading) -> Option<u64> {
        let elapsed = last.middle().since(first.middle());
        let ticks = last.ticks.checked_sub(first.ticks).filter(|ticks| *ticks > 0)?;
        let rate = || u64::try_from((u128::from(elapsed.as_nanos()) << 32) / u128::from(ticks)).ok();
        if elapsed >= APART { rate() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A device whose clock runs at `hz`, read at `nanos` with so much delay.
    fn reading(hz: f64, offset: u64, nanos: u64, delay: u64) -> Reading {
        let ticks = offset + (nanos as f64 * hz / 1e9) as u64;
        Reading {
            before: Instant::from_nanos(nanos - delay / 3),
            ticks,
            after: Instant::from_nanos(nanos + delay - delay / 3),
        }
    }

    proptest! {
        #[test]
        fn times_are_told_to_the_readings_uncertainty(
            hz in 1e6..4e9f64,
            offset in 0u64..1 << 40,
            delays in prop::collection::vec(100u64..3000, 4..20),
        ) {
            let mut fit = ClockFit::new(None);
            let mut mapping = None;
            for (number, delay) in delays.iter().enumerate() {
                mapping = fit.add([reading(hz, offset, 1_000_000_000 + 700_000_000 * number as u64, *delay)]);
            }
            let end = 1_000_000_000 + 700_000_000 * (delays.len() as u64 - 1);
            let mapping = mapping.expect("a steady clock is followed");
            // A packet of the next second.
            let nanos = end + 200_000_000;
            let told = mapping.at(offset + (nanos as f64 * hz / 1e9) as u64);
            prop_assert!(told.as_nanos().abs_diff(nanos) < 5_000, "{} for {}", told.as_nanos(), nanos);
        }
    }

    #[test]
    fn known_units_need_no_second_reading() {
        let mut fit = ClockFit::new(Some(1000));
        let mapping = fit.add([reading(1e6, 77, 5_000_000, 500)]).unwrap();
        assert!(mapping.at(77 + 6_000).as_nanos().abs_diff(6_000_000) < 2_000);
        assert!(mapping.at(77 + 1_000).as_nanos().abs_diff(1_000_000) < 2_000);
    }

    #[test]
    fn a_clock_that_is_set_is_distrusted_and_learned_anew() {
        let mut fit = ClockFit::new(Some(1));
        let at = |number: u64| 1_000_000_000 * (number + 1);
        for number in 0..5 {
            assert!(fit.add([reading(1e9, 10, at(number), 500)]).is_some());
        }
        assert!(fit.add([reading(1e9, 5_000_000, at(5), 500)]).is_none());
        let mapping = fit.add([reading(1e9, 5_000_000, at(6), 500)]).unwrap();
        assert!(mapping.at(5_000_000 + at(7)).as_nanos().abs_diff(at(7)) < 2_000);
    }

    #[test]
    fn of_several_readings_the_narrowest_counts() {
        let mut fit = ClockFit::new(Some(1));
        let slow = Reading { ticks: 900, ..reading(1e9, 0, 50_000, 20_000) };
        let mapping = fit.add([slow, reading(1e9, 0, 100_000, 100)]).unwrap();
        assert!(mapping.at(200_000).as_nanos().abs_diff(200_000) < 100);
    }
}
