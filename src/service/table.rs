//! The table: built whole, looked things up in, replaced.

use super::{
    BuildError, Service,
    addresses::Addresses,
    check::check,
    rings::{LARGE, Rings, Sizes, members, sorted},
    rotation::Cursor,
    selector::{Key, Selector},
    spec::{Role, SchedulerKind, ServiceSpec},
};
use crate::types::{Protocol, ServiceId};
use std::net::IpAddr;

/// All services and addresses of a node. It never changes, but for the cursors of `rr` and `wrr`.
#[derive(Debug, Default)]
pub struct ServiceTable {
    /// Sorted by id.
    services: Vec<Service>,
    /// The place in `services` of each id; [`NONE`] where there is none.
    places: Vec<u32>,
    addresses: Addresses,
    rings: Rings,
}

const NONE: u32 = u32::MAX;

impl ServiceTable {
    /// Builds a table of `services`, whose virtual addresses are implied, and further `addresses`. What `previous`
    /// has in common with it is taken over: rings and their sizes, and the turn that `rr` and `wrr` are at.
    ///
    /// Takes milliseconds for thousands of services that have a `previous`, a second at most for ten thousand new
    /// ones of a few backends each. Not for a worker or the control core.
    pub fn build(
        mut services: Vec<ServiceSpec>,
        addresses: impl IntoIterator<Item = (IpAddr, Role)>,
        previous: Option<&Self>,
    ) -> Result<Self, BuildError> {
        services.sort_by_key(|spec| spec.id);
        check(&services)?;
        let addresses = Addresses::new(&services, addresses)?;
        let sizes = ring_sizes(&services, previous);
        let mut rings = Rings::default();
        let mut places = vec![NONE; services.last().map_or(0, |last| last.id.index() + 1)];
        let mut built = Vec::with_capacity(services.len());
        for (spec, size) in services.into_iter().zip(sizes) {
            places[spec.id.index()] = built.len() as u32;
            let selector = selector(&spec, size, &mut rings, previous);
            built.push(Service::new(spec, selector));
        }
        Ok(Self { services: built, places, addresses, rings })
    }

    /// What an address is for, if it is one of ours.
    #[inline]
    pub fn role(&self, address: IpAddr) -> Option<Role> {
        self.addresses.role(address)
    }

    /// Every address of ours and what it is for, in no order.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, Role)> {
        self.addresses.iter()
    }

    /// The service at a virtual address, protocol and port.
    #[inline]
    pub fn find(&self, vip: IpAddr, protocol: Protocol, port: u16) -> Option<&Service> {
        self.services.get(self.addresses.find(vip, protocol, port)?)
    }

    /// The service with an id.
    #[inline]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(*self.places.get(id.index())? as usize)
    }

    /// All services, by id.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter()
    }

    /// How many different rings its services share, and the bytes these take.
    pub fn ring_usage(&self) -> (usize, usize) {
        self.rings.usage()
    }
}

/// The size of each service's ring; `None` for those that need none.
fn ring_sizes(services: &[ServiceSpec], previous: Option<&ServiceTable>) -> Vec<Option<usize>> {
    let previous_size = |spec: &ServiceSpec| previous?.service(spec.id)?.selector.ring_size();
    let mut order: Vec<(Option<usize>, usize)> =
        services.iter().enumerate().map(|(at, spec)| (previous_size(spec), at)).collect();
    order.sort_by_key(|(size, _)| *size != Some(LARGE));
    let mut sizes = Sizes::default();
    let mut chosen = vec![None; services.len()];
    for (size, at) in order {
        let spec = &services[at];
        if matches!(spec.scheduler, SchedulerKind::Maglev | SchedulerKind::SourceHash) {
            chosen[at] = sizes.choose(members(&sorted(&spec.backends)), size);
        }
    }
    chosen
}

fn selector(
    spec: &ServiceSpec,
    size: Option<usize>,
    rings: &mut Rings,
    previous: Option<&ServiceTable>,
) -> Selector {
    let cursor = || -> Cursor {
        let service = previous.and_then(|previous| previous.service(spec.id));
        service.and_then(|service| service.selector.cursor()).cloned().unwrap_or_default()
    };
    let mut ring = |key| {
        let backends = sorted(&spec.backends);
        let previous = previous.map(|previous| &previous.rings);
        let ring = rings.ring(previous, size.unwrap_or(LARGE), members(&backends));
        Selector::Ring { key, ring, members: backends, size }
    };
    match spec.scheduler {
        SchedulerKind::Maglev => ring(Key::Flow),
        SchedulerKind::SourceHash => ring(Key::Source),
        SchedulerKind::RoundRobin => Selector::round_robin(&spec.backends, cursor()),
        SchedulerKind::WeightedRoundRobin => Selector::weighted_round_robin(&spec.backends, cursor()),
        SchedulerKind::LeastConnections => Selector::least_connections(&spec.backends),
    }
}
