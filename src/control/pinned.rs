//! Keeps pinned what management names: on the way from one list to the next, a few next hops a turn.

use crate::{
    plane::{Hop, Pins},
    protocol::neighbor::Neighbors,
    types::Instant,
};
use std::{cmp::Ordering, sync::Arc};

/// Next hops looked at in one step.
const PER_STEP: usize = 32;

/// What is pinned.
#[derive(Debug, Default)]
pub(super) struct Pinned {
    current: Option<Arc<Pins>>,
    change: Option<Change>,
}

/// The list that comes next, and how far both are walked: they are sorted, so what only one of them has shows.
#[derive(Debug)]
struct Change {
    next: Arc<Pins>,
    old_at: usize,
    new_at: usize,
}

impl Pinned {
    /// Whether the configuration names a next hop, or did until a moment ago.
    pub(super) fn contains(&self, hop: Hop) -> bool {
        let next = self.change.as_ref().map(|change| &change.next);
        self.current.iter().chain(next).any(|list| list.contains(hop))
    }

    /// Goes on towards `latest`, or first to the list before it if that is not reached yet.
    pub(super) fn step(&mut self, latest: &Arc<Pins>, neighbors: &mut Neighbors, now: Instant) {
        let is_latest = |current: &Arc<Pins>| Arc::ptr_eq(current, latest);
        if self.change.is_none() && !self.current.as_ref().is_some_and(is_latest) {
            self.change = Some(Change { next: Arc::clone(latest), old_at: 0, new_at: 0 });
        }
        let Some(change) = &mut self.change else { return };
        for _ in 0..PER_STEP {
            let old = self.current.as_ref().and_then(|current| current.get(change.old_at));
            let new = change.next.get(change.new_at);
            let order = match (&old, &new) {
                (None, None) => {
                    self.current = self.change.take().map(|change| change.next);
                    return;
                }
                (Some(old), Some(new)) => old.cmp(new),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            if let (Ordering::Less, Some((port, address))) = (order, old) {
                neighbors.unpin(port, address, now);
            }
            if let (Ordering::Greater, Some((port, address))) = (order, new) {
                // One that finds no room is asked for when a session wants it.
                let _ = neighbors.pin(port, address, now);
            }
            change.old_at += usize::from(order.is_le());
            change.new_at += usize::from(order.is_ge());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plane::{Route, Routes},
        protocol::neighbor::Settings,
        types::PortId,
    };
    use proptest::prelude::*;
    use std::{collections::BTreeSet, net::IpAddr};

    fn pins(hosts: &BTreeSet<u8>) -> Pins {
        let route = Route { to: "10.0.0.0/16".parse().unwrap(), port: PortId(0), via: None };
        Pins::new(&Routes::new(vec![route]), hosts.iter().map(|&host| IpAddr::from([10, 0, 0, host])))
    }

    fn pinned(neighbors: &Neighbors) -> BTreeSet<IpAddr> {
        neighbors.neighbors().filter(|neighbor| neighbor.pinned).map(|neighbor| neighbor.address).collect()
    }

    proptest! {
        /// However lists follow one another, also before the last one was reached, the latest is what is pinned.
        #[test]
        fn the_latest_list_is_what_is_pinned(
            lists in prop::collection::vec((prop::collection::btree_set(1u8..120, 0..100), 0usize..6), 1..8),
        ) {
            let mut neighbors = Neighbors::new(Settings { capacity: 200, ..Settings::default() });
            let mut state = Pinned::default();
            let mut now = Instant::ZERO;
            let mut latest = Arc::new(pins(&BTreeSet::new()));
            for (hosts, steps) in &lists {
                latest = Arc::new(pins(hosts));
                for _ in 0..*steps {
                    now = now + crate::types::Duration::from_millis(1);
                    state.step(&latest, &mut neighbors, now);
                }
            }
            for _ in 0..20 {
                state.step(&latest, &mut neighbors, now);
            }
            let wanted: BTreeSet<IpAddr> = (0..).map_while(|at| latest.get(at)).map(|(_, address)| address).collect();
            prop_assert_eq!(pinned(&neighbors), wanted.clone());
            for host in 0..130 {
                let address = IpAddr::from([10, 0, 0, host]);
                prop_assert_eq!(state.contains((PortId(0), address)), wanted.contains(&address));
            }
        }
    }

    #[test]
    fn a_step_is_bounded() {
        let mut neighbors = Neighbors::new(Settings { capacity: 200, ..Settings::default() });
        let mut state = Pinned::default();
        let latest = Arc::new(pins(&(1..=100).collect()));
        for step in 1..=3 {
            state.step(&latest, &mut neighbors, Instant::ZERO);
            assert_eq!(pinned(&neighbors).len(), step * PER_STEP);
            assert!(state.contains((PortId(0), IpAddr::from([10, 0, 0, 100]))), "it may be wanted already");
        }
    }
}
