//! Which rings a table holds: equal backends share one, those of the table before are kept, and many get smaller
//! ones.
//!
//! A ring of 65,537 slots takes 128 KiB and a millisecond to fill: nothing for one service, but more than a
//! gigabyte and ten seconds for ten thousand. So the first [`LARGE_RINGS`] different sets of backends have rings
//! of that size, further ones the smallest that gives each backend 100 slots (the paper's rule).
//!
//! Another size is another mapping, so a service keeps its size while it lives, whatever becomes of the others,
//! until a backend would have fewer than 10 slots. The price: nodes whose tables grew in a different order may
//! give a service different sizes, and then disagree about new sessions: after a failover `sh` may send such a
//! client elsewhere. Sessions that exist are in the session table and do not move.

use super::{
    maglev::{Member, Ring, WeakRing},
    rotation::common_divisor,
    spec::Backend,
};
use std::collections::HashMap;

/// The usual size. All sizes are prime.
pub(super) const LARGE: usize = 65_537;
/// Sizes of rings in tables that have many.
const SMALLER: [usize; 3] = [2_039, 8_191, 32_749];
/// How many different rings of the usual size there are before smaller ones are made: 16 MiB.
pub(super) const LARGE_RINGS: usize = 128;
/// Slots that a backend should have: shares are even within 1 %.
const GOOD_SHARE: usize = 100;
/// Slots that a backend must have, or its service's ring grows.
const LEAST_SHARE: usize = 10;

/// The backends whose weight is above 0, by address and port: the order they are listed in has no part in a ring.
pub(super) fn sorted(backends: &[Backend]) -> Box<[Backend]> {
    let mut sorted: Box<[Backend]> = backends.iter().filter(|backend| backend.weight > 0).copied().collect();
    sorted.sort_unstable_by_key(|backend| (backend.address, backend.port));
    sorted
}

/// What a ring makes of sorted backends.
pub(super) fn members(sorted: &[Backend]) -> Box<[Member]> {
    let divisor = common_divisor(sorted.iter().map(|backend| backend.weight));
    let member = |backend: &Backend| Member {
        address: backend.address,
        port: backend.port,
        weight: backend.weight / divisor,
        available: backend.available,
    };
    sorted.iter().map(member).collect()
}

/// The rings that tables use, found by what they are made of.
#[derive(Debug, Default)]
pub(super) struct Rings(HashMap<(usize, Box<[Member]>), WeakRing>);

impl Rings {
    /// The ring of `size` slots over `members`: one that some table has, or a new one.
    pub(super) fn ring(&mut self, size: usize, members: Box<[Member]>) -> Ring {
        let key = (size, members);
        if let Some(ring) = self.0.get(&key).and_then(WeakRing::upgrade) {
            return ring;
        }
        let ring = Ring::new(&key.1, size);
        self.0.insert(key, ring.downgrade());
        ring
    }

    /// Adds a ring that a table has.
    pub(super) fn remember(&mut self, size: usize, members: Box<[Member]>, ring: &Ring) {
        self.0.insert((size, members), ring.downgrade());
    }

    /// Forgets rings that no table has any more, once there may be as many of them as of others.
    pub(super) fn forget_dead(&mut self, services: usize) {
        if self.0.len() > 2 * services + 64 {
            self.0.retain(|_, ring| ring.is_alive());
        }
    }
}

/// Deals out sizes for one table after the other.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Sets of members that have a ring of the large size, and how many services have each.
    large: HashMap<Box<[Member]>, usize>,
}

