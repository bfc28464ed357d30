//! The services as they are wanted, with the slots they keep while they live, and the table workers see.

use crate::{
    config::{self, Config},
    plane::{Publisher, Reader},
    service::{Backend, BuildError, Role, SchedulerKind, ServiceSpec, ServiceTable},
    types::{BackendId, InstanceId, PortId, ServiceId},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant},
};

/// A slot rests so long before another thing gets it: sessions of the old one are gone by then.
const REST: Duration = Duration::from_secs(30);

/// What makes two services the same service.
type Key = (IpAddr, u8, u16, u16);

fn key(service: &config::Service) -> Key {
    (service.vip, service.protocol.number(), service.port.first(), service.port.last())
}

/// Numbers that are given out, and given out again only after a rest.
#[derive(Debug, Default)]
struct Slots {
    next: u32,
    limit: u32,
    resting: VecDeque<(Instant, u32)>,
}

impl Slots {
    const fn new(limit: u32) -> Self {
        Self { next: 0, limit, resting: VecDeque::new() }
    }

    fn take(&mut self, now: Instant) -> Option<u32> {
        if self.resting.front().is_some_and(|(since, _)| now.duration_since(*since) >= REST) {
            return self.resting.pop_front().map(|(_, slot)| slot);
        }
        (self.next < self.limit).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn give_back(&mut self, slot: u32, now: Instant) {
        self.resting.push_back((now, slot));
    }
}

/// A service and its slots.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// What is wanted.
    pub wanted: config::Service,
    /// Its slot.
    pub id: ServiceId,
    /// Its backends' slots, in the order of `wanted.backends`.
    pub backends: Vec<BackendId>,
}

/// Why services cannot be as wanted. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Too many of them.
    #[error("no room for {what}: raise `limits.{what}`, or try again half a minute after removing some")]
    Full {
        /// `services` or `backends`.
        what: &'static str,
    },
    /// They contradict each other.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// All services.
#[derive(Debug)]
pub struct Registry {
    instances: Vec<String>,
    /// This node's and the NAT addresses.
    addresses: Vec<(IpAddr, Role)>,
    services: BTreeMap<Key, ServiceEntry>,
    service_slots: Slots,
    backend_slots: Slots,
    publisher: Publisher<ServiceTable>,
}

impl Registry {
    /// The configuration's addresses, and no service yet.
    pub fn new(config: &Config) -> Self {
        let instances: Vec<String> =
            config.instances().iter().map(|instance| instance.name.clone()).collect();
        let id = |name: &str| instance_id(&instances, name);
        let nodes = config.ports.iter().enumerate().flat_map(|(number, port)| {
            port.addresses.iter().map(move |own| (own.address(), Role::Node(PortId(number as u8))))
        });
        let locals =
            config.nat.local_addresses.iter().map(|local| (local.address, Role::Local(id(&local.instance))));
        let addresses = nodes.chain(locals).collect();
        Self {
            addresses,
            services: BTreeMap::new(),
            service_slots: Slots::new(config.limits.services),
            backend_slots: Slots::new(config.limits.backends),
            publisher: Publisher::new(ServiceTable::default()),
            instances,
        }
    }

    /// A reading end of the table.
    pub fn reader(&self) -> Reader<ServiceTable> {
        self.publisher.reader()
    }

    /// The table as workers see it.
    pub fn table(&self) -> Arc<ServiceTable> {
        self.publisher.current()
    }

    /// The services, in the order of their addresses.
    pub fn services(&self) -> impl Iterator<Item = &ServiceEntry> {
        self.services.values()
    }

    /// Replaces all services. What stays keeps its slots, and so its sessions and counters.
    ///
    /// # Errors
    ///
    /// Nothing changes then.
    pub fn replace(&mut self, wanted: Vec<config::Service>, now: Instant) -> Result<(), RegistryError> {
        let mut next = BTreeMap::new();
        let mut taken = Taken::default();
        for service in wanted {
            let old = self.services.get(&key(&service));
            let entry = self.entry(service, old.cloned(), now, &mut taken);
            match entry {
                Ok(entry) => next.insert(key(&entry.wanted), entry),
                Err(error) => {
                    self.give_back(taken, now);
                    return Err(error);
                }
            };
        }
        let specs = next.values().map(|entry| self.spec(entry)).collect();
        let table =
            ServiceTable::build(specs, self.addresses.iter().copied(), Some(&self.publisher.current()));
        match table {
            Ok(table) => self.publisher.publish(table),
            Err(error) => {
                self.give_back(taken, now);
                return Err(error.into());
            }
        }
        let old = std::mem::replace(&mut self.services, next);
        self.give_back(self.gone(&old), now);
        Ok(())
    }

