//! Where frames go: each next hop's MAC and port in one atomic word, so that a MAC that changes is one store.

use crate::types::{Mac, NextHopId, PortId};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const RESOLVED: u64 = 1 << 63;

/// A resolved next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its Ethernet address.
    pub mac: Mac,
    /// The port it is reached by.
    pub port: PortId,
}

/// Fixed slots, written by the control thread, read by workers once per forwarded packet.
#[derive(Debug)]
pub struct NextHops {
    slots: Box<[AtomicU64]>,
}

impl NextHops {
    /// So many slots, none resolved.
    pub fn new(slots: usize) -> Self {
        Self { slots: (0..slots).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Resolves a slot. Control thread only; slots beyond the end are ignored.
    pub fn resolve(&self, id: NextHopId, hop: NextHop) {
        if let Some(slot) = self.slots.get(id.index()) {
            slot.store(RESOLVED | u64::from(hop.port.0) << 48 | hop.mac.to_bits(), Relaxed);
        }
    }

    /// Takes a slot's address away. Control thread only.
    pub fn clear(&self, id: NextHopId) {
        if let Some(slot) = self.slots.get(id.index()) {
            slot.store(0, Relaxed);
        }
    }

    /// The next hop, if it is resolved.
    #[inline]
    pub fn get(&self, id: NextHopId) -> Option<NextHop> {
        let bits = self.slots.get(id.index())?.load(Relaxed);
        (bits & RESOLVED != 0)
            .then(|| NextHop { mac: Mac::from_bits(bits), port: PortId((bits >> 48) as u8) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_holds_what_was_stored() {
        let hops = NextHops::new(2);
        let hop = NextHop { mac: Mac([0xfe, 2, 3, 4, 5, 0xff]), port: PortId(200) };
        assert_eq!(hops.get(NextHopId(1)), None);
        hops.resolve(NextHopId(1), hop);
        assert_eq!(hops.get(NextHopId(1)), Some(hop));
        hops.clear(NextHopId(1));
        assert_eq!(hops.get(NextHopId(1)), None);
        hops.resolve(NextHopId(2), hop);
        assert_eq!((hops.get(NextHopId(2)), hops.get(NextHopId::UNKNOWN)), (None, None));
    }
}
