//! A histogram that one thread fills and others read, without a lock: times in nanoseconds, to one part in sixteen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Steps of each doubling.
const STEPS: u64 = 16;
const BITS: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = ((64 - BITS) as usize + 1) * STEPS as usize;

/// The bucket of a value.
#[inline]
const fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let doublings = 63 - value.leading_zeros() - BITS;
    ((doublings as usize + 1) << BITS) + ((value >> doublings) as usize & (STEPS as usize - 1))
}

/// The largest value of a bucket.
const fn upper(bucket: usize) -> u64 {
    if bucket < STEPS as usize {
        return bucket as u64;
    }
    let doublings = (bucket >> BITS) as u32 - 1;
    let step = (bucket as u64 & (STEPS - 1)) | STEPS;
    ((step as u128 + 1) << doublings).saturating_sub(1) as u64
}

/// Written by one thread.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[AtomicU64]>,
    largest: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), largest: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Adds a value. One thread only.
    #[inline]
    pub fn record(&self, value: u64) {
        if let Some(count) = self.counts.get(bucket(value)) {
            // Not a read-modify-write: there is one writer.
            count.store(count.load(Relaxed) + 1, Relaxed);
        }
        if value > self.largest.load(Relaxed) {
            self.largest.store(value, Relaxed);
        }
    }

    /// What it holds now.
    pub fn read(&self) -> Distribution {
        Distribution {
            counts: self.counts.iter().map(|count| count.load(Relaxed)).collect(),
            largest: self.largest.load(Relaxed),
        }
    }

    /// Forgets everything. The writing thread only.
    pub fn clear(&self) {
        self.counts.iter().for_each(|count| count.store(0, Relaxed));
        self.largest.store(0, Relaxed);
    }
}

/// A histogram's content at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    counts: Vec<u64>,
    largest: u64,
}

impl Distribution {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The largest value; 0 of none.
    pub const fn max(&self) -> u64 {
        self.largest
    }

    /// The value that the share `quantile`, 0 to 1, of all do not exceed: at most a sixteenth too large. 0 of none.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let wanted = ((self.count() as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (number, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(number).min(self.largest);
            }
        }
        self.largest
    }

    /// Upper bounds and counts of the buckets that are not empty, in ascending order.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(number, count)| (upper(number), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_value_has_a_bucket() {
        for value in [0, 1, 15, 16, 17, 31, 32, 33, 1000, 1 << 40, u64::MAX - 1, u64::MAX] {
            assert!(bucket(value) < BUCKETS, "{value}");
        }
        assert_eq!(upper(BUCKETS - 1), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_bucket_is_a_sixteenth_wide(value: u64) {
            let bound = upper(bucket(value));
            prop_assert!(bound >= value);
            prop_assert!(bound - value <= value / 16);
            prop_assert!(bound == u64::MAX || bucket(bound + 1) == bucket(value) + 1);
        }

        #[test]
        fn quantiles_are_those_of_the_values(mut values in prop::collection::vec(0u64..1_000_000, 1..300), quantile in 0.0..1.0f64) {
            let histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            values.sort_unstable();
            let rank = ((values.len() as f64 * quantile).ceil() as usize).max(1);
            let exact = values[rank - 1];
            let told = histogram.read().quantile(quantile);
            prop_assert!(told >= exact && told - exact <= exact / 16, "{} for {}", told, exact);
        }
    }
}
