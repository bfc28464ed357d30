//! Where frames go: each next hop's MAC and port in one atomic word, so that a MAC that changes is one store, and
//! an index that finds a next hop's slot by its address.
//!
//! The control thread alone writes; workers read a slot once per forwarded packet and the index once per session.

use super::index::Index;
use crate::types::{Mac, NextHopId, PortId};
use std::{
    net::IpAddr,
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

const RESOLVED: u64 = 1 << 63;

/// A resolved next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its Ethernet address.
    pub mac: Mac,
    /// The port it is reached by.
    pub port: PortId,
}

/// A fixed number of slots.
#[derive(Debug)]
pub struct NextHops {
    slots: Box<[AtomicU64]>,
    /// Sessions went there lately.
    used: Box<[AtomicBool]>,
    index: Index,
    resolutions: AtomicU64,
}

impl NextHops {
    /// So many slots, none resolved.
    pub fn new(slots: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            used: (0..slots).map(|_| AtomicBool::new(false)).collect(),
            index: Index::new(slots),
            resolutions: AtomicU64::new(0),
        }
    }

    /// Gives a slot its address and MAC. Control thread only; slots beyond the end are ignored.
    pub fn resolve(&self, id: NextHopId, address: IpAddr, hop: NextHop) {
        if let Some(slot) = self.slots.get(id.index()) {
            slot.store(RESOLVED | u64::from(hop.port.0) << 48 | hop.mac.to_bits(), Relaxed);
            self.index.insert(hop.port, address, id);
            self.resolutions.fetch_add(1, Release);
        }
    }

    /// How often a next hop was resolved: a number that changed says that a packet need wait no longer.
    #[inline]
    pub fn resolutions(&self) -> u64 {
        self.resolutions.load(Acquire)
    }

    /// Takes a slot's address and MAC away. Control thread only.
    pub fn clear(&self, id: NextHopId, port: PortId, address: IpAddr) {
        if let Some(slot) = self.slots.get(id.index()) {
            self.index.remove(port, address);
            slot.store(0, Relaxed);
        }
    }

    /// The next hop in a slot, if it is resolved.
    #[inline]
    pub fn get(&self, id: NextHopId) -> Option<NextHop> {
        let bits = self.slots.get(id.index())?.load(Relaxed);
        (bits & RESOLVED != 0)
            .then(|| NextHop { mac: Mac::from_bits(bits), port: PortId((bits >> 48) as u8) })
    }

    /// The slot of a resolved neighbour.
    pub fn find(&self, port: PortId, neighbor: IpAddr) -> Option<NextHopId> {
        self.index.find(port, neighbor)
    }

    /// Notes that sessions go there. Any worker.
    #[inline]
    pub fn mark_used(&self, id: NextHopId) {
        if let Some(used) = self.used.get(id.index())
            && !used.load(Relaxed)
        {
            used.store(true, Relaxed);
        }
    }

    /// Whether sessions went there since the last call. Control thread only.
    pub fn take_used(&self, id: NextHopId) -> bool {
        self.used.get(id.index()).is_some_and(|used| used.load(Relaxed) && used.swap(false, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_holds_what_was_stored() {
        let hops = NextHops::new(2);
        let (id, port) = (NextHopId(1), PortId(200));
        let address: IpAddr = "fd00::7".parse().unwrap();
        let hop = NextHop { mac: Mac([0xfe, 2, 3, 4, 5, 0xff]), port };
        assert_eq!((hops.get(id), hops.find(port, address), hops.resolutions()), (None, None, 0));
        hops.resolve(id, address, hop);
        assert_eq!(hops.resolutions(), 1);
        assert_eq!((hops.get(id), hops.find(port, address)), (Some(hop), Some(id)));
        assert_eq!(hops.find(PortId(0), address), None);
        hops.clear(id, port, address);
        assert_eq!((hops.get(id), hops.find(port, address)), (None, None));
        hops.resolve(NextHopId(2), address, hop);
        assert_eq!((hops.get(NextHopId(2)), hops.get(NextHopId::UNKNOWN)), (None, None));
    }

    #[test]
    fn use_is_noted_once() {
        let hops = NextHops::new(1);
        assert!(!hops.take_used(NextHopId(0)));
        hops.mark_used(NextHopId(0));
        assert!(hops.take_used(NextHopId(0)) && !hops.take_used(NextHopId(0)));
        hops.mark_used(NextHopId(1));
        assert!(!hops.take_used(NextHopId(1)));
    }
}
