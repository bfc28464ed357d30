//! The neighbours, for people: a record a slot that the control core renews now and then and anybody reads without
//! asking it.

use crate::{
    plane::Words,
    protocol::neighbor::{Neighbor, State},
    types::{Instant, Mac, NextHopId, PortId},
};
use std::net::{IpAddr, Ipv6Addr};

/// What one neighbour takes.
const WORDS: usize = 5;

const USED: u64 = 1;
const IPV4: u64 = 1 << 1;
const RESOLVED: u64 = 1 << 2;
const PINNED: u64 = 1 << 3;

const STATES: [State; 5] = [State::Incomplete, State::Reachable, State::Stale, State::Probing, State::Failed];

/// All neighbours, as of a second ago.
#[derive(Debug)]
pub struct NeighborView(Box<[Words<WORDS>]>);

impl NeighborView {
    /// For so many slots, all empty.
    pub(super) fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| Words::default()).collect())
    }

    /// Who is in a slot now. Control thread only; slots beyond the end are ignored.
    pub(super) fn set(&self, slot: NextHopId, neighbor: Option<&Neighbor>) {
        if let Some(record) = self.0.get(slot.index()) {
            record.write(&neighbor.map_or([0; WORDS], pack));
        }
    }

    /// Everybody.
    pub fn list(&self) -> Vec<Neighbor> {
        (0..).map(NextHopId).zip(&self.0).filter_map(|(slot, record)| unpack(slot, record.read())).collect()
    }
}

fn pack(neighbor: &Neighbor) -> [u64; WORDS] {
    let bit = |set: bool, bit: u64| if set { bit } else { 0 };
    let state = STATES.iter().position(|state| *state == neighbor.state).unwrap_or(0) as u64;
    let address = match neighbor.address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let flags = USED
        | bit(neighbor.address.is_ipv4(), IPV4)
        | bit(neighbor.mac.is_some(), RESOLVED)
        | bit(neighbor.pinned, PINNED);
    [
        flags | u64::from(neighbor.port.0) << 8 | state << 16,
        neighbor.mac.map_or(0, Mac::to_bits),
        (address >> 64) as u64,
        address as u64,
        neighbor.since.as_nanos(),
    ]
}

fn unpack(slot: NextHopId, [meta, mac, high, low, since]: [u64; WORDS]) -> Option<Neighbor> {
    if meta & USED == 0 {
        return None;
    }
    let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    Some(Neighbor {
        slot,
        port: PortId((meta >> 8) as u8),
        address: address.to_ipv4_mapped().filter(|_| meta & IPV4 != 0).map_or(address.into(), IpAddr::V4),
        mac: (meta & RESOLVED != 0).then(|| Mac::from_bits(mac)),
        state: *STATES.get((meta >> 16 & 0xff) as usize)?,
        pinned: meta & PINNED != 0,
        since: Instant::from_nanos(since),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let view = NeighborView::new(8);
        assert_eq!(view.list(), []);
        let mut all = Vec::new();
        for (n, state) in (0..).zip(STATES) {
            all.push(Neighbor {
                slot: NextHopId(n),
                port: PortId(255 - n as u8),
                address: if n % 2 == 0 {
                    [10, 0, 0, n as u8].into()
                } else {
                    Ipv6Addr::from_bits(n.into()).into()
                },
                mac: (n != 3).then_some(Mac([0xfe, 1, 2, 3, 4, n as u8])),
                state,
                pinned: n == 1,
                since: Instant::from_nanos(u64::MAX - u64::from(n)),
            });
        }
        all.iter().for_each(|neighbor| view.set(neighbor.slot, Some(neighbor)));
        view.set(NextHopId(8), Some(&all[0]));
        assert_eq!(view.list(), all);
        view.set(NextHopId(2), None);
        all.remove(2);
        assert_eq!(view.list(), all);
    }
}
