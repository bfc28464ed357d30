//! Who serves: one atomic word per HA instance, and the lease.

use crate::types::{InstanceId, Instant};
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An instance's role, as LoxiLB names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum HaState {
    /// Not decided yet.
    #[default]
    NotDefined = 0,
    /// This node serves.
    Master = 1,
    /// The peer serves.
    Backup = 2,
    /// This node cannot serve.
    Fault = 3,
    /// Held by the operator.
    Stop = 4,
}

impl HaState {
    /// As API and tables spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotDefined => "NOT_DEFINED",
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
        }
    }

    const fn from_bits(bits: u64) -> Self {
        match bits & 7 {
            1 => Self::Master,
            2 => Self::Backup,
            3 => Self::Fault,
            4 => Self::Stop,
            _ => Self::NotDefined,
        }
    }
}

/// Written by the control thread alone; read by workers once per packet that hits a VIP or a local address.
/// However many addresses an instance has, one store moves them all.
#[derive(Debug)]
pub struct Ownership {
    /// Term in the upper bits, [`HaState`] in the lowest three.
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

    /// Moves an instance; unknown ones are ignored. Control thread only.
    pub fn set(&self, instance: InstanceId, state: HaState, term: u64) {
        if let Some(word) = self.instances.get(instance.index()) {
            word.store(term << 3 | state as u64, Relaxed);
        }
    }

    /// The instance's state and term.
    pub fn get(&self, instance: InstanceId) -> (HaState, u64) {
        let bits = self.instances.get(instance.index()).map_or(0, |word| word.load(Relaxed));
        (HaState::from_bits(bits), bits >> 3)
    }

    /// Whether this node serves the instance's addresses.
    #[inline]
    pub fn serves(&self, instance: InstanceId) -> bool {
        self.instances
            .get(instance.index())
            .is_some_and(|word| word.load(Relaxed) & 7 == HaState::Master as u64)
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
        assert_eq!(ownership.get(blue).0.name(), "BACKUP");
        assert!(ownership.lease_holds(Instant::from_nanos(5)));
        ownership.lease_until(Instant::from_nanos(5));
        assert!(!ownership.lease_holds(Instant::from_nanos(5)));
    }
}
