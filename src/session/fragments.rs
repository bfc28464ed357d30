//! Fragments: where the later fragments of a datagram go, once the first has been seen.

use crate::types::{BackendId, InstanceId, WorkerId};
use std::net::IpAddr;

/// Ways of a set.
const WAYS: usize = 8;

/// What all fragments of a datagram share (RFC 791, RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentKey {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Identification.
    pub id: u32,
    /// Protocol of the payload; 0 for IPv6, whose later fragments do not say.
    pub protocol: u8,
}

/// What happens to the later fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    /// Translated like the first.
    Translate {
        /// New source address.
        source: IpAddr,
        /// New destination address.
        destination: IpAddr,
        /// New identification: two clients' datagrams must not mix at the backend (RFC 6864 §5.3).
        id: u32,
        /// The instance whose ownership counts.
        instance: InstanceId,
        /// The backend they are counted for.
        backend: BackendId,
    },
    /// Handed to the worker that owns the session.
    HandOver(WorkerId),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: FragmentKey,
    heading: Heading,
    until_ms: u32,
}

/// A set-associative memory of fixed size; entries live a short time.
#[derive(Debug)]
pub struct Fragments {
    sets: Box<[[Option<Entry>; WAYS]]>,
    lifetime_ms: u32,
}

impl Fragments {
    /// For about `datagrams` at a time, each remembered for `lifetime_ms`.
    pub fn new(datagrams: usize, lifetime_ms: u32) -> Self {
        let sets = datagrams.div_ceil(WAYS).next_power_of_two();
        Self { sets: vec![[None; WAYS]; sets].into_boxed_slice(), lifetime_ms }
    }

    fn set(&self, key: &FragmentKey) -> usize {
        let word = |address: IpAddr| match address {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() ^ v6.to_bits() >> 64) as u64,
        };
        let mixed = (word(key.source) ^ word(key.destination).rotate_left(29) ^ u64::from(key.id) << 17)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize % self.sets.len()
    }

    /// What was decided for the first fragment.
    pub fn find(&self, key: &FragmentKey, now_ms: u32) -> Option<Heading> {
        let set = &self.sets[self.set(key)];
        let entry = set.iter().flatten().find(|entry| entry.key == *key)?;
        (!passed(entry.until_ms, now_ms)).then_some(entry.heading)
    }

    /// Remembers the first fragment's decision; false when its set is full of others that still live.
    #[must_use]
    pub fn insert(&mut self, key: FragmentKey, heading: Heading, now_ms: u32) -> bool {
        let until_ms = now_ms.wrapping_add(self.lifetime_ms);
        let way = self.way(&key, now_ms);
        if let Some((set, way)) = way {
            self.sets[set][way] = Some(Entry { key, heading, until_ms });
        }
        way.is_some()
    }

    /// Whether [`Self::insert`] would succeed.
    pub fn has_room(&self, key: &FragmentKey, now_ms: u32) -> bool {
        self.way(key, now_ms).is_some()
    }

    /// Where the entry of a datagram is, or may be put.
    fn way(&self, key: &FragmentKey, now_ms: u32) -> Option<(usize, usize)> {
        let index = self.set(key);
        let set = &self.sets[index];
        let same = set.iter().position(|entry| entry.is_some_and(|entry| entry.key == *key));
        let gone = || set.iter().position(|entry| entry.is_none_or(|entry| passed(entry.until_ms, now_ms)));
        same.or_else(gone).map(|way| (index, way))
    }
}

const fn passed(until_ms: u32, now_ms: u32) -> bool {
    now_ms.wrapping_sub(until_ms) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> FragmentKey {
        FragmentKey { source: [10, 0, 0, 1].into(), destination: [10, 0, 0, 100].into(), id, protocol: 17 }
    }

    #[test]
    fn later_fragments_find_the_first_for_a_while() {
        let mut fragments = Fragments::new(64, 2_000);
        let near_wrap = u32::MAX - 500;
        assert_eq!(fragments.find(&key(1), near_wrap), None);
        assert!(fragments.insert(key(1), Heading::HandOver(WorkerId(3)), near_wrap));
        assert_eq!(
            fragments.find(&key(1), near_wrap.wrapping_add(1999)),
            Some(Heading::HandOver(WorkerId(3)))
        );
        assert_eq!(fragments.find(&key(1), near_wrap.wrapping_add(2000)), None);
        assert_eq!(fragments.find(&key(2), near_wrap), None);
        assert!(fragments.insert(key(1), Heading::HandOver(WorkerId(4)), near_wrap));
        assert_eq!(fragments.find(&key(1), near_wrap), Some(Heading::HandOver(WorkerId(4))));
    }

    #[test]
    fn a_flood_is_refused_and_passes() {
        let mut fragments = Fragments::new(64, 2_000);
        let accepted =
            (0..10_000).filter(|&id| fragments.insert(key(id), Heading::HandOver(WorkerId(0)), 0)).count();
        assert!((48..=64).contains(&accepted), "{accepted}");
        assert!(fragments.insert(key(77_777), Heading::HandOver(WorkerId(0)), 2_000));
    }
}
