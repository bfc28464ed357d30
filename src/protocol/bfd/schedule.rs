//! When to send: jittered periodic packets, and a bound on those in between (RFC 5880 section 6.8.7).

use super::random::Random;
use crate::types::{Duration, Instant};

/// Packets for changed content that may go out of turn in one detection time. Coming Up takes three or four; more
/// means that a peer makes us change, and the periodic packets tell the rest.
const UNSCHEDULED_LIMIT: u8 = 8;

/// A random part of `interval`: 75 to 100 %, or 75 to 90 % when the peer waits for one packet only.
pub(super) fn jittered(interval: Duration, multiplier: u8, random: &mut Random) -> Duration {
    let nanos = interval.as_nanos();
    let low = nanos - nanos / 4;
    let high = if multiplier == 1 { nanos - nanos.div_ceil(10) } else { nanos };
    random.between(Duration::from_nanos(low.min(high)), Duration::from_nanos(high))
}

/// The periodic transmission timer.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    interval: Duration,
    last: Option<Instant>,
    next: Instant,
    random: Random,
}

impl Schedule {
    /// The first packet is due at `start`.
    pub(super) fn new(interval: Duration, start: Instant, random: Random) -> Self {
        Self { interval, last: None, next: start, random }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// When the next periodic packet is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// A packet went out that the next interval begins with.
    pub(super) fn sent(&mut self, now: Instant, multiplier: u8) {
        self.last = Some(now);
        self.next = now + jittered(self.interval, multiplier, &mut self.random);
    }

    /// Another interval, counted from the last packet: at once, if that is longer ago (section 6.8.3).
    pub(super) fn set_interval(&mut self, interval: Duration, multiplier: u8) {
        if interval == self.interval {
            return;
        }
        self.interval = interval;
        if let Some(last) = self.last {
            self.next = last + jittered(interval, multiplier, &mut self.random);
        }
    }
}

/// Bounds the packets sent out of turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    began: Instant,
    used: u8,
}

impl Guard {
    /// When the next one may go, with a window of `window`: the beginning of time, if now.
    pub(super) fn free_at(&self, window: Duration) -> Instant {
        if self.used < UNSCHEDULED_LIMIT { Instant::ZERO } else { self.began + window }
    }

    /// One goes.
    pub(super) fn spend(&mut self, now: Instant, window: Duration) {
        if self.used == 0 || self.began + window <= now {
            *self = Self { began: now, used: 0 };
        }
        self.used = self.used.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kolmogorov-Smirnov against the uniform distribution over [low, high], 1 % level.
    fn assert_uniform(mut samples: Vec<f64>, low: f64, high: f64) {
        samples.sort_by(f64::total_cmp);
        let count = samples.len() as f64;
        let distance = samples.iter().enumerate().fold(0.0_f64, |worst, (index, sample)| {
            let expected = (sample - low) / (high - low);
            worst
                .max((expected - index as f64 / count).abs())
                .max((expected - (index + 1) as f64 / count).abs())
        });
        assert!(distance < 1.63 / count.sqrt(), "distance {distance} from uniform in [{low}, {high}]");
    }

    #[test]
    fn jitter_is_uniform_within_its_bounds() {
        for (seed, interval_us) in [(1, 50), (2, 3_300), (3, 10_000_000), (4, u64::from(u32::MAX))] {
            for (multiplier, most) in [(1, 0.90), (2, 1.0), (3, 1.0), (255, 1.0)] {
                let interval = Duration::from_micros(interval_us);
                let mut random = Random::seeded(seed);
                let share = |span: Duration| span.as_nanos() as f64 / interval.as_nanos() as f64;
                let samples: Vec<f64> =
                    (0..20_000).map(|_| share(jittered(interval, multiplier, &mut random))).collect();
                assert!(samples.iter().all(|sample| (0.75..=most).contains(sample)));
                assert_uniform(samples, 0.75, most);
            }
        }
    }

    #[test]
    fn tiny_intervals_stay_within_bounds() {
        let mut random = Random::seeded(9);
        for nanos in 0..200 {
            for multiplier in [1, 3] {
                let drawn = jittered(Duration::from_nanos(nanos), multiplier, &mut random).as_nanos();
                let most = if multiplier == 1 { nanos * 9 } else { nanos * 10 };
                assert!(
                    drawn * 10 <= most && drawn * 4 >= nanos * 3 - 3.min(nanos * 3),
                    "{drawn} of {nanos}"
                );
            }
        }
    }

    #[test]
    fn shorter_interval_counts_from_the_last_packet() {
        let us = Duration::from_micros;
        let mut schedule = Schedule::new(us(1_000_000), Instant::ZERO, Random::seeded(1));
        schedule.sent(Instant::ZERO + us(500), 3);
        assert!(schedule.next() >= Instant::ZERO + us(750_500));
        schedule.set_interval(us(50), 3);
        assert!((us(537)..=us(550)).contains(&schedule.next().since(Instant::ZERO)));
    }

    #[test]
    fn guard_allows_so_many_a_window() {
        let (window, at) = (Duration::from_micros(100), |us| Instant::ZERO + Duration::from_micros(us));
        let mut guard = Guard::default();
        for us in 0..u64::from(UNSCHEDULED_LIMIT) {
            assert!(guard.free_at(window) <= at(1000 + us));
            guard.spend(at(1000 + us), window);
        }
        assert_eq!(guard.free_at(window), at(1100));
        guard.spend(at(1100), window);
        assert!(guard.free_at(window) <= at(1100));
    }
}
