//! From an address to what it is for, and from its ports to services.
//!
//! The ranges of one address and protocol lie together, sorted by port. A table that differs from the one before
//! copies the lists and rewrites what changed: a place that changes moves to the end and leaves a hole.

use super::{
    BuildError, MAX_ADDRESSES,
    error::RoleOf,
    hash::BuildAddressHasher,
    spec::{Role, ServiceSpec},
};
use crate::types::Protocol;
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// All addresses of a table. Services are named by their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    v4: HashMap<u32, Address, BuildAddressHasher>,
    v6: HashMap<u128, Address, BuildAddressHasher>,
    /// First port of each range; those of one address and protocol lie together, sorted.
    first_ports: Vec<u16>,
    /// Last port and service of each range. Apart, so that a search stays in few cache lines.
    ranges: Vec<(u16, u32)>,
    /// Elements of both lists that no place uses.
    holes: usize,
}

/// An address and a protocol.
type Place = (IpAddr, Protocol);

#[derive(Clone, Copy, Debug)]
struct Address {
    role: Role,
    /// It is ours without any service, too.
    fixed: bool,
    /// Where its ranges begin and end, for each protocol.
    spans: [(u32, u32); Protocol::ALL.len()],
}

const fn place_of(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
    }
}

impl Address {
    const fn new(role: Role) -> Self {
        Self { role, fixed: false, spans: [(0, 0); Protocol::ALL.len()] }
    }

    #[inline]
    fn ranges(&self, protocol: Protocol) -> Range<usize> {
        let (from, to) = self.spans[place_of(protocol)];
        from as usize..to as usize
    }
}

impl Addresses {
    /// Addresses without services.
    pub(super) fn new(roles: impl IntoIterator<Item = (IpAddr, Role)>) -> Result<Self, BuildError> {
        let mut addresses = Self::default();
        for (address, role) in roles {
            addresses.add(address, role, (None, None))?.fixed = true;
        }
        Ok(addresses)
    }

    /// These addresses without the services of `gone`, as they were added, and with those of `come`. `services`
    /// finds a service that is neither, or one that comes.
    pub(super) fn changed<'a>(
        &self,
        gone: &[&ServiceSpec],
        come: &[&'a ServiceSpec],
        services: &impl Fn(u32) -> Option<&'a ServiceSpec>,
    ) -> Result<Self, BuildError> {
        let mut addresses = self.clone();
        for (place, ids) in by_place(gone) {
            addresses.remove(place, &ids);
        }
        for (place, ids) in by_place(come) {
            addresses.insert(place, &ids, services)?;
        }
        addresses.compact();
        Ok(addresses)
    }

    /// Takes services from one place; an address that has none left is ours no more.
    fn remove(&mut self, (address, protocol): Place, ids: &[u32]) {
        let Some(known) = self.get(address).copied() else { return };
        let span = known.ranges(protocol);
        let mut to = span.start;
        for at in span.clone() {
            if !ids.contains(&self.ranges[at].1) {
                self.ranges[to] = self.ranges[at];
                self.first_ports[to] = self.first_ports[at];
                to += 1;
            }
        }
        self.holes += span.end - to;
        let Some(left) = self.get_mut(address) else { return };
        left.spans[place_of(protocol)].1 = to as u32;
        if !left.fixed && Protocol::ALL.into_iter().all(|protocol| left.ranges(protocol).is_empty()) {
            match address {
                IpAddr::V4(v4) => self.v4.remove(&v4.to_bits()),
                IpAddr::V6(v6) => self.v6.remove(&v6.to_bits()),
            };
        }
    }

