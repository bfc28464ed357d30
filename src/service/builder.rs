//! Tables one after the other: each shares with the one before what did not change.
//!
//! A service is an `Arc` of the table, its ring an `Arc` of the service, and the addresses are one `Arc` as long as
//! nobody listens elsewhere. So a change costs what changed, and a copy of two lists of pointers.

use super::{
    BuildError, MAX_SERVICES, MAX_TOTAL_BACKENDS, Service, ServiceTable,
    addresses::Addresses,
    check::alone,
    rings::{LARGE, Rings, Sizes, members, sorted},
    rotation::Cursor,
    selector::{Key, Selector},
    spec::{Backend, Role, SchedulerKind, ServiceSpec},
};
use crate::types::ServiceId;
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// What becomes of a service.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is as this says; new, or another than before.
    Put(ServiceSpec),
    /// It is as this says but does not listen, so there are no new sessions, while those it has go on.
    Retire(ServiceSpec),
    /// It is gone, and its sessions end.
    Remove(ServiceId),
}

/// Makes tables. For the one thread that publishes them; not for a worker or the control core.
#[derive(Debug, Default)]
pub struct TableBuilder {
    table: ServiceTable,
    rings: Rings,
    sizes: Sizes,
    /// Those of the table that do not listen.
    retired: HashSet<ServiceId>,
    services: usize,
    backends: usize,
}

impl TableBuilder {
    /// A builder whose next table has these addresses and no services.
    ///
    /// # Errors
    ///
    /// An address has two roles, or there are too many.
    pub fn new(addresses: impl IntoIterator<Item = (IpAddr, Role)>) -> Result<Self, BuildError> {
        Self::resume(None, addresses)
    }

    /// The same, where services of `previous` that are put again keep their rings and turns. Until then they are
    /// retired.
    pub(super) fn resume(
        previous: Option<&ServiceTable>,
        addresses: impl IntoIterator<Item = (IpAddr, Role)>,
    ) -> Result<Self, BuildError> {
        let addresses = Arc::new(Addresses::new(addresses)?);
        let services = previous.map_or_else(Vec::new, |previous| previous.services.clone());
        let mut builder = Self { table: ServiceTable { services, addresses }, ..Self::default() };
        for service in builder.table.services.iter().flatten() {
            builder.services += 1;
            builder.backends += service.spec.backends.len();
            builder.retired.insert(service.id());
            if let Selector::Ring { ring, members: backends, size, .. } = &service.selector {
                builder.rings.remember(size.unwrap_or(LARGE), members(backends), ring);
                builder.sizes.choose(members(backends), *size);
            }
        }
        Ok(builder)
    }

    /// The last table.
    pub const fn table(&self) -> &ServiceTable {
        &self.table
    }

