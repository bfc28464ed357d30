//! Who serves: one atomic word per HA instance, and the lease.

use crate::types::{Duty, HaState, InstanceId, Instant};
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const STATE_BITS: u64 = 7;
const DUTY_SHIFT: u32 = 3;
const DUTY_BITS: u64 = 3 << DUTY_SHIFT;
const SERVING: u64 = (Duty::Serving as u64) << DUTY_SHIFT;
const DRAINING: u64 = (Duty::Draining as u64) << DUTY_SHIFT;
const TERM_SHIFT: u32 = 5;

/// Written by the control thread alone; read by workers once per packet that hits a VIP or a local address.
/// However many addresses an instance has, one store moves them all.
#[derive(Debug)]
pub struct Ownership {
    /// Term, then two bits of [`Duty`], then three of [`HaState`].
    instances: Box<[CachePadded<AtomicU64>]>,
    /// End of the lease, in nanoseconds of the process's clock.
    lease: CachePadded<AtomicU64>,
}

impl Ownership {
    /// For so many instances, none decided, and a lease without end.
    pub fn new(instances: u8) -> Self {
        Self {
            instances: (0..instances.max(1)).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
            lease: CachePadded::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// Moves an instance, its duty being the usual one of `state`; unknown ones are ignored. Control thread only.
    pub fn set(&self, instance: InstanceId, state: HaState, term: u64) {
        self.store(instance, state, state.duty(), term);
    }

    /// Moves an instance; unknown ones are ignored. `term` is below 2⁵⁹. Control thread only.
    pub fn store(&self, instance: InstanceId, state: HaState, duty: Duty, term: u64) {
        if let Some(word) = self.instances.get(instance.index()) {
            word.store(term << TERM_SHIFT | (duty as u64) << DUTY_SHIFT | state as u64, Relaxed);
        }
    }

    /// The instance's state and term.
    pub fn get(&self, instance: InstanceId) -> (HaState, u64) {
        let word = self.word(instance);
        let state = HaState::ALL.get((word & STATE_BITS) as usize).copied().unwrap_or_default();
        (state, word >> TERM_SHIFT)
    }

    /// What this node does for the instance's addresses.
    #[inline]
    pub fn duty(&self, instance: InstanceId) -> Duty {
        match self.word(instance) & DUTY_BITS {
            SERVING => Duty::Serving,
            DRAINING => Duty::Draining,
            _ => Duty::Idle,
        }
    }

    /// Whether this node serves the instance's addresses.
    #[inline]
    pub fn serves(&self, instance: InstanceId) -> bool {
        self.word(instance) & DUTY_BITS == SERVING
    }

    #[inline]
    fn word(&self, instance: InstanceId) -> u64 {
        self.instances.get(instance.index()).map_or(0, |word| word.load(Relaxed))
    }

    /// How many instances there are.
    pub fn count(&self) -> u8 {
        self.instances.len() as u8
    }

    /// Extends the lease. Control thread only.
    pub fn lease_until(&self, end: Instant) {
        self.lease.store(end.as_nanos(), Relaxed);
    }

    /// Whether the lease still runs.
    #[inline]
    pub fn lease_holds(&self, now: Instant) -> bool {
        now.as_nanos() < self.lease.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_store_moves_an_instance() {
        let ownership = Ownership::new(2);
        let (red, blue) = (InstanceId(0), InstanceId(1));
        assert!(!ownership.serves(red) && !ownership.serves(blue) && !ownership.serves(InstanceId(9)));
        ownership.set(blue, HaState::Master, 7);
        assert!(ownership.serves(blue) && !ownership.serves(red));
        assert_eq!(ownership.get(blue), (HaState::Master, 7));
        ownership.set(blue, HaState::Backup, 8);
        assert!(!ownership.serves(blue));
        assert_eq!((ownership.get(blue).0, ownership.duty(blue)), (HaState::Backup, Duty::Idle));
        assert!(ownership.lease_holds(Instant::from_nanos(5)));
        ownership.lease_until(Instant::from_nanos(5));
        assert!(!ownership.lease_holds(Instant::from_nanos(5)));
    }

    #[test]
    fn state_duty_and_term_share_a_word() {
        let ownership = Ownership::new(1);
        let only = InstanceId(0);
        for state in HaState::ALL {
            for duty in [Duty::Idle, Duty::Draining, Duty::Serving] {
                for term in [0, 1, (1 << 59) - 1] {
                    ownership.store(only, state, duty, term);
                    assert_eq!((ownership.get(only), ownership.duty(only)), ((state, term), duty));
                    assert_eq!(ownership.serves(only), duty == Duty::Serving);
                }
            }
        }
        assert_eq!(ownership.duty(InstanceId(1)), Duty::Idle);
    }
}