    fn entry(
        &mut self,
        wanted: config::Service,
        old: Option<ServiceEntry>,
        now: Instant,
        taken: &mut Taken,
    ) -> Result<ServiceEntry, RegistryError> {
        let id = match &old {
            Some(old) => old.id,
            None => {
                let slot = self.service_slots.take(now).ok_or(RegistryError::Full { what: "services" })?;
                taken.services.push(slot);
                ServiceId(slot)
            }
        };
        let mut backends = Vec::with_capacity(wanted.backends.len());
        for backend in &wanted.backends {
            let kept = old.as_ref().and_then(|old| {
                let same =
                    |known: &&config::Backend| (known.address, known.port) == (backend.address, backend.port);
                let place = old.wanted.backends.iter().position(|known| same(&known))?;
                old.backends.get(place).copied()
            });
            backends.push(match kept {
                Some(id) => id,
                None => {
                    let slot =
                        self.backend_slots.take(now).ok_or(RegistryError::Full { what: "backends" })?;
                    taken.backends.push(slot);
                    BackendId(slot)
                }
            });
        }
        Ok(ServiceEntry { wanted, id, backends })
    }

    fn spec(&self, entry: &ServiceEntry) -> ServiceSpec {
        let ServiceEntry { wanted, id, backends } = entry;
        let backend = |(wanted, id): (&config::Backend, &BackendId)| Backend {
            id: *id,
            address: wanted.address,
            port: wanted.port,
            weight: wanted.weight,
            available: true,
        };
        let ports: RangeInclusive<u16> = wanted.port.ports();
        ServiceSpec {
            id: *id,
            name: wanted.name.clone(),
            instance: instance_id(&self.instances, &wanted.instance),
            vip: wanted.vip,
            secondary_vips: Vec::new(),
            ports,
            protocol: wanted.protocol,
            scheduler: scheduler(wanted.scheduler),
            idle_timeout: wanted.idle_timeout,
            allowed_sources: wanted.allowed_sources.clone(),
            backends: wanted.backends.iter().zip(backends).map(backend).collect(),
        }
    }

    /// Slots that only `old` had.
    fn gone(&self, old: &BTreeMap<Key, ServiceEntry>) -> Taken {
        let mut gone = Taken::default();
        for (key, entry) in old {
            let kept = self.services.get(key);
            if kept.is_none() {
                gone.services.push(entry.id.0);
            }
            let still = |id: &&BackendId| kept.is_some_and(|kept| kept.backends.contains(id));
            gone.backends.extend(entry.backends.iter().filter(|id| !still(id)).map(|id| id.0));
        }
        gone
    }

    fn give_back(&mut self, slots: Taken, now: Instant) {
        slots.services.into_iter().for_each(|slot| self.service_slots.give_back(slot, now));
        slots.backends.into_iter().for_each(|slot| self.backend_slots.give_back(slot, now));
    }
}

#[derive(Debug, Default)]
struct Taken {
    services: Vec<u32>,
    backends: Vec<u32>,
}

fn instance_id(instances: &[String], name: &str) -> InstanceId {
    InstanceId(instances.iter().position(|known| known == name).unwrap_or(0) as u8)
}

const fn scheduler(wanted: config::Scheduler) -> SchedulerKind {
    match wanted {
        config::Scheduler::Maglev => SchedulerKind::Maglev,
        config::Scheduler::RoundRobin => SchedulerKind::RoundRobin,
        config::Scheduler::WeightedRoundRobin => SchedulerKind::WeightedRoundRobin,
        config::Scheduler::LeastConnections => SchedulerKind::LeastConnections,
        config::Scheduler::SourceHash => SchedulerKind::SourceHash,
    }
}
