//! The services as they are wanted, of the file and of the API, with the slots they keep while they live, and the
//! table workers see.
//!
//! Changes are made one by one and can be undone; then they are settled together, into one table:
//!
//! ```text
//! put, remove, drain, tick ─► Index (journal) ─► settle ─► table, what to save ─► publish
//!                                  └─ rollback                                 └─► revert
//! ```
//!
//! What did not change keeps its slot, and so its sessions and its counters. A backend that a service lists no
//! more gets no new sessions and drains until its deadline; one that comes back meanwhile goes on. A service that
//! is removed keeps its sessions for a moment, should it be created again at once, as controllers do that change
//! one by deleting it.

mod check;
mod entry;
mod index;
mod refusal;
mod settle;
mod slots;
#[cfg(test)]
mod tests;

pub use entry::{BackendEntry, Drain, Rule, ServiceEntry, ServiceKey, Source};
pub use refusal::{Refusal, RefusalKind, Refusals};
pub use settle::{ServiceChange, Settlement};

use super::Neighborhood;
use crate::{
    config::{self, Config},
    plane::{Publisher, Reader, Routes},
    service::{BuildError, MAX_SERVICES, MAX_TOTAL_BACKENDS, ServiceTable, TableBuilder},
    types::{BackendId, Protocol, ServiceId},
};
use arc_swap::ArcSwap;
use check::Surroundings;
use index::Index;
use slots::Slots;
use std::{
    collections::HashSet,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// So long the sessions of a removed service wait for it to come back.
const GRACE: Duration = Duration::from_secs(2);

/// The services that are published, in the order of their keys.
pub type ServiceList = Vec<Arc<ServiceEntry>>;

/// What [`Registry::put`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was no such service.
    Created,
    /// It is another now.
    Replaced,
    /// It was so already.
    Unchanged,
}

/// All services. One thread changes it.
#[derive(Debug)]
pub struct Registry {
    surroundings: Surroundings,
    index: Index,
    service_slots: Slots,
    backend_slots: Slots,
    /// Slots taken since the last settlement.
    taken: Taken,
    /// What the API says of hosts: those that are down, by address, port and protocol.
    hosts_down: Arc<HashSet<(IpAddr, u16, Protocol)>>,
    builder: TableBuilder,
    publisher: Publisher<ServiceTable>,
    neighborhood: Neighborhood,
    published: Arc<ArcSwap<ServiceList>>,
}

#[derive(Debug, Default)]
struct Taken {
    services: Vec<u32>,
    backends: Vec<u32>,
}

/// A state to go back to.
#[derive(Clone, Debug)]
pub struct Savepoint {
    changes: usize,
    services: usize,
    backends: usize,
    hosts_down: Arc<HashSet<(IpAddr, u16, Protocol)>>,
}

