//! The machine's only randomness: a small generator whose seed comes from outside.

use crate::types::Duration;

/// SplitMix64. Good enough for jitter, discriminators and first sequence numbers; no secret may depend on it.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed; the same seed gives the same numbers.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next 32 bits.
    pub const fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `limit`, which is not 0; even to within 1 in 2⁶⁴ / `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        ((self.next_u64() as u128 * limit as u128) >> 64) as u64
    }

    /// From `low` to `high`, both included.
    pub(super) const fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.as_nanos().saturating_sub(low.as_nanos());
        Duration::from_nanos(low.as_nanos() + self.below(span.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs of the generator as its author published it (Vigna, splitmix64.c), seed 1234567.
    #[test]
    fn published_sequence() {
        let mut random = Random::seeded(1_234_567);
        for expected in [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423_u64]
        {
            assert_eq!(random.next_u64(), expected);
        }
    }

    #[test]
    fn between_reaches_both_ends() {
        let mut random = Random::seeded(1);
        let (low, high) = (Duration::from_nanos(7), Duration::from_nanos(9));
        let drawn: Vec<u64> = (0..100).map(|_| random.between(low, high).as_nanos()).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&7), Some(&9)));
    }
}
