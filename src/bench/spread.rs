//! How measured times lie, in microseconds.

use crate::{plane::Distribution, types::Duration};
use serde::Serialize;

/// Of a handful of trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle.
    pub p50: f64,
    /// All but one of a hundred.
    pub p99: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of these; all zero of none.
    pub(super) fn of(times: &[Duration]) -> Self {
        let mut sorted: Vec<f64> = times.iter().copied().map(micros).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            let place = (sorted.len() as f64 * share).ceil() as usize;
            sorted.get(place.max(1) - 1).copied().unwrap_or(0.0)
        };
        Self { min: rank(0.0), p50: rank(0.5), p99: rank(0.99), max: rank(1.0) }
    }
}

/// Of very many: quantiles are at most a sixteenth too large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tail {
    /// The least.
    pub min: f64,
    /// The middle.
    pub p50: f64,
    /// All but one of a hundred.
    pub p99: f64,
    /// All but one of a thousand.
    pub p999: f64,
    /// The most.
    pub max: f64,
}

impl Tail {
    pub(super) fn of(nanos: &Distribution) -> Self {
        let quantile = |share| nanos.quantile(share) as f64 / 1e3;
        Self {
            min: quantile(0.0),
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: nanos.max() as f64 / 1e3,
        }
    }

    /// Of several, each figure of the one that is worst in it, and the least of all.
    pub(super) fn worse(several: impl IntoIterator<Item = Distribution>) -> Self {
        let tails = several.into_iter().filter(|nanos| nanos.count() > 0).map(|nanos| Self::of(&nanos));
        let worse = tails.reduce(|worst, other| Self {
            min: worst.min.min(other.min),
            p50: worst.p50.max(other.p50),
            p99: worst.p99.max(other.p99),
            p999: worst.p999.max(other.p999),
            max: worst.max.max(other.max),
        });
        worse.unwrap_or_default()
    }
}

/// A span of time in microseconds.
pub(super) fn micros(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::Histogram;

    #[test]
    fn the_worst_of_two_has_the_least_of_both() {
        let of = |nanos: &[u64]| {
            let histogram = Histogram::default();
            nanos.iter().for_each(|value| histogram.record(*value));
            histogram.read()
        };
        let tail = Tail::worse([of(&[1000, 2000]), of(&[3000, 9000]), of(&[])]);
        assert!((tail.min - 1.0).abs() <= 1.0 / 16.0 && (tail.max - 9.0).abs() < 1e-9, "{tail:?}");
        assert_eq!(Tail::worse([]), Tail::default());
    }

    #[test]
    fn ranks_are_those_of_the_sorted_times() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(Spread::of(&times), Spread { min: 1.0, p50: 100.0, p99: 198.0, max: 200.0 });
        let one = Spread::of(&times[..1]);
        assert_eq!(one, Spread { min: 200.0, p50: 200.0, p99: 200.0, max: 200.0 });
        assert_eq!(Spread::of(&[]), Spread::default());
    }
}