impl Registry {
    /// The configuration's addresses, and no service yet.
    ///
    /// # Errors
    ///
    /// The addresses contradict each other.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let builder = TableBuilder::new(Surroundings::roles(config))?;
        Ok(Self {
            surroundings: Surroundings::of(config),
            index: Index::default(),
            service_slots: Slots::new(MAX_SERVICES as u32),
            backend_slots: Slots::new(Self::backend_slots(config)),
            taken: Taken::default(),
            hosts_down: Arc::default(),
            publisher: Publisher::new(builder.table().clone()),
            builder,
            neighborhood: Neighborhood::new(config),
            published: Arc::default(),
        })
    }

    /// How many slots backends have: twice the limit, so that all can be replaced by others while they rest.
    pub fn backend_slots(config: &Config) -> u32 {
        config.limits.backends.saturating_mul(2).min(MAX_TOTAL_BACKENDS as u32)
    }

    /// A reading end of the table.
    pub fn reader(&self) -> Reader<ServiceTable> {
        self.publisher.reader()
    }

    /// The table as workers see it.
    pub fn table(&self) -> Arc<ServiceTable> {
        self.publisher.current()
    }

    /// Other routes: the next hops to keep resolved follow.
    pub fn reroute(&mut self, routes: Routes) {
        let table = self.publisher.current();
        self.neighborhood.reroute(routes, &table);
    }

    /// What the control core is told of the services.
    pub const fn neighborhood(&self) -> &Neighborhood {
        &self.neighborhood
    }

    /// Where the services are published to everyone else.
    pub fn published(&self) -> Arc<ArcSwap<ServiceList>> {
        Arc::clone(&self.published)
    }

    /// The services, in the order of their keys.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceEntry>> {
        self.index.services()
    }

    /// The service at a key.
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<ServiceEntry>> {
        self.index.live(key)
    }

    /// The service of a name.
    pub fn named(&self, name: &str) -> Option<&Arc<ServiceEntry>> {
        self.index.named(name)
    }

    /// The instance of services that name none.
    pub fn default_instance(&self) -> &str {
        self.surroundings.default_instance()
    }

    /// A name like `base` that no other service than the one at `key` has.
    pub fn free_name(&self, base: &str, key: &ServiceKey) -> String {
        const LONGEST: usize = 128;
        let is_free = |name: &str| self.index.named(name).is_none_or(|entry| entry.key() == *key);
        if !base.is_empty() && is_free(base) {
            return base.to_owned();
        }
        let place = format!("{}-{}-{}", key.protocol, key.vip, key.first);
        let stem: String = match base {
            "" => place,
            base => format!("{}-{place}", base.get(..LONGEST - 60).unwrap_or(base)),
        };
        let numbered = (2..).map(|number: u32| format!("{stem}-{number}"));
        std::iter::once(stem.clone()).chain(numbered).find(|name| is_free(name)).unwrap_or(stem)
    }

    /// Creates the service at its key, or replaces it.
    ///
    /// # Errors
    ///
    /// It does not fit; roll back then.
    pub fn put(
        &mut self,
        mut wanted: config::Service,
        rule: Option<Rule>,
        source: Source,
        now: Instant,
    ) -> Result<Put, Refusal> {
        if wanted.instance.is_empty() {
            self.surroundings.default_instance().clone_into(&mut wanted.instance);
        }
        let key = ServiceKey::of(&wanted);
        let old = self.index.get(&key).cloned();
        let live = old.as_deref().filter(|old| old.is_live());
        if let Some(live) = live
            && (live.source, source) == (Source::File, Source::Api)
        {
            return match serves_like(&live.wanted, &wanted) {
                true => Ok(Put::Unchanged),
                false => Err(Refusal::OfFile { name: live.wanted.name.clone() }),
            };
        }
        if let Some(other) = self.index.named(&wanted.name).filter(|other| other.key() != key) {
            let by = format!("{} {} port {}", other.wanted.vip, other.wanted.protocol, other.wanted.port);
            return Err(Refusal::NameTaken { name: wanted.name, by });
        }
        self.surroundings.check(&wanted, live, &self.index)?;
        let entry = self.entry(wanted, rule, source, old.as_deref(), now)?;
        if live.is_some_and(|live| *live == entry) {
            return Ok(Put::Unchanged);
        }
        let put = if live.is_some() { Put::Replaced } else { Put::Created };
        self.index.set(key, Some(Arc::new(entry)));
        Ok(put)
    }

    fn entry(
        &mut self,
        wanted: config::Service,
        rule: Option<Rule>,
        source: Source,
        old: Option<&ServiceEntry>,
        now: Instant,
    ) -> Result<ServiceEntry, Refusal> {
        let id = match old {
            Some(old) => old.id,
            None => {
                let slot = self.service_slots.take(now).ok_or(Refusal::Full { what: "services" })?;
                self.taken.services.push(slot);
                ServiceId(slot)
            }
        };
        let mut before: Vec<&BackendEntry> = old.into_iter().flat_map(|old| &old.backends).collect();
        let mut backends = Vec::with_capacity(wanted.backends.len());
        for backend in &wanted.backends {
            let same = |known: &&BackendEntry| place_of(&known.wanted) == place_of(backend);
            let known = before.iter().position(same).map(|at| before.remove(at));
            backends.push(self.backend(backend, known, &wanted, now)?);
        }
        let until = now + std::time::Duration::from(wanted.drain_timeout);
        for gone in before {
            let drain = match gone.drain {
                Some(drain) if drain.leaving => drain,
                // Nobody is served by a backend that is drained, or that may have none to serve.
                Some(drain) if drain.over => continue,
                Some(drain) => Drain { until: drain.until.min(until), leaving: true, over: false },
                None => Drain { until, leaving: true, over: false },
            };
            if drain.until > now {
                backends.push(BackendEntry { drain: Some(drain), ..gone.clone() });
            }
        }
        Ok(ServiceEntry { wanted, rule, source, id, backends, retired: None, text: Default::default() })
    }

    /// A backend that is listed: `known` before, or new.
    fn backend(
        &mut self,
        wanted: &config::Backend,
        known: Option<&BackendEntry>,
        service: &config::Service,
        now: Instant,
    ) -> Result<BackendEntry, Refusal> {
        if let Some(known) = known {
            // What an operator drains stays drained; what had left has come back.
            let drain = known.drain.filter(|drain| !drain.leaving);
            return Ok(BackendEntry { wanted: wanted.clone(), drain, ..known.clone() });
        }
        let slot = self.backend_slots.take(now).ok_or(Refusal::Full { what: "backends" })?;
        self.taken.backends.push(slot);
        let host = (wanted.address, wanted.port.unwrap_or(0), service.protocol);
        let host_up = !self.hosts_down.contains(&host);
        Ok(BackendEntry { id: BackendId(slot), wanted: wanted.clone(), healthy: true, host_up, drain: None })
    }

    /// Removes the service at a key; whether there was one.
    ///
    /// # Errors
    ///
    /// It is of the file and `source` is not.
    pub fn remove(&mut self, key: &ServiceKey, source: Source, now: Instant) -> Result<bool, Refusal> {
        let Some(live) = self.index.live(key) else { return Ok(false) };
        if (live.source, source) == (Source::File, Source::Api) {
            return Err(Refusal::OfFile { name: live.wanted.name.clone() });
        }
        let retired = ServiceEntry { retired: Some(now + GRACE), ..ServiceEntry::clone(live) };
        self.index.set(*key, Some(Arc::new(retired)));
        Ok(true)
    }

    /// Makes `wanted` all the services of a source. What stays as it is does not notice.
    ///
    /// # Errors
    ///
    /// Everything that does not fit; roll back then.
    pub fn replace_all(
        &mut self,
        source: Source,
        wanted: Vec<(config::Service, Option<Rule>)>,
        now: Instant,
    ) -> Result<(), Refusals> {
        let of_source = self.services().filter(|entry| entry.source == source);
        let keys: Vec<ServiceKey> = of_source.map(|entry| entry.key()).collect();
        let mut refusals = Vec::new();
        // All of them go before the first comes, so that they can change places.
        for key in keys {
            if let Err(refusal) = self.remove(&key, source, now) {
                refusals.push((key.vip.to_string(), refusal));
            }
        }
        for (service, rule) in wanted {
            let name = service.name.clone();
            if let Err(refusal) = self.put(service, rule, source, now) {
                refusals.push((name, refusal));
            }
        }
        if refusals.is_empty() { Ok(()) } else { Err(Refusals(refusals)) }
    }

    /// Replaces all services of the file and publishes. For nodes without a state file and an API.
    ///
    /// # Errors
    ///
    /// Everything that does not fit. Nothing changes then.
    pub fn replace(&mut self, wanted: Vec<config::Service>, now: Instant) -> Result<(), Refusals> {
        let savepoint = self.savepoint();
        let wanted = wanted.into_iter().map(|service| (service, None)).collect();
        let settled = self.replace_all(Source::File, wanted, now).and_then(|()| {
            self.settle().map_err(|error| Refusals(vec![("table".into(), Refusal::Build(error))]))
        });
        match settled {
            Ok(settlement) => {
                self.publish(settlement, now);
                Ok(())
            }
            Err(refusals) => {
                self.rollback(&savepoint);
                Err(refusals)
            }
        }
    }

    /// Ends new sessions on the backends of a service at an address, and a port if one is given, and their
    /// sessions at `until`; `None` takes that back. Returns how many backends there are.
    ///
    /// # Errors
    ///
    /// There is no such service or backend.
    pub fn drain(
        &mut self,
        key: &ServiceKey,
        (address, port): (IpAddr, Option<u16>),
        until: Option<Instant>,
    ) -> Result<usize, Refusal> {
        let Some(live) = self.index.live(key) else {
            return Err(Refusal::NotFound(format!("there is no service at {}", key.vip)));
        };
        let mut entry = ServiceEntry::clone(live);
        let is_meant = |backend: &BackendEntry| {
            let listed = !backend.drain.is_some_and(|drain| drain.leaving);
            listed && backend.wanted.address == address && (port.is_none() || backend.wanted.port == port)
        };
        let mut count = 0;
        for backend in entry.backends.iter_mut().filter(|backend| is_meant(backend)) {
            backend.drain = until.map(|until| Drain { until, leaving: false, over: false });
            count += 1;
        }
        if count == 0 {
            let name = &entry.wanted.name;
            return Err(Refusal::NotFound(format!(
                "service {name} has no backend {address}: see `get lb -o wide`"
            )));
        }
        if entry != **live {
            self.index.set(*key, Some(Arc::new(entry)));
        }
        Ok(count)
    }

    /// What the API says of a host: whether sessions of `protocol` may go to `address` and `port`. It holds for
    /// backends that are listed later, too.
    pub fn set_host(&mut self, address: IpAddr, port: u16, protocol: Protocol, up: bool) {
        let host = (address, port, protocol);
        let hosts = Arc::make_mut(&mut self.hosts_down);
        let changed = if up { hosts.remove(&host) } else { hosts.insert(host) };
        if !changed {
            return;
        }
        let is_there = |backend: &BackendEntry| {
            (backend.wanted.address, backend.wanted.port.unwrap_or(0)) == (address, port)
        };
        let with_it = self
            .index
            .services()
            .filter(|entry| entry.wanted.protocol == protocol && entry.backends.iter().any(is_there));
        let keys: Vec<ServiceKey> = with_it.map(|entry| entry.key()).collect();
        for key in keys {
            self.change_backends(&key, |backend| {
                backend.host_up = if is_there(backend) { up } else { backend.host_up };
            });
        }
    }

    /// What a health source says of a backend; whether that is news. Unknown ones are ignored: it may have left
    /// meanwhile.
    pub fn set_healthy(&mut self, key: &ServiceKey, id: BackendId, healthy: bool) -> bool {
        self.change_backends(key, |backend| {
            backend.healthy = if backend.id == id { healthy } else { backend.healthy };
        })
    }

    fn change_backends(&mut self, key: &ServiceKey, change: impl Fn(&mut BackendEntry)) -> bool {
        let Some(live) = self.index.live(key) else { return false };
        let mut backends = live.backends.clone();
        backends.iter_mut().for_each(change);
        let changed = backends != live.backends;
        if changed {
            let entry = ServiceEntry { backends, ..ServiceEntry::clone(live) };
            self.index.set(*key, Some(Arc::new(entry)));
        }
        changed
    }

    /// When [`Registry::tick`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.index.next_deadline()
    }

    /// Ends the drains whose deadline has come.
    pub fn tick(&mut self, now: Instant) {
        while let Some(due) = self.index.due(now) {
            let key = due.key();
            if due.retired.is_some_and(|until| until <= now) {
                self.index.set(key, None);
                continue;
            }
            let mut entry = ServiceEntry::clone(due);
            let is_due = |backend: &BackendEntry| backend.drain.is_some_and(|drain| drain.until <= now);
            entry.backends.retain(|backend| !(is_due(backend) && backend.drain.is_some_and(|d| d.leaving)));
            for backend in entry.backends.iter_mut().filter(|backend| is_due(backend)) {
                if let Some(drain) = &mut backend.drain {
                    drain.over = true;
                }
            }
            self.index.set(key, Some(Arc::new(entry)));
        }
    }

    /// Where [`Registry::rollback`] goes back to, until the next settlement.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            changes: self.index.changes(),
            services: self.taken.services.len(),
            backends: self.taken.backends.len(),
            hosts_down: Arc::clone(&self.hosts_down),
        }
    }

    /// Undoes everything since `savepoint`.
    pub fn rollback(&mut self, savepoint: &Savepoint) {
        self.index.undo_to(savepoint.changes);
        self.hosts_down = Arc::clone(&savepoint.hosts_down);
        for slot in self.taken.services.drain(savepoint.services..) {
            self.service_slots.give_back_unused(slot);
        }
        for slot in self.taken.backends.drain(savepoint.backends..) {
            self.backend_slots.give_back_unused(slot);
        }
    }
}

/// What makes two backends of a service the same.
const fn place_of(backend: &config::Backend) -> (IpAddr, Option<u16>) {
    (backend.address, backend.port)
}

/// Whether two services of one key serve the same, whatever they are called and however they are probed.
fn serves_like(one: &config::Service, other: &config::Service) -> bool {
    let (name, health) = (other.name.clone(), other.health.clone());
    let drain_timeout = other.drain_timeout;
    config::Service { name, health, drain_timeout, ..one.clone() } == *other
}
