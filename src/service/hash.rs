//! Hashes that every worker, node and version computes alike: no seed, no byte order of the machine.

use std::{
    hash::{BuildHasherDefault, Hasher},
    net::IpAddr,
};

/// Spreads every bit of `word` over the result (the step of SplitMix64).
#[inline]
pub(super) const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[inline]
const fn mix128(bits: u128) -> u64 {
    mix(mix((bits >> 64) as u64) ^ bits as u64)
}

/// Of an address alone.
#[inline]
pub(super) const fn address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => mix(v4.to_bits() as u64),
        IpAddr::V6(v6) => mix128(v6.to_bits()),
    }
}

/// Maps a hash evenly to `0..count`; 0 for an empty range. `count` is at most 2³².
#[inline]
pub(super) const fn scale(hash: u64, count: usize) -> usize {
    (((hash >> 32) * count as u64) >> 32) as usize
}

/// For maps whose keys are address bits and come from the configuration, not from packets.
pub(super) type BuildAddressHasher = BuildHasherDefault<AddressHasher>;

/// See [`BuildAddressHasher`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0 ^ u64::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, bits: u32) {
        self.0 = mix(u64::from(bits));
    }

    #[inline]
    fn write_u128(&mut self, bits: u128) {
        self.0 = mix128(bits);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published first outputs of SplitMix64 with seed 1234567.
    #[test]
    fn mix_is_split_mix_64() {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        for (step, output) in
            [6457827717110365317, 3203168211198807973, 9817491932198370423].into_iter().enumerate()
        {
            assert_eq!(mix(GAMMA.wrapping_mul(step as u64).wrapping_add(1_234_567)), output);
        }
    }

    #[test]
    fn scale_stays_in_range_and_covers_it() {
        assert_eq!((scale(0, 5), scale(u64::MAX, 5)), (0, 4));
        assert_eq!(scale(u64::MAX, 65_537), 65_536);
        assert_eq!((scale(u64::MAX, 1), scale(u64::MAX, 0)), (0, 0));
    }

    /// Addresses of one subnet, one host part in many subnets, one /64: all spread evenly.
    #[test]
    fn neighbouring_addresses_spread() {
        let v4 = |bits: u32| IpAddr::from(bits.to_be_bytes());
        let v6 = |bits: u128| IpAddr::from(bits.to_be_bytes());
        let kinds: [Box<dyn Fn(u32) -> IpAddr>; 4] = [
            Box::new(|n| v4(0x0a00_0000 + n)),
            Box::new(|n| v4(0x0a00_0001 + (n << 8))),
            Box::new(|n| v6(0xfd00 << 112 | u128::from(n))),
            Box::new(|n| v6(0xfd00 << 112 | u128::from(n) << 64 | 1)),
        ];
        for (kind, make) in kinds.iter().enumerate() {
            let mut counts = [0u32; 10];
            for n in 0..10_000 {
                counts[scale(address(make(n)), 10)] += 1;
            }
            assert!(counts.iter().all(|&n| n.abs_diff(1_000) < 150), "kind {kind}: {counts:?}");
        }
    }
}