    /// The next table: the last one with `changes`, at most one for each service. The ids of backends must be
    /// unique.
    ///
    /// # Errors
    ///
    /// The first contradiction found. The last table stays, and so does the builder.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<ServiceTable, BuildError> {
        let (mut put, mut retired, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Put(spec) => put.push(spec),
                Change::Retire(spec) => retired.push(spec),
                Change::Remove(id) => removed.push(id),
            }
        }
        put.iter().chain(&retired).try_for_each(alone)?;
        let (services, backends) = self.counts(put.iter().chain(&retired), &removed)?;
        let addresses = self.addresses(&put, &retired, &removed)?;
        // Nothing can fail from here on.
        (self.services, self.backends) = (services, backends);
        self.table.addresses = addresses;
        self.remove(&removed);
        for spec in &put {
            self.retired.remove(&spec.id);
        }
        self.retired.extend(retired.iter().map(|spec| spec.id));
        put.append(&mut retired);
        self.place(put);
        self.rings.forget_dead(self.services);
        Ok(self.table.clone())
    }

    /// How many services and backends there will be.
    fn counts<'a>(
        &self,
        placed: impl Iterator<Item = &'a ServiceSpec>,
        removed: &[ServiceId],
    ) -> Result<(usize, usize), BuildError> {
        let (mut services, mut backends) = (self.services, self.backends);
        let of = |id: ServiceId| self.table.service(id).map(|service| service.spec.backends.len());
        for count in removed.iter().filter_map(|id| of(*id)) {
            services -= 1;
            backends -= count;
        }
        for spec in placed {
            let before = of(spec.id);
            services += usize::from(before.is_none());
            backends = backends + spec.backends.len() - before.unwrap_or(0);
            if services > MAX_SERVICES {
                return Err(BuildError::TooManyServices { count: services });
            }
            if backends > MAX_TOTAL_BACKENDS {
                return Err(BuildError::TooManyBackendsInAll { service: spec.name.clone(), count: backends });
            }
        }
        Ok((services, backends))
    }

    fn addresses(
        &self,
        put: &[ServiceSpec],
        retired: &[ServiceSpec],
        removed: &[ServiceId],
    ) -> Result<Arc<Addresses>, BuildError> {
        let listening = |id: ServiceId| {
            let service = self.table.service(id).filter(|_| !self.retired.contains(&id));
            service.map(Service::spec)
        };
        let moves = |spec: &&ServiceSpec| !listening(spec.id).is_some_and(|old| old.listens_like(spec));
        let come: Vec<&ServiceSpec> = put.iter().filter(moves).collect();
        let moved = come.iter().copied().chain(retired).map(|spec| spec.id);
        let left = removed.iter().copied().chain(moved);
        let gone: Vec<&ServiceSpec> = left.filter_map(listening).collect();
        if come.is_empty() && gone.is_empty() {
            return Ok(Arc::clone(&self.table.addresses));
        }
        let new: HashMap<u32, &ServiceSpec> = put.iter().map(|spec| (spec.id.0, spec)).collect();
        let services =
            |id| new.get(&id).copied().or_else(|| self.table.service(ServiceId(id)).map(Service::spec));
        self.table.addresses.changed(&gone, &come, &services).map(Arc::new)
    }

    fn remove(&mut self, removed: &[ServiceId]) {
        for id in removed {
            let Some(service) = self.table.services.get_mut(id.index()).and_then(Option::take) else {
                continue;
            };
            if let Some((members, size)) = service.selector.ring_members() {
                self.sizes.release(members, size);
            }
            self.retired.remove(id);
        }
        while self.table.services.last().is_some_and(Option::is_none) {
            self.table.services.pop();
        }
    }

    fn place(&mut self, put: Vec<ServiceSpec>) {
        let highest = put.iter().map(|spec| spec.id.index() + 1).max().unwrap_or(0);
        if highest > self.table.services.len() {
            self.table.services.resize(highest, None);
        }
        let mut order = Vec::with_capacity(put.len());
        for spec in put {
            let Some(old) = self.table.services.get(spec.id.index()) else { continue };
            if old.as_ref().is_some_and(|old| old.spec == spec) {
                continue;
            }
            let size = old.as_ref().and_then(|old| {
                let (members, size) = old.selector.ring_members()?;
                self.sizes.release(members, size);
                size
            });
            order.push((size, spec));
        }
        // Those with the large size choose first, so that they keep it.
        order.sort_by_key(|(size, spec)| (*size != Some(LARGE), spec.id));
        for (size, spec) in order {
            let Some(slot) = self.table.services.get_mut(spec.id.index()) else { continue };
            let cursor = slot.as_ref().and_then(|old| old.selector.cursor()).cloned().unwrap_or_default();
            let selector = selector(&spec, size, cursor, &mut self.rings, &mut self.sizes);
            *slot = Some(Arc::new(Service::new(spec, selector)));
        }
    }
}

/// `previous`: how many slots the service's ring had.
fn selector(
    spec: &ServiceSpec,
    previous: Option<usize>,
    cursor: Cursor,
    rings: &mut Rings,
    sizes: &mut Sizes,
) -> Selector {
    let mut ring = |key| {
        let backends: Box<[Backend]> = sorted(&spec.backends);
        let size = sizes.choose(members(&backends), previous);
        let ring = rings.ring(size.unwrap_or(LARGE), members(&backends));
        Selector::Ring { key, ring, members: backends, size }
    };
    match spec.scheduler {
        SchedulerKind::Maglev => ring(Key::Flow),
        SchedulerKind::SourceHash => ring(Key::Source),
        SchedulerKind::RoundRobin => Selector::round_robin(&spec.backends, cursor),
        SchedulerKind::WeightedRoundRobin => Selector::weighted_round_robin(&spec.backends, cursor),
        SchedulerKind::LeastConnections => Selector::least_connections(&spec.backends),
    }
}

#[cfg(test)]
mod tests;
