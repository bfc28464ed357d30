//! Digests: what a range of sessions holds, in twelve bytes, kept up to date as sessions come and go.
//!
//! Sessions fall into ranges by the agreed hash of their reply tuple, which both nodes compute alike. Two nodes whose
//! digests of a range are equal hold the same sessions in it, in the same phases.

use crate::{
    packet::{Family, Tuple, agreed_hash},
    types::{InstanceId, Phase, Protocol},
};

/// Ranges of a worker's sessions.
pub const RANGES: usize = 128;

/// Every range.
pub const ALL_RANGES: u128 = u128::MAX;

/// What a range holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Digest {
    /// How many sessions.
    pub sessions: u32,
    /// The sum of their hashes, modulo 2⁶⁴.
    pub sum: u64,
}

/// Where a session counts, and what it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    range: u8,
    identity: u64,
}

impl Share {
    /// Of the session with these agreed hashes: of its client's tuple, and of its replies'.
    #[inline]
    pub const fn new(inbound: u64, outbound: u64) -> Self {
        Self { range: range_of_hash(outbound), identity: outbound ^ inbound.rotate_left(31) }
    }

    /// Its range.
    #[inline]
    pub const fn range(self) -> u8 {
        self.range
    }

    #[inline]
    const fn term(self, phase: Phase) -> u64 {
        // An odd factor a phase: no two phases of a session count alike.
        self.identity.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.wrapping_add((phase as u64) << 1))
    }
}

#[inline]
const fn range_of_hash(hash: u64) -> u8 {
    (hash >> 57) as u8
}

const _: () = assert!(RANGES == 1 << 7);

/// The range of the session with this reply tuple.
#[inline]
pub fn range_of<F: Family>(outbound: &Tuple<F>, protocol: Protocol) -> u8 {
    range_of_hash(agreed_hash(outbound, protocol))
}

/// A worker's digests, by instance and range.
#[derive(Debug)]
pub struct Digests {
    ranges: Box<[[Digest; RANGES]]>,
}

impl Digests {
    /// Of no sessions, for so many instances.
    pub fn new(instances: u8) -> Self {
        Self { ranges: vec![[Digest::default(); RANGES]; usize::from(instances)].into_boxed_slice() }
    }

    #[inline]
    fn of(&mut self, instance: InstanceId, share: Share) -> Option<&mut Digest> {
        Some(&mut self.ranges.get_mut(instance.index())?[usize::from(share.range) % RANGES])
    }

    /// A session is here.
    #[inline]
    pub fn add(&mut self, instance: InstanceId, share: Share, phase: Phase) {
        if let Some(digest) = self.of(instance, share) {
            digest.sessions = digest.sessions.wrapping_add(1);
            digest.sum = digest.sum.wrapping_add(share.term(phase));
        }
    }

    /// A session is gone.
    #[inline]
    pub fn remove(&mut self, instance: InstanceId, share: Share, phase: Phase) {
        if let Some(digest) = self.of(instance, share) {
            digest.sessions = digest.sessions.wrapping_sub(1);
            digest.sum = digest.sum.wrapping_sub(share.term(phase));
        }
    }

    /// A session is in another phase.
    #[inline]
    pub fn change(&mut self, instance: InstanceId, share: Share, from: Phase, to: Phase) {
        if let Some(digest) = self.of(instance, share) {
            digest.sum = digest.sum.wrapping_sub(share.term(from)).wrapping_add(share.term(to));
        }
    }

    /// The digest of a range; empty for an instance there is not.
    pub fn get(&self, instance: InstanceId, range: u8) -> Digest {
        let ranges = self.ranges.get(instance.index());
        ranges.and_then(|ranges| ranges.get(usize::from(range))).copied().unwrap_or_default()
    }

    /// How many instances there are.
    pub fn instances(&self) -> u8 {
        self.ranges.len() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::V4;

    fn share(client: u16, local: u16) -> Share {
        let address = |last: u8| std::net::IpAddr::from([10, 0, 0, last]);
        let hash =
            |source, destination| agreed_hash(&Tuple::<V4>::new(source, destination).unwrap(), Protocol::Tcp);
        Share::new(
            hash((address(1), client), (address(2), 80)),
            hash((address(3), 8080), (address(4), local)),
        )
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let instance = InstanceId(0);
        let one = share(1, 100);
        let mut digests = Digests::new(1);
        digests.add(instance, one, Phase::Opening);
        let opening = digests.get(instance, one.range());
        digests.change(instance, one, Phase::Opening, Phase::Established);
        let established = digests.get(instance, one.range());
        assert_ne!(opening, established);
        let other = share(2, 100);
        assert_eq!(one.range(), other.range(), "the range follows from the reply tuple alone");
        digests.add(instance, other, Phase::Over);
        digests.remove(instance, one, Phase::Established);
        let mut again = Digests::new(1);
        again.add(instance, other, Phase::Over);
        assert_eq!(digests.get(instance, one.range()), again.get(instance, one.range()));
        digests.remove(instance, other, Phase::Over);
        assert_eq!(digests.get(instance, one.range()), Digest::default());
        digests.add(InstanceId(1), one, Phase::Opening);
        assert_eq!(digests.get(InstanceId(1), one.range()), Digest::default());
    }

    #[test]
    fn ranges_are_even() {
        let mut counts = [0u32; RANGES];
        for local in 0..=u16::MAX {
            counts[usize::from(share(1, local).range())] += 1;
        }
        let fair = (1 << 16) / RANGES as u32;
        assert!(counts.iter().all(|&n| n.abs_diff(fair) < fair / 3), "{counts:?}");
    }
}
