//! What there is to announce.

use crate::types::{InstanceId, PortId};
use std::{net::IpAddr, ops::Range};

/// What is announced first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// A VIP: clients wait for it.
    Service,
    /// A local address: backends reply to it.
    Local,
}

/// One address on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instance it moves with.
    pub instance: InstanceId,
    /// The port it is announced by.
    pub port: PortId,
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub importance: Importance,
}

/// All addresses of a node, by instance and importance. Made by management, off the control thread: it sorts and
/// allocates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    targets: Box<[Target]>,
    /// Where each instance's begin and end.
    instances: Box<[Range<u32>]>,
}

impl Addresses {
    /// From all targets; those of equal importance keep their order.
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let mut targets: Vec<Target> = targets.into_iter().collect();
        targets.sort_by_key(|target| (target.instance, target.importance));
        let count = targets.last().map_or(0, |last| last.instance.index() + 1);
        let place = |index| targets.partition_point(|target| target.instance.index() < index) as u32;
        let instances = (0..count).map(|index| place(index)..place(index + 1)).collect();
        Self { targets: targets.into(), instances }
    }

    /// The first of each instance's on each port: enough where one virtual MAC moves them all.
    #[must_use]
    pub fn one_per_port(self) -> Self {
        let mut seen = std::collections::HashSet::new();
        Self::new(self.targets.into_iter().filter(|target| seen.insert((target.instance, target.port))))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// An instance's, most important first.
    pub fn of(&self, instance: InstanceId) -> &[Target] {
        let range = self.instances.get(instance.index()).cloned().unwrap_or_default();
        self.targets.get(range.start as usize..range.end as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(instance: u8, port: u8, last: u8, importance: Importance) -> Target {
        let address = IpAddr::from([10, 0, 0, last]);
        Target { instance: InstanceId(instance), port: PortId(port), address, importance }
    }

    #[test]
    fn instances_apart_services_first_order_kept() {
        use Importance::{Local, Service};
        let [a, b, c, d] = [
            target(3, 0, 1, Local),
            target(3, 1, 9, Service),
            target(3, 1, 2, Service),
            target(0, 1, 4, Local),
        ];
        let addresses = Addresses::new([a, b, c, d]);
        assert_eq!(addresses.of(InstanceId(3)), [b, c, a]);
        assert_eq!(addresses.of(InstanceId(0)), [d]);
        for none in [1, 2, 4, 255] {
            assert_eq!(addresses.of(InstanceId(none)), []);
        }
        assert_eq!((addresses.len(), addresses.is_empty()), (4, false));
        assert_eq!(addresses.one_per_port().of(InstanceId(3)), [b, a]);
        assert!(Addresses::new([]).is_empty() && Addresses::default().of(InstanceId(0)).is_empty());
    }
}
