//! A map from neighbour addresses to slots that one thread changes while others read, without locks, allocation
//! or rebuilding: linear probing, each entry under its own sequence lock.

use super::Words;
use crate::types::{NextHopId, PortId};
use std::net::IpAddr;

/// Never held anything: a search ends here.
const EMPTY: u64 = 0;
/// Held something once: a search goes on.
const REMOVED: u64 = 1;
const USED: u64 = 2;

/// IPv4 addresses stand among the others as RFC 4291 section 2.5.5.2 maps them.
const MAPPED: u128 = 0xffff << 32;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    port: u8,
    address: u128,
}

impl Key {
    fn new(port: PortId, address: IpAddr) -> Self {
        let address = match address {
            IpAddr::V4(v4) => MAPPED | u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        Self { port: port.0, address }
    }

    fn hash(self) -> usize {
        let mixed =
            (self.address as u64 ^ (self.address >> 64) as u64).wrapping_add(u64::from(self.port) << 56);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

/// Slot in the upper half, port in bits 8 to 15, state in the lowest; then the address, upper half first.
#[derive(Debug, Default)]
struct Entry(Words<3>);

#[derive(Clone, Copy)]
struct Content {
    state: u64,
    key: Key,
}

impl Entry {
    fn read(&self) -> Content {
        let [meta, high, low] = self.0.read();
        let key = Key { port: (meta >> 8) as u8, address: u128::from(high) << 64 | u128::from(low) };
        Content { state: meta & 0xff, key }
    }

    fn write(&self, state: u64, key: Key, slot: NextHopId) {
        let meta = u64::from(slot.0) << 32 | u64::from(key.port) << 8 | state;
        self.0.write(&[meta, (key.address >> 64) as u64, key.address as u64]);
    }
}

/// Fixed size, at most a quarter full.
#[derive(Debug)]
pub(super) struct Index {
    entries: Box<[Entry]>,
}

impl Index {
    pub(super) fn new(slots: usize) -> Self {
        let size = (slots * 4).next_power_of_two().max(4);
        Self { entries: (0..size).map(|_| Entry::default()).collect() }
    }

    /// The places a key may be at, in order.
    fn places(&self, key: Key) -> impl Iterator<Item = &Entry> {
        let mask = self.entries.len() - 1;
        let home = key.hash() & mask;
        (0..self.entries.len()).map(move |step| &self.entries[(home + step) & mask])
    }

    pub(super) fn find(&self, port: PortId, address: IpAddr) -> Option<NextHopId> {
        let key = Key::new(port, address);
        let wanted = [u64::from(port.0) << 8 | USED, (key.address >> 64) as u64, key.address as u64];
        let mask = self.entries.len() - 1;
        let mut at = key.hash() & mask;
        for _ in 0..=mask {
            let [meta, high, low] = self.entries[at].0.read();
            if [meta & 0xffff, high, low] == wanted {
                return Some(NextHopId((meta >> 32) as u32));
            }
            if meta & 0xff == EMPTY {
                return None;
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// One thread only.
    pub(super) fn insert(&self, port: PortId, address: IpAddr, slot: NextHopId) {
        let key = Key::new(port, address);
        let mut free = None;
        for entry in self.places(key) {
            let content = entry.read();
            if content.state == USED && content.key == key {
                return entry.write(USED, key, slot);
            }
            if content.state != USED {
                free = free.or(Some(entry));
            }
            if content.state == EMPTY {
                break;
            }
        }
        if let Some(entry) = free {
            entry.write(USED, key, slot);
        }
    }

    /// One thread only.
    pub(super) fn remove(&self, port: PortId, address: IpAddr) {
        let key = Key::new(port, address);
        let mask = self.entries.len() - 1;
        let home = key.hash() & mask;
        for step in 0..self.entries.len() {
            let at = (home + step) & mask;
            let content = self.entries[at].read();
            if content.state == EMPTY {
                return;
            }
            if content.state == USED && content.key == key {
                self.entries[at].write(REMOVED, key, NextHopId(0));
                return self.shorten(at);
            }
        }
    }

    /// Removed entries before an empty one lead nowhere: they become empty, so that searches stay short for ever.
    fn shorten(&self, mut at: usize) {
        let mask = self.entries.len() - 1;
        if self.entries[(at + 1) & mask].read().state != EMPTY {
            return;
        }
        while self.entries[at].read().state == REMOVED {
            self.entries[at].write(EMPTY, Key { port: 0, address: 0 }, NextHopId(0));
            at = at.wrapping_sub(1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        collections::HashMap,
        net::Ipv6Addr,
        sync::atomic::{AtomicBool, Ordering::Relaxed},
    };

    fn address(n: u8) -> IpAddr {
        if n.is_multiple_of(2) {
            [10, 0, 0, n].into()
        } else {
            Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(n)).into()
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), 0u8..40, 0u8..2), 0..400)) {
            let index = Index::new(80);
            let mut model = HashMap::new();
            for (number, (insert, n, port)) in steps.into_iter().enumerate() {
                let (port, slot) = (PortId(port), NextHopId(number as u32));
                if insert {
                    index.insert(port, address(n), slot);
                    model.insert((port, n), slot);
                } else {
                    index.remove(port, address(n));
                    model.remove(&(port, n));
                }
                for n in 0..40 {
                    for port in [PortId(0), PortId(1)] {
                        prop_assert_eq!(index.find(port, address(n)), model.get(&(port, n)).copied());
                    }
                }
            }
            let keys: Vec<_> = model.into_keys().collect();
            for (port, n) in keys {
                index.remove(port, address(n));
            }
            prop_assert!(index.entries.iter().all(|entry| entry.read().state != USED));
        }
    }

    #[test]
    fn a_reader_never_sees_one_neighbour_s_slot_under_another_s_address() {
        let index = Index::new(4);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..20_000u32 {
                    let n = (round % 7) as u8;
                    index.insert(PortId(0), address(n), NextHopId(u32::from(n)));
                    index.remove(PortId(0), address(((round + 3) % 7) as u8));
                }
                stop.store(true, Relaxed);
            });
            while !stop.load(Relaxed) {
                for n in 0..7 {
                    let found = index.find(PortId(0), address(n));
                    assert!(found.is_none_or(|slot| slot.0 == u32::from(n)));
                }
            }
        });
    }
}
