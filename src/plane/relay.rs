//! Where a node sends what it serves no longer: the new owner's MAC on each port.

use crate::types::{Mac, PortId};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// No MAC has so many bits.
const UNKNOWN: u64 = u64::MAX;

/// A MAC a port. The control core writes it; workers read it for strays of an instance that is being handed over.
#[derive(Debug)]
pub struct Relay(Box<[AtomicU64]>);

impl Relay {
    /// For so many ports, all unknown.
    pub fn new(ports: usize) -> Self {
        Self((0..ports).map(|_| AtomicU64::new(UNKNOWN)).collect())
    }

    /// Says where the other node is on a port. Control thread only.
    pub fn set(&self, port: PortId, mac: Option<Mac>) {
        if let Some(word) = self.0.get(port.index()) {
            word.store(mac.map_or(UNKNOWN, Mac::to_bits), Relaxed);
        }
    }

    /// Where the other node is on a port; `None`: not known.
    pub fn get(&self, port: PortId) -> Option<Mac> {
        let bits = self.0.get(port.index())?.load(Relaxed);
        (bits != UNKNOWN).then(|| Mac::from_bits(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_port_by_port() {
        let relay = Relay::new(2);
        let mac = Mac([2, 0, 0, 0, 0, 9]);
        assert_eq!(relay.get(PortId(0)), None);
        relay.set(PortId(1), Some(mac));
        relay.set(PortId(2), Some(mac));
        assert_eq!([0, 1, 2].map(|port| relay.get(PortId(port))), [None, Some(mac), None]);
        relay.set(PortId(1), None);
        assert_eq!(relay.get(PortId(1)), None);
    }
}