impl Sizes {
    /// The size for a service with these members, available or not, whose ring had `previous` slots. `None` with
    /// fewer than two: their ring is the same in every size. Counted until [`Sizes::release`].
    pub(super) fn choose(&mut self, mut members: Box<[Member]>, previous: Option<usize>) -> Option<usize> {
        if members.len() < 2 {
            return None;
        }
        members.iter_mut().for_each(|member| member.available = true);
        let total: usize = members.iter().map(|member| usize::from(member.weight)).sum();
        let smallest = members.iter().map(|member| usize::from(member.weight)).min()?;
        let gives = |size: usize, share: usize| size * smallest >= share * total;
        if let Some(size) = previous.filter(|&size| size < LARGE && gives(size, LEAST_SHARE)) {
            return Some(size);
        }
        if !self.large.contains_key(&members)
            && self.large.len() >= LARGE_RINGS
            && let Some(size) = SMALLER.into_iter().find(|&size| gives(size, GOOD_SHARE))
        {
            return Some(size);
        }
        *self.large.entry(members).or_default() += 1;
        Some(LARGE)
    }

    /// A service with these members and this size is gone, or chooses anew.
    pub(super) fn release(&mut self, mut members: Box<[Member]>, size: Option<usize>) {
        if size != Some(LARGE) {
            return;
        }
        members.iter_mut().for_each(|member| member.available = true);
        if let Some(users) = self.large.get_mut(&members) {
            *users -= 1;
            if *users == 0 {
                self.large.remove(&members);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(first: u32, weights: &[u16]) -> Box<[Member]> {
        let address = |n: u32| (0x0a00_0000 + n).to_be_bytes().into();
        (first..)
            .zip(weights)
            .map(|(n, &weight)| Member { address: address(n), port: Some(80), weight, available: true })
            .collect()
    }

    /// As many different sets as may have large rings.
    fn full() -> Sizes {
        let mut sizes = Sizes::default();
        for n in 0..LARGE_RINGS as u32 {
            assert_eq!(sizes.choose(set(n * 2, &[1, 1]), None), Some(LARGE));
        }
        sizes
    }

    #[test]
    fn one_backend_or_none_needs_no_size() {
        assert_eq!(Sizes::default().choose(set(0, &[]), None), None);
        assert_eq!(Sizes::default().choose(set(0, &[1]), Some(LARGE)), None);
    }

    #[test]
    fn many_sets_get_smaller_rings_that_still_give_each_backend_a_hundred_slots() {
        for (weights, size) in [
            (vec![1; 2], 2_039),
            (vec![1; 20], 2_039),
            (vec![1; 21], 8_191),
            (vec![1; 81], 8_191),
            (vec![1; 82], 32_749),
            (vec![1; 327], 32_749),
            (vec![1; 328], LARGE),
            (vec![19, 1], 2_039),
            (vec![20, 1], 8_191),
            (vec![65_535, 1], LARGE),
        ] {
            assert_eq!(full().choose(set(5_000, &weights), None), Some(size), "{weights:?}");
        }
        // A set that has a large ring already shares it, also while some of it are down.
        let mut known = set(0, &[1, 1]);
        known[1].available = false;
        assert_eq!(full().choose(known, None), Some(LARGE));
    }

    #[test]
    fn a_size_stays_while_it_serves() {
        for (weights, previous, size) in [
            (vec![1; 3], 2_039, 2_039),
            (vec![1; 3], 8_191, 8_191),
            (vec![1; 203], 2_039, 2_039),
            (vec![1; 204], 2_039, 32_749),
            (vec![1; 819], 8_191, 8_191),
            (vec![1; 820], 8_191, LARGE),
            (vec![500, 1], 2_039, LARGE),
        ] {
            assert_eq!(full().choose(set(5_000, &weights), Some(previous)), Some(size), "{weights:?}");
        }
        // What is released makes room.
        let mut sizes = full();
        assert_eq!(sizes.choose(set(5_000, &[1, 1]), None), Some(2_039));
        sizes.release(set(0, &[1, 1]), Some(LARGE));
        assert_eq!(sizes.choose(set(5_000, &[1, 1]), None), Some(LARGE));
        assert_eq!(sizes.choose(set(6_000, &[1, 1]), None), Some(2_039));
        // In a table with room, too: the others' going changes nothing for those that stay.
        assert_eq!(Sizes::default().choose(set(0, &[1, 1]), Some(2_039)), Some(2_039));
        assert_eq!(Sizes::default().choose(set(0, &[1, 1]), Some(LARGE)), Some(LARGE));
    }
}
