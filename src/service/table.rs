//! The table: built whole, looked things up in, replaced.

use super::{
    BuildError, Service,
    addresses::Addresses,
    builder::{Change, TableBuilder},
    check::check,
    spec::{Role, ServiceSpec},
};
use crate::types::{Protocol, ServiceId};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// All services and addresses of a node. It never changes, but for the cursors of `rr` and `wrr`. A clone shares
/// everything with it.
#[derive(Clone, Debug, Default)]
pub struct ServiceTable {
    /// By id.
    pub(super) services: Vec<Option<Arc<Service>>>,
    pub(super) addresses: Arc<Addresses>,
}

impl ServiceTable {
    /// Builds a table of `services`, whose virtual addresses are implied, and further `addresses`. What `previous`
    /// has in common with it is taken over: rings and their sizes, and the turn that `rr` and `wrr` are at.
    ///
    /// Takes milliseconds for thousands of services that have a `previous`, a second at most for ten thousand new
    /// ones of a few backends each. Not for a worker or the control core. Who changes services one by one keeps a
    /// [`TableBuilder`].
    pub fn build(
        mut services: Vec<ServiceSpec>,
        addresses: impl IntoIterator<Item = (IpAddr, Role)>,
        previous: Option<&Self>,
    ) -> Result<Self, BuildError> {
        services.sort_by_key(|spec| spec.id);
        check(&services)?;
        let mut builder = TableBuilder::resume(previous, addresses)?;
        let kept = |id: ServiceId| services.binary_search_by_key(&id, |spec| spec.id).is_ok();
        let gone = previous.into_iter().flat_map(Self::services).map(Service::id).filter(|id| !kept(*id));
        let mut changes: Vec<Change> = gone.map(Change::Remove).collect();
        changes.extend(services.into_iter().map(Change::Put));
        builder.apply(changes)
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
        self.services.get(self.addresses.find(vip, protocol, port)?)?.as_deref()
    }

    /// The service with an id.
    #[inline]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(id.index())?.as_deref()
    }

    /// All services, by id.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().flatten().map(|service| &**service)
    }

    /// How many different rings its services share, and the bytes these take.
    pub fn ring_usage(&self) -> (usize, usize) {
        let rings: HashMap<usize, usize> =
            self.services().filter_map(|service| service.selector.ring_usage()).collect();
        (rings.len(), rings.values().sum())
    }
}