    /// Adds services to one place.
    fn insert<'a>(
        &mut self,
        (address, protocol): Place,
        ids: &[u32],
        services: &impl Fn(u32) -> Option<&'a ServiceSpec>,
    ) -> Result<(), BuildError> {
        let span = self.get(address).map_or(0..0, |known| known.ranges(protocol));
        let mut ranges: Vec<(u16, u16, u32)> =
            span.clone().map(|at| (self.first_ports[at], self.ranges[at].0, self.ranges[at].1)).collect();
        let mut owner = self.get(address).and_then(|known| self.a_service(known)).and_then(services);
        for spec in ids.iter().filter_map(|&id| services(id)) {
            self.add(address, Role::Vip(spec.instance), (owner, Some(spec)))?;
            owner = owner.or(Some(spec));
            ranges.push((*spec.ports.start(), *spec.ports.end(), spec.id.0));
        }
        ranges.sort_unstable();
        if let Some([(.., first), (port, _, second)]) =
            ranges.windows(2).find(|pair| pair[0].1 >= pair[1].0).and_then(|pair| pair.first_chunk())
        {
            let name = |id: u32| services(id).map_or_else(String::new, |spec| spec.name.clone());
            let (first, second, port) = (name(*first), name(*second), *port);
            return Err(BuildError::Overlap { first, second, vip: address, protocol, port });
        }
        self.holes += span.len();
        let from = self.ranges.len();
        self.first_ports.extend(ranges.iter().map(|(first, ..)| first));
        self.ranges.extend(ranges.iter().map(|&(_, last, id)| (last, id)));
        let to = self.ranges.len();
        if let Some(known) = self.get_mut(address) {
            known.spans[place_of(protocol)] = (from as u32, to as u32);
        }
        Ok(())
    }

    /// Closes the holes that moved places left, when they are many.
    fn compact(&mut self) {
        if self.holes <= self.ranges.len() / 2 {
            return;
        }
        let (first_ports, ranges) = (std::mem::take(&mut self.first_ports), std::mem::take(&mut self.ranges));
        for address in self.v4.values_mut().chain(self.v6.values_mut()) {
            for protocol in Protocol::ALL {
                let span = address.ranges(protocol);
                let from = self.ranges.len() as u32;
                self.first_ports.extend_from_slice(&first_ports[span.clone()]);
                self.ranges.extend_from_slice(&ranges[span]);
                address.spans[place_of(protocol)] = (from, self.ranges.len() as u32);
            }
        }
        self.holes = 0;
    }

    /// Adds an address. Errors name the service that it is of already, and the one it is added for.
    fn add(
        &mut self,
        address: IpAddr,
        role: Role,
        (owner, service): (Option<&ServiceSpec>, Option<&ServiceSpec>),
    ) -> Result<&mut Address, BuildError> {
        if let Some(known) = self.get(address).filter(|known| known.role != role) {
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

    /// One of the services at an address.
    fn a_service(&self, address: &Address) -> Option<u32> {
        let range = Protocol::ALL.into_iter().flat_map(|protocol| address.ranges(protocol)).next()?;
        Some(self.ranges.get(range)?.1)
    }

    #[inline]
    fn get(&self, address: IpAddr) -> Option<&Address> {
        match address {
            IpAddr::V4(v4) => self.v4.get(&v4.to_bits()),
            IpAddr::V6(v6) => self.v6.get(&v6.to_bits()),
        }
    }

    fn get_mut(&mut self, address: IpAddr) -> Option<&mut Address> {
        match address {
            IpAddr::V4(v4) => self.v4.get_mut(&v4.to_bits()),
            IpAddr::V6(v6) => self.v6.get_mut(&v6.to_bits()),
        }
    }

    #[inline]
    pub(super) fn role(&self, address: IpAddr) -> Option<Role> {
        self.get(address).map(|address| address.role)
    }

    /// The id of the service at an address and port.
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

/// Services by where they listen, in an order that does not depend on theirs.
fn by_place(specs: &[&ServiceSpec]) -> BTreeMap<Place, Vec<u32>> {
    let mut places: BTreeMap<Place, Vec<u32>> = BTreeMap::new();
    for spec in specs {
        for vip in spec.vips() {
            places.entry((vip, spec.protocol)).or_default().push(spec.id.0);
        }
    }
    places
}

/// Two roles of one address, and the services they come from.
fn conflict(
    address: IpAddr,
    (role, owner): (Role, Option<&ServiceSpec>),
    (other_role, other_owner): (Role, Option<&ServiceSpec>),
) -> BuildError {
    let name = |spec: &ServiceSpec| spec.name.clone();
    if let (Some(first), Some(second)) = (owner, other_owner) {
        return BuildError::InstanceMix { first: name(first), second: name(second), vip: address };
    }
    let known = RoleOf { role, service: owner.map(name) };
    let other = RoleOf { role: other_role, service: other_owner.map(name) };
    // The service, which people know by its name, comes first.
    let (first, second) = if other.service.is_some() { (other, known) } else { (known, other) };
    BuildError::RoleMix { address, first, second }
}
