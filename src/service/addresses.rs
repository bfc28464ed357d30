//! From an address to what it is for, and from its ports to services.

use super::{
    BuildError, MAX_ADDRESSES,
    error::RoleOf,
    hash::BuildAddressHasher,
    spec::{Role, ServiceSpec},
};
use crate::types::Protocol;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// All addresses of a table. Services are named by their place in the table's list.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    v4: HashMap<u32, Address, BuildAddressHasher>,
    v6: HashMap<u128, Address, BuildAddressHasher>,
    /// First port of each range; those of one address and protocol lie together, sorted.
    first_ports: Vec<u16>,
    /// Last port and service of each range. Apart, so that a search stays in few cache lines.
    ranges: Vec<(u16, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Address {
    role: Role,
    /// Where its ranges begin and end, for each protocol.
    spans: [(u32, u32); Protocol::ALL.len()],
}

const fn place(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
    }
}

impl Address {
    const fn new(role: Role) -> Self {
        Self { role, spans: [(0, 0); Protocol::ALL.len()] }
    }

    #[inline]
    fn ranges(&self, protocol: Protocol) -> Range<usize> {
        let (from, to) = self.spans[place(protocol)];
        from as usize..to as usize
    }
}

impl Addresses {
    /// The virtual addresses of `services`, and `others`.
    pub(super) fn new(
        services: &[ServiceSpec],
        others: impl IntoIterator<Item = (IpAddr, Role)>,
    ) -> Result<Self, BuildError> {
        let mut addresses = Self::default();
        let mut order: Vec<(u32, &ServiceSpec)> = (0..).zip(services).collect();
        order.sort_unstable_by_key(|(_, spec)| (spec.vip, spec.protocol, *spec.ports.start()));
        for group in order.chunk_by(|(_, a), (_, b)| (a.vip, a.protocol) == (b.vip, b.protocol)) {
            addresses.add_services(services, group)?;
        }
        for (address, role) in others {
            addresses.add(services, address, role, None)?;
        }
        Ok(addresses)
    }

    /// Adds the services of one address and protocol, sorted by port.
    fn add_services(
        &mut self,
        services: &[ServiceSpec],
        group: &[(u32, &ServiceSpec)],
    ) -> Result<(), BuildError> {
        let collide = |pair: &&[(u32, &ServiceSpec)]| pair[0].1.ports.end() >= pair[1].1.ports.start();
        if let Some([(_, first), (_, second)]) = group.windows(2).find(collide) {
            return Err(overlap(first, second));
        }
        let from = self.ranges.len() as u32;
        self.first_ports.extend(group.iter().map(|(_, spec)| spec.ports.start()));
        self.ranges.extend(group.iter().map(|(at, spec)| (*spec.ports.end(), *at)));
        let to = self.ranges.len() as u32;
        for (_, spec) in group {
            let role = Role::Vip(spec.instance);
            let address = self.add(services, spec.vip, role, Some(spec))?;
            address.spans[place(spec.protocol)] = (from, to);
        }
        Ok(())
    }

    /// Adds an address, `service`'s if there is one.
    fn add(
        &mut self,
        services: &[ServiceSpec],
        address: IpAddr,
        role: Role,
        service: Option<&ServiceSpec>,
    ) -> Result<&mut Address, BuildError> {
        if let Some(known) = self.get(address).filter(|known| known.role != role) {
            let owner = self.a_service(known, services);
            return Err(conflict(address, (known.role, owner), (role, service)));
        }
        if self.v4.len() + self.v6.len() >= MAX_ADDRESSES && self.get(address).is_none() {
            return Err(BuildError::TooManyAddresses { address });
        }
        Ok(match address {
            IpAddr::V4(v4) => self.v4.entry(v4.to_bits()).or_insert(Address::new(role)),
            IpAddr::V6(v6) => self.v6.entry(v6.to_bits()).or_insert(Address::new(role)),
        })
    }

    fn a_service<'a>(&self, address: &Address, services: &'a [ServiceSpec]) -> Option<&'a ServiceSpec> {
        let range = Protocol::ALL.into_iter().flat_map(|protocol| address.ranges(protocol)).next()?;
        services.get(self.ranges[range].1 as usize)
    }

    #[inline]
    fn get(&self, address: IpAddr) -> Option<&Address> {
        match address {
            IpAddr::V4(v4) => self.v4.get(&v4.to_bits()),
            IpAddr::V6(v6) => self.v6.get(&v6.to_bits()),
        }
    }

    #[inline]
    pub(super) fn role(&self, address: IpAddr) -> Option<Role> {
        self.get(address).map(|address| address.role)
    }

    /// The place of the service at an address and port.
    #[inline]
    pub(super) fn find(&self, address: IpAddr, protocol: Protocol, port: u16) -> Option<usize> {
        let span = self.get(address)?.ranges(protocol);
        let after = self.first_ports.get(span.clone())?.partition_point(|&first| first <= port);
        let &(last, service) = self.ranges.get(span)?.get(after.checked_sub(1)?)?;
        (port <= last).then_some(service as usize)
    }

    /// Every address and what it is for, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, Role)> {
        let v4 = self.v4.iter().map(|(&bits, address)| (Ipv4Addr::from_bits(bits).into(), address.role));
        let v6 = self.v6.iter().map(|(&bits, address)| (Ipv6Addr::from_bits(bits).into(), address.role));
        v4.chain(v6)
    }
}

fn overlap(first: &ServiceSpec, second: &ServiceSpec) -> BuildError {
    BuildError::Overlap {
        first: first.name.clone(),
        second: second.name.clone(),
        vip: second.vip,
        protocol: second.protocol,
        port: *second.ports.start(),
    }
}

/// Two roles of one address, and the services they come from.
fn conflict(
    address: IpAddr,
    (role, owner): (Role, Option<&ServiceSpec>),
    (other_role, other_owner): (Role, Option<&ServiceSpec>),
) -> BuildError {
    let name = |spec: &ServiceSpec| spec.name.clone();
    match (owner, other_owner) {
        (Some(first), Some(second)) => {
            BuildError::InstanceMix { first: name(first), second: name(second), vip: address }
        }
        _ => BuildError::RoleMix {
            address,
            first: RoleOf { role, service: owner.map(name) },
            second: RoleOf { role: other_role, service: other_owner.map(name) },
        },
    }
}
