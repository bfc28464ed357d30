//! All entries by key, what else they are found by, and how to undo.

use super::entry::{ServiceEntry, ServiceKey};
use crate::types::Protocol;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    ops::RangeInclusive,
    sync::Arc,
    time::Instant,
};

/// Entries and the ways to them. [`Index::set`] is the one way to change it.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<ServiceKey, Arc<ServiceEntry>>,
    /// Live services by every address they listen at: address, protocol, first and last port.
    places: BTreeMap<(IpAddr, Protocol, u16, u16), ServiceKey>,
    /// Live services by their names, which are unique.
    names: HashMap<String, ServiceKey>,
    /// How many live services have a backend at an address.
    backend_addresses: HashMap<IpAddr, usize>,
    /// When entries change by themselves.
    deadlines: BTreeSet<(Instant, ServiceKey)>,
    live: usize,
    backends: usize,
    /// What each change replaced.
    journal: Vec<(ServiceKey, Option<Arc<ServiceEntry>>)>,
}

impl Index {
    /// Puts an entry in the place of another, or of none.
    pub(super) fn set(&mut self, key: ServiceKey, entry: Option<Arc<ServiceEntry>>) {
        let old = self.replace(key, entry);
        self.journal.push((key, old));
    }

    fn replace(&mut self, key: ServiceKey, entry: Option<Arc<ServiceEntry>>) -> Option<Arc<ServiceEntry>> {
        let old = match &entry {
            Some(entry) => self.entries.insert(key, Arc::clone(entry)),
            None => self.entries.remove(&key),
        };
        if let Some(old) = &old {
            self.forget(key, old);
        }
        if let Some(entry) = &entry {
            self.learn(key, entry);
        }
        old
    }

    fn learn(&mut self, key: ServiceKey, entry: &ServiceEntry) {
        if let Some(deadline) = entry.deadline() {
            self.deadlines.insert((deadline, key));
        }
        if !entry.is_live() {
            return;
        }
        for vip in entry.wanted.vips() {
            self.places.insert((vip, key.protocol, key.first, key.last), key);
        }
        self.names.insert(entry.wanted.name.clone(), key);
        for backend in &entry.wanted.backends {
            *self.backend_addresses.entry(backend.address).or_default() += 1;
        }
        self.live += 1;
        self.backends += entry.wanted.backends.len();
    }

    fn forget(&mut self, key: ServiceKey, entry: &ServiceEntry) {
        if let Some(deadline) = entry.deadline() {
            self.deadlines.remove(&(deadline, key));
        }
        if !entry.is_live() {
            return;
        }
        for vip in entry.wanted.vips() {
            self.places.remove(&(vip, key.protocol, key.first, key.last));
        }
        self.names.remove(&entry.wanted.name);
        for backend in &entry.wanted.backends {
            if let Some(uses) = self.backend_addresses.get_mut(&backend.address) {
                *uses -= 1;
                if *uses == 0 {
                    self.backend_addresses.remove(&backend.address);
                }
            }
        }
        self.live -= 1;
        self.backends -= entry.wanted.backends.len();
    }

    /// Undoes changes until so many are left.
    pub(super) fn undo_to(&mut self, changes: usize) {
        while self.journal.len() > changes {
            if let Some((key, old)) = self.journal.pop() {
                self.replace(key, old);
            }
        }
    }

    /// How many changes can be undone.
    pub(super) const fn changes(&self) -> usize {
        self.journal.len()
    }

    /// Puts back what was at each key.
    pub(super) fn restore(&mut self, before: BTreeMap<ServiceKey, Option<Arc<ServiceEntry>>>) {
        for (key, entry) in before {
            self.replace(key, entry);
        }
    }

    /// What was at each changed key before the first change. From now on nothing can be undone.
    pub(super) fn settle(&mut self) -> BTreeMap<ServiceKey, Option<Arc<ServiceEntry>>> {
        let mut before = BTreeMap::new();
        for (key, old) in self.journal.drain(..) {
            before.entry(key).or_insert(old);
        }
        before
    }

    /// The entry at a key, live or retired.
    pub(super) fn get(&self, key: &ServiceKey) -> Option<&Arc<ServiceEntry>> {
        self.entries.get(key)
    }

    /// The live service at a key.
    pub(super) fn live(&self, key: &ServiceKey) -> Option<&Arc<ServiceEntry>> {
        self.entries.get(key).filter(|entry| entry.is_live())
    }

    /// The live service of a name.
    pub(super) fn named(&self, name: &str) -> Option<&Arc<ServiceEntry>> {
        self.live(self.names.get(name)?)
    }

    /// All live services, by key.
    pub(super) fn services(&self) -> impl Iterator<Item = &Arc<ServiceEntry>> {
        self.entries.values().filter(|entry| entry.is_live())
    }

    /// The live services at an address.
    pub(super) fn at(&self, vip: IpAddr) -> impl Iterator<Item = &Arc<ServiceEntry>> {
        let places = self.places.range((vip, Protocol::Tcp, 0, 0)..);
        places.take_while(move |(place, _)| place.0 == vip).filter_map(|(_, key)| self.live(key))
    }

    /// A live service other than `own` that listens on one of `ports`, and the first such port.
    pub(super) fn overlapping(
        &self,
        vip: IpAddr,
        protocol: Protocol,
        ports: &RangeInclusive<u16>,
        own: &ServiceKey,
    ) -> Option<(u16, &Arc<ServiceEntry>)> {
        // Places do not overlap among themselves: only the one before the first port can reach into the range.
        let (first, last) = (*ports.start(), *ports.end());
        let before = self.places.range((vip, protocol, 0, 0)..(vip, protocol, first, 0)).next_back();
        let within = self.places.range((vip, protocol, first, 0)..=(vip, protocol, last, u16::MAX));
        let mut hits = before.into_iter().filter(|(place, _)| place.3 >= first).chain(within);
        let (place, key) = hits.find(|(_, key)| *key != own)?;
        Some((place.2.max(first), self.live(key)?))
    }

    /// Whether a live service has a backend at an address.
    pub(super) fn is_backend(&self, address: IpAddr) -> bool {
        self.backend_addresses.contains_key(&address)
    }

    /// How many live services there are, and backends they list.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.live, self.backends)
    }

    /// When the next entry changes by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// An entry that has changed by itself at `now`.
    pub(super) fn due(&self, now: Instant) -> Option<&Arc<ServiceEntry>> {
        let (deadline, key) = self.deadlines.first()?;
        if *deadline <= now { self.entries.get(key) } else { None }
    }
}
